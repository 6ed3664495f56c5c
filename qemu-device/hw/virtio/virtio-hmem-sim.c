/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the tracker that sees reads, of the hybrid-memory simulator.
 *
 * The simulator keeps an accessed and a dirty bit for each page, set by the
 * first access after they were cleared, as an MMU does; clearing them costs
 * the guest what it costs there.  So they are cleared only where hmemd asks
 * for it.  The log is there for whoever is not beside a running vCPU: all but
 * hmem_sim_available() is called in a timer of guest time.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/plugin-access-log.h"
#include "hw/virtio/virtio-hmem-track.h"

/* Words of a map that are handled at once: 16 MiB of guest memory. */
#define HMEM_CHUNK 64

static bool hmem_sim_available(void)
{
    return qemu_plugin_get_access_log() != NULL;
}

/* Call @fn for the words of all ranges, in chunks. */
static void hmem_sim_walk(const HmemMemory *memory,
                          void (*fn)(const struct hmem_link_range *range,
                                     uint64_t word, uint64_t num,
                                     void *opaque),
                          void *opaque)
{
    uint32_t i;

    for (i = 0; i < memory->ranges->len; i++) {
        const struct hmem_link_range *range =
            &g_array_index(memory->ranges, HmemRange, i).link;
        uint64_t end = DIV_ROUND_UP(range->gfn + range->num, 64);
        uint64_t word;

        for (word = range->gfn / 64; word < end; word += HMEM_CHUNK) {
            fn(range, word, MIN(end - word, HMEM_CHUNK), opaque);
        }
    }
}

typedef struct HmemSim {
    const struct qemu_plugin_access_log *log;
    const HmemMaps *maps;
    struct hmem_link_tick *tick;
    uint64_t rearmed;
} HmemSim;

/* Add @bits to the map's words; how many of the range are set in them. */
static uint64_t hmem_sim_merge(uint64_t *map,
                               const struct hmem_link_range *range,
                               uint64_t word, uint64_t num,
                               const uint64_t *bits)
{
    uint64_t found = 0;
    uint64_t i;

    for (i = 0; i < num; i++) {
        uint64_t mine = bits[i];

        /* Most are clear. */
        if (mine) {
            mine &= hmem_range_mask(range, word + i);
            qatomic_or(&map[word + i], mine);
            found += ctpop64(mine);
        }
    }
    return found;
}

static void hmem_sim_collect_chunk(const struct hmem_link_range *range,
                                   uint64_t word, uint64_t num, void *opaque)
{
    HmemSim *sim = opaque;
    uint64_t accessed[HMEM_CHUNK] = { };
    uint64_t dirty[HMEM_CHUNK] = { };

    /* Memory that came after the device was created has no place in it. */
    num = MIN(num, MAX(sim->maps->bytes / 8, word) - word);
    if (!num) {
        return;
    }
    sim->log->collect(word * 64, num * 64, accessed, dirty);
    sim->tick->accessed += hmem_sim_merge(sim->maps->accessed, range, word,
                                          num, accessed);
    sim->tick->dirty += hmem_sim_merge(sim->maps->dirty, range, word, num,
                                       dirty);
}

static void hmem_sim_collect(const HmemMemory *memory, const HmemMaps *maps,
                             struct hmem_link_tick *tick)
{
    HmemSim sim = {
        .log = qemu_plugin_get_access_log(),
        .maps = maps,
        .tick = tick,
    };

    hmem_sim_walk(memory, hmem_sim_collect_chunk, &sim);
}

static void hmem_sim_rearm_chunk(const struct hmem_link_range *range,
                                 uint64_t word, uint64_t num, void *opaque)
{
    HmemSim *sim = opaque;
    uint64_t mask[HMEM_CHUNK];
    uint64_t found = 0;
    uint64_t i;

    num = MIN(num, MAX(sim->maps->bytes / 8, word) - word);
    for (i = 0; i < num; i++) {
        mask[i] = hmem_maps_take_rearm(sim->maps, range, word + i);
        found += ctpop64(mask[i]);
    }
    if (found) {
        sim->log->rearm(word * 64, num * 64, mask);
        sim->rearmed += found;
    }
}

static uint64_t hmem_sim_rearm(const HmemMemory *memory, const HmemMaps *maps)
{
    HmemSim sim = { .log = qemu_plugin_get_access_log(), .maps = maps };

    hmem_sim_walk(memory, hmem_sim_rearm_chunk, &sim);
    return sim.rearmed;
}

static void hmem_sim_clear_chunk(const struct hmem_link_range *range,
                                 uint64_t word, uint64_t num, void *opaque)
{
    HmemSim *sim = opaque;
    uint64_t mask[HMEM_CHUNK];
    uint64_t i;

    for (i = 0; i < num; i++) {
        mask[i] = hmem_range_mask(range, word + i);
    }
    sim->log->rearm(word * 64, num * 64, mask);
}

static void hmem_sim_clear(const HmemMemory *memory)
{
    HmemSim sim = { .log = qemu_plugin_get_access_log() };

    hmem_sim_walk(memory, hmem_sim_clear_chunk, &sim);
}

const HmemTracker hmem_tracker_sim = {
    .id = HMEM_LINK_TRACKER_SIM,
    .name = "sim",
    .available = hmem_sim_available,
    .clear = hmem_sim_clear,
    .collect = hmem_sim_collect,
    .rearm = hmem_sim_rearm,
};
