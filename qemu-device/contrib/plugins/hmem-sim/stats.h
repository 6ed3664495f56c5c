/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: counts events and writes the counts.
 */

#ifndef HMEM_SIM_STATS_H
#define HMEM_SIM_STATS_H

#include "sim.h"

/* All fields are uint64_t, so that two structs can be subtracted. */
typedef struct SimTierCounters {
    uint64_t lines[SIM_DIRECTIONS];
    uint64_t posted;                   /* lines read without waiting */
    uint64_t stall_ps[SIM_DIRECTIONS]; /* waiting time, queue included */
    uint64_t queue_ps;                 /* the part of it due to bandwidth */
} SimTierCounters;

typedef struct SimCounters {
    uint64_t guest_ns;
    uint64_t instructions;
    uint64_t llc_hits;
    uint64_t llc_misses;
    SimTierCounters tier[SIM_TIERS][SIM_CAUSES];
    uint64_t tlb_second_hits; /* misses in the first level */
    uint64_t tlb_walks;       /* misses in both */
    uint64_t tlb_ps;          /* waiting time of both */
    uint64_t memory_mode_hits;
    uint64_t memory_mode_misses;
    uint64_t memory_mode_dirty; /* dirty victims */
    uint64_t rearmed;           /* frames that had bits set */
    uint64_t accessed;          /* bits that were set again */
    uint64_t dirtied;
    uint64_t tracking_ps;
} SimCounters;

/* All parts increment these; guest_ns and instructions are not maintained. */
extern SimCounters sim_counters;

/**
 * sim_stats_init() - open the files
 *
 * Returns: false if one cannot be written; the reason is on stderr.
 */
bool sim_stats_init(void);

/* A region of interest begins, or ends.  There can be many. */
void sim_stats_begin(void);
void sim_stats_end(void);

/**
 * sim_stats_sample() - write a line with the current counters to series=FILE
 * @event: the event that caused the sample
 * @extra: more members of the JSON object, beginning with a comma; or ""
 */
void sim_stats_sample(const char *event, const char *extra);

/* Write the result to out=FILE, or to stderr. */
void sim_stats_finish(void);

#endif /* HMEM_SIM_STATS_H */
