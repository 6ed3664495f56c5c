/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "log.h"

#define RING_ENTRIES	256
/* Most requests of an io that are under way at a time: a connection's two. */
#define REQUESTS_OF_IO	2u
#define MAX_SLOTS	(1u << 24)
/* Time after which a kernel that accepts no requests is tried again. */
#define REFUSED_US	10000
/* Milliseconds between the turns of loop_soon(). */
#define SOON_MS		100

/* The normal ends of each operation. */
static const struct {
	const char *name;
	int normal[4];
} ops[IO_OP_MAX] = {
	[IO_ACCEPT] = { "accept", { ECANCELED, ECONNABORTED } },
	[IO_RECV] = { "receive", { ECANCELED, ECONNRESET, EINTR } },
	[IO_SEND] = { "send", { ECANCELED, ECONNRESET, EPIPE } },
	[IO_TIMEOUT] = { "timeout", { ECANCELED, ETIME } },
	[IO_SIGNAL] = { "signal", { ECANCELED, EINTR } },
	[IO_READ] = { "read", { ECANCELED } },
	[IO_WRITE] = { "write", { ECANCELED, EBUSY } },
	[IO_POLL] = { "poll", { ECANCELED } },
};

const char *io_op_name(enum io_op op)
{
	return op < IO_OP_MAX && ops[op].name ? ops[op].name : "request";
}

bool io_is_normal(enum io_op op, int res)
{
	if (res >= 0)
		return true;
	for (unsigned int i = 0; i < 4; i++) {
		if (ops[op].normal[i] == -res)
			return true;
	}
	return false;
}

/* user_data: 8 bits operation, 24 bits slot, 32 bits generation */
static uint64_t encode(enum io_op op, uint32_t slot, uint32_t gen)
{
	return (uint64_t)op << 56 | (uint64_t)slot << 32 | gen;
}

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void on_timer(struct io *io, enum io_op op, int res);

/* Set up io_uring or, if that is not possible, epoll. */
static int set_up(struct loop *loop, struct hmem_err *err)
{
	/* Each request completes once, so as many CQEs as requests under way suffice. */
	struct io_uring_params params = {
		.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
		.cq_entries = 16 * RING_ENTRIES,
	};
	int ret = io_uring_queue_init_params(RING_ENTRIES, &loop->ring, &params);

	if (!ret) {
		log_msg(LOG_INFO, "events come from io_uring");
		return 0;
	}
	log_msg(LOG_INFO, "events come from epoll, because io_uring cannot be set up: %s; see "
		"/proc/sys/kernel/io_uring_disabled and the seccomp filter of the container",
		strerror(-ret));
	loop->without_ring = true;
	ret = requests_init(&loop->requests);
	return ret < 0 ? hmem_fail(err, -ret, "cannot set up epoll: %s", strerror(-ret)) : 0;
}

static void tear_down(struct loop *loop)
{
	if (loop->without_ring)
		requests_exit(&loop->requests);
	else
		io_uring_queue_exit(&loop->ring);
}

int loop_init(struct loop *loop, struct hmem_err *err)
{
	int ret;

	memset(loop, 0, sizeof(*loop));
	TAILQ_INIT(&loop->turns);
	TAILQ_INIT(&loop->later_turns);
	loop->timer.complete = on_timer;
	ret = set_up(loop, err);
	if (ret < 0)
		return ret;
	if (loop_add(loop, &loop->timer) < 0) {
		tear_down(loop);
		return hmem_fail(err, ENOMEM, "no memory for the event loop");
	}
	return 0;
}

void loop_exit(struct loop *loop)
{
	tear_down(loop);
	free(loop->slots);
	free(loop->later);
}

static int grow_later(struct loop *loop, uint32_t size)
{
	struct io_uring_sqe *later;

	if (size <= loop->size_later)
		return 0;
	later = realloc(loop->later, size * sizeof(*later));
	if (!later)
		return -ENOMEM;
	loop->later = later;
	loop->size_later = size;
	return 0;
}

/* Adds slots, and room for their requests, so that no memory is needed when one is made. */
static int grow(struct loop *loop, uint32_t num)
{
	uint32_t requests = num * REQUESTS_OF_IO;
	struct loop_slot *slots;

	if (grow_later(loop, requests) < 0 ||
	    (loop->without_ring && requests_reserve(&loop->requests, requests) < 0))
		return -ENOMEM;
	slots = realloc(loop->slots, num * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots + loop->num_slots, 0, (num - loop->num_slots) * sizeof(*slots));
	loop->slots = slots;
	loop->num_slots = num;
	return 0;
}

int loop_add(struct loop *loop, struct io *io)
{
	uint32_t i;

	for (i = 0; i < loop->num_slots; i++) {
		if (!loop->slots[i].io)
			break;
	}
	if (i >= MAX_SLOTS || (i == loop->num_slots && grow(loop, i + 16) < 0))
		return -ENOMEM;
	loop->slots[i].io = io;
	loop->slots[i].gen++;
	io->slot = i;
	io->pending = 0;
	return 0;
}

void loop_remove(struct loop *loop, struct io *io)
{
	loop->slots[io->slot].io = NULL;
}

