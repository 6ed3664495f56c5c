/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "learned_dir.h"

#define ENDING		".learned"
#define NEW		".new"

typedef char new_name[sizeof(learned_name) + sizeof(NEW)];

int learned_dir_open(struct learned_dir *dir, const char *path, struct hmem_err *err)
{
	struct stat st;
	int ret = 0;

	*dir = (struct learned_dir) { .fd = -1 };
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return hmem_fail(err, errno, "%.150s: cannot be made: %s", path, strerror(errno));
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return hmem_fail(err, errno, "%.150s: %s", path, strerror(errno));
	if (fstat(dir->fd, &st) < 0 || st.st_uid != geteuid())
		ret = hmem_fail(err, EPERM, "%.150s: belongs to another user than hmemd's: change "
				"its owner, or name another state-directory", path);
	else if (st.st_mode & 022)
		ret = hmem_fail(err, EPERM, "%.150s: others may write there: run chmod 700", path);
	else if (faccessat(dir->fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		ret = hmem_fail(err, errno, "%.150s: cannot be written: %s", path, strerror(errno));
	/* A copy, because the configuration can be read again. */
	dir->path = strdup(path);
	if (!ret && !dir->path)
		ret = hmem_fail(err, ENOMEM, "%.150s: no memory", path);
	if (ret < 0)
		learned_dir_close(dir);
	return ret;
}

void learned_dir_close(struct learned_dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
	free(dir->path);
	dir->path = NULL;
}

void learned_dir_name(const uint8_t uuid[16], const char *device, learned_name name)
{
	size_t n = 0;

	for (unsigned int i = 0; i < 16; i++)
		n += snprintf(name + n, sizeof(learned_name) - n, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	n += snprintf(name + n, sizeof(learned_name) - n, "-%.63s" ENDING, device);
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			name[i] = '_';
	}
}

static void make_new(const char *name, new_name to)
{
	snprintf(to, sizeof(new_name), "%.127s" NEW, name);
}

static int fail(const struct learned_dir *dir, const char *name, int error, struct hmem_err *err)
{
	return hmem_fail(err, error, "%.100s/%.100s: %s", dir->path, name, strerror(error));
}

int learned_dir_take(const struct learned_dir *dir, const char *name, uint64_t max,
		     struct hmem_err *err)
{
	/* Opening a pipe would wait for a writer. */
	int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *why = NULL;
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return hmem_fail(err, ELOOP, "%.100s/%.100s: is a symbolic link", dir->path, name);
	if (fd < 0)
		return fail(dir, name, errno, err);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		why = "is no regular file";
	else if (st.st_uid != geteuid())
		why = "belongs to another user than hmemd's";
	else if ((uint64_t)st.st_size > max)
		why = "is larger than the VM's state can be";
	/* What is too large is hmemd's own, and goes, too. */
	if (!why || (S_ISREG(st.st_mode) && st.st_uid == geteuid()))
		unlinkat(dir->fd, name, 0);
	if (!why)
		return fd;
	close(fd);
	return hmem_fail(err, EINVAL, "%.100s/%.100s: %s", dir->path, name, why);
}

int learned_dir_create(const struct learned_dir *dir, const char *name, struct hmem_err *err)
{
	new_name new;
	int fd;

	make_new(name, new);
	/* One that was left by a crash. */
	unlinkat(dir->fd, new, 0);
	fd = openat(dir->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? fail(dir, new, errno, err) : fd;
}

int learned_dir_commit(const struct learned_dir *dir, const char *name, struct hmem_err *err)
{
	new_name new;

	make_new(name, new);
	if (!renameat(dir->fd, new, dir->fd, name))
		return 0;
	fail(dir, name, errno, err);
	learned_dir_abandon(dir, name);
	return -EIO;
}

void learned_dir_abandon(const struct learned_dir *dir, const char *name)
{
	new_name new;

	make_new(name, new);
	unlinkat(dir->fd, new, 0);
}

static bool ends_in(const char *name, const char *ending)
{
	size_t len = strlen(name), n = strlen(ending);

	return len > n && !strcmp(name + len - n, ending);
}

/* Is it an old file of hmemd's? */
static bool is_old(const struct learned_dir *dir, const char *name, unsigned int seconds)
{
	struct stat st;

	return (ends_in(name, ENDING) || ends_in(name, ENDING NEW)) &&
	       !fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid() && st.st_mtime + (time_t)seconds < time(NULL);
}

void learned_dir_sweep(const struct learned_dir *dir, unsigned int seconds,
		       bool (*keep)(void *user, const char *name), void *user)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		if (is_old(dir, e->d_name, seconds) && !keep(user, e->d_name))
			unlinkat(dir->fd, e->d_name, 0);
	}
	if (d)
		closedir(d);
}
