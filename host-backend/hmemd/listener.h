/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A socket that listens, and the default directory of Unix sockets. */
#ifndef HMEMD_LISTENER_H
#define HMEMD_LISTENER_H

#include <sys/types.h>

#include "loop.h"

struct listener {
	struct io io;
	struct loop *loop;
	const char *path;
	/* @lock_fd is -1 if the socket is none that hmemd has bound to a path. */
	int fd, lock_fd;
	/* The socket belongs to somebody else, see listener_adopt(). */
	bool adopted;
	/* Out of descriptors or memory: no accepting until others have gone. */
	bool paused;
	/* Called for each connection; takes over @fd. */
	void (*accept)(void *user, int fd);
	void *user;
};

/*
 * Bind @path with access @mode and begin to accept.  Only one hmemd at a time can have
 * @path.  Replaces a socket of an hmemd that has gone.
 */
int listener_open(struct listener *l, struct loop *loop, const char *path,
		  mode_t mode, void (*accept)(void *user, int fd), void *user,
		  struct hmem_err *err);
/* The same on a loopback address, see hmem_loopback_parse(). */
int listener_open_tcp(struct listener *l, struct loop *loop, const char *address,
		      void (*accept)(void *user, int fd), void *user, struct hmem_err *err);
/*
 * The same with a socket that listens already, and goes on to listen after hmemd has ended.
 * The socket's path, or "tcp", is put into @path, of @size bytes.  @tcp: the socket may be
 * one of TCP, at a loopback address.
 */
int listener_adopt(struct listener *l, struct loop *loop, int fd, bool tcp, char *path,
		   size_t size, void (*accept)(void *user, int fd), void *user,
		   struct hmem_err *err);
/* Accept no more connections, but keep the lock. */
void listener_shut(struct listener *l);
/* Accept again if the listener is paused. */
void listener_resume(struct listener *l);
void listener_close(struct listener *l);

/* Make the directory of the default sockets. */
int listener_default_dir(char *buf, size_t size, struct hmem_err *err);

#endif /* HMEMD_LISTENER_H */
