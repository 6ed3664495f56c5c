/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the maps of used and of given up pages, which QEMU shares with
 * hmemd.
 *
 * Both sides access the maps by atomic operations only.
 */
#ifndef HW_VIRTIO_HMEM_MAPS_H
#define HW_VIRTIO_HMEM_MAPS_H

#include "qemu/atomic.h"
#include "hw/virtio/hmem_link.h"

/* The maps; struct hmem_link_hello describes them. */
typedef struct HmemMaps {
    int fd;
    /* Size of each map. */
    uint64_t bytes;
    uint64_t *dirty;
    uint64_t *accessed;
    uint64_t *rearm;
    uint64_t *given;
    /* Does hmemd want to know which pages were written?  Else @dirty rests. */
    bool want_written;
} HmemMaps;

/*
 * The bits of the map's word @word that stand for frames of @range.  A range
 * need not begin or end at a word, and two ranges may share a word.
 */
static inline uint64_t hmem_range_mask(const struct hmem_link_range *range,
                                       uint64_t word)
{
    const uint64_t end = range->gfn + range->num;
    uint64_t mask = UINT64_MAX;

    if (word == range->gfn / 64) {
        mask &= UINT64_MAX << (range->gfn % 64);
    }
    if (word == end / 64) {
        mask &= ~(UINT64_MAX << (end % 64));
    }
    return mask;
}

/*
 * Take the frames of @range to be rearmed out of the map's word @word.  Frames
 * of other ranges stay in the word.
 */
static inline uint64_t hmem_maps_take_rearm(const HmemMaps *maps,
                                            const struct hmem_link_range *range,
                                            uint64_t word)
{
    uint64_t *from = &maps->rearm[word];
    const uint64_t mine = hmem_range_mask(range, word);

    /* Most words are clear: avoid the atomic operation for them. */
    return qatomic_read(from) & mine ?
        qatomic_fetch_and(from, ~mine) & mine : 0;
}

#endif
