/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: turns, and a kernel that accepts no requests. */
#include "unit.h"

#include <errno.h>
#include <liburing.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

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

/* While this is set, writes with epoll block until they are released. */
static bool blocks;
static sem_t released;

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct timespec patience;

	if (blocks) {
		/* Only a loop that waits for this write lets this time pass. */
		clock_gettime(CLOCK_REALTIME, &patience);
		patience.tv_sec += 20;
		if (sem_timedwait(&released, &patience) < 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return __real_pwrite(fd, buf, len, off);
}

struct writer {
	struct io io;
	int res;
};

static void written(struct io *io, enum io_op op, int res)
{
	assert_int_equal(op, IO_WRITE);
	((struct writer *)io)->res = res;
}

/* A file that epoll cannot wait for, such as one in sysfs, does not stop the loop. */
static void a_write_that_blocks(void **state)
{
	static struct __kernel_timespec now;
	char path[] = "/tmp/hmem-loop-XXXXXX", text[8] = "";
	struct writer w = { .io.complete = written };
	struct counter c = { .io.complete = count };
	struct io_uring_sqe *sqe;
	struct hmem_err err;
	struct loop loop;
	int fd = mkstemp(path);

	(void)state;
	assert_return_code(fd, errno);
	unlink(path);
	assert_int_equal(loop_init(&loop, &err), 0);
	assert_int_equal(loop_add(&loop, &c.io), 0);
	assert_int_equal(loop_add(&loop, &w.io), 0);
	sem_init(&released, 0, 0);
	/* io_uring does not call pwrite(). */
	blocks = getenv("NO_IO_URING");
	for (unsigned int i = 0; i < 2; i++) {
		sqe = loop_sqe(&loop);
		io_uring_prep_write(sqe, fd, "abcdef" + 3 * i, 3, 3 * i);
		loop_queue(&loop, &w.io, IO_WRITE, sqe);
	}
	sqe = loop_sqe(&loop);
	io_uring_prep_timeout(sqe, &now, 0, 0);
	loop_queue(&loop, &c.io, IO_TIMEOUT, sqe);
	while (!c.num)
		assert_int_equal(loop_turn(&loop, &err), 0);
	if (blocks)
		assert_int_equal(w.io.pending, 2);
	sem_post(&released);
	sem_post(&released);
	while (w.io.pending)
		assert_int_equal(loop_turn(&loop, &err), 0);
	assert_int_equal(w.res, 3);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 6);
	assert_string_equal(text, "abcdef");
	blocks = false;
	close(fd);
	loop_exit(&loop);
}

/* Makes a request to read from @fd, and tells it by @data. */
static void want(struct requests *r, int fd, char *buf, uint64_t data)
{
	struct io_uring_sqe sqe;

	io_uring_prep_read(&sqe, fd, buf, 1, 0);
	io_uring_sqe_set_data64(&sqe, data);
	assert_int_equal(requests_add(r, &sqe), 0);
}

/* The result of the next request that is done, which must be @data. */
static int next_result(struct requests *r, uint64_t data)
{
	uint64_t got;
	int res;

	while (!requests_next(r, &got, &res))
		assert_int_equal(requests_do(r, true), 0);
	assert_int_equal(got, data);
	return res;
}

/*
 * With epoll, a request for a descriptor whose number was in use before concerns the new file, and
 * the one that waits for the old file ends.
 */
static void a_descriptor_that_is_reused(void **state)
{
	struct requests r;
	char buf[2] = "";
	int pipes[2][2];

	(void)state;
	for (unsigned int both = 0; both < 2; both++) {
		struct io_uring_sqe sqe;

		assert_int_equal(requests_init(&r), 0);
		assert_return_code(pipe(pipes[0]), errno);
		assert_return_code(pipe(pipes[1]), errno);
		/* With other events than the next request, or with the same. */
		if (both) {
			want(&r, pipes[0][0], buf, 1);
		} else {
			io_uring_prep_poll_add(&sqe, pipes[0][0], EPOLLPRI);
			io_uring_sqe_set_data64(&sqe, 1);
			assert_int_equal(requests_add(&r, &sqe), 0);
		}
		/* Closes the old file of that number. */
		assert_int_equal(dup2(pipes[1][0], pipes[0][0]), pipes[0][0]);
		want(&r, pipes[0][0], buf + 1, 2);
		assert_int_equal(write(pipes[1][1], "x", 1), 1);
		assert_int_equal(next_result(&r, 1), -ECANCELED);
		assert_int_equal(next_result(&r, 2), 1);
		assert_memory_equal(buf, "\0x", 2);
		/* A number without a file. */
		want(&r, pipes[0][0], buf, 3);
		close(pipes[0][0]);
		want(&r, pipes[0][0], buf, 4);
		assert_int_equal(next_result(&r, 3), -ECANCELED);
		assert_int_equal(next_result(&r, 4), -EBADF);
		requests_exit(&r);
		close(pipes[0][1]);
		close(pipes[1][0]);
		close(pipes[1][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_that_are_refused),
		cmocka_unit_test(all_have_their_turn),
		cmocka_unit_test(turns_taken_soon),
		cmocka_unit_test(a_write_that_blocks),
		cmocka_unit_test(a_descriptor_that_is_reused),
	};

	forbid_io_uring();
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
