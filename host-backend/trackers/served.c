/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "served.h"

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

int served_process(int fd, const char *vm_socket, pid_t *pid, struct hmem_err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!is_at(fd, vm_socket))
		return hmem_fail(err, EACCES, "hmemd-trackers serves processes that have "
				 "connected to %.100s only: see --vm-socket in hmemd-trackers(8)",
				 vm_socket);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
		return hmem_fail(err, ENOTSUP, "the VM's process is not visible from where "
				 "hmemd-trackers runs: run it in the host's pid namespace");
	*pid = peer.pid;
	return 0;
}

bool served_is_there(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };

	return !poll(&pfd, 1, 0);
}
