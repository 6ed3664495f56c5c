/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workloads for the model, and how fast a policy makes them. */
#ifndef HMEM_UNIT_LOADS_H
#define HMEM_UNIT_LOADS_H

#include "model.h"

/* A quarter of the benchmark's machine. */
#define MIB		64u
#define FAST		(192 * MIB)
#define KERNEL		(70 * MIB)
#define SLOW		(448 * MIB)
#define DATA		(256 * MIB)

/* A quarter as fast, so that a page is used as often as there. */
extern const struct model_costs quarter_updates, quarter_pages;

extern const struct model_load hot_set, moving, zipf, uniform, too_large, sweep, hot_sweep;
/* The rest is idle; these are used so seldom that few are in a short look. */
extern const struct model_load seldom;

/* The machine under a policy, with windows of 100 ms. */
void loads_begin(struct model *m, const struct model_load *load,
		 enum hmem_policy_kind kind);

/* Accesses, in millions per second, of the next @seconds. */
double loads_speed(struct model *m, double seconds);

/* The same of the best placement that does not change, and of first touch. */
double loads_best(const struct model_load *load);
double loads_first_touch(const struct model_load *load, double seconds);

#endif /* HMEM_UNIT_LOADS_H */
