/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: DRAM as a cache of the slow tier, as in Optane's memory mode.  The
 * cache is direct-mapped, holds single lines, and writes back.
 */

#ifndef HMEM_SIM_MEMORY_MODE_H
#define HMEM_SIM_MEMORY_MODE_H

#include "tier.h"

void sim_memory_mode_init(void);

/**
 * sim_memory_mode_transfer() - move a line from or to the last-level cache
 * @line: guest-physical address / SIM_LINE
 * @tier: the tier of the line
 * @direction: read or write
 * @transfer: time and cause
 *
 * Returns: the time that the guest waits, in picoseconds.
 */
uint64_t sim_memory_mode_transfer(uint64_t line, SimTier tier,
                                  SimDirection direction,
                                  const SimTransfer *transfer);

#endif /* HMEM_SIM_MEMORY_MODE_H */
