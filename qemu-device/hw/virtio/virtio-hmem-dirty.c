/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which pages the guest writes, window by window.
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
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qapi/error.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "exec/ramlist.h"
#include "hw/virtio/virtio-hmem-dirty.h"
#include "trace.h"

/* Frames in a word of the map. */
#define HMEM_WORD 64
/* Frames that are skipped at once if none is dirty: 16 MiB. */
#define HMEM_BLOCK 4096

static bool hmem_dirty_test(const HmemDirty *dirty, const HmemRange *range,
                            DirtyBitmapSnapshot *snapshot, uint64_t gfn,
                            uint64_t num)
{
    hwaddr offset = range->offset +
        ((gfn - range->link.gfn) << VIRTIO_HMEM_GFN_SHIFT);

    return memory_region_snapshot_get_dirty(
        dirty->memory->tiers[range->link.tier].mr, snapshot, offset,
        num << VIRTIO_HMEM_GFN_SHIFT);
}

/*
 * The bits of the snapshot can only be asked for, but for a whole stretch at a
 * time, which QEMU answers by the word: a clean block costs one question, and
 * only words with a bit in them are taken apart.  The map takes one atomic
 * operation for each of those.
 */
static uint64_t hmem_dirty_collect_range(HmemDirty *dirty,
                                         const HmemRange *range,
                                         DirtyBitmapSnapshot *snapshot)
{
    uint64_t end = MIN(range->link.gfn + range->link.num,
                       dirty->map_bytes * 8);
    uint64_t gfn = range->link.gfn;
    uint64_t found = 0;

    while (gfn < end) {
        uint64_t block = MIN(end, QEMU_ALIGN_UP(gfn + 1, HMEM_BLOCK));

        if (!hmem_dirty_test(dirty, range, snapshot, gfn, block - gfn)) {
            gfn = block;
            continue;
        }
        while (gfn < block) {
            uint64_t word = MIN(block, QEMU_ALIGN_UP(gfn + 1, HMEM_WORD));
            uint64_t *to = &dirty->map[gfn / HMEM_WORD];
            uint64_t bits = 0;

            if (!hmem_dirty_test(dirty, range, snapshot, gfn, word - gfn)) {
                gfn = word;
                continue;
            }
            for (; gfn < word; gfn++) {
                if (hmem_dirty_test(dirty, range, snapshot, gfn, 1)) {
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
static DirtyBitmapSnapshot *hmem_dirty_snapshot(HmemDirty *dirty,
                                                uint32_t tier)
{
    MemoryRegion *mr = dirty->memory->tiers[tier].mr;

    return memory_region_snapshot_and_clear_dirty(mr, 0,
                                                  memory_region_size(mr),
                                                  DIRTY_MEMORY_VGA);
}

static uint64_t hmem_dirty_collect(HmemDirty *dirty)
{
    const HmemMemory *memory = dirty->memory;
    uint64_t found = 0;
    uint32_t tier, i;

    for (tier = 0; tier < memory->num_tiers; tier++) {
        g_autofree DirtyBitmapSnapshot *snapshot =
            hmem_dirty_snapshot(dirty, tier);

        for (i = 0; i < memory->ranges->len; i++) {
            const HmemRange *range =
                &g_array_index(memory->ranges, HmemRange, i);

            if (range->link.tier == tier) {
                found += hmem_dirty_collect_range(dirty, range, snapshot);
            }
        }
    }
    return found;
}

static void hmem_dirty_timer(void *opaque)
{
    HmemDirty *dirty = opaque;
    uint64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    struct hmem_link_tick tick;

    /* A slow daemon gets a longer window: hmem_dirty_done() comes back. */
    if (dirty->busy) {
        return;
    }
    tick = (struct hmem_link_tick) {
        .seq = ++dirty->seq,
        .vtime_ns = now,
        .window_ns = now - dirty->tick_ns,
        .dirty = hmem_dirty_collect(dirty),
    };
    dirty->tick_ns = now;
    dirty->busy = true;
    dirty->max_seq = MAX(dirty->max_seq, tick.seq);
    dirty->num_ticks++;
    dirty->num_dirty += tick.dirty;
    trace_virtio_hmem_tick(tick.seq, tick.vtime_ns, tick.window_ns,
                           tick.dirty);
    timer_mod(dirty->timer, now + dirty->window_ns);
    dirty->tick(dirty->opaque, &tick);
}

bool hmem_dirty_done(HmemDirty *dirty, uint64_t seq)
{
    if (seq == 0 || seq > dirty->max_seq) {
        return false;
    }
    /* Otherwise an answer from before tracking was stopped, and late. */
    if (dirty->busy && seq == dirty->seq) {
        dirty->busy = false;
        if (!timer_pending(dirty->timer)) {
            timer_mod(dirty->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
        }
    }
    return true;
}

void hmem_dirty_start(HmemDirty *dirty, uint64_t window_ns)
{
    const HmemMemory *memory = dirty->memory;
    uint32_t tier;

    if (!dirty->window_ns) {
        for (tier = 0; tier < memory->num_tiers; tier++) {
            memory_region_set_log(memory->tiers[tier].mr, true,
                                  DIRTY_MEMORY_VGA);
            /*
             * What was written before tracking started, or is called written
             * because nobody has looked: of no window.
             */
            g_free(hmem_dirty_snapshot(dirty, tier));
        }
        dirty->seq = 0;
        dirty->busy = false;
        dirty->tick_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    }
    trace_virtio_hmem_track(window_ns);
    dirty->window_ns = window_ns;
    timer_mod(dirty->timer, dirty->tick_ns + window_ns);
}

void hmem_dirty_stop(HmemDirty *dirty)
{
    const HmemMemory *memory = dirty->memory;
    uint32_t tier;

    if (!dirty->window_ns) {
        return;
    }
    trace_virtio_hmem_track(0);
    timer_del(dirty->timer);
    dirty->window_ns = 0;
    dirty->busy = false;
    for (tier = 0; tier < memory->num_tiers; tier++) {
        memory_region_set_log(memory->tiers[tier].mr, false,
                              DIRTY_MEMORY_VGA);
    }
}

bool hmem_dirty_realize(HmemDirty *dirty, const HmemMemory *memory,
                        void (*tick)(void *opaque,
                                     const struct hmem_link_tick *tick),
                        void *opaque, Error **errp)
{
    uint64_t bytes = DIV_ROUND_UP(hmem_memory_end(memory), 8);

    dirty->memory = memory;
    dirty->tick = tick;
    dirty->opaque = opaque;
    dirty->map_bytes = ROUND_UP(bytes, qemu_real_host_page_size());
    dirty->map = qemu_memfd_alloc("virtio-hmem-dirty", dirty->map_bytes,
                                  F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL,
                                  &dirty->fd, errp);
    if (!dirty->map) {
        return false;
    }
    dirty->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, hmem_dirty_timer, dirty);
    return true;
}

void hmem_dirty_unrealize(HmemDirty *dirty)
{
    hmem_dirty_stop(dirty);
    timer_free(dirty->timer);
    qemu_memfd_free(dirty->map, dirty->map_bytes, dirty->fd);
    dirty->timer = NULL;
    dirty->map = NULL;
}
