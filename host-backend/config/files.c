/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

/* No person writes a larger file, and a device file could have no end. */
#define MAX_BYTES	(1u << 20)

static int read_file(struct hmem_config *c, const char *file, struct hmem_err *err)
{
	/* Without O_NONBLOCK, a pipe without a writer would stop hmemd. */
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = malloc(MAX_BYTES + 1);
	size_t len = 0;
	ssize_t num = 1;
	int ret;

	while (text && fd >= 0 && num > 0 && len <= MAX_BYTES) {
		num = read(fd, text + len, MAX_BYTES + 1 - len);
		len += num > 0 ? num : 0;
	}
	if (fd < 0 || num < 0)
		ret = hmem_fail(err, errno, "%.100s: %s", file, strerror(errno));
	else if (!text)
		ret = hmem_fail(err, ENOMEM, "%.100s: no memory to read the file", file);
	else if (len > MAX_BYTES)
		ret = hmem_fail(err, EFBIG, "%.100s is larger than 1 MiB", file);
	else
		ret = hmem_config_parse(c, file, text, len, err);
	free(text);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* A directory may be missing, but not unreadable. */
static int is_fault(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

int hmem_config_read(struct hmem_config *c, const char *file, bool must_exist,
		     struct hmem_err *err)
{
	const char *slash = strrchr(file, '/');
	int dir_len = slash ? (int)(slash - file) + 1 : 0;
	char pattern[4096];
	glob_t found;
	int ret;

	ret = read_file(c, file, err);
	if (ret < 0 && (ret != -ENOENT || must_exist))
		return ret;
	if (snprintf(pattern, sizeof(pattern), "%.*sconf.d/*.conf", dir_len, file) >=
	    (int)sizeof(pattern))
		return hmem_fail(err, ENAMETOOLONG, "the path of %.100s... is too long", file);
	ret = glob(pattern, 0, is_fault, &found);
	if (ret)
		return ret == GLOB_NOMATCH ? 0 :
			hmem_fail(err, ENOMEM, "%.200s: cannot list the directory", pattern);
	for (size_t i = 0; i < found.gl_pathc && !ret; i++)
		ret = read_file(c, found.gl_pathv[i], err);
	globfree(&found);
	return ret;
}
