/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the time of transfers to and from a tier.
 */

#ifndef HMEM_SIM_TIER_H
#define HMEM_SIM_TIER_H

#include "sim.h"

/* The transfer of a line. */
typedef struct SimTransfer {
    uint64_t now_ps;
    SimCause cause;
    bool posted; /* the guest waits for bandwidth, not for the line */
} SimTransfer;

/* Read the parameters from the options. */
void sim_tier_init(void);

/**
 * sim_tier_transfer() - move a line
 * @tier: the tier
 * @direction: read or write
 * @transfer: time and cause
 *
 * Each direction of a tier transfers one line at a time.
 *
 * Returns: the time that the guest waits, in picoseconds.
 */
uint64_t sim_tier_transfer(SimTier tier, SimDirection direction,
                           const SimTransfer *transfer);

#endif /* HMEM_SIM_TIER_H */
