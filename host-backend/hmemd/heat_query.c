/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "heat_query.h"

void heat_queries_init(struct heat_queries *all, const struct hmem_pages *pages,
		       struct work_queue *queue)
{
	*all = (struct heat_queries) { .pages = pages, .queue = queue };
	TAILQ_INIT(&all->all);
}

/* End the query, but keep the bins, so that the user can report them. */
static void take_off(struct heat_query *q)
{
	work_remove(&q->work);
	if (q->of)
		TAILQ_REMOVE(&q->of->all, q, link);
	q->of = NULL;
}

void heat_query_end(struct heat_query *q)
{
	take_off(q);
	hmem_heat_bins_free(&q->bins);
}

static void fail(struct heat_query *q, const char *why)
{
	heat_query_end(q);
	q->ops->failed(q, why);
}

static void slice(struct work *work)
{
	struct heat_query *q = (struct heat_query *)work;

	if (!hmem_heat_bins_step(&q->bins, q->of->pages, WORK_SLOTS))
		return;
	take_off(q);
	q->ops->done(q);
}

/* Start at the beginning: lay out the bins for the current ranges. */
static int lay_out(struct heat_query *q, const struct heat_queries *of, uint64_t vtime_ns,
		   struct hmem_err *err)
{
	q->waits = false;
	q->windows = of->pages->windows;
	q->vtime_ns = vtime_ns;
	hmem_heat_bins_free(&q->bins);
	if (hmem_heat_bins_init(&q->bins, of->pages, q->max, q->per_tier, err) < 0)
		return -ENOMEM;
	if (!of->stopped)
		work_add(of->queue, &q->work);
	return 0;
}

int heat_query_begin(struct heat_query *q, struct heat_queries *of, uint64_t vtime_ns,
		     struct hmem_err *err)
{
	q->work.slice = slice;
	q->waits = q->waits && of->pages->windows <= q->after;
	if (!q->waits && lay_out(q, of, vtime_ns, err) < 0)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&of->all, q, link);
	q->of = of;
	return 0;
}

void heat_queries_window(struct heat_queries *all, uint64_t vtime_ns)
{
	struct heat_query *q, *next;
	struct hmem_err err;

	for (q = TAILQ_FIRST(&all->all); q; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->waits && all->pages->windows > q->after &&
		    lay_out(q, all, vtime_ns, &err) < 0)
			fail(q, err.msg);
	}
}

void heat_queries_stop(struct heat_queries *all)
{
	struct heat_query *q;

	all->stopped = true;
	TAILQ_FOREACH(q, &all->all, link)
		work_remove(&q->work);
}

void heat_queries_restart(struct heat_queries *all, uint64_t vtime_ns)
{
	struct heat_query *q, *next;
	struct hmem_err err;

	all->stopped = false;
	for (q = TAILQ_FIRST(&all->all); q; q = next) {
		next = TAILQ_NEXT(q, link);
		if (!q->waits && lay_out(q, all, vtime_ns, &err) < 0)
			fail(q, err.msg);
	}
}

void heat_queries_fail_waiting(struct heat_queries *all, const char *why)
{
	struct heat_query *q, *next;

	for (q = TAILQ_FIRST(&all->all); q; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->waits)
			fail(q, why);
	}
}

void heat_queries_fail(struct heat_queries *all, const char *why)
{
	while (!TAILQ_EMPTY(&all->all))
		fail(TAILQ_FIRST(&all->all), why);
}
