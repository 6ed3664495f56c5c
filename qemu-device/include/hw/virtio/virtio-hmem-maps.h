/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the maps of used pages that are shared with hmemd.
 *
 * Both sides touch the maps with atomic operations only.
 */
#ifndef HW_VIRTIO_HMEM_MAPS_H
#define HW_VIRTIO_HMEM_MAPS_H

#include "qemu/atomic.h"
#include "hw/virtio/hmem_link.h"

/* As struct hmem_link_hello says. */
typedef struct HmemMaps {
    int fd;
    /* Of each map. */
    uint64_t bytes;
    uint64_t *dirty;
    uint64_t *accessed;
    uint64_t *rearm;
} HmemMaps;

/*
 * The part of the map's word @word that stands for frames of @range.  Ranges
 * need not begin and end with a word, and two may share one.
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
 * Take the frames of @range that are to be rearmed out of the map's word @word;
 * what is not of this range is left to the one it is of.
 */
static inline uint64_t hmem_maps_take_rearm(const HmemMaps *maps,
                                            const struct hmem_link_range *range,
                                            uint64_t word)
{
    uint64_t *from = &maps->rearm[word];
    const uint64_t mine = hmem_range_mask(range, word);

    /* Most are clear. */
    return qatomic_read(from) & mine ?
        qatomic_fetch_and(from, ~mine) & mine : 0;
}

#endif
