/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "damon.h"
#include "log.h"

/*
 * Limits of the aggregation interval, in us.  The interval is half a window within these
 * limits: a snapshot waits for the end of an interval, and must be there before the next
 * one.  A sample then sees the pages used in a fortieth of a window.
 */
#define AGGR_MIN	20000u
#define AGGR_MAX	10000000u
/* Number of regions: more cost more and are finer. */
#define REGIONS_MIN	100u
#define REGIONS_MAX	1000u
/* Other users hold the lock of the tree for about an aggregation interval at most. */
#define BUSY_NS		20000000
#define BUSY_TRIES	(AGGR_MAX / (BUSY_NS / 1000))

struct damon {
	struct io io;
	struct loop *loop;
	struct damon_admin *admin;
	const struct host_paths *paths;
	unsigned int slot;
	/* The paths .../kdamonds, .../kdamonds/SLOT, and its state. */
	int top, dir, state;
	bool stopping;
	/* State of end(): the next step, and how often the tree was busy. */
	unsigned int ended, tries;
	void (*done)(void *opaque, int res);
	void *opaque;
	struct __kernel_timespec again;
};

static ssize_t get(int dir, const char *path, char *buf, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

static int get_number(int dir, const char *path, uint64_t *to)
{
	char buf[32];

	if (get(dir, path, buf, sizeof(buf)) <= 0)
		return -1;
	*to = strtoull(buf, NULL, 10);
	return 0;
}

/* -EBUSY means that somebody else uses the tree. */
static int put(int dir, const char *path, const char *value)
{
	int fd = openat(dir, path, O_WRONLY | O_TRUNC | O_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	error = write(fd, value, strlen(value)) < 0 ? errno : 0;
	close(fd);
	return -error;
}

__attribute__((format(printf, 4, 5)))
static int set(int dir, struct hmem_err *err, const char *path, const char *fmt, ...)
{
	char value[64];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	ret = put(dir, path, value);
	if (ret < 0)
		return hmem_fail(err, -ret, "DAMON does not take %s as %s: %s", value,
				 path, strerror(-ret));
	return 0;
}

/* --- the tree --- */

static int open_top(const struct host_paths *paths, struct hmem_err *err)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/damon/admin/kdamonds", paths->mm);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return hmem_fail(err, ENOTSUP, "there is no %s: the host's kernel has "
				 "no DAMON, which needs CONFIG_DAMON_SYSFS=y", path);
	if (fd < 0)
		return hmem_fail(err, errno, "cannot open %s: %s", path,
				 strerror(errno));
	return fd;
}

