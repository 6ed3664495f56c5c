/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "served.h"

/* Linux 6.5; older headers lack it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

static int option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static bool is_at(int fd, const char *path)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr);
	size_t size = strlen(path) + 1;

	/* The address of an accepted socket is that of the socket that listens. */
	return !getsockname(fd, (struct sockaddr *)&addr, &len) && addr.sun_family == AF_UNIX &&
	       len >= offsetof(struct sockaddr_un, sun_path) + size &&
	       size <= sizeof(addr.sun_path) && !memcmp(addr.sun_path, path, size);
}

/*
 * Two other sockets can have that address: the one that listens, whose peer is the process that
 * called listen(), such as systemd; and one that was bound to it and then connected to another
 * socket, whose peer is the process that listens there.  VMs do not bind their sockets.
 */
static bool is_accepted(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	return option(fd, SO_ACCEPTCONN) == 0 && option(fd, SO_TYPE) == SOCK_STREAM &&
	       !getpeername(fd, (struct sockaddr *)&addr, &len) &&
	       len == offsetof(struct sockaddr_un, sun_path);
}

static int has_ended(const struct served *s, struct hmem_err *err)
{
	return hmem_fail(err, ESRCH, "process %d has ended or closed its connection", (int)s->pid);
}

int served_open(struct served *s, int fd, const char *vm_socket, const char *proc,
		struct hmem_err *err)
{
	char path[256];
	struct ucred peer;
	socklen_t len = sizeof(peer);

	*s = SERVED_NONE;
	if (!is_at(fd, vm_socket) || !is_accepted(fd))
		return hmem_fail(err, EACCES, "hmemd-trackers serves processes that have "
				 "connected to %.100s only: see --vm-socket in hmemd-trackers(8)",
				 vm_socket);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
		return hmem_fail(err, ENOTSUP, "the VM's process is not visible from where "
				 "hmemd-trackers runs: run it in the host's pid namespace");
	s->pid = peer.pid;
	s->uid = peer.uid;
	len = sizeof(s->pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &s->pidfd, &len) < 0) {
		s->pidfd = -1;
		/* Some kernels give no pidfd of a process that has ended. */
		if (errno != ENOPROTOOPT)
			return errno == ESRCH || errno == EINVAL ? has_ended(s, err) :
			       hmem_fail(err, errno, "the kernel gives no pidfd of process %d: %s",
					 (int)s->pid, strerror(errno));
	}
	snprintf(path, sizeof(path), "%s/%d", proc, (int)s->pid);
	s->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return errno == ENOENT ? has_ended(s, err) :
		       hmem_fail(err, errno, "cannot open %s: %s", path, strerror(errno));
	return 0;
}

int served_check(const struct served *s, int fd, struct hmem_err *err)
{
	/* poll() passes over a descriptor of -1. */
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLRDHUP }, { .fd = s->pidfd, .events = POLLIN },
	};
	struct stat st;

	/* The directory is that of one process, and becomes empty when the process has ended. */
	if (poll(fds, 2, 0) || faccessat(s->dir, "pagemap", F_OK, 0) < 0)
		return has_ended(s, err);
	/* The directory belongs to the effective user of the process. */
	if (fstat(s->dir, &st) < 0 || st.st_uid != s->uid)
		return hmem_fail(err, EACCES, "process %d does not belong to user %d any more, who "
				 "connected it: start the VM as the user that it is to run as",
				 (int)s->pid, (int)s->uid);
	return 0;
}

void served_close(struct served *s)
{
	if (s->dir >= 0)
		close(s->dir);
	if (s->pidfd >= 0)
		close(s->pidfd);
	*s = SERVED_NONE;
}
