/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: finds written pages by dirty logging.
 *
 * A pass reads the dirty bits of all ranges and clears them, which
 * write-protects the pages again.  A pass runs in slices, between which QEMU
 * does other work.
 */
#ifndef HW_VIRTIO_HMEM_DIRTY_H
#define HW_VIRTIO_HMEM_DIRTY_H

#include "hw/virtio/virtio-hmem-maps.h"
#include "hw/virtio/virtio-hmem-memory.h"

/*
 * Largest cost of a pass per written page.  To write-protect the page again,
 * the host's kernel changes its page-table entry.  A cache line holds eight
 * entries, and fetching one from memory takes 100 ns.  Checking 64 pages of
 * which none was written costs at most as much as one written page.
 */
#define HMEM_DIRTY_PAGES_NS(pages) ((uint64_t)(pages) * 100 / 8)

typedef struct HmemLog HmemLog;

/* Counted since the device was created. */
typedef struct HmemLogStats {
    /* How often the log was switched on. */
    uint64_t on;
    /*
     * Written pages that the log found in windows.  Each was a fault in the
     * guest.  Writes outside of windows cause faults as well.
     */
    uint64_t pages;
    uint64_t slices;
} HmemLogStats;

/*
 * @memory and @maps must exist until hmem_log_free().  The log calls @done when
 * a pass has ended that found @dirty pages.
 */
HmemLog *hmem_log_new(const HmemMemory *memory, const HmemMaps *maps,
                      void (*done)(void *opaque, uint64_t dirty),
                      void *opaque);
void hmem_log_free(HmemLog *log);

/*
 * Begin a pass, in a timer of QEMU_CLOCK_VIRTUAL.  A running pass ends without
 * a call of @done.  If the log is off, this pass switches it on, and drops what
 * it finds, because that belongs to no window.  @at_once: do not split the pass
 * into slices, because guest time stands still.
 */
void hmem_log_pass(HmemLog *log, bool at_once);

/* End the pass and switch the log off. */
void hmem_log_off(HmemLog *log);

/* Does QEMU log writes to any memory for this device? */
bool hmem_log_is_on(const HmemLog *log);

/* To be called when the ranges have changed. */
void hmem_log_memory_changed(HmemLog *log);

HmemLogStats hmem_log_stats(const HmemLog *log);

#endif
