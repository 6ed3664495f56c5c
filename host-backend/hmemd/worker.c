/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker.h"

struct worker *worker_new(void)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd < 0) {
		free(w);
		return NULL;
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	TAILQ_INIT(&w->to_do);
	TAILQ_INIT(&w->done);
	return w;
}

/* Waits for the next job; NULL: stop.  @w->lock is held. */
static struct worker_job *wait_for_job(struct worker *w)
{
	struct worker_job *job;

	while (TAILQ_EMPTY(&w->to_do) && !w->stop)
		pthread_cond_wait(&w->more, &w->lock);
	if (w->stop)
		return NULL;
	job = TAILQ_FIRST(&w->to_do);
	TAILQ_REMOVE(&w->to_do, job, link);
	return job;
}

static void *run(void *arg)
{
	const uint64_t one = 1;
	struct worker *w = arg;
	struct worker_job *job;

	pthread_mutex_lock(&w->lock);
	while ((job = wait_for_job(w))) {
		w->in_call = true;
		pthread_mutex_unlock(&w->lock);
		job->call(job);
		pthread_mutex_lock(&w->lock);
		w->in_call = false;
		TAILQ_INSERT_TAIL(&w->done, job, link);
		/* This can fail only if the descriptor is readable anyway. */
		if (write(w->event_fd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int start(struct worker *w)
{
	sigset_t all, old;
	int ret;

	/* Signals are for the loop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = !ret;
	return ret ? -EAGAIN : 0;
}

void worker_end(struct worker *w)
{
	bool blocks;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	blocks = w->in_call;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	if (w->started && blocks) {
		pthread_detach(w->thread);
		return;
	}
	if (w->started)
		pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	close(w->event_fd);
	free(w);
}

int worker_add(struct worker *w, struct worker_job *job)
{
	int ret = w->started ? 0 : start(w);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->to_do, job, link);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

struct worker_job *worker_next(struct worker *w)
{
	struct worker_job *job;
	uint64_t num;

	pthread_mutex_lock(&w->lock);
	job = TAILQ_FIRST(&w->done);
	if (job)
		TAILQ_REMOVE(&w->done, job, link);
	/* Nothing is lost: the thread adds to the list and to the number under the lock. */
	else if (read(w->event_fd, &num, sizeof(num)) < 0)
		job = NULL;
	pthread_mutex_unlock(&w->lock);
	return job;
}
