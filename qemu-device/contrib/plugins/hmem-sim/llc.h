/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the last-level cache: set-associative by guest-physical address,
 * least recently used, write-back, write-allocate, and inclusive of the
 * filter.
 */

#ifndef HMEM_SIM_LLC_H
#define HMEM_SIM_LLC_H

#include "sim.h"

/* Take the figures from the options. */
void sim_llc_init(void);

/**
 * sim_llc_access() - an access that the filter does not know
 * @line: guest-physical address / SIM_LINE
 * @slot: of the filter, which is going to hold the line
 * @store: whether the access writes
 * @cause: on whose behalf
 */
void sim_llc_access(uint64_t line, unsigned int slot, bool store,
                    SimCause cause);

#endif /* HMEM_SIM_LLC_H */
