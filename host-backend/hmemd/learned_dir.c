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
#include <unistd.h>

#include "learned_dir.h"

#define ENDING		".learned"
#define NEW		".new"

typedef char new_name[sizeof(learned_name) + sizeof(NEW)];

int learned_dir_open(struct learned_dir *dir, const char *path, struct closer *closer,
		     struct hmem_err *err)
{
	struct stat st;
	int ret = 0;

	*dir = (struct learned_dir) { .fd = -1, .closer = closer };
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

void learned_dir_name(const uint8_t uuid[16], const char *device, uint32_t boot,
		      learned_name name)
{
	size_t n = 0;

	for (unsigned int i = 0; i < 16; i++)
		n += snprintf(name + n, sizeof(learned_name) - n, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	n += snprintf(name + n, sizeof(learned_name) - n, "-%.63s-", device);
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			name[i] = '_';
	}
	if (boot)
		snprintf(name + n, sizeof(learned_name) - n, "%08" PRIx32 ENDING, boot);
}

static void make_new(const char *name, new_name to)
{
	snprintf(to, sizeof(new_name), "%.127s" NEW, name);
}

static int fail(const struct learned_dir *dir, const char *name, int error, struct hmem_err *err)
{
	return hmem_fail(err, error, "%.100s/%.100s: %s", dir->path, name, strerror(error));
}

/* Removes the name of a file.  Freeing what the file has is the closer's business. */
static int remove_name(const struct learned_dir *dir, const char *name, struct hmem_err *err)
{
	int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int ret = unlinkat(dir->fd, name, 0) < 0 ? fail(dir, name, errno, err) : 0;

	if (fd >= 0)
		closer_close(dir->closer, &fd, 1);
	return ret;
}

int learned_dir_find(const struct learned_dir *dir, const char *name, uint64_t max,
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
	if (!why && (uint64_t)st.st_size <= max)
		return fd;
	if (!why) {
		/* The VM goes on without the file, so the file is out of date. */
		learned_dir_remove(dir, name, fd);
		return hmem_fail(err, EINVAL, "%.100s/%.100s: was larger than the VM's state can "
				 "be", dir->path, name);
	}
	close(fd);
	return hmem_fail(err, EINVAL, "%.100s/%.100s: %s", dir->path, name, why);
}

void learned_dir_remove(const struct learned_dir *dir, const char *name, int fd)
{
	unlinkat(dir->fd, name, 0);
	closer_close(dir->closer, &fd, 1);
}

int learned_dir_create(const struct learned_dir *dir, const char *name, struct hmem_err *err)
{
	new_name new;
	int fd;

	make_new(name, new);
	/* One that was left by a crash. */
	remove_name(dir, new, NULL);
	fd = openat(dir->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? fail(dir, new, errno, err) : fd;
}

int learned_dir_commit(const struct learned_dir *dir, const char *name, int fd,
		       struct hmem_err *err)
{
	int old = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret = 0;
	new_name new;

	make_new(name, new);
	if (renameat(dir->fd, new, dir->fd, name) < 0) {
		ret = fail(dir, name, errno, err);
		unlinkat(dir->fd, new, 0);
	}
	closer_close(dir->closer, &fd, 1);
	if (old >= 0)
		closer_close(dir->closer, &old, 1);
	return ret;
}

void learned_dir_abandon(const struct learned_dir *dir, const char *name, int fd)
{
	new_name new;

	make_new(name, new);
	learned_dir_remove(dir, new, fd);
}

static bool ends_in(const char *name, const char *ending)
{
	size_t len = strlen(name), n = strlen(ending);

	return len > n && !strcmp(name + len - n, ending);
}

/* Calls @call for each of hmemd's files. */
static void each_file(const struct learned_dir *dir, void *user,
		      void (*call)(void *user, const char *name, const struct stat *st))
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct stat st;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		if ((ends_in(e->d_name, ENDING) || ends_in(e->d_name, ENDING NEW)) &&
		    strlen(e->d_name) < sizeof(new_name) &&
		    !fstatat(dir->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		    S_ISREG(st.st_mode) && st.st_uid == geteuid())
			call(user, e->d_name, &st);
	}
	if (d)
		closedir(d);
}

/* A search of the directory, with what it has found. */
struct search {
	const struct learned_dir *dir;
	learned_dir_keep *keep;
	void *user;
	uint64_t bytes;
	/* The oldest file that may go, if @name is not "". */
	new_name name;
	struct timespec time;
};

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static void measure(void *user, const char *name, const struct stat *st)
{
	struct search *s = user;

	s->bytes += st->st_size;
	if (s->keep(s->user, name) || (s->name[0] && !is_before(&st->st_mtim, &s->time)))
		return;
	strcpy(s->name, name);
	s->time = st->st_mtim;
}

int learned_dir_make_room(const struct learned_dir *dir, uint64_t size, uint64_t max,
			  learned_dir_keep *keep, void *user, struct hmem_err *err)
{
	for (;;) {
		struct search s = { .dir = dir, .keep = keep, .user = user };
		int ret;

		each_file(dir, &s, measure);
		if (s.bytes + size <= max)
			return 0;
		if (!s.name[0])
			return hmem_fail(err, ENOSPC, "%.100s: the files of connected VMs have "
					 "%" PRIu64 " MiB: increase max-tables", dir->path,
					 s.bytes >> 20);
		ret = remove_name(dir, s.name, err);
		if (ret < 0)
			return ret;
	}
}

/* A file whose time is 0 was not wanted in the last sweep. */
static void sweep_file(void *user, const char *name, const struct stat *st)
{
	static const struct timespec never[2] = { { 0 }, { 0 } };
	struct search *s = user;

	if (s->keep(s->user, name))
		return;
	if (st->st_mtim.tv_sec)
		utimensat(s->dir->fd, name, never, AT_SYMLINK_NOFOLLOW);
	else
		remove_name(s->dir, name, NULL);
}

void learned_dir_sweep(const struct learned_dir *dir, learned_dir_keep *keep, void *user)
{
	struct search s = { .dir = dir, .keep = keep, .user = user };

	each_file(dir, &s, sweep_file);
}
