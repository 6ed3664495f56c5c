/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the tier, the accessed bit and the dirty bit of each frame of
 * guest memory.
 */

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <qemu-plugin.h>

#include "clock.h"
#include "filter.h"
#include "frames.h"
#include "options.h"
#include "stats.h"

uint8_t *sim_frames;
uint64_t sim_num_frames;
unsigned int sim_num_nodes;
uint64_t sim_node_bytes[SIM_MAX_NODES];

static uint64_t walk_ps;

static void add_ram(uint64_t gpa, uint64_t size, unsigned int node,
                    void *userdata)
{
    uint64_t first = gpa >> SIM_FRAME_SHIFT;
    uint64_t end = (gpa + size) >> SIM_FRAME_SHIFT;

    sim_num_nodes = MAX(sim_num_nodes, node + 1);
    if (node >= SIM_MAX_NODES || first == end) {
        return;
    }
    if (end > sim_num_frames) {
        sim_frames = g_realloc(sim_frames, end);
        memset(sim_frames + sim_num_frames, SIM_TIERS, end - sim_num_frames);
        sim_num_frames = end;
    }
    memset(sim_frames + first, sim_options.node[node], end - first);
    sim_node_bytes[node] += size;
}

/* One frame of the host's tables has the entries for 512 pages. */
static uint64_t num_host_frames(void)
{
    return sim_num_frames / (SIM_FRAME / sizeof(uint64_t)) + 1;
}

static void add_host_tables(void)
{
    uint64_t num = num_host_frames();

    sim_frames = g_realloc(sim_frames, sim_num_frames + num);
    memset(sim_frames + sim_num_frames, sim_options.node[0], num);
}

bool sim_frames_init(void)
{
    if (!qemu_plugin_for_each_ram(add_ram, NULL)) {
        fputs("hmem-sim: no memory of the guest's is known\n", stderr);
        return false;
    }
    if (sim_num_nodes > SIM_MAX_NODES) {
        fprintf(stderr, "hmem-sim: the guest has memory in NUMA node %u, but "
                "only 0 to %d are supported\n", sim_num_nodes - 1,
                SIM_MAX_NODES - 1);
        return false;
    }
    if (sim_options.memory_mode &&
        (sim_num_frames + num_host_frames()) << SIM_LINES_PER_FRAME_SHIFT >
        UINT32_MAX) {
        fputs("hmem-sim: memory_mode is for guest memory below 255 GiB\n",
              stderr);
        return false;
    }
    add_host_tables();
    walk_ps = sim_options.walk_ns * 1000;
    return true;
}

void sim_frame_set(uint64_t gfn, uint8_t bits)
{
    /* Atomic, in case that another thread rearms at the same time. */
    uint8_t old = __atomic_fetch_or(&sim_frames[gfn], bits, __ATOMIC_RELAXED);

    if (old & SIM_FRAME_ARMED) {
        sim_counters.accessed += !(old & SIM_FRAME_ACCESSED);
        sim_counters.dirtied += !!(bits & ~old & SIM_FRAME_DIRTY);
        sim_counters.tracking_ps += walk_ps;
        sim_wait(walk_ps);
    }
}

void sim_frames_collect(uint64_t gfn, uint64_t num, uint64_t *accessed,
                        uint64_t *dirty)
{
    uint64_t i;

    for (i = 0; i < num && gfn + i < sim_num_frames; i++) {
        uint64_t frame = sim_frames[gfn + i];

        accessed[i / 64] |= (uint64_t)!!(frame & SIM_FRAME_ACCESSED) << i % 64;
        dirty[i / 64] |= (uint64_t)!!(frame & SIM_FRAME_DIRTY) << i % 64;
    }
}

static void rearm_frame(uint64_t gfn, uint8_t bits)
{
    if (sim_frame_is_memory(gfn)) {
        uint8_t old = __atomic_fetch_and(&sim_frames[gfn], ~bits,
                                         __ATOMIC_RELAXED);

        __atomic_fetch_or(&sim_frames[gfn], SIM_FRAME_ARMED, __ATOMIC_RELAXED);
        sim_counters.rearmed += !!(old & bits);
    }
}

void sim_frames_rearm(uint64_t gfn, uint64_t num, const uint64_t *mask,
                      bool dirty)
{
    const uint8_t bits = SIM_FRAME_ACCESSED | (dirty ? SIM_FRAME_DIRTY : 0);
    uint64_t word, left;

    for (word = 0; word < num / 64; word++) {
        for (left = mask[word]; left; left &= left - 1) {
            rearm_frame(gfn + word * 64 + __builtin_ctzll(left), bits);
        }
    }
    sim_filter_flush_all();
}
