/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the tier, the accessed bit and the dirty bit of each frame of
 * guest memory.
 *
 * The bits model those of a hypervisor's page tables (EPT): the first access
 * after rearming misses the TLB, walks the tables, and sets the accessed bit;
 * the first store sets the dirty bit.
 */

#ifndef HMEM_SIM_FRAMES_H
#define HMEM_SIM_FRAMES_H

#include "sim.h"

/* One byte per frame, so that one load reads tier and bits. */
#define SIM_FRAME_TIER 0x03 /* SIM_TIERS: the frame is no memory of a node */
#define SIM_FRAME_ACCESSED 0x10
#define SIM_FRAME_DIRTY 0x20
#define SIM_FRAME_ARMED 0x40 /* the frame has been rearmed at least once */

extern uint8_t *sim_frames;
extern uint64_t sim_num_frames; /* of the guest's memory */

/* The guest's NUMA nodes, for the output. */
extern unsigned int sim_num_nodes;
extern uint64_t sim_node_bytes[SIM_MAX_NODES];

/**
 * sim_frames_init() - find the guest's memory
 *
 * To be called when the guest runs.
 * Returns: false if the model does not fit the guest; the reason is on stderr.
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

/*
 * The line with the host's entry for a page of guest-physical memory, by the
 * number of that page of option host_page=.  The host's tables are in memory of
 * the first node's tier, behind the guest's.
 */
static inline uint64_t sim_host_table_line(uint64_t page)
{
    return (sim_num_frames << SIM_LINES_PER_FRAME_SHIFT) +
        page / (SIM_LINE / sizeof(uint64_t));
}

/* Set bits that are clear, and charge the guest for a page-table walk. */
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
void sim_frames_rearm(uint64_t gfn, uint64_t num, const uint64_t *mask,
                      bool dirty);

#endif /* HMEM_SIM_FRAMES_H */
