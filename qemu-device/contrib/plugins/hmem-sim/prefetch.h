/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the prefetcher, which loads lines that the guest reads in ascending
 * order before the guest asks for them.
 */

#ifndef HMEM_SIM_PREFETCH_H
#define HMEM_SIM_PREFETCH_H

#include "sim.h"

/* The number of streams that the prefetcher can follow at a time. */
#define SIM_STREAMS 16

/* @line missed the cache.  Returns true if the line was on its way already. */
bool sim_prefetched(uint64_t line);

#endif /* HMEM_SIM_PREFETCH_H */
