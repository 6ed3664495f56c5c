/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the time of transfers to and from a tier.
 */

#include "booking.h"
#include "options.h"
#include "share.h"
#include "stats.h"
#include "tier.h"

static struct {
    uint64_t latency_ps; /* divided by mlp: loads overlap */
    uint64_t line_ps;    /* time that a line occupies the tier */
    uint64_t free_ps;    /* time at which the tier is free again */
} tiers[SIM_TIERS][SIM_DIRECTIONS];

/* For several vCPUs: a slot is much shorter than a slice. */
#define SLOT_PS 100000

static SimSlot slots[SIM_TIERS][SIM_DIRECTIONS][SIM_BOOKED];

void sim_tier_init(void)
{
    int t, d;

    for (t = 0; t < SIM_TIERS; t++) {
        const SimTierOptions *o = &sim_options.tier[t];

        for (d = 0; d < SIM_DIRECTIONS; d++) {
            tiers[t][d].latency_ps = o->ns[d] * 1000 / sim_options.mlp + 0.5;
            tiers[t][d].line_ps =
                o->gbps[d] ? SIM_LINE * 1000 / o->gbps[d] + 0.5 : 0;
        }
    }
}

uint64_t sim_tier_transfer(SimTier tier, SimDirection direction,
                           const SimTransfer *transfer)
{
    SimTierCounters *count = &sim_counters.tier[tier][transfer->cause];
    uint64_t *free_ps = &tiers[tier][direction].free_ps;
    uint64_t line_ps = tiers[tier][direction].line_ps;
    uint64_t now = transfer->now_ps;
    uint64_t queue, stall;

    if (sim_options.share) {
        queue = sim_share_transfer(tier, direction, line_ps, now);
    } else if (sim_options.vcpus > 1) {
        queue = sim_book(slots[tier][direction], SLOT_PS, line_ps, now);
    } else {
        queue = *free_ps > now ? *free_ps - now : 0;
        *free_ps = now + queue + line_ps;
    }
    stall = queue;
    if (direction == SIM_WRITE || !transfer->posted) {
        stall += tiers[tier][direction].latency_ps;
    }
    count->lines[direction]++;
    count->posted += direction == SIM_READ && transfer->posted;
    count->stall_ps[direction] += stall;
    count->queue_ps += queue;
    return stall;
}
