/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which pages the guest writes, window by window.
 *
 * All functions run under the BQL.  The map is shared with hmemd; both sides
 * touch it with atomic operations only.
 */
#ifndef HW_VIRTIO_HMEM_DIRTY_H
#define HW_VIRTIO_HMEM_DIRTY_H

#include "qemu/timer.h"
#include "hw/virtio/virtio-hmem-memory.h"

/* Windows that may be asked for, in ns. */
#define HMEM_DIRTY_MIN_WINDOW (1000ull * 1000)
#define HMEM_DIRTY_MAX_WINDOW (3600ull * 1000 * 1000 * 1000)

typedef struct HmemDirty {
    const HmemMemory *memory;
    void (*tick)(void *opaque, const struct hmem_link_tick *tick);
    void *opaque;

    /* As struct hmem_link_hello says. */
    int fd;
    uint64_t *map;
    uint64_t map_bytes;

    /* 0: not tracking */
    uint64_t window_ns;
    /* Of the last tick, since tracking was started. */
    uint64_t seq;
    uint64_t tick_ns;
    /* That tick is not answered yet. */
    bool busy;
    /* The highest seq that hmemd can answer to. */
    uint64_t max_seq;
    QEMUTimer *timer;

    /* Statistics, since the device was created. */
    uint64_t num_ticks;
    uint64_t num_dirty;
} HmemDirty;

/*
 * @memory has its ranges, and outlives @dirty.  @tick is called at the end of
 * each window, with the pages of that window in the map.
 */
bool hmem_dirty_realize(HmemDirty *dirty, const HmemMemory *memory,
                        void (*tick)(void *opaque,
                                     const struct hmem_link_tick *tick),
                        void *opaque, Error **errp);
void hmem_dirty_unrealize(HmemDirty *dirty);

/* Start to track, or change the window; @window_ns is one that may be. */
void hmem_dirty_start(HmemDirty *dirty, uint64_t window_ns);
void hmem_dirty_stop(HmemDirty *dirty);

/* The map has been read.  False: there was no such tick. */
bool hmem_dirty_done(HmemDirty *dirty, uint64_t seq);

#endif
