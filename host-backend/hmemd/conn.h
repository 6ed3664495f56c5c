/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream connection with a bounded buffer each way.  Whoever embeds one
 * gets to see bytes as they come and queues bytes to go; a peer that breaks
 * the rules, or does not read what it asked for, is dropped.
 */
#ifndef HMEMD_CONN_H
#define HMEMD_CONN_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "loop.h"

struct conn;

struct conn_ops {
	/*
	 * There are conn.in_len bytes in conn.in.  Use up some with
	 * conn_consume().  Negative: drop the connection for the reason in @err.
	 */
	int (*received)(struct conn *c, struct hmem_err *err);
	/* Everything queued has been handed to the kernel; may be NULL. */
	void (*sent)(struct conn *c);
	/* No more will come or go; @why is never NULL. */
	void (*closed)(struct conn *c, const char *why, bool fault);
	/* The kernel is done with it: free it. */
	void (*release)(struct conn *c);
};

struct conn {
	struct io io;
	struct loop *loop;
	const struct conn_ops *ops;
	int fd;
	bool closing;
	/* Take file descriptors that come along? */
	bool takes_fds;
	/* The one that came and nobody has taken yet, or -1. */
	int passed_fd;
	pid_t pid;

	char *in;
	size_t in_len, in_size, in_max;
	/* Bytes to go; swapped with @sending when that is through. */
	char *out;
	size_t out_len, out_size, out_max;
	char *sending;
	size_t sending_len, sending_at, sending_size;

	struct msghdr msg;
	struct iovec iov;
	_Alignas(size_t) char control[CMSG_SPACE(4 * sizeof(int))];
};

/*
 * Take over @fd and begin to receive.  On failure @fd is closed and @c is not
 * in use.  in_max, out_max, takes_fds and ops are the caller's to set before.
 */
int conn_init(struct conn *c, struct loop *loop, int fd);

void conn_consume(struct conn *c, size_t len);

/* Queue bytes; a queue longer than out_max drops the connection. */
void conn_send(struct conn *c, const void *data, size_t len);

/* Bytes queued and not yet with the kernel. */
size_t conn_queued(const struct conn *c);

/* Close it, for the reason given.  @fault: someone did wrong. */
void conn_drop(struct conn *c, bool fault, const char *why);

#endif /* HMEMD_CONN_H */
