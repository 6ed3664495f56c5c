/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the prefetcher, which has what is read in ascending order at hand
 * before it is asked for.
 */

#ifndef HMEM_SIM_PREFETCH_H
#define HMEM_SIM_PREFETCH_H

#include "sim.h"

/* How many streams it can follow at a time. */
#define SIM_STREAMS 16

/* A miss on @line: whether the line was on its way already. */
bool sim_prefetched(uint64_t line);

#endif /* HMEM_SIM_PREFETCH_H */
