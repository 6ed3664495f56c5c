/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the last-level cache.  It is set-associative by guest-physical
 * address, replaces the least recently used line, writes back, allocates on
 * writes, and includes the filter.
 */

#ifndef HMEM_SIM_LLC_H
#define HMEM_SIM_LLC_H

#include "sim.h"

/* Read the size and the ways from the options. */
void sim_llc_init(void);

/**
 * sim_llc_access() - model an access that missed the filter
 * @line: guest-physical address / SIM_LINE
 * @slot: the slot of the filter that gets the line
 * @store: whether the access writes
 * @cause: who accesses the line
 */
void sim_llc_access(uint64_t line, unsigned int slot, bool store,
                    SimCause cause);

/**
 * sim_llc_walk() - model the processor's own read of a page table
 * @line: guest-physical address / SIM_LINE
 * @cause: who accesses the memory that the page table maps
 *
 * The line does not come into the filter.
 *
 * Returns: whether the cache had the line; otherwise the guest has waited for
 * memory.
 */
bool sim_llc_walk(uint64_t line, SimCause cause);

#endif /* HMEM_SIM_LLC_H */