struct io_uring_sqe *loop_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = loop->without_ring ? NULL : io_uring_get_sqe(&loop->ring);

	if (!sqe && !loop->without_ring) {
		io_uring_submit(&loop->ring);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	if (sqe)
		return sqe;
	/* A full queue accepts requests only after the kernel's completions. */
	if (loop->num_later == loop->size_later &&
	    grow_later(loop, 2 * loop->size_later + RING_ENTRIES) < 0) {
		log_msg(LOG_ERR, "no memory to ask the kernel for anything");
		abort();
	}
	return memset(&loop->later[loop->num_later++], 0, sizeof(*sqe));
}

/* Repeat requests that were not accepted, as far as there is room. */
static void ask_again(struct loop *loop)
{
	struct io_uring_sqe *sqe;

	while (loop->num_later && (sqe = io_uring_get_sqe(&loop->ring)))
		*sqe = loop->later[--loop->num_later];
}

void loop_queue(struct loop *loop, struct io *io, enum io_op op,
		struct io_uring_sqe *sqe)
{
	io_uring_sqe_set_data64(sqe, encode(op, io->slot,
					    loop->slots[io->slot].gen));
	io->pending++;
}

void loop_second(struct loop *loop, struct io *io)
{
	static struct __kernel_timespec ts = { .tv_sec = 1 };
	struct io_uring_sqe *sqe = loop_sqe(loop);

	io_uring_prep_timeout(sqe, &ts, 0, 0);
	loop_queue(loop, io, IO_TIMEOUT, sqe);
}

static void deliver(struct loop *loop, uint64_t data, int res)
{
	enum io_op op = data >> 56;
	uint32_t slot = data >> 32 & (MAX_SLOTS - 1), gen = data;
	struct io *io;

	if (slot >= loop->num_slots || loop->slots[slot].gen != gen ||
	    !loop->slots[slot].io)
		return;
	io = loop->slots[slot].io;
	io->pending--;
	io->complete(io, op, res);
}

static void wait_in(struct turns *turns, struct turn *turn)
{
	TAILQ_INSERT_TAIL(turns, turn, link);
	turn->in = turns;
}

void loop_forget(struct turn *turn)
{
	if (turn->in)
		TAILQ_REMOVE(turn->in, turn, link);
	turn->in = NULL;
}

void loop_again(struct loop *loop, struct turn *turn)
{
	if (turn->in == &loop->turns)
		return;
	loop_forget(turn);
	wait_in(&loop->turns, turn);
}

void loop_soon(struct loop *loop, struct turn *turn)
{
	static struct __kernel_timespec ts = { .tv_nsec = SOON_MS * 1000000 };
	struct io_uring_sqe *sqe;

	if (turn->in)
		return;
	wait_in(&loop->later_turns, turn);
	if (loop->timer.pending)
		return;
	sqe = loop_sqe(loop);
	io_uring_prep_timeout(sqe, &ts, 0, 0);
	loop_queue(loop, &loop->timer, IO_TIMEOUT, sqe);
}

static void on_timer(struct io *io, enum io_op op, int res)
{
	struct loop *loop = (void *)((char *)io - offsetof(struct loop, timer));

	(void)op, (void)res;
	while (!TAILQ_EMPTY(&loop->later_turns))
		loop_again(loop, TAILQ_FIRST(&loop->later_turns));
}

/* Take all turns that wait now; those that come meanwhile wait for the next time. */
static void take_turns(struct loop *loop)
{
	struct turn *turn;

	wait_in(&loop->turns, &loop->last);
	while ((turn = TAILQ_FIRST(&loop->turns)) != &loop->last) {
		loop_forget(turn);
		turn->take(turn);
	}
	loop_forget(&loop->last);
}

/* Both of the following wait unless @busy, and handle what is completed. */
static int epoll_turn(struct loop *loop, bool busy, struct hmem_err *err)
{
	uint64_t data;
	int ret, res;

	for (uint32_t i = 0; i < loop->num_later; i++) {
		if (requests_add(&loop->requests, &loop->later[i]) < 0) {
			log_msg(LOG_ERR, "no memory to ask the kernel for anything");
			abort();
		}
	}
	loop->num_later = 0;
	ret = requests_do(&loop->requests, !busy);
	if (ret < 0)
		return hmem_fail(err, -ret, "epoll: %s", strerror(-ret));
	while (requests_next(&loop->requests, &data, &res))
		deliver(loop, data, res);
	return 0;
}

static int ring_turn(struct loop *loop, bool busy, struct hmem_err *err)
{
	bool any = false;
	struct io_uring_cqe *cqe;
	int ret;

	ask_again(loop);
	ret = io_uring_submit_and_wait(&loop->ring, busy ? 0 : 1);
	if (ret < 0 && ret != -EINTR && ret != -EBUSY && ret != -EAGAIN)
		return hmem_fail(err, -ret, "io_uring: %s", strerror(-ret));
	while (!io_uring_peek_cqe(&loop->ring, &cqe)) {
		uint64_t data = cqe->user_data;
		int res = cqe->res;

		/* Consume the completion first, because the handler may queue more. */
		io_uring_cqe_seen(&loop->ring, cqe);
		deliver(loop, data, res);
		any = true;
	}
	/* The kernel lacks memory, and hmemd can free none: try again. */
	if (ret < 0 && !any && !busy)
		usleep(REFUSED_US);
	return 0;
}

int loop_turn(struct loop *loop, struct hmem_err *err)
{
	bool busy = !TAILQ_EMPTY(&loop->turns);
	int ret = loop->without_ring ? epoll_turn(loop, busy, err) : ring_turn(loop, busy, err);

	loop->num_turns++;
	if (!ret)
		take_turns(loop);
	return ret;
}
