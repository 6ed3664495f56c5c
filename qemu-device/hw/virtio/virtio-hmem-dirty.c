/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: finds written pages by dirty logging.
 *
 * QEMU keeps separate dirty bits for each of its clients.  The "VGA" client can
 * be switched on for any RAM region.  Display devices of a PC or a PCI card use
 * it for their own memory only, so for the memory of a node this device is the
 * only user.  Under KVM the bits come from KVM's dirty log or ring (PML on
 * Intel), under TCG from the slow path of stores.
 *
 * Live migration has bits of its own.  Neither client takes bits from the
 * other:
 * - KVM: kvm_log_sync() ORs what KVM reports into the bits of both clients,
 *   whichever client called it.  When this device takes bits, log_clear
 *   write-protects pages that were just reported to both clients.  Migration
 *   protects pages before it sends them, and protecting them earlier does no
 *   harm.  The reverse holds as well: migration may delay its log_clear, and
 *   until then the next pass of this device finds these pages again and
 *   protects them itself.
 * - TCG: a store to a page that is clean for any client sets the bits of all
 *   clients.  Each client clears its own bits only, before it makes the next
 *   store to the page slow again.
 *
 * The BQL: switching the log on, syncing it and clearing bits can drop the BQL,
 * because emptying KVM's dirty ring stops the vCPUs (run_on_cpu()).  The guest
 * can then eject or reset the device, and memory can come and go.  All three
 * happen in hmem_log_chunk() only, which holds nothing but references to the
 * log and to the memory region.  Afterwards it looks up the regions, the ranges
 * and the maps again, and only if the pass is still the same.
 *
 * Switching the log off does not drop the BQL. But like any change of memory
 * regions, it calls all memory listeners.  A listener can find that a virtqueue
 * is in no memory any more and raise an interrupt, whose address the guest has
 * chosen: so the device can be reset or unplugged here, too.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "system/memory-dirty.h"
#include "hw/virtio/virtio-hmem-dirty.h"
#include "trace.h"

#define HMEM_PAGE (1 << VIRTIO_HMEM_GFN_SHIFT)
/* Frames per word of the map. */
#define HMEM_WORD 64

/*
 * The BQL is held for one slice at most, and then free for at least as long.
 * So a vCPU that waits for the BQL, as it does for any other device, waits for
 * one slice at most.
 */
#define HMEM_SLICE_NS (2 * SCALE_MS)
/*
 * Pages whose bits one call takes, so many that the call itself costs little.
 */
#define HMEM_CHUNK (128 * MiB / HMEM_PAGE)
#define HMEM_CHUNK_NS HMEM_DIRTY_PAGES_NS(HMEM_CHUNK + HMEM_CHUNK / HMEM_WORD)
QEMU_BUILD_BUG_ON(HMEM_CHUNK_NS > HMEM_SLICE_NS);

/* A memory region whose writes are logged, or will be in this pass. */
typedef struct HmemLogRegion {
    /* The log holds a reference. */
    MemoryRegion *mr;
    bool on;
    /*
     * A pass has covered the region, so what is found now belongs to a window.
     */
    bool cleared;
    /*
     * Progress of this pass: the host's bits have been fetched; those up to
     * @next have been taken.
     */
    bool synced;
    hwaddr next;
} HmemLogRegion;

struct HmemLog {
    /*
     * One reference of the owner, and one of each caller that changes regions.
     */
    unsigned int refs;
    const HmemMemory *memory;
    const HmemMaps *maps;
    void (*done)(void *opaque, uint64_t dirty);
    void *opaque;

    QEMUTimer *timer;
    QEMUBH *bh;
    /* HmemLogRegion */
    GArray *regions;
    /* Number of the pass, so that code can tell if its pass has ended. */
    uint64_t pass;
    bool at_once;
    uint64_t found;
    HmemLogStats stats;
};

/*
 * Regions
 */

static HmemLogRegion *hmem_log_region(const HmemLog *log, uint32_t i)
{
    return &g_array_index(log->regions, HmemLogRegion, i);
}

static HmemLogRegion *hmem_log_find_region(const HmemLog *log,
                                           const MemoryRegion *mr)
{
    uint32_t i;

    for (i = 0; i < log->regions->len; i++) {
        if (hmem_log_region(log, i)->mr == mr) {
            return hmem_log_region(log, i);
        }
    }
    return NULL;
}

