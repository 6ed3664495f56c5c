/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries for the heat of a VM's memory.
 *
 * A query is a pass over the page table, which runs as work (see work.h): slice by slice,
 * one query at a time.
 */
#ifndef HMEMD_HEAT_QUERY_H
#define HMEMD_HEAT_QUERY_H

#include "heat_bins.h"
#include "work.h"

/* Largest number of bins in a query. */
#define HEAT_MAX_BINS	4096u

struct heat_query;

/* How a query ends.  The user then owns the query again and may free it. */
struct heat_query_ops {
	/* The bins are filled in.  heat_query_end() frees them. */
	void (*done)(struct heat_query *q);
	void (*failed)(struct heat_query *q, const char *why);
};

/* The queries about one VM. */
struct heat_queries {
	TAILQ_HEAD(, heat_query) all;
	const struct hmem_pages *pages;
	struct work_queue *queue;
	/* The table is being rebuilt for other ranges; then queries start again. */
	bool stopped;
};

/* The user sets ops, max, per_tier, waits and after. */
struct heat_query {
	struct work work;
	TAILQ_ENTRY(heat_query) link;
	struct heat_queries *of;
	const struct heat_query_ops *ops;
	/* Arguments of hmem_heat_bins_init(). */
	uint32_t max;
	bool per_tier;
	/* If @waits, the query starts when more than @after windows have ended. */
	bool waits;
	uint64_t after;
	struct hmem_heat_bins bins;
	/* Number of windows, and guest time, when the query started. */
	uint64_t windows, vtime_ns;
};

void heat_queries_init(struct heat_queries *all, const struct hmem_pages *pages,
		       struct work_queue *queue);

/* @vtime_ns: guest time now.  Returns 0; or -ENOMEM, and the query has not started. */
int heat_query_begin(struct heat_query *q, struct heat_queries *of, uint64_t vtime_ns,
		     struct hmem_err *err);

/* End the query, if it runs, and free the bins.  The user then owns the query again. */
void heat_query_end(struct heat_query *q);

/* A window has ended, so queries that wait for it can start. */
void heat_queries_window(struct heat_queries *all, uint64_t vtime_ns);

/* Stop queries before the table is rebuilt for other ranges; restart them afterwards. */
void heat_queries_stop(struct heat_queries *all);
void heat_queries_restart(struct heat_queries *all, uint64_t vtime_ns);

/* End the queries that wait for a window, or all queries, for the reason @why. */
void heat_queries_fail_waiting(struct heat_queries *all, const char *why);
void heat_queries_fail(struct heat_queries *all, const char *why);

#endif /* HMEMD_HEAT_QUERY_H */
