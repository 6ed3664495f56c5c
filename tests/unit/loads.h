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

/* A quarter as fast as the benchmark, so that each page is used as often. */
extern const struct model_costs quarter_updates, quarter_pages;

extern const struct model_load hot_set, moving, zipf, uniform, too_large, sweep, hot_sweep;
/* The other pages are idle; these are used so rarely that a short look finds few. */
extern const struct model_load seldom;

/* The machine with a policy, and windows of 100 ms. */
void loads_begin(struct model *m, const struct model_load *load,
		 enum hmem_policy_kind kind);

/* Millions of accesses per second in the next @seconds. */
double loads_speed(struct model *m, double seconds);

/* The same for the best static placement, and for first touch. */
double loads_best(const struct model_load *load);
double loads_first_touch(const struct model_load *load, double seconds);

#endif /* HMEM_UNIT_LOADS_H */
