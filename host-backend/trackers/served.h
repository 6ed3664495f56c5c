/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which process hmemd serves at a connection.  hmemd-trackers believes no process number: it has
 * hmemd pass the connection, and the kernel knows who has made that.
 */
#ifndef TRACKERS_SERVED_H
#define TRACKERS_SERVED_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/*
 * The process that has made the connection @fd, which must be one to the socket at @vm_socket.
 * Returns 0 or -errno.
 */
int served_process(int fd, const char *vm_socket, pid_t *pid, struct hmem_err *err);

/*
 * Is the process still there?  It closes the connection when it ends; so if it has not after a
 * file of /proc/PID was opened, that is this process's, and not another one's with its number.
 */
bool served_is_there(int fd);

#endif /* TRACKERS_SERVED_H */
