/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closes file descriptors that came from others.  What the last close of a file does
 * is up to whoever it belongs to: of a FUSE file, the server has to answer, and a
 * socket may linger.  So it is left to processes that share hmemd's descriptors and
 * nothing else: those may wait for good, and hmemd goes on, and can end.
 *
 * A process that was started early, and so is small, makes one for each closer_close().
 * It ends after hmemd, so that it is not hmemd's end that closes what is still open.
 */
#ifndef HMEMD_CLOSER_H
#define HMEMD_CLOSER_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/* More processes than this do not wait: what came then is not taken. */
#define CLOSER_MAX	256u

struct closer {
	pid_t pid;
	/* Where it is told what to close. */
	int pipe;
	/* closer_close() so far; and how many are through: shared with the processes. */
	unsigned int asked;
	unsigned int *done;
};

/* To be called while there is one thread and little memory. */
int closer_start(struct closer *c, struct hmem_err *err);

/*
 * Close @num of @fds, CONN_MAX_FDS at most: soon, and without waiting for that.  Until
 * then their numbers are not given to others.
 */
void closer_close(struct closer *c, const int *fds, unsigned int num);

/* CLOSER_MAX are waiting. */
bool closer_is_full(const struct closer *c);

#endif /* HMEMD_CLOSER_H */
