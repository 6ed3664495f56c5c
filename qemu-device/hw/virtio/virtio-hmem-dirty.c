/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the tracker that sees writes, by dirty logging.
 *
 * QEMU keeps dirty bits apart for each of its clients.  The "VGA" client can
 * be switched on for any RAM region, and a display device of a PC or a PCI
 * card does so for its own memory only, so the bits of a node's memory are
 * ours: under KVM they come from KVM's dirty log or ring (PML on Intel), under
 * TCG from the slow path of stores.
 *
 * Live migration has its own bits, and neither takes any from the other:
 * - KVM: kvm_log_sync() ORs what KVM reports into the bits of both clients,
 *   whoever asked.  What is then protected anew (log_clear, from our snapshot)
 *   are pages that were just reported to both; migration protects them before
 *   it sends them, and earlier does no harm.  With the roles changed, the same
 *   holds for us: migration may delay its log_clear, and until then our
 *   snapshot finds those pages again and protects them itself.
 * - TCG: a store to a page that is clean for any client sets the bits of all
 *   of them, and each client clears only its own before it makes the next
 *   store to the page slow again.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "exec/ramlist.h"
#include "hw/virtio/virtio-hmem-track.h"

/* Frames in a word of the map. */
#define HMEM_WORD 64
/* Frames that are skipped at once if none is dirty: 16 MiB. */
#define HMEM_BLOCK 4096

static bool hmem_dirty_test(const HmemMemory *memory, const HmemRange *range,
                            DirtyBitmapSnapshot *snapshot, uint64_t gfn,
                            uint64_t num)
{
    hwaddr offset = range->offset +
        ((gfn - range->link.gfn) << VIRTIO_HMEM_GFN_SHIFT);

    return memory_region_snapshot_get_dirty(
        memory->tiers[range->link.tier].mr, snapshot, offset,
        num << VIRTIO_HMEM_GFN_SHIFT);
}

/*
 * The bits of the snapshot can only be asked for, but for a whole stretch at a
 * time, which QEMU answers by the word: a clean block costs one question, and
 * only words with a bit in them are taken apart.  The map takes one atomic
 * operation for each of those.
 */
static uint64_t hmem_dirty_collect_range(const HmemMemory *memory,
                                         const HmemMaps *maps,
                                         const HmemRange *range,
                                         DirtyBitmapSnapshot *snapshot)
{
    uint64_t end = MIN(range->link.gfn + range->link.num,
                       maps->bytes * 8);
    uint64_t gfn = range->link.gfn;
    uint64_t found = 0;

    while (gfn < end) {
        uint64_t block = MIN(end, QEMU_ALIGN_UP(gfn + 1, HMEM_BLOCK));

        if (!hmem_dirty_test(memory, range, snapshot, gfn, block - gfn)) {
            gfn = block;
            continue;
        }
        while (gfn < block) {
            uint64_t word = MIN(block, QEMU_ALIGN_UP(gfn + 1, HMEM_WORD));
            uint64_t *to = &maps->dirty[gfn / HMEM_WORD];
            uint64_t bits = 0;

            if (!hmem_dirty_test(memory, range, snapshot, gfn, word - gfn)) {
                gfn = word;
                continue;
            }
            for (; gfn < word; gfn++) {
                if (hmem_dirty_test(memory, range, snapshot, gfn, 1)) {
                    bits |= 1ull << (gfn % HMEM_WORD);
                }
            }
            qatomic_or(to, bits);
            found += ctpop64(bits);
        }
    }
    return found;
}

/*
 * Whole regions, because a snapshot clears whole words: a part of one could
 * take bits of its neighbour.
 */
static DirtyBitmapSnapshot *hmem_dirty_snapshot(const HmemMemory *memory,
                                                uint32_t tier)
{
    MemoryRegion *mr = memory->tiers[tier].mr;

    return memory_region_snapshot_and_clear_dirty(mr, 0,
                                                  memory_region_size(mr),
                                                  DIRTY_MEMORY_VGA);
}

static void hmem_dirty_collect(const HmemMemory *memory, const HmemMaps *maps,
                               struct hmem_link_tick *tick)
{
    uint32_t tier, i;

    for (tier = 0; tier < memory->num_tiers; tier++) {
        g_autofree DirtyBitmapSnapshot *snapshot =
            hmem_dirty_snapshot(memory, tier);

        for (i = 0; i < memory->ranges->len; i++) {
            const HmemRange *range =
                &g_array_index(memory->ranges, HmemRange, i);

            if (range->link.tier == tier) {
                tick->dirty += hmem_dirty_collect_range(memory, maps, range,
                                                        snapshot);
            }
        }
    }
}

static void hmem_dirty_start(const HmemMemory *memory)
{
    uint32_t tier;

    for (tier = 0; tier < memory->num_tiers; tier++) {
        memory_region_set_log(memory->tiers[tier].mr, true, DIRTY_MEMORY_VGA);
        /*
         * What was written before tracking started, or is called written
         * because nobody has looked: of no window.
         */
        g_free(hmem_dirty_snapshot(memory, tier));
    }
}

static void hmem_dirty_stop(const HmemMemory *memory)
{
    uint32_t tier;

    for (tier = 0; tier < memory->num_tiers; tier++) {
        memory_region_set_log(memory->tiers[tier].mr, false, DIRTY_MEMORY_VGA);
    }
}

/* Taking a snapshot is what arms it for the next window. */
const HmemTracker hmem_tracker_dirty = {
    .id = HMEM_LINK_TRACKER_DIRTY,
    .name = "dirty",
    .start = hmem_dirty_start,
    .stop = hmem_dirty_stop,
    .collect = hmem_dirty_collect,
};

/* What is accessed is hmemd's to find out. */
const HmemTracker hmem_tracker_host = {
    .id = HMEM_LINK_TRACKER_HOST,
    .name = "host",
    .start = hmem_dirty_start,
    .stop = hmem_dirty_stop,
    .collect = hmem_dirty_collect,
};
