/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream connection with a bounded buffer in each direction.  Its user gets the messages
 * that come, one per turn of the loop, and queues bytes to send.  A peer that breaks the
 * rules, or does not read the answers, is disconnected.
 */
#ifndef HMEMD_CONN_H
#define HMEMD_CONN_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "closer.h"
#include "loop.h"

/* Largest number of file descriptors that the kernel allows in one message. */
#define CONN_MAX_FDS	253

struct conn;

/* Result of conn_ops.received(). */
enum conn_seen {
	CONN_MORE,	/* the message is incomplete: wait for more bytes */
	CONN_AGAIN,	/* a message was consumed; there may be another one */
	CONN_LATER,	/* call again after conn_resume() */
};

struct conn_ops {
	/*
	 * There are conn_len() bytes at conn_data().  If they contain a message, process
	 * it and call conn_consume().  Returns an enum conn_seen; or a negative number to
	 * drop the connection for the reason in @err.
	 */
	int (*received)(struct conn *c, struct hmem_err *err);
	/* The kernel has taken all queued bytes.  May be NULL. */
	void (*sent)(struct conn *c);
	/* The connection is closed; @why is never NULL. */
	void (*closed)(struct conn *c, const char *why, bool fault);
	/*
	 * The kernel does not use @c any more: free it.  Called in a turn of its own,
	 * never from within another function of this file.
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
	/* A receive is under way; the peer's messages wait for conn_resume(). */
	bool receiving, later;
	/* Closes file descriptors that the peer passed; NULL: none are accepted. */
	struct closer *closer;
	/* The passed descriptor that the user has not taken yet, or -1. */
	int passed_fd;
	/* From conn_peer(). */
	pid_t pid;
	uid_t uid;

	/* Received bytes: in_at .. in_len - 1. */
	char *in;
	size_t in_at, in_len, in_size, in_max;
	/* Bytes to send; swapped with @sending when that has been sent. */
	char *out;
	size_t out_len, out_size, out_max;
	char *sending;
	size_t sending_len, sending_at, sending_size;

	struct msghdr msg;
	struct iovec iov;
	_Alignas(size_t) char control[CMSG_SPACE(CONN_MAX_FDS * sizeof(int))];
};

/* Who the peer is; pid 0 and uid -1 if the kernel does not tell. */
void conn_peer(int fd, struct ucred *cred);

/*
 * Take over @fd and begin to receive.  The caller sets in_max, out_max, closer and ops
 * before.  On failure, @fd is closed and @c is unused.
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

/* Go on after CONN_LATER. */
void conn_resume(struct conn *c);

/* Queue bytes.  Drops the connection if the queue would exceed out_max. */
void conn_send(struct conn *c, const void *data, size_t len);

/* Number of queued bytes that the kernel has not taken. */
size_t conn_queued(const struct conn *c);

/* Has the peer closed the connection?  Bytes that it sent before may still be unread. */
bool conn_has_ended(const struct conn *c);

/* Close the connection for the reason @why.  @fault: somebody made an error. */
void conn_drop(struct conn *c, bool fault, const char *why);

#endif /* HMEMD_CONN_H */
