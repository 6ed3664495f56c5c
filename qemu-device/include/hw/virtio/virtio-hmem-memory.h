/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which guest memory belongs to which tier.
 *
 * A tier is a NUMA node of the machine that has a memory backend.  All
 * functions run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_MEMORY_H
#define HW_VIRTIO_HMEM_MEMORY_H

#include "hw/virtio/hmem_link.h"
#include "hw/virtio/virtio-hmem-compat.h"

typedef struct HmemTier {
    struct hmem_link_tier info;
    /* The node's memory backend; lives as long as the machine. */
    MemoryRegion *mr;
} HmemTier;

typedef struct HmemRange {
    struct hmem_link_range link;
    /* Where the range starts in its tier's memory region, in bytes. */
    hwaddr offset;
} HmemRange;

typedef struct HmemMemory {
    /* Fastest first; constant. */
    HmemTier tiers[HMEM_LINK_MAX_TIERS];
    uint32_t num_tiers;

    /*
     * Where the guest now finds that memory: HmemRange, sorted, not
     * overlapping, at most HMEM_LINK_MAX_RANGES.  @next is what the memory
     * listener is told between begin and commit.
     */
    GArray *ranges;
    GArray *next;
    MemoryListener listener;
    void (*changed)(void *opaque);
    void *opaque;
} HmemMemory;

/*
 * Learn the tiers from the machine's NUMA nodes.  @kinds overrides what they
 * are called, fastest first ("dram:cxl"); NULL: DRAM first, then NVM.
 */
bool hmem_memory_realize(HmemMemory *memory, const char *kinds, Error **errp);

/* Follow the ranges; @changed is called whenever they differ from before. */
void hmem_memory_start(HmemMemory *memory, void (*changed)(void *opaque),
                       void *opaque);

void hmem_memory_unrealize(HmemMemory *memory);

/* The first GFN behind all ranges. */
uint64_t hmem_memory_end(const HmemMemory *memory);

/*
 * Whether the page is aligned, of an order that may be, and wholly in guest
 * memory of one tier.  Any values are safe to ask for.
 */
bool hmem_memory_has_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order);

#endif
