/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop's requests without io_uring, which a kernel or a container may forbid: epoll waits until
 * a request can be done, and the system call of the same name does it.  Requests are described by
 * an io_uring_sqe all the same.
 *
 * epoll cannot wait for some files, such as those in sysfs or on a disk.  A worker's thread reads
 * and writes these, so that the loop goes on meanwhile, as with io_uring.
 *
 * A request keeps no file open.  If a descriptor is closed while a request waits, the request ends
 * with -ECANCELED at the latest when another request is made for a file with the same number.
 */
#ifndef HMEMD_REQUESTS_H
#define HMEMD_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <liburing.h>

TAILQ_HEAD(request_list, request);

struct worker;

struct requests {
	int epoll_fd;
	struct worker *worker;
	/* By descriptor: the requests that wait, and the events that epoll waits for. */
	struct requests_of_fd {
		struct request_list waiting;
		uint32_t events;
	} *fds;
	unsigned int num_fds;
	/* Timeouts, in no order; and requests that are done, with their results. */
	struct request_list timeouts, done;
	/* Memory for further requests; and the number of all, in whatever list. */
	struct request_list spare;
	unsigned int num;
};

/* Returns 0 or -errno. */
int requests_init(struct requests *r);
void requests_exit(struct requests *r);

/* From now on, @num requests can be under way without more memory.  Returns 0 or -ENOMEM. */
int requests_reserve(struct requests *r, unsigned int num);

/*
 * Make a request: an accept, recvmsg, send, read, write, poll or timeout.  Returns 0 or -ENOMEM.
 * A request that cannot be made ends with an error.
 */
int requests_add(struct requests *r, const struct io_uring_sqe *sqe);

/*
 * Do the requests that can be done.  @wait: wait until there is one, or a signal.  Returns 0 or
 * -errno.
 */
int requests_do(struct requests *r, bool wait);

/* Take the next request that is done.  Returns false if there is none. */
bool requests_next(struct requests *r, uint64_t *user_data, int *res);

#endif /* HMEMD_REQUESTS_H */
