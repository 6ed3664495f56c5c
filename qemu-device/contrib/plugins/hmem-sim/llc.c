/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the last-level cache.
 */

#include <glib.h>
#include <string.h>

#include "filter.h"
#include "llc.h"
#include "memory.h"
#include "options.h"
#include "prefetch.h"
#include "stats.h"

/* A way is line << LINE_SHIFT | slot of the filter << SLOT_SHIFT | flags. */
enum {
    DIRTY = 1,
    BY_MIGRATION = 2, /* only migration has written to the line */
    SLOT_SHIFT = 2,
    LINE_SHIFT = 16,
};

#define NOTHING UINT64_MAX

G_STATIC_ASSERT(SIM_SLOTS <= 1 << (LINE_SHIFT - SLOT_SHIFT));

static uint64_t *all_ways; /* the ways of a set: most recently used first */
static uint64_t set_mask;
static unsigned int ways;

void sim_llc_init(void)
{
    uint64_t lines = sim_options.llc / SIM_LINE;

    ways = sim_options.ways;
    set_mask = lines / ways - 1;
    all_ways = g_new(uint64_t, lines);
    memset(all_ways, 0xff, lines * sizeof(*all_ways));
}

static uint64_t line_of(uint64_t way)
{
    return way >> LINE_SHIFT;
}

static unsigned int slot_of(uint64_t way)
{
    return way >> SLOT_SHIFT & (SIM_SLOTS - 1);
}

static void evict(uint64_t way)
{
    if (way == NOTHING) {
        return;
    }
    sim_filter_drop(slot_of(way), line_of(way));
    if (way & DIRTY) {
        sim_memory_write(line_of(way),
                         way & BY_MIGRATION ? SIM_MIGRATION : SIM_GUEST);
    }
}

static uint64_t after_store(uint64_t flags, SimCause cause)
{
    if (cause == SIM_GUEST) {
        return DIRTY;
    }
    return flags & DIRTY ? flags : DIRTY | BY_MIGRATION;
}

void sim_llc_access(uint64_t line, unsigned int slot, bool store,
                    SimCause cause)
{
    uint64_t *set = &all_ways[(line & set_mask) * ways];
    uint64_t flags = 0;
    unsigned int way = 0;

    while (way < ways && line_of(set[way]) != line) {
        way++;
    }
    if (way < ways) {
        sim_counters.llc_hits++;
        flags = set[way] & (DIRTY | BY_MIGRATION);
        if (slot_of(set[way]) != slot) {
            sim_filter_drop(slot_of(set[way]), line);
        }
    } else {
        sim_counters.llc_misses++;
        sim_memory_read(line, cause, sim_options.prefetch &&
                        sim_prefetched(line));
        way--;
        evict(set[way]);
    }
    if (store) {
        flags = after_store(flags, cause);
    }
    memmove(set + 1, set, way * sizeof(*set));
    set[0] = line << LINE_SHIFT | (uint64_t)slot << SLOT_SHIFT | flags;
}
