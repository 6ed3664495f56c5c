/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: one io_uring, one thread, no locks.
 *
 * Whatever waits for the kernel embeds a struct io, which has a slot in the
 * loop's table.  A request's user_data is its operation, the slot and the
 * slot's generation; a completion for a slot that has been given to another
 * since is not delivered to it.  An io, and the buffers its requests name,
 * live until io.pending is 0.
 *
 * The loop goes round in turns.  In each, what the kernel has completed is handled,
 * and then what wants to go on takes its turn, once.  Whoever has much to do does a
 * part of it, and asks for a turn again: so nobody keeps others waiting.
 */
#ifndef HMEMD_LOOP_H
#define HMEMD_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <liburing.h>

#include "err.h"

enum io_op {
	IO_ACCEPT = 1,
	IO_RECV,
	IO_SEND,
	IO_TIMEOUT,
	IO_SIGNAL,
	IO_WRITE,
	IO_OP_MAX
};

struct io {
	/* @res is the system call's: bytes or a file descriptor, or -errno. */
	void (*complete)(struct io *io, enum io_op op, int res);
	uint32_t slot;
	/* Requests that the kernel has not completed. */
	uint32_t pending;
};

/* Embedded in what wants to go on; all zero but for @take at first. */
struct turn {
	TAILQ_ENTRY(turn) link;
	void (*take)(struct turn *turn);
	/* The list that it is in; NULL: it waits for nothing. */
	struct turns *in;
};

TAILQ_HEAD(turns, turn);

struct loop {
	struct io_uring ring;
	/* Those that wait for their turn, in order; and for some time to pass before. */
	struct turns turns, later_turns;
	/* In the former while turns are taken: those behind it have come since. */
	struct turn last;
	/* Runs while there are any of the latter. */
	struct io timer;
	/* Requests that the kernel did not take, to be made again. */
	struct io_uring_sqe *later;
	uint32_t num_later, size_later;
	struct loop_slot {
		struct io *io;
		uint32_t gen;
	} *slots;
	uint32_t num_slots;
	/* Connections that are not released yet. */
	uint32_t num_conns;
	bool stop;
};

int loop_init(struct loop *loop, struct hmem_err *err);
void loop_exit(struct loop *loop);

/* Give @io a slot: -ENOMEM or 0. */
int loop_add(struct loop *loop, struct io *io);
/* Take the slot back; io.pending must be 0. */
void loop_remove(struct loop *loop, struct io *io);

/*
 * A request for @io, to be filled in with io_uring_prep_...().  Never NULL, and
 * valid until the next one is asked for.  It goes to the kernel with the next turn
 * at the latest.
 */
struct io_uring_sqe *loop_sqe(struct loop *loop);
void loop_queue(struct loop *loop, struct io *io, enum io_op op,
		struct io_uring_sqe *sqe);

/* Have @turn->take() called after the next events, unless it waits for that already. */
void loop_again(struct loop *loop, struct turn *turn);

/* The same in a tenth of a second at most; one that waits for its turn goes on waiting. */
void loop_soon(struct loop *loop, struct turn *turn);

/* @turn->take() is not called any more; for a turn that may wait, before it is freed. */
void loop_forget(struct turn *turn);

/* Wait for events, unless there are turns to take; handle both, once. */
int loop_turn(struct loop *loop, struct hmem_err *err);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t loop_now(void);

/* Is @res how things end, rather than a fault to be logged? */
bool io_is_normal(enum io_op op, int res);
const char *io_op_name(enum io_op op);

#endif /* HMEMD_LOOP_H */
