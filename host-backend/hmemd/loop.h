/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: one io_uring, one thread, no locks.  If io_uring is forbidden, epoll does the
 * same, see requests.h.
 *
 * Everything that waits for the kernel embeds a struct io, which has a slot in the loop's
 * table.  A request's user_data is its operation, the slot, and the slot's generation.  If
 * the slot has been given to another io since, the completion is dropped.  An io, and the
 * buffers of its requests, must exist until io.pending is 0.
 *
 * The loop runs in turns.  In each turn, it first handles what the kernel has completed.
 * Then everyone who asked for a turn gets one.  A part of hmemd that has much to do does a
 * piece of it and asks for a turn again, so that it does not delay others.
 */
#ifndef HMEMD_LOOP_H
#define HMEMD_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <liburing.h>

#include "err.h"
#include "requests.h"

enum io_op {
	IO_ACCEPT = 1,
	IO_RECV,
	IO_SEND,
	IO_TIMEOUT,
	IO_SIGNAL,
	IO_READ,
	IO_WRITE,
	IO_POLL,
	IO_OP_MAX
};

struct io {
	/* @res is the result of the system call: bytes, a descriptor, or -errno. */
	void (*complete)(struct io *io, enum io_op op, int res);
	uint32_t slot;
	/* Number of requests that the kernel has not completed. */
	uint32_t pending;
};

/* Embedded in whatever asks for turns; at first all zero except @take. */
struct turn {
	TAILQ_ENTRY(turn) link;
	void (*take)(struct turn *turn);
	/* The list that contains the turn; NULL: no turn was asked for. */
	struct turns *in;
};

TAILQ_HEAD(turns, turn);

struct loop {
	struct io_uring ring;
	/* io_uring is forbidden: @requests does the requests. */
	bool without_ring;
	struct requests requests;
	/* Turns to take, in order; and those to take after a short time. */
	struct turns turns, later_turns;
	/* A marker at the end of @turns while turns are taken: later ones wait. */
	struct turn last;
	/* Runs while @later_turns is not empty. */
	struct io timer;
	/* Requests that the ring did not accept, or that @requests has not got yet. */
	struct io_uring_sqe *later;
	uint32_t num_later, size_later;
	struct loop_slot {
		struct io *io;
		uint32_t gen;
	} *slots;
	uint32_t num_slots;
	/* Number of connections that are not released yet. */
	uint32_t num_conns;
	/* Number of turns so far: an idle hmemd makes one or two per second. */
	uint64_t num_turns;
	bool stop;
};

/* Tells in the log whether io_uring or epoll is used. */
int loop_init(struct loop *loop, struct hmem_err *err);
void loop_exit(struct loop *loop);

/* Give @io a slot.  Returns 0 or -ENOMEM. */
int loop_add(struct loop *loop, struct io *io);
/* Take the slot back.  io.pending must be 0. */
void loop_remove(struct loop *loop, struct io *io);

/*
 * A request for @io, to be filled in by io_uring_prep_...().  Never NULL, and valid until
 * the next call.  It goes to the kernel in the next turn at the latest.
 */
struct io_uring_sqe *loop_sqe(struct loop *loop);
void loop_queue(struct loop *loop, struct io *io, enum io_op op,
		struct io_uring_sqe *sqe);

/* A request for @io that is done after a second, as IO_TIMEOUT. */
void loop_second(struct loop *loop, struct io *io);

/* Call @turn->take() after the next events.  Does nothing if that is planned already. */
void loop_again(struct loop *loop, struct turn *turn);

/* The same within a tenth of a second.  Does nothing if a turn is planned already. */
void loop_soon(struct loop *loop, struct turn *turn);

/* Do not call @turn->take() any more.  To be called before @turn is freed. */
void loop_forget(struct turn *turn);

/* Wait for events, unless there are turns to take; then handle both, once. */
int loop_turn(struct loop *loop, struct hmem_err *err);

/* Milliseconds in a second. */
#define SECOND_MS	1000u

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t loop_now(void);

/* Is @res a normal end, rather than a fault to be logged? */
bool io_is_normal(enum io_op op, int res);
const char *io_op_name(enum io_op op);

#endif /* HMEMD_LOOP_H */