/* Add the regions of all ranges. */
static void hmem_log_add_regions(HmemLog *log)
{
    uint32_t i;

    for (i = 0; i < log->memory->ranges->len; i++) {
        HmemLogRegion region = {
            .mr = g_array_index(log->memory->ranges, HmemRange, i).mr,
        };

        if (!hmem_log_find_region(log, region.mr)) {
            memory_region_ref(region.mr);
            g_array_append_val(log->regions, region);
        }
    }
}

static void hmem_log_unref(HmemLog *log)
{
    if (--log->refs == 0) {
        g_array_unref(log->regions);
        g_free(log);
    }
}

/* Remove a region.  Memory listeners can remove others during the call. */
static void hmem_log_remove_region(HmemLog *log, uint32_t i)
{
    HmemLogRegion region = *hmem_log_region(log, i);

    g_array_remove_index(log->regions, i);
    if (region.on) {
        memory_region_set_log(region.mr, false, DIRTY_MEMORY_VGA);
    }
    memory_region_unref(region.mr);
}

/*
 * Remove the regions of memory that was unplugged.  The memory listener cannot
 * do this because it may not change memory regions, so a bottom half does.
 */
static void hmem_log_drop_regions(void *opaque)
{
    HmemLog *log = opaque;
    uint32_t i = 0;

    log->refs++;
    while (i < log->regions->len) {
        if (hmem_memory_has_region(log->memory, hmem_log_region(log, i)->mr)) {
            i++;
        } else {
            hmem_log_remove_region(log, i);
        }
    }
    hmem_log_unref(log);
}

void hmem_log_memory_changed(HmemLog *log)
{
    qemu_bh_schedule(log->bh);
}

/*
 * Passes
 */

/* 64 bits from @bit on.  @bits has a spare word at its end. */
static uint64_t hmem_bits_at(const unsigned long *bits, uint64_t bit)
{
    uint64_t word = 0;
    int have = 0;

    while (have < HMEM_WORD) {
        const int offset = (bit + have) % BITS_PER_LONG;

        word |= (uint64_t)(bits[(bit + have) / BITS_PER_LONG] >> offset) <<
            have;
        have += BITS_PER_LONG - offset;
    }
    return word;
}

/*
 * OR the bits of @mr from @start on into the map, for all ranges that this part
 * of @mr contains.  Each word that is not clear takes one atomic operation.
 */
static void hmem_log_merge(HmemLog *log, const MemoryRegion *mr, hwaddr start,
                           hwaddr size, const unsigned long *bits)
{
    const HmemMemory *memory = log->memory;
    uint32_t i;

    for (i = 0; i < memory->ranges->len; i++) {
        const HmemRange *range = &g_array_index(memory->ranges, HmemRange, i);
        const hwaddr from = MAX(start, range->offset);
        const hwaddr to = MIN(start + size, range->offset +
                              (range->link.num << VIRTIO_HMEM_GFN_SHIFT));
        uint64_t gfn, end, bit;

        if (range->mr != mr || from >= to) {
            continue;
        }
        gfn = range->link.gfn + (from - range->offset) / HMEM_PAGE;
        end = MIN(gfn + (to - from) / HMEM_PAGE, log->maps->bytes * 8);
        bit = (from - start) / HMEM_PAGE;
        while (gfn < end) {
            const int at = gfn % HMEM_WORD;
            const int num = MIN(HMEM_WORD - at, end - gfn);
            const uint64_t word = hmem_bits_at(bits, bit) &
                (UINT64_MAX >> (HMEM_WORD - num));

            if (word) {
                qatomic_or(&log->maps->dirty[gfn / HMEM_WORD], word << at);
                log->found += ctpop64(word);
            }
            gfn += num;
            bit += num;
        }
    }
}

/*
 * Take the bits of the next chunk of a region.  Returns how many were set, or
 * -1 if the pass has ended meanwhile.
 */
