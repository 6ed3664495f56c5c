/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closes file descriptors that came from other processes, and those of large files that have no
 * name any more.  The last close of a file can take long: for a FUSE file its server must answer, a
 * socket may linger, and a disk has to free what the file has.  So other
 * processes do the closing.  They share hmemd's descriptors and nothing else, and may wait
 * forever, while hmemd continues and can exit.
 *
 * hmemd forks one process early, while it is small.  That process forks another one for
 * each closer_close().  It exits after hmemd, so that hmemd's own exit does not close the
 * descriptors that are still open.
 */
#ifndef HMEMD_CLOSER_H
#define HMEMD_CLOSER_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/* When this many processes are waiting, hmemd accepts no more descriptors. */
#define CLOSER_MAX	256u

struct closer {
	pid_t pid;
	/* hmemd writes the descriptors to close here. */
	int pipe;
	/* Number of closer_close() so far; and of those that ended, in shared memory. */
	unsigned int requested;
	unsigned int *done;
};

/* To be called while hmemd has one thread and little memory. */
int closer_start(struct closer *c, struct hmem_err *err);

/*
 * Have @num descriptors closed, at most CONN_MAX_FDS, without waiting for that.  The kernel
 * does not reuse their numbers before.
 */
void closer_close(struct closer *c, const int *fds, unsigned int num);

/* Are CLOSER_MAX processes waiting? */
bool closer_is_full(const struct closer *c);

#endif /* HMEMD_CLOSER_H */
