/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the tracker of the hybrid-memory simulator, which sees reads,
 * too.
 *
 * The simulator keeps an accessed and a dirty bit for each page.  The first
 * access after a bit was cleared sets the bit, as in an MMU. Clearing bits
 * costs the simulated guest what it costs on hardware, so only bits that hmemd
 * names are cleared.  The simulator's log may not be used while a vCPU runs, so
 * all functions except hmem_sim_available() are called in a timer of guest
 * time.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/plugin-access-log.h"
#include "hw/virtio/virtio-hmem-track.h"

/* Words of a map that are processed together: 16 MiB of guest memory. */
#define HMEM_CHUNK 64

static bool hmem_sim_available(const HmemTrack *track)
{
    return qemu_plugin_get_access_log() != NULL;
}

/* Call @fn for the words of all ranges, a chunk at a time. */
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

/*
 * OR @bits into the map's words.  Returns how many of the range's bits are set.
 */
static uint64_t hmem_sim_merge(uint64_t *map,
                               const struct hmem_link_range *range,
                               uint64_t word, uint64_t num,
                               const uint64_t *bits)
{
    uint64_t found = 0;
    uint64_t i;

    for (i = 0; i < num; i++) {
        uint64_t mine = bits[i];

        /* Most words are clear: skip them. */
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

    /*
     * The maps have no room for memory that came after the device was created.
     */
    num = MIN(num, MAX(sim->maps->bytes / 8, word) - word);
    if (!num) {
        return;
    }
    sim->log->collect(word * 64, num * 64, accessed, dirty);
    sim->tick->accessed += hmem_sim_merge(sim->maps->accessed, range, word,
                                          num, accessed);
    if (sim->maps->want_written) {
        sim->tick->dirty += hmem_sim_merge(sim->maps->dirty, range, word, num,
                                           dirty);
    }
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
        sim->log->rearm(word * 64, num * 64, mask, sim->maps->want_written);
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
    sim->log->rearm(word * 64, num * 64, mask, true);
}

static void hmem_sim_clear(const HmemMemory *memory)
{
    HmemSim sim = { .log = qemu_plugin_get_access_log() };

    hmem_sim_walk(memory, hmem_sim_clear_chunk, &sim);
}

const HmemTracker hmem_tracker_sim = {
    .id = HMEM_LINK_TRACKER_SIM,
    .shown = VIRTIO_HMEM_TRACKER_SIM,
    .available = hmem_sim_available,
    .clear = hmem_sim_clear,
    .collect = hmem_sim_collect,
    .rearm = hmem_sim_rearm,
};
