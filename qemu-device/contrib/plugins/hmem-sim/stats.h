/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: what has been counted, and how it is told.
 */

#ifndef HMEM_SIM_STATS_H
#define HMEM_SIM_STATS_H

#include "sim.h"

/* All of uint64_t, so that two can be subtracted. */
typedef struct SimTierCounters {
    uint64_t lines[SIM_DIRECTIONS];
    uint64_t posted;                   /* of the lines read */
    uint64_t stall_ps[SIM_DIRECTIONS]; /* with the queue */
    uint64_t queue_ps;                 /* for bandwidth, of the stall */
} SimTierCounters;

typedef struct SimCounters {
    uint64_t guest_ns;
    uint64_t instructions;
    uint64_t llc_hits;
    uint64_t llc_misses;
    SimTierCounters tier[SIM_TIERS][SIM_CAUSES];
    uint64_t memory_mode_hits;
    uint64_t memory_mode_misses;
    uint64_t memory_mode_dirty; /* victims */
    uint64_t rearmed;           /* frames, bits of which were set */
    uint64_t accessed;          /* bits that were set again */
    uint64_t dirtied;
    uint64_t tracking_ps;
} SimCounters;

/* Counted up by all parts; guest_ns and instructions are not kept. */
extern SimCounters sim_counters;

/**
 * sim_stats_init() - open the files
 *
 * Returns: false if one cannot be written, having said so on stderr.
 */
bool sim_stats_init(void);

/* The region of interest begins and ends; it may do so many times. */
void sim_stats_begin(void);
void sim_stats_end(void);

/**
 * sim_stats_sample() - write a line with the current counters to series=FILE
 * @event: what led to it
 * @extra: more members of the JSON object, beginning with a comma; or ""
 */
void sim_stats_sample(const char *event, const char *extra);

/* Write the result to out=FILE, or else to stderr. */
void sim_stats_finish(void);

#endif /* HMEM_SIM_STATS_H */
