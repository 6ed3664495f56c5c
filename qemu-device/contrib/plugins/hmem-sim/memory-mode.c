/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: DRAM as a cache of the slow tier, as in Optane's memory mode.  The
 * cache is direct-mapped, holds single lines, and writes back.
 *
 * The number of lines that it accesses was measured on hardware (Hildebrand et
 * al., ISPASS'21): 1 for a read hit, 3 for a read miss, 2 for a write hit, 4
 * for a write miss, and 1 more for a dirty victim.
 */

#include <glib.h>

#include "frames.h"
#include "memory-mode.h"
#include "options.h"
#include "share.h"
#include "stats.h"

/*
 * For each line of DRAM: the line that it holds, of which member (see share.h),
 * and who has made it dirty.  0: none.
 */
enum {
    DIRTY = 1,
    BY_MIGRATION = 2,
    HELD = 4,
    LINE_SHIFT = 3,
    MEMBER_SHIFT = LINE_SHIFT + 32,
};

static uint64_t *lines;
static uint64_t num_lines;
static uint64_t reciprocal; /* 2^64 / num_lines, rounded up */
/* Members begin at different lines, as in memory of one host. */
static uint64_t first_line;

void sim_memory_mode_init(void)
{
    num_lines = sim_options.memory_mode / SIM_LINE;
    if (!num_lines) {
        return;
    }
    reciprocal = UINT64_MAX / num_lines + 1;
    if (sim_options.share) {
        lines = sim_share_lines();
        first_line = num_lines * sim_options.member / sim_options.members;
    } else {
        lines = g_new0(uint64_t, num_lines);
    }
}

/*
 * Compute line % num_lines without a division (Lemire, Kaser, Kurz 2019).  Both
 * numbers are less than 2^32.
 */
static uint64_t index_of(uint64_t line)
{
    uint64_t index = (unsigned __int128)(reciprocal * line) * num_lines >> 64;

    index += first_line;
    return index < num_lines ? index : index - num_lines;
}

/* What a line of DRAM holds when it holds this one, and it is clean. */
static uint64_t holding(uint64_t line)
{
    return sim_options.member << MEMBER_SHIFT | line << LINE_SHIFT | HELD;
}

/* The tier of the line that was held; another member's has the same as ours. */
static SimTier victim_tier(uint64_t held, SimTier tier)
{
    if (held >> MEMBER_SHIFT != sim_options.member) {
        return tier;
    }
    return sim_line_tier((uint32_t)(held >> LINE_SHIFT));
}

/* Add a transfer that begins when the earlier ones have ended. */
static uint64_t then(SimTier tier, SimDirection direction,
                     const SimTransfer *transfer, uint64_t stall)
{
    SimTransfer next = *transfer;

    next.now_ps += stall;
    return stall + sim_tier_transfer(tier, direction, &next);
}

uint64_t sim_memory_mode_transfer(uint64_t line, SimTier tier,
                                  SimDirection direction,
                                  const SimTransfer *transfer)
{
    uint64_t *held = &lines[index_of(line)];
    SimTransfer victim = *transfer;
    uint64_t stall;

    /* The tag is stored with the data, so looking it up reads the line. */
    stall = then(SIM_DRAM, SIM_READ, transfer, 0);
    if ((*held & ~(DIRTY | BY_MIGRATION)) == holding(line)) {
        sim_counters.memory_mode_hits++;
    } else {
        sim_counters.memory_mode_misses++;
        if (*held & DIRTY) {
            sim_counters.memory_mode_dirty++;
            victim.cause = *held & BY_MIGRATION ? SIM_MIGRATION : SIM_GUEST;
            stall = then(victim_tier(*held, tier), SIM_WRITE, &victim, stall);
        }
        stall = then(tier, SIM_READ, transfer, stall);
        stall = then(SIM_DRAM, SIM_WRITE, transfer, stall);
        *held = holding(line);
    }
    if (direction == SIM_WRITE) {
        stall = then(SIM_DRAM, SIM_WRITE, transfer, stall);
        *held = holding(line) | DIRTY |
            (transfer->cause == SIM_MIGRATION ? BY_MIGRATION : 0);
    }
    return stall;
}
