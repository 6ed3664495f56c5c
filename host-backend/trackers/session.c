/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conn.h"
#include "hmem_trackers.h"
#include "link_check.h"
#include "log.h"
#include "served.h"
#include "session.h"

/* Two for each VM of a large host: a new tracker starts before the old one ends. */
#define MAX_SESSIONS	512u
/* The maps of a VM with 16 TiB, which is hmemd's limit as well, unless it is changed. */
#define MAX_MAP_BYTES	(UINT64_C(512) << 20)
/* As long as hmemd may take for a window. */
#define MAX_WINDOW_MS	3600000u
#define MAX_MESSAGE	(sizeof(struct hmem_trackers_msg) + \
			 HMEM_LINK_MAX_RANGES * sizeof(struct hmem_link_range))

struct session {
	struct conn conn;
	TAILQ_ENTRY(session) link;
	struct sessions *all;
	/* The VM's connection; -1: hmemd has not sent START. */
	int vm;
	struct served served;
	struct hmem_link_range *ranges;
	uint64_t *maps, map_bytes;
	struct local_tracker *tracker;
	/* The processor time that hmemd has not been told yet. */
	uint64_t cpu_ns;
};

/* --- answers --- */

static void answer(struct session *s, enum hmem_trackers_type type, uint64_t number)
{
	struct hmem_trackers_msg msg = {
		.type = type, .number = number, .cpu_ns = s->cpu_ns,
	};

	s->cpu_ns = 0;
	conn_send(&s->conn, &msg, sizeof(msg));
}

static void found(void *user, uint64_t accessed)
{
	answer(user, HMEM_TRACKERS_FOUND, accessed);
}

static void rearmed(void *user)
{
	answer(user, HMEM_TRACKERS_REARMED, 0);
}

static void stop(struct session *s)
{
	if (s->tracker)
		local_tracker_stop(s->tracker);
	s->tracker = NULL;
}

/* hmemd closes the connection when it has read this. */
static void failed(void *user, int error, const char *why)
{
	struct hmem_trackers_msg msg = { .type = HMEM_TRACKERS_FAILED, .error = error };
	struct session *s = user;

	stop(s);
	snprintf(msg.why, sizeof(msg.why), "%s", why);
	conn_send(&s->conn, &msg, sizeof(msg));
}

static const struct host_tracker_ops tracker_ops = {
	.found = found,
	.rearmed = rearmed,
	.failed = failed,
};

/* The first answer, with the maps.  hmemd reads nothing else before, so there is room. */
static int answer_started(struct session *s, int memfd)
{
	struct hmem_trackers_msg started = { .type = HMEM_TRACKERS_STARTED };
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &started, sizeof(started) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &memfd, sizeof(int));
	return sendmsg(s->conn.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)sizeof(started) ? 0 : -1;
}

/* --- requests --- */

