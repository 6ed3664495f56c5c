/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which process hmemd serves at a connection.  hmemd-trackers believes no process number: it has
 * hmemd pass the connection, and the kernel knows who has made that.
 */
#ifndef TRACKERS_SERVED_H
#define TRACKERS_SERVED_H

#include <sys/types.h>

#include "err.h"

/* The process that has made a connection. */
struct served {
	pid_t pid;
	/* The user who made the connection. */
	uid_t uid;
	/* The process's directory in /proc; -1: not open. */
	int dir;
	/* A pidfd of the process; -1: the kernel gives none (before Linux 6.5). */
	int pidfd;
};

/* No process. */
#define SERVED_NONE	((struct served) { .dir = -1, .pidfd = -1 })

/*
 * Find the process that has made the connection @fd, which must be hmemd's end of a connection to
 * the socket at @vm_socket; @proc is "/proc".  Returns 0 or -errno; after an error, too, the user
 * calls served_close().
 */
int served_open(struct served *s, int fd, const char *vm_socket, const char *proc,
		struct hmem_err *err);

/*
 * Check that the process number still means the process that has made the connection @fd, and that
 * this process still belongs to the user who made it.  The user calls this each time after the
 * number was used, because the connection proves nothing by itself: it outlasts the process if a
 * child has inherited it, whereupon the number can become another process's, and it outlasts the
 * start of another program in the process, which may be a setuid one.
 */
int served_check(const struct served *s, int fd, struct hmem_err *err);

void served_close(struct served *s);

#endif /* TRACKERS_SERVED_H */
