/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: which tier a frame of guest memory belongs to, and its accessed
 * and dirty bit.
 *
 * The bits are those of a hypervisor's page tables (EPT), as far as the guest
 * can feel them: the first access after rearming misses the TLB, walks, and
 * sets the accessed bit; the first store the dirty bit.
 */

#ifndef HMEM_SIM_FRAMES_H
#define HMEM_SIM_FRAMES_H

#include "sim.h"

/* A byte for each frame: one load serves tier and bits. */
#define SIM_FRAME_TIER 0x03 /* SIM_TIERS: no memory of a node */
#define SIM_FRAME_ACCESSED 0x10
#define SIM_FRAME_DIRTY 0x20
#define SIM_FRAME_ARMED 0x40 /* somebody has ever rearmed it */

extern uint8_t *sim_frames;
extern uint64_t sim_num_frames;

/* Of the guest, for the record. */
extern unsigned int sim_num_nodes;
extern uint64_t sim_node_bytes[SIM_MAX_NODES];

/**
 * sim_frames_init() - find out where the guest's memory lies
 *
 * To be called when the guest runs.
 * Returns: false if the model does not fit it, having said so on stderr.
 */
bool sim_frames_init(void);

static inline bool sim_frame_is_memory(uint64_t gfn)
{
    return gfn < sim_num_frames &&
        (sim_frames[gfn] & SIM_FRAME_TIER) != SIM_TIERS;
}

static inline SimTier sim_line_tier(uint64_t line)
{
    return sim_frames[line >> SIM_LINES_PER_FRAME_SHIFT] & SIM_FRAME_TIER;
}

/* An access that is the first of its kind; costs the guest a walk. */
void sim_frame_set(uint64_t gfn, uint8_t bits);

static inline void sim_frame_touch(uint64_t gfn, bool store)
{
    uint8_t bits = SIM_FRAME_ACCESSED | (store ? SIM_FRAME_DIRTY : 0);

    if (unlikely((sim_frames[gfn] & bits) != bits)) {
        sim_frame_set(gfn, bits);
    }
}

/* See struct qemu_plugin_access_log. */
void sim_frames_collect(uint64_t gfn, uint64_t num, uint64_t *accessed,
                        uint64_t *dirty);
void sim_frames_rearm(uint64_t gfn, uint64_t num, const uint64_t *mask);

#endif /* HMEM_SIM_FRAMES_H */