/* Make the maps, which hmemd can change, but not shorten.  Returns the memfd, or -errno. */
static int make_maps(struct session *s, uint64_t map_bytes, struct hmem_err *err)
{
	int memfd = memfd_create("hmemd-trackers", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (memfd >= 0 && !ftruncate(memfd, 2 * map_bytes) &&
	    !fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		s->map_bytes = map_bytes;
		s->maps = mmap(NULL, 2 * map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
		if (s->maps != MAP_FAILED)
			return memfd;
	}
	s->maps = NULL;
	if (memfd >= 0)
		close(memfd);
	return hmem_fail(err, ENOMEM, "hmemd-trackers has no memory for the VM's maps: %s",
			 strerror(errno));
}

/* Keep the message's ranges.  Returns 0; or -errno, and has kept the old ones. */
static int keep_ranges(struct session *s, const struct hmem_trackers_msg *msg,
		       uint64_t map_bytes, struct hmem_err *err)
{
	size_t bytes = msg->num_ranges * sizeof(struct hmem_link_range);
	struct hmem_link_range *ranges = malloc(bytes + 1);
	int ret;

	if (!ranges)
		return hmem_fail(err, ENOMEM, "hmemd-trackers has no memory for ranges");
	memcpy(ranges, conn_data(&s->conn) + sizeof(*msg), bytes);
	ret = hmem_link_check_ranges(ranges, msg->num_ranges, map_bytes, HMEM_LINK_MAX_TIERS,
				     err);
	if (ret < 0) {
		free(ranges);
		return ret;
	}
	free(s->ranges);
	s->ranges = ranges;
	return 0;
}

static int check_start(const struct session *s, const struct hmem_trackers_msg *msg,
		       struct hmem_err *err)
{
	if (s->vm >= 0 || s->conn.passed_fd < 0)
		return hmem_fail(err, EPROTO, "START comes once, with the VM's connection");
	if (msg->how != HMEM_TRACKERS_IDLE && msg->how != HMEM_TRACKERS_DAMON)
		return hmem_fail(err, EPROTO, "there is no tracker %u", msg->how);
	if (!msg->window_ms || msg->window_ms > MAX_WINDOW_MS || !msg->map_bytes ||
	    msg->map_bytes > MAX_MAP_BYTES || msg->map_bytes % sizeof(uint64_t))
		return hmem_fail(err, EPROTO, "windows of %u ms, or maps of %lu bytes",
				 msg->window_ms, (unsigned long)msg->map_bytes);
	return 0;
}

/* Returns the memfd of the maps, or -errno. */
static int track(struct session *s, const struct hmem_trackers_msg *msg, struct hmem_err *err)
{
	const struct host_trackers *trackers = &s->all->trackers;
	struct host_tracker_target target = { .map_bytes = msg->map_bytes };
	int memfd, ret;

	if (s->all->num > MAX_SESSIONS)
		return hmem_fail(err, ENOSPC, "hmemd-trackers tracks %u VMs already",
				 MAX_SESSIONS);
	ret = served_open(&s->served, s->vm, s->all->vm_socket, trackers->paths.proc, err);
	if (ret < 0)
		return ret;
	target.pid = s->served.pid;
	ret = memfd = make_maps(s, msg->map_bytes, err);
	if (ret < 0)
		return ret;
	target.ranges = s->ranges;
	target.num_ranges = msg->num_ranges;
	target.maps = s->maps;
	ret = local_tracker_start(&s->all->trackers, &target,
				  msg->how == HMEM_TRACKERS_IDLE ? HMEM_TRACK_IDLE :
				  HMEM_TRACK_DAMON, msg->window_ms, &tracker_ops, s, &s->cpu_ns,
				  &s->tracker, err);
	if (!ret)
		ret = served_check(&s->served, s->vm, err);
	if (ret < 0) {
		stop(s);
		close(memfd);
		return ret;
	}
	log_msg(LOG_INFO, "tracking process %d by %s", (int)target.pid,
		msg->how == HMEM_TRACKERS_IDLE ? "idle" : "damon");
	return memfd;
}

static int start(struct session *s, const struct hmem_trackers_msg *msg, struct hmem_err *err)
{
	struct hmem_err why;
	int memfd, ret = check_start(s, msg, err);

	if (!ret)
		ret = keep_ranges(s, msg, msg->map_bytes, err);
	if (ret < 0)
		return ret;
	s->vm = s->conn.passed_fd;
	s->conn.passed_fd = -1;
	memfd = track(s, msg, &why);
	if (memfd < 0) {
		failed(s, memfd, why.msg);
		return 0;
	}
	ret = answer_started(s, memfd);
	close(memfd);
	return ret < 0 ? hmem_fail(err, EPROTO, "it does not read the answer to START") : 0;
}

static int change_ranges(struct session *s, const struct hmem_trackers_msg *msg,
			 struct hmem_err *err)
{
	struct hmem_link_range *old = s->ranges;
	struct hmem_err why;
	int ret;

	/* The tracker uses the old ones until it has the new ones. */
	s->ranges = NULL;
	ret = keep_ranges(s, msg, s->map_bytes, err);
	if (ret < 0) {
		s->ranges = old;
		return ret;
	}
	local_tracker_ranges(s->tracker, s->ranges, msg->num_ranges);
	free(old);
	/* DAMON has looked the process up again. */
	ret = s->tracker ? served_check(&s->served, s->vm, &why) : 0;
	if (ret < 0)
		failed(s, ret, why.msg);
	return 0;
}

static int serve(struct session *s, const struct hmem_trackers_msg *msg, struct hmem_err *err)
{
	if (msg->type == HMEM_TRACKERS_START)
		return start(s, msg, err);
	if (s->vm < 0)
		return hmem_fail(err, EPROTO, "message %u comes before START", msg->type);
	/* hmemd may not have read yet that the tracker has failed. */
	if (!s->tracker)
		return 0;
	switch (msg->type) {
	case HMEM_TRACKERS_RANGES:
		return change_ranges(s, msg, err);
	case HMEM_TRACKERS_TICK:
		local_tracker_tick(s->tracker, msg->number);
		return 0;
	case HMEM_TRACKERS_REARM:
		local_tracker_rearm(s->tracker);
		return 0;
	default:
		return hmem_fail(err, EPROTO, "unknown message %u", msg->type);
	}
}

static int received(struct conn *c, struct hmem_err *err)
{
	struct session *s = (struct session *)c;
	struct hmem_trackers_msg msg;
	size_t len = sizeof(msg);
	int ret;

	if (conn_len(c) < len)
		return CONN_MORE;
	memcpy(&msg, conn_data(c), sizeof(msg));
	if (msg.num_ranges > HMEM_LINK_MAX_RANGES)
		return hmem_fail(err, EPROTO, "%u ranges", msg.num_ranges);
	len += msg.num_ranges * sizeof(struct hmem_link_range);
	if (conn_len(c) < len)
		return CONN_MORE;
	ret = serve(s, &msg, err);
	if (ret < 0)
		return ret;
	conn_consume(c, len);
	return CONN_AGAIN;
}

/* --- coming and going --- */

static void closed(struct conn *c, const char *why, bool fault)
{
	struct session *s = (struct session *)c;

	if (fault)
		log_msg(LOG_WARN, "process %d of user %d: %s", (int)c->pid, (int)c->uid, why);
	stop(s);
}

static void release(struct conn *c)
{
	struct session *s = (struct session *)c;
	struct sessions *all = s->all;

	if (s->vm >= 0)
		closer_close(&all->closer, &s->vm, 1);
	served_close(&s->served);
	if (s->maps)
		munmap(s->maps, 2 * s->map_bytes);
	free(s->ranges);
	TAILQ_REMOVE(&all->all, s, link);
	all->num--;
	free(s);
}

static const struct conn_ops conn_ops = {
	.received = received,
	.closed = closed,
	.release = release,
};

/* root may connect, and whoever the socket belongs to, whatever its mode is. */
static bool may_connect(int fd)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr);
	struct ucred peer;
	struct stat st;

	conn_peer(fd, &peer);
	if (!peer.pid || getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
	    len >= sizeof(addr) || stat(addr.sun_path, &st) < 0)
		return false;
	return !peer.uid || peer.uid == st.st_uid;
}

void session_accept(struct sessions *all, int fd)
{
	struct session *s;

	if (!may_connect(fd)) {
		log_msg(LOG_WARN, "somebody who is neither root nor the owner of the socket was "
			"turned away");
		close(fd);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return;
	}
	s->all = all;
	s->vm = -1;
	s->served = SERVED_NONE;
	s->conn.ops = &conn_ops;
	s->conn.closer = &all->closer;
	s->conn.in_max = 2 * MAX_MESSAGE;
	s->conn.out_max = 64 * sizeof(struct hmem_trackers_msg);
	if (conn_init(&s->conn, all->trackers.loop, fd) < 0) {
		free(s);
		return;
	}
	TAILQ_INSERT_TAIL(&all->all, s, link);
	all->num++;
}

void sessions_drop(struct sessions *all)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&all->all); s; s = next) {
		next = TAILQ_NEXT(s, link);
		conn_drop(&s->conn, false, "hmemd-trackers stops");
	}
}
