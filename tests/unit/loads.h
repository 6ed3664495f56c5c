/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workloads for the model, and their speed under a policy. */
#ifndef HMEM_UNIT_LOADS_H
#define HMEM_UNIT_LOADS_H

#include "model.h"

/* A quarter of the benchmark's machine. */
#define MIB		64u
#define FAST		(192 * MIB)
#define KERNEL		(70 * MIB)
#define SLOW		(448 * MIB)
#define DATA		(256 * MIB)

/* The processor is a quarter as fast as the benchmark's, so that each page is used as often. */
extern const struct model_costs quarter_updates, quarter_pages, quarter_requests;

extern const struct model_load hot_set, moving, zipf, uniform, too_large, sweep, hot_sweep;
/* The rest of the pages is idle; these pages are used so rarely that a short look finds few. */
extern const struct model_load seldom;
/* A server: each hot page is used eight times per second. */
extern const struct model_load requests;

/* Prepares the machine with a policy and windows of 100 ms. */
void loads_begin(struct model *m, const struct model_load *load,
		 enum hmem_policy_kind kind);

/* Runs for @seconds.  Returns millions of accesses per second in that time. */
double loads_speed(struct model *m, double seconds);

/* The same speed with the best static placement, and with placement by first touch. */
double loads_best(const struct model_load *load);
double loads_first_touch(const struct model_load *load, double seconds);

#endif /* HMEM_UNIT_LOADS_H */
