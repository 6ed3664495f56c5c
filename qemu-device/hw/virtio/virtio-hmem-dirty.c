/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which pages are written, by dirty logging.
 *
 * QEMU keeps dirty bits apart for each of its clients.  The "VGA" client can
 * be switched on for any RAM region, and a display device of a PC or a PCI
 * card does so for its own memory only, so the bits of a node's memory are
 * ours: under KVM they come from KVM's dirty log or ring (PML on Intel), under
 * TCG from the slow path of stores.
 *
 * Live migration has its own bits, and neither takes any from the other:
 * - KVM: kvm_log_sync() ORs what KVM reports into the bits of both clients,
 *   whoever asked.  What is then protected anew (log_clear, when we take bits)
 *   are pages that were just reported to both; migration protects them before
 *   it sends them, and earlier does no harm.  With the roles changed, the same
 *   holds for us: migration may delay its log_clear, and until then our next
 *   pass finds those pages again and protects them itself.
 * - TCG: a store to a page that is clean for any client sets the bits of all
 *   of them, and each client clears only its own before it makes the next
 *   store to the page slow again.
 *
 * The BQL.  To switch the log on, to sync it and to clear bits can drop the
 * BQL: KVM's dirty ring is emptied with the vCPUs stopped (run_on_cpu()).  The
 * guest can then eject or reset the device, and memory can come and go.  All of
 * that is done in one place, hmem_log_chunk(), where nothing is held but
 * references, to the log and to the memory region: the regions, the ranges and
 * the maps are looked up anew afterwards, and only if the pass is still the
 * same.
 *
 * To switch the log off does not drop the BQL, but as any change of memory
 * regions has all listeners called.  One can find that a ring is in no memory
 * any more and raise an interrupt, and its address is the guest's: the device
 * can be reset or unplugged by then, too.
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
/* Frames in a word of the map. */
#define HMEM_WORD 64

/*
 * The BQL is held no longer than for a slice, and free for as long before the
 * next one: a vCPU that waits for it, and it waits as it does for any other
 * device, does so for one slice at most.
 */
#define HMEM_SLICE_NS (2 * SCALE_MS)
/* Pages whose bits are taken at once, so that a call costs little beside it. */
#define HMEM_CHUNK (128 * MiB / HMEM_PAGE)
#define HMEM_CHUNK_NS HMEM_DIRTY_PAGES_NS(HMEM_CHUNK + HMEM_CHUNK / HMEM_WORD)
QEMU_BUILD_BUG_ON(HMEM_CHUNK_NS > HMEM_SLICE_NS);

/* Memory whose writes are logged, or will be in this pass. */
typedef struct HmemLogRegion {
    /* With a reference. */
    MemoryRegion *mr;
    bool on;
    /* It has been gone through once: what is found now is of a window. */
    bool cleared;
    /* In this pass: what the host knows is in the bits; taken up to @next. */
    bool synced;
    hwaddr next;
} HmemLogRegion;

struct HmemLog {
    /* The owner's until hmem_log_free(), and of who changes regions. */
    unsigned int refs;
    const HmemMemory *memory;
    const HmemMaps *maps;
    void (*done)(void *opaque, uint64_t dirty);
    void *opaque;

    QEMUTimer *timer;
    QEMUBH *bh;
    /* HmemLogRegion */
    GArray *regions;
    /* Counts the passes, so that one that has ended is told from the next. */
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

static HmemLogRegion *hmem_log_find(const HmemLog *log,
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

/* Those of all ranges. */
static void hmem_log_add_regions(HmemLog *log)
{
    uint32_t i;

    for (i = 0; i < log->memory->ranges->len; i++) {
        HmemLogRegion region = {
            .mr = g_array_index(log->memory->ranges, HmemRange, i).mr,
        };

        if (!hmem_log_find(log, region.mr)) {
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

/* Regions can be fewer after this than by one. */
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
 * Not in the memory listener, which may not change memory regions: memory that
 * was unplugged is kept until here.
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

/* 64 bits from @bit on; there is a spare word behind the last. */
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
 * Merge the bits of @mr from @start on into the map, for all ranges that are in
 * this part of it.  The map takes one atomic operation for each word that is
 * not clear.
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
 * Take the bits of the next chunk of a region; how many were set, or -1 if the
 * pass is over.
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
    /* @region is not valid any more after the first of the next three. */
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
    region = num < 0 ? NULL : hmem_log_find(log, mr);
    if (region) {
        region->synced = true;
        region->next = start + size;
        /* Else what was written before, or nobody had looked at. */
        if (region->cleared) {
            hmem_log_merge(log, mr, start, size, bits);
        }
    }
    memory_region_unref(mr);
    return num;
}

/* The region to go on with, or NULL. */
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

/* What a slice costs is counted, so that the same slices follow each time. */
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
