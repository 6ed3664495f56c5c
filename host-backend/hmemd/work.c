/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <time.h>

#include "work.h"

uint64_t work_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static void take(struct turn *turn)
{
	struct work_queue *q = (void *)((char *)turn - offsetof(struct work_queue, turn));
	struct work *work = TAILQ_FIRST(&q->works);
	uint64_t begun, *cpu_ns;

	if (!work)
		return;
	/* The other works get the next turns. */
	TAILQ_REMOVE(&q->works, work, link);
	TAILQ_INSERT_TAIL(&q->works, work, link);
	cpu_ns = work->cpu_ns;
	begun = work_cpu_ns();
	work->slice(work);
	if (cpu_ns)
		*cpu_ns += work_cpu_ns() - begun;
	if (!work_queue_is_empty(q))
		loop_again(q->loop, &q->turn);
}

void work_queue_init(struct work_queue *q, struct loop *loop)
{
	*q = (struct work_queue) { .turn.take = take, .loop = loop };
	TAILQ_INIT(&q->works);
}

void work_add(struct work_queue *q, struct work *work)
{
	if (work->in)
		return;
	TAILQ_INSERT_TAIL(&q->works, work, link);
	work->in = q;
	loop_again(q->loop, &q->turn);
}

void work_remove(struct work *work)
{
	if (work->in)
		TAILQ_REMOVE(&work->in->works, work, link);
	work->in = NULL;
}
