/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "requests.h"
#include "worker.h"

/* Largest number of events that epoll tells at a time; the others come the next time. */
#define MAX_EVENTS	64
#define SECOND_NS	UINT64_C(1000000000)

struct request {
	TAILQ_ENTRY(request) link;
	struct worker_job job;		/* if the worker makes the call */
	struct io_uring_sqe sqe;
	uint64_t deadline_ns;		/* of a timeout, in CLOCK_MONOTONIC */
	int res;			/* when it is done */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

int requests_init(struct requests *r)
{
	struct epoll_event event = { .events = EPOLLIN };

	*r = (struct requests) { .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	TAILQ_INIT(&r->timeouts);
	TAILQ_INIT(&r->done);
	TAILQ_INIT(&r->spare);
	if (r->epoll_fd < 0)
		return -errno;
	r->worker = worker_new();
	if (!r->worker) {
		close(r->epoll_fd);
		return -ENOMEM;
	}
	event.data.fd = r->worker->event_fd;
	return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->worker->event_fd, &event) < 0 ? -errno : 0;
}

static void free_all(struct request_list *list)
{
	struct request *q;

	while ((q = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, q, link);
		free(q);
	}
}

void requests_exit(struct requests *r)
{
	for (unsigned int i = 0; i < r->num_fds; i++)
		free_all(&r->fds[i].waiting);
	free_all(&r->timeouts);
	free_all(&r->done);
	free_all(&r->spare);
	free(r->fds);
	worker_end(r->worker);
	close(r->epoll_fd);
}

int requests_reserve(struct requests *r, unsigned int num)
{
	struct request *q;

	for (; r->num < num; r->num++) {
		q = malloc(sizeof(*q));
		if (!q)
			return -ENOMEM;
		TAILQ_INSERT_TAIL(&r->spare, q, link);
	}
	return 0;
}

/* --- making requests --- */

static uint32_t events_of(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_SEND:
	case IORING_OP_WRITE:
		return EPOLLOUT;
	case IORING_OP_POLL_ADD:
		return sqe->poll32_events;
	default:
		return EPOLLIN;
	}
}

/* Have epoll wait for @events of the descriptor, instead of those before.  Returns 0 or -errno. */
static int watch(struct requests *r, int fd, uint32_t events)
{
	struct requests_of_fd *of = &r->fds[fd];
	struct epoll_event event = { .events = events, .data.fd = fd };
	int op = !events ? EPOLL_CTL_DEL : of->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int ret;

	if (!events && !of->events)
		return 0;
	ret = epoll_ctl(r->epoll_fd, op, fd, &event) < 0 ? -errno : 0;
	if (!ret)
		of->events = events;
	else if (ret == -ENOENT || ret == -EBADF)
		of->events = 0;
	return ret;
}

/* All events that requests of the descriptor wait for. */
static uint32_t wanted(const struct requests *r, int fd)
{
	const struct request *q;
	uint32_t events = 0;

	TAILQ_FOREACH(q, &r->fds[fd].waiting, link)
		events |= events_of(&q->sqe);
	return events;
}

