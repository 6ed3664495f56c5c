/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: several machines on one host share the bandwidth of its tiers, and
 * its DRAM cache in memory mode.
 *
 * The simulators of these machines are the members.  They map one file and run
 * in turns: guest time is divided into turns of equal length, and in each turn
 * one member after the other executes.  So only one member uses the shared
 * state at a time, and its order is the same in each run.  Another member is
 * the first in each turn.
 */

#ifndef HMEM_SIM_SHARE_H
#define HMEM_SIM_SHARE_H

#include "sim.h"

#define SIM_MAX_MEMBERS 16

/**
 * sim_share_init() - become a member if share= is set
 *
 * Returns: false if that is not possible; the reason is on stderr.
 */
bool sim_share_init(void);

/* Wait for the first turn; to be called before the guest executes. */
void sim_share_start(void);

/* The machine ends: the others go on without it. */
void sim_share_leave(void);

/**
 * sim_share_transfer() - book time of a tier that members share
 * @tier: the tier
 * @direction: read or write
 * @line_ps: the time that the transfer takes
 * @now_ps: guest time at which it could begin
 *
 * Returns: the time to wait for bandwidth, in picoseconds.
 */
uint64_t sim_share_transfer(SimTier tier, SimDirection direction,
                            uint64_t line_ps, uint64_t now_ps);

/* The lines of the DRAM cache; for the first member that asks, all are 0. */
uint64_t *sim_share_lines(void);

#endif /* HMEM_SIM_SHARE_H */
