/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries about how hot a VM's memory is.
 *
 * Each is a pass over the page table, which is made as work (see work.h): there is one
 * slice at a time, however many ask.
 */
#ifndef HMEMD_HEAT_QUERY_H
#define HMEMD_HEAT_QUERY_H

#include "heat_bins.h"
#include "work.h"

/* Bins that may be asked for. */
#define HEAT_MAX_BINS	4096u

struct heat_query;

/* How a query ends: it is its user's again, who may free it. */
struct heat_query_ops {
	/* The bins are filled in; heat_query_end() frees them. */
	void (*done)(struct heat_query *q);
	void (*failed)(struct heat_query *q, const char *why);
};

/* The queries about one VM. */
struct heat_queries {
	TAILQ_HEAD(, heat_query) all;
	const struct hmem_pages *pages;
	struct work_queue *queue;
	/* The table is being made for other ranges: queries begin again after that. */
	bool stopped;
};

/* The user sets ops, max, per_tier, waits and after. */
struct heat_query {
	struct work work;
	TAILQ_ENTRY(heat_query) link;
	struct heat_queries *of;
	const struct heat_query_ops *ops;
	/* As hmem_heat_bins_init() has them. */
	uint32_t max;
	bool per_tier;
	/* It begins when there have been more windows than @after. */
	bool waits;
	uint64_t after;
	struct hmem_heat_bins bins;
	/* When it began. */
	uint64_t windows, vtime_ns;
};

void heat_queries_init(struct heat_queries *all, const struct hmem_pages *pages,
		       struct work_queue *queue);

/* @vtime_ns: guest time now.  -ENOMEM: @q is still the user's, and not under way. */
int heat_query_begin(struct heat_query *q, struct heat_queries *of, uint64_t vtime_ns,
		     struct hmem_err *err);

/* Take it off, if it is under way, and free the bins; the query is the user's again. */
void heat_query_end(struct heat_query *q);

/* A window has ended. */
void heat_queries_window(struct heat_queries *all, uint64_t vtime_ns);

/* The table is about to be made for other ranges; it is for these now. */
void heat_queries_stop(struct heat_queries *all);
void heat_queries_restart(struct heat_queries *all, uint64_t vtime_ns);

/* Those that wait for a window end, for the reason given; all do. */
void heat_queries_fail_waiting(struct heat_queries *all, const char *why);
void heat_queries_fail(struct heat_queries *all, const char *why);

#endif /* HMEMD_HEAT_QUERY_H */
