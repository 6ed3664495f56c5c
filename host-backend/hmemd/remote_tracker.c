/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "conn.h"
#include "hmem_link.h"
#include "hmem_trackers.h"
#include "remote_tracker.h"

/* hmemd serves nobody else while it waits for this long: less than the watchdog of its unit. */
#define PATIENCE_S	5
/* So it does not wait again for this long, or the VMs together would make it wait all the time. */
#define PAUSE_MS	60000u

struct remote_tracker {
	struct conn conn;
	/* NULL: the tracker has been stopped, or has failed. */
	const struct host_tracker_ops *ops;
	void *user;
	uint64_t *cpu_ns;
};

/*
 * --- the start, for which hmemd waits ---
 *
 * A call that waits ends with EINTR when a request of hmemd's io_uring is done, and is repeated.
 */

/* Wait at most so long for the peer at @fd; 0: forever. */
static void set_patience(int fd, unsigned int seconds)
{
	const struct timeval patience = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

/* Tracking can be started again later after both of these faults. */
static int hangs(struct hmem_err *err)
{
	return hmem_fail(err, EBUSY, "hmemd-trackers does not answer in time: see systemctl status "
			 "hmemd-trackers");
}

static int no_answer(struct host_trackers *all, int error, struct hmem_err *err)
{
	if (error != EAGAIN)
		return hmem_fail(err, EBUSY, "hmemd-trackers has ended without an answer: see "
				 "systemctl status hmemd-trackers");
	all->helper_hangs_until = loop_now() + PAUSE_MS;
	return hangs(err);
}

static int connect_to(struct host_trackers *all, const char *track, struct hmem_err *err)
{
	const char *path = all->helper;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, ret = 0;

	if (strlen(path) >= sizeof(addr.sun_path))
		return hmem_fail(err, ENAMETOOLONG, "the path of hmemd-trackers' socket is too "
				 "long: %.150s", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return hmem_fail(err, errno, "no socket: %s", strerror(errno));
	set_patience(fd, PATIENCE_S);
	if (TEMP_FAILURE_RETRY(connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) < 0)
		ret = errno == EAGAIN ? no_answer(all, errno, err) :
		      hmem_fail(err, ENOTCONN, "hmemd has no privileges, so track=%s needs "
				"hmemd-trackers (%.80s: %s): systemctl enable --now "
				"hmemd-trackers.socket, see hmemd-trackers(8)", track, path,
				strerror(errno));
	if (ret < 0)
		close(fd);
	return ret < 0 ? ret : fd;
}

static int send_start(int fd, const struct host_tracker_target *target, enum hmem_track how,
		      uint32_t window_ms)
{
	struct hmem_trackers_msg start = {
		.type = HMEM_TRACKERS_START,
		.num_ranges = target->num_ranges,
		.how = how == HMEM_TRACK_IDLE ? HMEM_TRACKERS_IDLE : HMEM_TRACKERS_DAMON,
		.window_ms = window_ms,
		.map_bytes = target->map_bytes,
	};
	size_t ranges = target->num_ranges * sizeof(*target->ranges);
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov[] = {
		{ &start, sizeof(start) }, { (void *)target->ranges, ranges },
	};
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &target->connection, sizeof(int));
	/* At most 33 KiB, for which the socket's buffer has room. */
	return TEMP_FAILURE_RETRY(sendmsg(fd, &msg, MSG_NOSIGNAL)) ==
	       (ssize_t)(sizeof(start) + ranges) ? 0 : -1;
}

/* Returns the descriptor that came with the answer, or -1. */
static int receive_answer(int fd, struct hmem_trackers_msg *answer)
{
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { answer, sizeof(*answer) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t n = TEMP_FAILURE_RETRY(recvmsg(fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC));
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	int passed = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&passed, CMSG_DATA(c), sizeof(passed));
	if (n != (ssize_t)sizeof(*answer))
		*answer = (struct hmem_trackers_msg) { .type = 0 };
	return passed;
}

static int map(int memfd, uint64_t bytes, uint64_t **maps)
{
	struct stat st;

	if (memfd < 0 || fstat(memfd, &st) < 0 || (uint64_t)st.st_size < bytes)
		return -1;
	*maps = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	return *maps == MAP_FAILED ? -1 : 0;
}

static int start(struct host_trackers *all, int fd, const struct host_tracker_target *target,
		 enum hmem_track how, uint32_t window_ms, uint64_t **maps, struct hmem_err *err)
{
	struct hmem_trackers_msg answer;
	int memfd, ret = 0;

	if (send_start(fd, target, how, window_ms) < 0)
		return no_answer(all, errno, err);
	/* The end of the connection is no error. */
	errno = 0;
	memfd = receive_answer(fd, &answer);
	if (!answer.type)
		ret = no_answer(all, errno, err);
	else if (answer.type == HMEM_TRACKERS_FAILED && answer.error < 0)
		ret = hmem_fail(err, -answer.error, "%.*s", (int)sizeof(answer.why),
				answer.why);
	else if (answer.type != HMEM_TRACKERS_STARTED ||
		 map(memfd, 2 * target->map_bytes, maps) < 0)
		ret = hmem_fail(err, EPROTO, "hmemd-trackers gives a wrong answer: install the "
				"version of hmemd, and restart both");
	if (memfd >= 0)
		close(memfd);
	return ret;
}

/* --- afterwards --- */

static int received(struct conn *c, struct hmem_err *err)
{
	struct remote_tracker *t = (struct remote_tracker *)c;
	const struct host_tracker_ops *ops = t->ops;
	struct hmem_trackers_msg msg;

	if (conn_len(c) < sizeof(msg))
		return CONN_MORE;
	memcpy(&msg, conn_data(c), sizeof(msg));
	conn_consume(c, sizeof(msg));
	*t->cpu_ns += msg.cpu_ns;
	switch (msg.type) {
	case HMEM_TRACKERS_FOUND:
		ops->found(t->user, msg.number);
		return CONN_AGAIN;
	case HMEM_TRACKERS_REARMED:
		ops->rearmed(t->user);
		return CONN_AGAIN;
	case HMEM_TRACKERS_FAILED:
		msg.why[sizeof(msg.why) - 1] = '\0';
		t->ops = NULL;
		ops->failed(t->user, msg.error, msg.why);
		return CONN_AGAIN;
	default:
		return hmem_fail(err, EPROTO, "unknown message %u", msg.type);
	}
}

static void closed(struct conn *c, const char *why, bool fault)
{
	struct remote_tracker *t = (struct remote_tracker *)c;
	const struct host_tracker_ops *ops = t->ops;
	struct hmem_err err;

	(void)fault;
	t->ops = NULL;
	if (!ops)
		return;
	/* An upgrade starts hmemd-trackers again. */
	hmem_fail(&err, EBUSY, "hmemd-trackers has gone (%.100s)", why);
	ops->failed(t->user, -EBUSY, err.msg);
}

static void release(struct conn *c)
{
	free(c);
}

static const struct conn_ops ops_of_conn = {
	.received = received,
	.closed = closed,
	.release = release,
};

int remote_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
			 enum hmem_track how, uint32_t window_ms,
			 const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
			 struct remote_tracker **to, uint64_t **maps, struct hmem_err *err)
{
	struct remote_tracker *t = calloc(1, sizeof(*t));
	int fd, ret;

