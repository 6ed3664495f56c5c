/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream connection with a bounded buffer each way.  Whoever embeds one
 * gets to see messages as they come, one in each turn of the loop, and queues bytes
 * to go; a peer that breaks the rules, or does not read what it asked for, is
 * dropped.
 */
#ifndef HMEMD_CONN_H
#define HMEMD_CONN_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "closer.h"
#include "loop.h"

/* File descriptors that the kernel lets one message have. */
#define CONN_MAX_FDS	253

struct conn;

/* What became of a look at the bytes that have come. */
enum conn_seen {
	CONN_MORE,	/* they are no whole message: more have to come */
	CONN_AGAIN,	/* a message was used up, there may be another */
	CONN_LATER,	/* not now: conn_resume() will say when */
};

struct conn_ops {
	/*
	 * There are conn_len() bytes from conn_data() on.  Use up a message, if there
	 * is one, with conn_consume().  One of enum conn_seen, or negative: drop the
	 * connection for the reason in @err.
	 */
	int (*received)(struct conn *c, struct hmem_err *err);
	/* Everything queued has been handed to the kernel; may be NULL. */
	void (*sent)(struct conn *c);
	/* No more will come or go; @why is never NULL. */
	void (*closed)(struct conn *c, const char *why, bool fault);
	/*
	 * The kernel is done with it: free it.  Called in a turn of its own, never
	 * from within any function here.
	 */
	void (*release)(struct conn *c);
};

struct conn {
	struct io io;
	struct turn turn;
	struct loop *loop;
	const struct conn_ops *ops;
	int fd;
	bool closing;
	/* A receive is under way; the peer's messages wait. */
	bool receiving, later;
	/* Takes file descriptors that come along, and closes them; NULL: none come. */
	struct closer *closer;
	/* The one that came and nobody has taken yet, or -1. */
	int passed_fd;
	/* As conn_peer() says. */
	pid_t pid;
	uid_t uid;

	/* What has come: bytes in_at .. in_len - 1. */
	char *in;
	size_t in_at, in_len, in_size, in_max;
	/* Bytes to go; swapped with @sending when that is through. */
	char *out;
	size_t out_len, out_size, out_max;
	char *sending;
	size_t sending_len, sending_at, sending_size;

	struct msghdr msg;
	struct iovec iov;
	_Alignas(size_t) char control[CMSG_SPACE(CONN_MAX_FDS * sizeof(int))];
};

/* Whose end the other one is; pid 0 and uid -1 if the kernel does not tell. */
void conn_peer(int fd, struct ucred *cred);

/*
 * Take over @fd and begin to receive.  On failure @fd is closed and @c is not
 * in use.  in_max, out_max, closer and ops are the caller's to set before.
 */
int conn_init(struct conn *c, struct loop *loop, int fd);

static inline char *conn_data(const struct conn *c)
{
	return c->in + c->in_at;
}

static inline size_t conn_len(const struct conn *c)
{
	return c->in_len - c->in_at;
}

void conn_consume(struct conn *c, size_t len);

/* What was CONN_LATER can go on. */
void conn_resume(struct conn *c);

/* Queue bytes; a queue longer than out_max drops the connection. */
void conn_send(struct conn *c, const void *data, size_t len);

/* Bytes queued and not yet with the kernel. */
size_t conn_queued(const struct conn *c);

/* Close it, for the reason given.  @fault: someone did wrong. */
void conn_drop(struct conn *c, bool fault, const char *why);

#endif /* HMEMD_CONN_H */
