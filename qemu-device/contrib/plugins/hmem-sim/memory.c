/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the memory behind the last-level cache: the tiers, with or without
 * a DRAM cache in front.
 */

#include "clock.h"
#include "frames.h"
#include "heat.h"
#include "memory-mode.h"
#include "memory.h"
#include "options.h"
#include "tier.h"

void sim_memory_init(void)
{
    sim_tier_init();
    sim_memory_mode_init();
}

static void transfer_line(uint64_t line, SimDirection direction,
                          SimCause cause, bool posted)
{
    const SimTransfer transfer = {
        .now_ps = sim_now_ps(),
        .cause = cause,
        .posted = posted,
    };
    SimTier tier = sim_line_tier(line);

    sim_heat_count(line, direction);
    if (sim_options.memory_mode) {
        sim_wait(sim_memory_mode_transfer(line, tier, direction, &transfer));
    } else {
        sim_wait(sim_tier_transfer(tier, direction, &transfer));
    }
}

void sim_memory_read(uint64_t line, SimCause cause, bool prefetched)
{
    transfer_line(line, SIM_READ, cause, prefetched);
}

void sim_memory_write(uint64_t line, SimCause cause)
{
    /* In memory mode, a write also reads; the guest does not wait for that. */
    transfer_line(line, SIM_WRITE, cause, true);
}