	if (!t)
		return hmem_fail(err, ENOMEM, "no memory to track with");
	if (loop_now() < all->helper_hangs_until) {
		free(t);
		return hangs(err);
	}
	ret = fd = connect_to(all, how == HMEM_TRACK_IDLE ? "idle" : "damon", err);
	if (ret >= 0)
		ret = start(all, fd, target, how, window_ms, maps, err);
	if (ret < 0) {
		if (fd >= 0)
			close(fd);
		free(t);
		return ret;
	}
	set_patience(fd, 0);
	t->ops = ops;
	t->user = user;
	t->cpu_ns = cpu_ns;
	t->conn.ops = &ops_of_conn;
	t->conn.in_max = 16 * sizeof(struct hmem_trackers_msg);
	t->conn.out_max = 256 * 1024;
	ret = conn_init(&t->conn, all->loop, fd);
	if (ret < 0) {
		munmap(*maps, 2 * target->map_bytes);
		free(t);
		return hmem_fail(err, -ret, "no memory to track with");
	}
	*to = t;
	return 0;
}

void remote_tracker_stop(struct remote_tracker *t)
{
	t->ops = NULL;
	conn_drop(&t->conn, false, "tracking was stopped");
}

void remote_tracker_tick(struct remote_tracker *t, uint64_t window)
{
	struct hmem_trackers_msg msg = { .type = HMEM_TRACKERS_TICK, .number = window };

	conn_send(&t->conn, &msg, sizeof(msg));
}

void remote_tracker_rearm(struct remote_tracker *t)
{
	struct hmem_trackers_msg msg = { .type = HMEM_TRACKERS_REARM };

	conn_send(&t->conn, &msg, sizeof(msg));
}

void remote_tracker_ranges(struct remote_tracker *t, const struct hmem_link_range *ranges,
			   uint32_t num_ranges)
{
	struct hmem_trackers_msg msg = {
		.type = HMEM_TRACKERS_RANGES, .num_ranges = num_ranges,
	};

	conn_send(&t->conn, &msg, sizeof(msg));
	conn_send(&t->conn, ranges, num_ranges * sizeof(*ranges));
}