static int64_t hmem_log_chunk(HmemLog *log, HmemLogRegion *region)
{
    const uint64_t pass = log->pass;
    MemoryRegion *mr = region->mr;
    const hwaddr start = region->next;
    const hwaddr size = MIN(memory_region_size(mr) - start,
                            (hwaddr)HMEM_CHUNK * HMEM_PAGE);
    const bool on = region->on, synced = region->synced;
    unsigned long bits[BITS_TO_LONGS(HMEM_CHUNK) + 1] = { };
    int64_t num;

    region->on = true;
    /* Each of the next three calls can invalidate @region. */
    memory_region_ref(mr);
    if (!on) {
        memory_region_set_log(mr, true, DIRTY_MEMORY_VGA);
    }
    if (!synced && log->pass == pass) {
        memory_region_sync_dirty(mr);
    }
    if (log->pass == pass) {
        memory_region_take_dirty(mr, start, size, DIRTY_MEMORY_VGA, bits);
    }

    num = log->pass == pass ? bitmap_count_one(bits, HMEM_CHUNK) : -1;
    region = num < 0 ? NULL : hmem_log_find_region(log, mr);
    if (region) {
        region->synced = true;
        region->next = start + size;
        /* In the first pass, the bits are of writes before the window. */
        if (region->cleared) {
            hmem_log_merge(log, mr, start, size, bits);
        }
    }
    memory_region_unref(mr);
    return num;
}

/* The region to continue with, or NULL if the pass has covered all. */
static HmemLogRegion *hmem_log_next(HmemLog *log)
{
    uint32_t i;

    for (i = 0; i < log->regions->len; i++) {
        HmemLogRegion *region = hmem_log_region(log, i);

        if (region->next < memory_region_size(region->mr)) {
            return region;
        }
    }
    return NULL;
}

static void hmem_log_finish(HmemLog *log)
{
    uint32_t i;

    for (i = 0; i < log->regions->len; i++) {
        hmem_log_region(log, i)->cleared = true;
    }
    log->stats.pages += log->found;
    log->done(log->opaque, log->found);
}

/* Counts the cost of a slice instead of measuring it, so that runs repeat. */
static void hmem_log_slice(void *opaque)
{
    HmemLog *log = opaque;
    HmemLogRegion *region;
    uint64_t cost_ns = 0;
    int64_t num = 0;

    log->refs++;
    log->stats.slices++;
    while ((region = hmem_log_next(log)) &&
           (log->at_once || cost_ns + HMEM_CHUNK_NS <= HMEM_SLICE_NS)) {
        num = hmem_log_chunk(log, region);
        if (num < 0) {
            break;
        }
        cost_ns += HMEM_DIRTY_PAGES_NS(num + HMEM_CHUNK / HMEM_WORD);
    }
    if (num >= 0) {
        trace_virtio_hmem_log_slice(cost_ns, !region);
        if (region) {
            timer_mod(log->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                      HMEM_SLICE_NS);
        } else {
            hmem_log_finish(log);
        }
    }
    hmem_log_unref(log);
}

void hmem_log_pass(HmemLog *log, bool at_once)
{
    uint32_t i;

    log->stats.on += !log->regions->len;
    hmem_log_add_regions(log);
    for (i = 0; i < log->regions->len; i++) {
        HmemLogRegion *region = hmem_log_region(log, i);

        region->synced = false;
        region->next = 0;
    }
    log->pass++;
    log->at_once = at_once;
    log->found = 0;
    timer_mod(log->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
}

void hmem_log_off(HmemLog *log)
{
    log->pass++;
    timer_del(log->timer);
    log->refs++;
    while (log->regions->len) {
        hmem_log_remove_region(log, log->regions->len - 1);
    }
    hmem_log_unref(log);
}

bool hmem_log_is_on(const HmemLog *log)
{
    uint32_t i;

    for (i = 0; i < log->memory->ranges->len; i++) {
        MemoryRegion *mr = g_array_index(log->memory->ranges, HmemRange, i).mr;

        if (memory_region_is_logging(mr, DIRTY_MEMORY_VGA)) {
            return true;
        }
    }
    return false;
}

HmemLogStats hmem_log_stats(const HmemLog *log)
{
    return log->stats;
}

/*
 * Life cycle
 */

HmemLog *hmem_log_new(const HmemMemory *memory, const HmemMaps *maps,
                      void (*done)(void *opaque, uint64_t dirty),
                      void *opaque)
{
    HmemLog *log = g_new0(HmemLog, 1);

    log->refs = 1;
    log->memory = memory;
    log->maps = maps;
    log->done = done;
    log->opaque = opaque;
    log->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, hmem_log_slice, log);
    log->bh = qemu_bh_new(hmem_log_drop_regions, log);
    log->regions = g_array_new(false, true, sizeof(HmemLogRegion));
    return log;
}

void hmem_log_free(HmemLog *log)
{
    hmem_log_off(log);
    timer_free(log->timer);
    qemu_bh_delete(log->bh);
    hmem_log_unref(log);
}