/* Note that the kdamonds are hmemd's, for a process that comes after one that was killed. */
static void note(const struct host_paths *paths, bool ours)
{
	char path[256];
	int fd;

	if (!paths->run)
		return;
	snprintf(path, sizeof(path), "%s/damon", paths->run);
	if (!ours) {
		unlink(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	else
		log_msg(LOG_WARN, "cannot create %s (%s): if hmemd-trackers is killed, its "
			"kdamonds stay", path, strerror(errno));
}

/* Set up the tree for hmemd, if that is not done. */
static int claim(struct damon_admin *admin, const struct host_paths *paths, int top,
		 struct hmem_err *err)
{
	uint64_t num;
	char value[16];
	int ret;

	if (admin->used)
		return 0;
	if (get_number(top, "nr_kdamonds", &num) < 0)
		return hmem_fail(err, errno == EACCES ? EPERM : errno, "cannot read DAMON's "
				 "nr_kdamonds (%s): track=damon needs root, see "
				 "hmemd-trackers(8)",
				 strerror(errno));
	if (num)
		return hmem_fail(err, EEXIST, "DAMON is in use: another program has set up "
				 "%" PRIu64 " kdamonds. Stop that program; or if there is "
				 "none, write off to the state of each kdamond in "
				 "/sys/kernel/mm/damon/admin/kdamonds and 0 to "
				 "nr_kdamonds", num);
	snprintf(value, sizeof(value), "%u", DAMON_MAX);
	note(paths, true);
	ret = put(top, "nr_kdamonds", value);
	if (ret < 0)
		note(paths, false);
	if (ret == -EACCES || ret == -EPERM || ret == -EROFS)
		return hmem_fail(err, EPERM, "DAMON may not be set up (%s): track=damon "
				 "needs root and a writable /sys, see "
				 "hmemd-trackers(8)", strerror(-ret));
	if (ret < 0)
		return hmem_fail(err, -ret, "DAMON does not take %s kdamonds: %s", value,
				 strerror(-ret));
	return 0;
}

/* Remove all kdamonds with the last one. */
static int unclaim(const struct damon *dm)
{
	int ret;

	if (dm->admin->used & ~(UINT32_C(1) << dm->slot))
		return 0;
	ret = put(dm->top, "nr_kdamonds", "0");
	if (!ret)
		note(dm->paths, false);
	return ret;
}

/* Switch all kdamonds off, and remove them.  -EBUSY: somebody else uses the tree. */
static int remove_all(int top)
{
	for (unsigned int i = 0; i < DAMON_MAX; i++) {
		char path[24];

		/* A kdamond that is off does not take this. */
		snprintf(path, sizeof(path), "%u/state", i);
		if (put(top, path, "off") == -EBUSY)
			return -EBUSY;
	}
	return put(top, "nr_kdamonds", "0");
}

void damon_recover(const struct host_paths *paths)
{
	unsigned int tries = BUSY_TRIES;
	struct hmem_err err = { 0 };
	char path[256];
	uint64_t num;
	int top, ret;

	if (!paths->run)
		return;
	snprintf(path, sizeof(path), "%s/damon", paths->run);
	if (access(path, F_OK) < 0)
		return;
	top = open_top(paths, &err);
	ret = top < 0 ? top : get_number(top, "nr_kdamonds", &num);
	/* If there are more or fewer, others have set them up. */
	if (!ret && num == DAMON_MAX) {
		while ((ret = remove_all(top)) == -EBUSY && --tries)
			usleep(BUSY_NS / 1000);
		log_msg(LOG_WARN, "the kdamonds of an hmemd-trackers that was killed are %s",
			ret < 0 ? strerror(-ret) : "removed");
	} else if (ret && ret != -ENOTSUP) {
		log_msg(LOG_WARN, "kdamonds of an hmemd-trackers that was killed may be left, "
			"because DAMON's nr_kdamonds cannot be read%s%s: start hmemd-trackers as "
			"root", *err.msg ? ": " : "", err.msg);
	}
	if (top >= 0)
		close(top);
	/* A kernel without DAMON has no kdamonds.  Otherwise the next process tries again. */
	if (!ret || ret == -ENOTSUP)
		note(paths, false);
}

/* --- one kdamond --- */

static int set_regions(int target, const struct damon_region *regions, uint32_t num,
		       struct hmem_err *err)
{
	int ret = set(target, err, "regions/nr_regions", "%" PRIu32, num);

	for (uint32_t i = 0; !ret && i < num; i++) {
		char path[48];

		snprintf(path, sizeof(path), "regions/%" PRIu32 "/start", i);
		ret = set(target, err, path, "%" PRIu64, regions[i].start);
		snprintf(path, sizeof(path), "regions/%" PRIu32 "/end", i);
		if (!ret)
			ret = set(target, err, path, "%" PRIu64, regions[i].end);
	}
	return ret;
}

static int set_target(int context, pid_t pid, const struct damon_region *regions,
		      uint32_t num, struct hmem_err *err)
{
	int ret = set(context, err, "targets/nr_targets", "1"), target;

	if (!ret)
		ret = set(context, err, "targets/0/pid_target", "%d", (int)pid);
	if (ret < 0)
		return ret;
	target = openat(context, "targets/0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return hmem_fail(err, errno, "DAMON has made no target: %s",
				 strerror(errno));
	ret = set_regions(target, regions, num, err);
	close(target);
	return ret;
}

/* Add a scheme that matches all regions and does nothing. */
static int set_scheme(int context, struct hmem_err *err)
{
	static const struct {
		const char *path, *value;
	} all[] = {
		{ "schemes/nr_schemes", "1" },
		{ "schemes/0/action", "stat" },
		{ "schemes/0/access_pattern/sz/min", "0" },
		{ "schemes/0/access_pattern/sz/max", "18446744073709551615" },
		{ "schemes/0/access_pattern/nr_accesses/min", "0" },
		{ "schemes/0/access_pattern/nr_accesses/max", "4294967295" },
		{ "schemes/0/access_pattern/age/min", "0" },
		{ "schemes/0/access_pattern/age/max", "4294967295" },
	};
	int ret = 0;

	for (unsigned int i = 0; !ret && i < sizeof(all) / sizeof(all[0]); i++)
		ret = set(context, err, all[i].path, "%s", all[i].value);
	if (!ret && faccessat(context, "schemes/0/tried_regions", F_OK, 0) < 0)
		return hmem_fail(err, ENOTSUP, "the host kernel's DAMON does not tell its "
				 "regions (tried_regions): use Linux 6.2 or newer");
	return ret;
}

static int set_up(int context, pid_t pid, const struct damon_region *regions,
		  uint32_t num, uint32_t window_ms, struct hmem_err *err)
{
	uint64_t aggr = window_ms * UINT64_C(500);
	char known[128];
	int ret;

	aggr = aggr < AGGR_MIN ? AGGR_MIN : aggr > AGGR_MAX ? AGGR_MAX : aggr;
	if (get(context, "avail_operations", known, sizeof(known)) <= 0 ||
	    !strstr(known, "fvaddr"))
		return hmem_fail(err, ENOTSUP, "the host kernel's DAMON does not monitor "
				 "processes, which needs CONFIG_DAMON_VADDR=y");
	ret = set(context, err, "operations", "fvaddr");
	if (!ret)
		ret = set(context, err, "monitoring_attrs/intervals/sample_us",
			  "%" PRIu64, aggr / DAMON_SAMPLES);
	if (!ret)
		ret = set(context, err, "monitoring_attrs/intervals/aggr_us",
			  "%" PRIu64, aggr);
	if (!ret)
		ret = set(context, err, "monitoring_attrs/nr_regions/max", "%" PRIu32,
			  num > REGIONS_MAX / 2 ? 2 * num : REGIONS_MAX);
	if (!ret)
		ret = set(context, err, "monitoring_attrs/nr_regions/min", "%u",
			  REGIONS_MIN);
	if (!ret)
		ret = set_target(context, pid, regions, num, err);
	return ret ? ret : set_scheme(context, err);
}

static int switch_on(int dir, pid_t pid, struct hmem_err *err)
{
	int ret = put(dir, "state", "on");

	if (ret == -EBUSY)
		return hmem_fail(err, EBUSY, "DAMON is in use by the kernel itself, which "
				 "keeps others out: switch off its modules that are on, "
				 "see /sys/module/damon_*/parameters/enabled");
	if (ret < 0)
		return hmem_fail(err, -ret, "DAMON does not start on process %d: %s",
				 (int)pid, strerror(-ret));
	return 0;
}

static void wait_a_moment(struct damon *dm)
{
	struct io_uring_sqe *sqe = loop_sqe(dm->loop);

	dm->again = (struct __kernel_timespec) { .tv_nsec = BUSY_NS };
	io_uring_prep_timeout(sqe, &dm->again, 0, 0);
	loop_queue(dm->loop, &dm->io, IO_TIMEOUT, sqe);
}

static int end_step(const struct damon *dm)
{
	switch (dm->ended) {
	case 0:
		/* Fails if the kdamond has ended with its process. */
		return dm->dir < 0 ? 0 : put(dm->dir, "state", "off");
	case 1:
		return dm->dir < 0 ? 0 : put(dm->dir, "contexts/nr_contexts", "0");
	default:
		return unclaim(dm);
	}
}

/*
 * Restore the kdamond, and with the last one the tree.  If others use the tree, try again
 * a few moments later.
 */
static void end(struct damon *dm)
{
	int ret = 0;

	dm->stopping = true;
	for (; dm->ended < 3; dm->ended++) {
		ret = end_step(dm);
		if (ret == -EBUSY && dm->tries++ < BUSY_TRIES) {
			wait_a_moment(dm);
			return;
		}
	}
	if (ret < 0)
		log_msg(LOG_WARN, "DAMON's kdamonds cannot be removed: %s",
			strerror(-ret));
	if (dm->dir >= 0)
		close(dm->dir);
	if (dm->state >= 0)
		close(dm->state);
	dm->admin->used &= ~(UINT32_C(1) << dm->slot);
	close(dm->top);
	loop_remove(dm->loop, &dm->io);
	free(dm);
}

static void ask(struct damon *dm)
{
	static const char command[] = "update_schemes_tried_regions";
	struct io_uring_sqe *sqe = loop_sqe(dm->loop);

	io_uring_prep_write(sqe, dm->state, command, sizeof(command) - 1, 0);
	loop_queue(dm->loop, &dm->io, IO_WRITE, sqe);
}

static void complete(struct io *io, enum io_op op, int res)
{
	struct damon *dm = (struct damon *)io;

	if (dm->stopping) {
		end(dm);
	} else if (op == IO_TIMEOUT) {
		ask(dm);
	} else if (res == -EBUSY) {
		/* The kernel makes one snapshot at a time, for all users. */
		wait_a_moment(dm);
	} else {
		dm->done(dm->opaque, res < 0 ? res : 0);
	}
}

static int start(struct damon *dm, pid_t pid, const struct damon_region *regions,
		 uint32_t num, uint32_t window_ms, struct hmem_err *err)
{
	char path[16];
	int ret, context;

	snprintf(path, sizeof(path), "%u", dm->slot);
	dm->dir = openat(dm->top, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dm->dir < 0)
		return hmem_fail(err, errno, "DAMON has made no kdamond %u: %s", dm->slot,
				 strerror(errno));
	ret = set(dm->dir, err, "contexts/nr_contexts", "1");
	if (ret < 0)
		return ret;
	context = openat(dm->dir, "contexts/0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (context < 0)
		return hmem_fail(err, errno, "DAMON has made no context: %s",
				 strerror(errno));
	ret = set_up(context, pid, regions, num, window_ms, err);
	close(context);
	if (!ret)
		ret = switch_on(dm->dir, pid, err);
	if (ret < 0)
		return ret;
	dm->state = openat(dm->dir, "state", O_WRONLY | O_CLOEXEC);
	if (dm->state < 0)
		return hmem_fail(err, errno, "cannot open a kdamond's state: %s",
				 strerror(errno));
	return 0;
}

int damon_start(struct damon_admin *admin, struct loop *loop,
		const struct host_paths *paths, pid_t pid,
		const struct damon_region *regions, uint32_t num, uint32_t window_ms,
		struct damon **to, struct hmem_err *err)
{
	int slot = __builtin_ffs(~admin->used) - 1, top, ret;
	struct damon *dm;

	if (slot < 0 || slot >= (int)DAMON_MAX)
		return hmem_fail(err, ENOSPC, "%u VMs are tracked with DAMON already, no "
				 "more can be", DAMON_MAX);
	top = open_top(paths, err);
	if (top < 0)
		return top;
	dm = calloc(1, sizeof(*dm));
	ret = dm ? loop_add(loop, &dm->io) : -ENOMEM;
	if (ret < 0) {
		hmem_fail(err, ENOMEM, "no memory for DAMON");
		goto fail;
	}
	dm->io.complete = complete;
	dm->loop = loop;
	dm->admin = admin;
	dm->paths = paths;
	dm->slot = slot;
	dm->top = top;
	dm->dir = dm->state = -1;
	ret = claim(admin, paths, top, err);
	if (ret < 0) {
		loop_remove(loop, &dm->io);
		goto fail;
	}
	admin->used |= UINT32_C(1) << slot;
	ret = start(dm, pid, regions, num, window_ms, err);
	if (ret < 0)
		end(dm);
	else
		*to = dm;
	return ret;
fail:
	free(dm);
	close(top);
	return ret;
}

void damon_snapshot(struct damon *dm, void (*done)(void *opaque, int res),
		    void *opaque)
{
	dm->done = done;
	dm->opaque = opaque;
	if (!dm->io.pending)
		ask(dm);
}

int damon_read(struct damon *dm,
	       void (*fn)(const struct damon_region *r, unsigned int accesses,
			  void *opaque),
	       void *opaque, struct hmem_err *err)
{
	int tried = openat(dm->dir, "contexts/0/schemes/0/tried_regions",
			   O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;

	if (tried < 0)
		return hmem_fail(err, errno, "cannot read DAMON's regions: %s",
				 strerror(errno));
	for (unsigned int i = 0; !ret; i++) {
		struct damon_region r;
		uint64_t accesses;
		char name[16];
		int dir;

		snprintf(name, sizeof(name), "%u", i);
		dir = openat(tried, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 && errno == ENOENT)
			break;
		if (dir < 0 || get_number(dir, "start", &r.start) < 0 ||
		    get_number(dir, "end", &r.end) < 0 ||
		    get_number(dir, "nr_accesses", &accesses) < 0)
			ret = hmem_fail(err, errno, "cannot read DAMON's region %u: %s",
					i, strerror(errno));
		else
			fn(&r, accesses < UINT_MAX ? accesses : UINT_MAX, opaque);
		if (dir >= 0)
			close(dir);
	}
	close(tried);
	return ret;
}

void damon_stop(struct damon *dm)
{
	dm->stopping = true;
	if (!dm->io.pending)
		end(dm);
}
