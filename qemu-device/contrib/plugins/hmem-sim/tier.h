/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: how long lines take to and from a tier.
 */

#ifndef HMEM_SIM_TIER_H
#define HMEM_SIM_TIER_H

#include "sim.h"

/* A line on its way. */
typedef struct SimTransfer {
    uint64_t now_ps;
    SimCause cause;
    bool posted; /* nobody waits for what is read, only for bandwidth */
} SimTransfer;

/* Take the figures from the options. */
void sim_tier_init(void);

/**
 * sim_tier_transfer() - move a line
 * @tier: from or to which tier
 * @direction: which of the two
 * @transfer: when and why
 *
 * Each direction of a tier carries one line after the other.
 *
 * Returns: how long the guest has to wait, in picoseconds.
 */
uint64_t sim_tier_transfer(SimTier tier, SimDirection direction,
                           const SimTransfer *transfer);

#endif /* HMEM_SIM_TIER_H */
