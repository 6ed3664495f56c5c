/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: DRAM as a cache of the slow tier, as in Optane's memory mode:
 * direct-mapped, of lines, write-back.
 */

#ifndef HMEM_SIM_MEMORY_MODE_H
#define HMEM_SIM_MEMORY_MODE_H

#include "tier.h"

void sim_memory_mode_init(void);

/**
 * sim_memory_mode_transfer() - move a line from or to the last-level cache
 * @line: which
 * @tier: where it lives
 * @direction: read or written
 * @transfer: when and why
 *
 * Returns: how long the guest has to wait, in picoseconds.
 */
uint64_t sim_memory_mode_transfer(uint64_t line, SimTier tier,
                                  SimDirection direction,
                                  const SimTransfer *transfer);

#endif /* HMEM_SIM_MEMORY_MODE_H */
