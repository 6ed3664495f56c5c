/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that makes calls which may block, one after the other, so that the loop does not wait
 * for them.  It starts with the first job.
 *
 * The loop's thread calls all functions.  A job, and all that its call uses, belongs to the worker
 * from worker_add() until worker_next() returns the job.
 */
#ifndef HMEMD_WORKER_H
#define HMEMD_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

struct worker_job {
	TAILQ_ENTRY(worker_job) link;
	/* Runs in the worker's thread. */
	void (*call)(struct worker_job *job);
};

TAILQ_HEAD(worker_jobs, worker_job);

struct worker {
	pthread_t thread;
	bool started;
	/* Readable when there are jobs for worker_next(); the loop waits for it. */
	int event_fd;
	/* @lock protects what follows; @more: there is a job to do, or it is time to stop. */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct worker_jobs to_do, done;
	bool stop, in_call;
};

/* Returns a worker, or NULL: there is no memory, or no descriptor. */
struct worker *worker_new(void);

/*
 * Ends the worker.  If a call blocks, the thread goes on until the process ends, and the memory of
 * the worker and of that job stays.
 */
void worker_end(struct worker *w);

/* Returns 0, or -EAGAIN: no thread can be started. */
int worker_add(struct worker *w, struct worker_job *job);

/* Returns a job whose call has returned; NULL: there is none. */
struct worker_job *worker_next(struct worker *w);

#endif /* HMEMD_WORKER_H */
