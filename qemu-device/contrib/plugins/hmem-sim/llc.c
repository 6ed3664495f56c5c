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

static uint64_t *set_of(uint64_t line)
{
    return &all_ways[(line & set_mask) * ways];
}

/* The way of @set that has the line; ways if none has. */
static unsigned int find(const uint64_t *set, uint64_t line)
{
    unsigned int way = 0;

    while (way < ways && line_of(set[way]) != line) {
        way++;
    }
    return way;
}

/* Count and read a line that no way of @set has.  Returns: the way for it. */
static unsigned int fill(const uint64_t *set, uint64_t line, SimCause cause,
                         bool prefetched)
{
    sim_counters.llc_misses++;
    sim_memory_read(line, cause, prefetched);
    evict(set[ways - 1]);
    return ways - 1;
}

/* Put @value, which was in @way, at the front of @set. */
static void move_to_front(uint64_t *set, unsigned int way, uint64_t value)
{
    memmove(set + 1, set, way * sizeof(*set));
    set[0] = value;
}

void sim_llc_access(uint64_t line, unsigned int slot, bool store,
                    SimCause cause)
{
    uint64_t *set = set_of(line);
    unsigned int way = find(set, line);
    uint64_t flags = 0;

    if (way < ways) {
        sim_counters.llc_hits++;
        flags = set[way] & (DIRTY | BY_MIGRATION);
        if (slot_of(set[way]) != slot) {
            sim_filter_drop(slot_of(set[way]), line);
        }
    } else {
        way = fill(set, line, cause,
                   sim_options.prefetch &&
                   sim_prefetched(sim_filter_vcpu(slot), line));
    }
    if (store) {
        flags = after_store(flags, cause);
    }
    move_to_front(set, way, line << LINE_SHIFT |
                  (uint64_t)slot << SLOT_SHIFT | flags);
}

bool sim_llc_walk(uint64_t line, SimCause cause)
{
    uint64_t *set = set_of(line);
    unsigned int way = find(set, line);

    if (way < ways) {
        sim_counters.llc_hits++;
        move_to_front(set, way, set[way]);
        return true;
    }
    /* Slot 0 does not have the line, so nothing is dropped when it leaves. */
    way = fill(set, line, cause, false);
    move_to_front(set, way, line << LINE_SHIFT);
    return false;
}
