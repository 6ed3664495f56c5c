/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which pages are written, by dirty logging.
 *
 * A pass goes through the dirty bits of all ranges and clears them, which
 * protects the pages anew.  It is done in slices, between which QEMU does other
 * things.
 */
#ifndef HW_VIRTIO_HMEM_DIRTY_H
#define HW_VIRTIO_HMEM_DIRTY_H

#include "hw/virtio/virtio-hmem-maps.h"
#include "hw/virtio/virtio-hmem-memory.h"

/*
 * What a page that was written costs in a pass, at most: to protect it anew the
 * host's kernel changes its entry in a page table, of which a cache line holds
 * eight, and a cache line that comes from memory takes 100 ns.  To look at 64
 * pages of which none was written costs no more than one that was.
 */
#define HMEM_DIRTY_PAGES_NS(pages) ((uint64_t)(pages) * 100 / 8)

typedef struct HmemLog HmemLog;

/* Since the device was created. */
typedef struct HmemLogStats {
    /* Times that the log was switched on. */
    uint64_t on;
    /*
     * Pages that it has found in windows.  Each was a fault in the guest, and
     * some that no window told of were, too.
     */
    uint64_t pages;
    uint64_t slices;
} HmemLogStats;

/*
 * @memory and @maps are there until hmem_log_free().  @done is called when a
 * pass has ended, in which @dirty pages were found.
 */
HmemLog *hmem_log_new(const HmemMemory *memory, const HmemMaps *maps,
                      void (*done)(void *opaque, uint64_t dirty),
                      void *opaque);
void hmem_log_free(HmemLog *log);

/*
 * Begin a pass, in a timer of QEMU_CLOCK_VIRTUAL; one that is under way ends
 * without a word.  The log is switched on where it is off, and what is found
 * there is of no window.  @at_once: not in slices, for guest time stands still.
 */
void hmem_log_pass(HmemLog *log, bool at_once);

/* No pass, and switch the log off. */
void hmem_log_off(HmemLog *log);

/* Whether QEMU logs writes to any memory for us. */
bool hmem_log_is_on(const HmemLog *log);

/* The ranges have changed. */
void hmem_log_memory_changed(HmemLog *log);

HmemLogStats hmem_log_stats(const HmemLog *log);

#endif
