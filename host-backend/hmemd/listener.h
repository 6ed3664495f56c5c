/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A listening Unix socket, and where it is by default. */
#ifndef HMEMD_LISTENER_H
#define HMEMD_LISTENER_H

#include <sys/types.h>

#include "loop.h"

struct listener {
	struct io io;
	struct loop *loop;
	const char *path;
	int fd, lock_fd;
	/* Out of descriptors or memory: others have to go first. */
	bool paused;
	/* Takes over @fd. */
	void (*accept)(void *user, int fd);
	void *user;
};

/*
 * Bind @path, which only one hmemd can have at a time, with access @mode, and
 * begin to accept.  A socket left behind by one that is gone is replaced.
 */
int listener_open(struct listener *l, struct loop *loop, const char *path,
		  mode_t mode, void (*accept)(void *user, int fd), void *user,
		  struct hmem_err *err);
/* Let nobody in any more; the lock stays. */
void listener_shut(struct listener *l);
/* Accept again, if it is paused. */
void listener_resume(struct listener *l);
void listener_close(struct listener *l);

/* Make the directory that the default sockets are in. */
int listener_default_dir(char *buf, size_t size, struct hmem_err *err);

#endif /* HMEMD_LISTENER_H */
