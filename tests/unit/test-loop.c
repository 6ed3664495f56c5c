/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: turns, and a kernel that accepts no requests. */
#include "unit.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "loop.h"
#include "run.h"

/* The kernel refuses all requests. */
static bool refuses;
/* The number of refused requests. */
static unsigned int refused;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned int num);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int num);

static int refuse(void)
{
	/* A caller that repeats requests endlessly fails the test. */
	assert_in_range(refused, 0, 100000);
	refused++;
	return -EAGAIN;
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	return refuses ? refuse() : __real_io_uring_submit(ring);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int num)
{
	return refuses ? refuse() : __real_io_uring_submit_and_wait(ring, num);
}

struct counter {
	struct io io;
	unsigned int num;
};

static void count(struct io *io, enum io_op op, int res)
{
	assert_int_equal(op, IO_TIMEOUT);
	assert_true(io_is_normal(op, res));
	((struct counter *)io)->num++;
}

/*
 * Requests that do not fit into the ring wait until the kernel accepts them.  None is lost, and
 * the loop does not spin.
 */
static void requests_that_are_refused(void **state)
{
	static struct __kernel_timespec now;
	struct counter c = { .io.complete = count };
	struct hmem_err err;
	struct loop loop;

	(void)state;
	/* epoll refuses nothing. */
	if (getenv("NO_IO_URING"))
		skip();
	assert_int_equal(loop_init(&loop, &err), 0);
	assert_int_equal(loop_add(&loop, &c.io), 0);
	refuses = true;
	for (unsigned int i = 0; i < 1000; i++) {
		struct io_uring_sqe *sqe = loop_sqe(&loop);

		io_uring_prep_timeout(sqe, &now, 0, 0);
		loop_queue(&loop, &c.io, IO_TIMEOUT, sqe);
	}
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(&loop, &err), 0);
	assert_int_equal(c.num, 0);
	/* At most one attempt for each request that did not fit, and at least one per turn. */
	assert_in_range(refused, 3, 1003);
	refuses = false;
	while (c.io.pending)
		assert_int_equal(loop_turn(&loop, &err), 0);
	assert_int_equal(c.num, 1000);
	loop_exit(&loop);
}

struct worker {
	struct turn turn;
	struct loop *loop;
	unsigned int num;
};

static void work(struct turn *turn)
{
	struct worker *w = (struct worker *)turn;

	w->num++;
	/* A second request for a turn has no effect. */
	loop_again(w->loop, turn);
	loop_again(w->loop, turn);
}

/* A worker with endless work gets one turn per round, like all others. */
static void all_have_their_turn(void **state)
{
	static struct __kernel_timespec now;
	struct counter c = { .io.complete = count };
	struct worker w[3];
	struct io_uring_sqe *sqe;
	struct hmem_err err;
	struct loop loop;
	unsigned int turns = 0;

	(void)state;
	assert_int_equal(loop_init(&loop, &err), 0);
	assert_int_equal(loop_add(&loop, &c.io), 0);
	for (unsigned int i = 0; i < 3; i++) {
		w[i] = (struct worker) { .turn.take = work, .loop = &loop };
		loop_again(&loop, &w[i].turn);
	}
	sqe = loop_sqe(&loop);
	io_uring_prep_timeout(sqe, &now, 0, 0);
	loop_queue(&loop, &c.io, IO_TIMEOUT, sqe);
	while (!c.num || turns < 10) {
		assert_int_equal(loop_turn(&loop, &err), 0);
		turns++;
		for (unsigned int i = 0; i < 3; i++)
			assert_int_equal(w[i].num, turns);
	}
	loop_exit(&loop);
}

static void count_turn(struct turn *turn)
{
	((struct worker *)turn)->num++;
}

/*
 * A turn that is requested "soon" comes once.  Requesting it "again" makes it come earlier.  A
 * forgotten turn does not come.
 */
static void turns_taken_soon(void **state)
{
	struct worker soon = { .turn.take = count_turn };
	struct worker again = { .turn.take = count_turn };
	struct worker forgotten = { .turn.take = count_turn };
	struct hmem_err err;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_init(&loop, &err), 0);
	loop_soon(&loop, &soon.turn);
	loop_soon(&loop, &soon.turn);
	loop_soon(&loop, &forgotten.turn);
	loop_soon(&loop, &again.turn);
	loop_again(&loop, &again.turn);
	loop_forget(&forgotten.turn);
	assert_int_equal(loop_turn(&loop, &err), 0);
	assert_int_equal(again.num, 1);
	while (!soon.num)
		assert_int_equal(loop_turn(&loop, &err), 0);
	/* A turn that is requested "again" can be forgotten, too. */
	loop_again(&loop, &forgotten.turn);
	loop_forget(&forgotten.turn);
	loop_soon(&loop, &again.turn);
	while (again.num < 2)
		assert_int_equal(loop_turn(&loop, &err), 0);
	assert_int_equal(soon.num, 1);
	assert_int_equal(forgotten.num, 0);
	loop_exit(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_that_are_refused),
		cmocka_unit_test(all_have_their_turn),
		cmocka_unit_test(turns_taken_soon),
	};

	forbid_io_uring();
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
