/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which guest memory belongs to which tier.
 *
 * A tier is a NUMA node of the machine that has a memory backend.  All RAM in
 * that node belongs to the tier: the backend's, and DIMMs and virtio-mem
 * devices, which come and go while the machine runs.  All functions run under
 * the BQL.
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
    /* The RAM, and where the range starts in it, in bytes. */
    MemoryRegion *mr;
    hwaddr offset;
} HmemRange;

/* Frames that were in a range, and are in none since that generation. */
typedef struct HmemGone {
    uint64_t gfn;
    uint64_t num;
    uint64_t generation;
} HmemGone;

/* A generation of which nobody knows what went after it, or before. */
#define HMEM_GENERATION_UNKNOWN 0

typedef struct HmemMemory {
    /* Fastest first; constant. */
    HmemTier tiers[HMEM_LINK_MAX_TIERS];
    uint32_t num_tiers;

    /*
     * Where the guest now finds that memory: HmemRange, sorted, not
     * overlapping, at most HMEM_LINK_MAX_RANGES.  @next is what the memory
     * listener is told between begin and commit, when it is @pending.  Whatever
     * drops the BQL or changes memory regions can swap the two: nobody holds
     * @ranges or what is in it across that.  A range's memory region is there
     * as long as the range.
     */
    GArray *ranges;
    GArray *next;
    bool pending;
    /*
     * HmemGone, not overlapping or adjacent, at most HMEM_LINK_MAX_RANGES.
     * Each time that frames go begins a new generation, the first is 1.
     */
    GArray *gone;
    uint64_t generation;
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

/* The first GFN behind all ranges that there are, or can be later. */
uint64_t hmem_memory_end(const HmemMemory *memory);

/* As many frames of RAM as the machine can ever have. */
uint64_t hmem_memory_max_frames(void);

/* Whether a range is in @mr. */
bool hmem_memory_has_region(const HmemMemory *memory, const MemoryRegion *mr);

/*
 * Whether the page is aligned, of an order that may be, and wholly in guest
 * memory of one tier.  Any values are safe to ask for.
 */
bool hmem_memory_has_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order);

/* The same, now or at any time since @memory->generation was @since. */
bool hmem_memory_had_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order, uint64_t since);

/*
 * Those of the frames 64 * @word .. 64 * @word + 63 that are in a range, as the
 * bits of a mask.  @word is at most UINT64_MAX / 64.
 */
uint64_t hmem_memory_word(const HmemMemory *memory, uint64_t word);

#endif
