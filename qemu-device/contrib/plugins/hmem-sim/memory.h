/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the memory behind the last-level cache: the tiers, with or without
 * a DRAM cache in front.
 */

#ifndef HMEM_SIM_MEMORY_H
#define HMEM_SIM_MEMORY_H

#include "sim.h"

/* Read the parameters from the options. */
void sim_memory_init(void);

/**
 * sim_memory_read() - fill a line of the last-level cache
 * @line: guest-physical address / SIM_LINE
 * @cause: who accesses the line
 * @prefetched: the guest does not wait for the line itself
 */
void sim_memory_read(uint64_t line, SimCause cause, bool prefetched);

/* Write a line of the last-level cache back. */
void sim_memory_write(uint64_t line, SimCause cause);

#endif /* HMEM_SIM_MEMORY_H */