static int grow(struct requests *r, unsigned int num)
{
	struct requests_of_fd *fds;

	if (num <= r->num_fds)
		return 0;
	num = num * 2;
	fds = calloc(num, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	/* An empty list contains its own address, so that lists cannot be copied as a whole. */
	for (unsigned int i = 0; i < num; i++) {
		TAILQ_INIT(&fds[i].waiting);
		if (i >= r->num_fds)
			continue;
		TAILQ_CONCAT(&fds[i].waiting, &r->fds[i].waiting, link);
		fds[i].events = r->fds[i].events;
	}
	free(r->fds);
	r->fds = fds;
	r->num_fds = num;
	return 0;
}

static void finish(struct requests *r, struct request *q, int res)
{
	q->res = res;
	TAILQ_INSERT_TAIL(&r->done, q, link);
}

/* Do the system call.  -EAGAIN: not now. */
static int call(const struct io_uring_sqe *sqe)
{
	void *addr = (void *)(uintptr_t)sqe->addr;
	ssize_t ret = -1;

	switch (sqe->opcode) {
	case IORING_OP_ACCEPT:
		ret = accept4(sqe->fd, NULL, NULL, sqe->accept_flags);
		break;
	case IORING_OP_RECVMSG:
		ret = recvmsg(sqe->fd, addr, sqe->msg_flags | MSG_DONTWAIT);
		break;
	case IORING_OP_SEND:
		ret = send(sqe->fd, addr, sqe->len, sqe->msg_flags | MSG_DONTWAIT);
		break;
	case IORING_OP_READ:
		ret = read(sqe->fd, addr, sqe->len);
		break;
	case IORING_OP_WRITE:
		ret = pwrite(sqe->fd, addr, sqe->len, sqe->off);
		break;
	default:
		return -EINVAL;
	}
	return ret < 0 ? -errno : ret;
}

static void call_in_worker(struct worker_job *job)
{
	struct request *q = (void *)((char *)job - offsetof(struct request, job));

	q->res = call(&q->sqe);
}

/* epoll cannot wait for the file. */
static void give_to_worker(struct requests *r, struct request *q)
{
	int ret;

	q->job.call = call_in_worker;
	ret = worker_add(r->worker, &q->job);
	if (ret < 0)
		finish(r, q, ret);
}

static void cancel_waiting(struct requests *r, int fd)
{
	struct request *q;

	while ((q = TAILQ_FIRST(&r->fds[fd].waiting))) {
		TAILQ_REMOVE(&r->fds[fd].waiting, q, link);
		finish(r, q, -ECANCELED);
	}
}

/* Waits for another request of the descriptor, which is not in the list yet. */
static int wait_for(struct requests *r, const struct request *q)
{
	int fd = q->sqe.fd, ret;

	/* Even if the events are the same: only the kernel knows whether the file is. */
	ret = watch(r, fd, wanted(r, fd) | events_of(&q->sqe));
	if (ret != -ENOENT && ret != -EBADF)
		return ret;
	/* Closing a file removes it from epoll.  Now the number has another file, or none. */
	cancel_waiting(r, fd);
	return ret == -EBADF ? ret : watch(r, fd, events_of(&q->sqe));
}

int requests_add(struct requests *r, const struct io_uring_sqe *sqe)
{
	struct request *q;
	int ret;

	if (TAILQ_EMPTY(&r->spare) && requests_reserve(r, r->num + 1) < 0)
		return -ENOMEM;
	q = TAILQ_FIRST(&r->spare);
	TAILQ_REMOVE(&r->spare, q, link);
	*q = (struct request) { .sqe = *sqe };
	if (sqe->opcode == IORING_OP_TIMEOUT) {
		const struct __kernel_timespec *ts = (void *)(uintptr_t)sqe->addr;

		q->deadline_ns = now_ns() + ts->tv_sec * SECOND_NS + ts->tv_nsec;
		TAILQ_INSERT_TAIL(&r->timeouts, q, link);
		return 0;
	}
	if (sqe->fd < 0) {
		finish(r, q, -EBADF);
		return 0;
	}
	ret = grow(r, sqe->fd + 1);
	if (!ret)
		ret = wait_for(r, q);
	if (!ret)
		TAILQ_INSERT_TAIL(&r->fds[sqe->fd].waiting, q, link);
	else if (ret == -EPERM)
		give_to_worker(r, q);
	else
		finish(r, q, ret);
	return 0;
}

/* --- doing requests --- */

/* The result of the request if the descriptor has the events @got; -EAGAIN: none yet. */
static int try(const struct io_uring_sqe *sqe, uint32_t got)
{
	got &= events_of(sqe) | EPOLLERR | EPOLLHUP;
	if (!got)
		return -EAGAIN;
	return sqe->opcode == IORING_OP_POLL_ADD ? (int)got : call(sqe);
}

static void do_fd(struct requests *r, int fd, uint32_t got)
{
	struct requests_of_fd *of = &r->fds[fd];
	struct request *q, *next;

	for (q = TAILQ_FIRST(&of->waiting); q; q = next) {
		int res = try(&q->sqe, got);

		next = TAILQ_NEXT(q, link);
		if (res == -EAGAIN || res == -EINTR)
			continue;
		TAILQ_REMOVE(&of->waiting, q, link);
		finish(r, q, res);
	}
	/* If this fails, the file was closed: see wait_for(). */
	if (wanted(r, fd) != of->events)
		watch(r, fd, wanted(r, fd));
}

static void do_worker(struct requests *r)
{
	struct worker_job *job;

	while ((job = worker_next(r->worker))) {
		struct request *q = (void *)((char *)job - offsetof(struct request, job));

		finish(r, q, q->res);
	}
}

static void do_timeouts(struct requests *r)
{
	uint64_t now = now_ns();
	struct request *q, *next;

	for (q = TAILQ_FIRST(&r->timeouts); q; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->deadline_ns > now)
			continue;
		TAILQ_REMOVE(&r->timeouts, q, link);
		finish(r, q, -ETIME);
	}
}

/* Milliseconds until the next timeout, rounded up; -1: there is none. */
static int time_left(const struct requests *r)
{
	uint64_t first = UINT64_MAX, now = now_ns();
	const struct request *q;

	TAILQ_FOREACH(q, &r->timeouts, link)
		first = q->deadline_ns < first ? q->deadline_ns : first;
	if (first == UINT64_MAX)
		return -1;
	if (first <= now)
		return 0;
	return (first - now) / 1000000 < INT_MAX ? (int)((first - now) / 1000000) + 1 : INT_MAX;
}

int requests_do(struct requests *r, bool wait)
{
	struct epoll_event events[MAX_EVENTS];
	int num;

	num = epoll_wait(r->epoll_fd, events, MAX_EVENTS,
			 wait && TAILQ_EMPTY(&r->done) ? time_left(r) : 0);
	if (num < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < num; i++) {
		if (events[i].data.fd == r->worker->event_fd)
			do_worker(r);
		else
			do_fd(r, events[i].data.fd, events[i].events);
	}
	do_timeouts(r);
	return 0;
}

bool requests_next(struct requests *r, uint64_t *user_data, int *res)
{
	struct request *q = TAILQ_FIRST(&r->done);

	if (!q)
		return false;
	*user_data = q->sqe.user_data;
	*res = q->res;
	TAILQ_REMOVE(&r->done, q, link);
	TAILQ_INSERT_TAIL(&r->spare, q, link);
	return true;
}
