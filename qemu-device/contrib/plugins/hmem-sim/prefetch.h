/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the prefetcher of each vCPU, which loads lines that the vCPU reads
 * in ascending order before the vCPU asks for them.
 */

#ifndef HMEM_SIM_PREFETCH_H
#define HMEM_SIM_PREFETCH_H

#include "sim.h"

/* The number of streams that a prefetcher can follow at a time. */
#define SIM_STREAMS 16

/* @line missed the cache.  Returns true if the line was on its way already. */
bool sim_prefetched(unsigned int vcpu, uint64_t line);

#endif /* HMEM_SIM_PREFETCH_H */
