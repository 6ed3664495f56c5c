/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which guest memory belongs to which tier.
 *
 * A tier is a NUMA node of the machine that has a memory backend.  All RAM of
 * the node belongs to the tier: the backend's memory, and that of DIMMs and
 * virtio-mem devices, which can come and go while the machine runs.  All
 * functions run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_MEMORY_H
#define HW_VIRTIO_HMEM_MEMORY_H

#include "qapi/qapi-types-virtio-hmem.h"
#include "hw/virtio/hmem_link.h"
#include "hw/virtio/virtio-hmem-compat.h"

typedef struct HmemTier {
    struct hmem_link_tier info;
    /* The node's memory backend; lives as long as the machine. */
    MemoryRegion *mr;
} HmemTier;

typedef struct HmemRange {
    struct hmem_link_range link;
    /* The RAM, and the offset of the range in it, in bytes. */
    MemoryRegion *mr;
    hwaddr offset;
} HmemRange;

/* Frames that were in a range, and have been in none since @generation. */
typedef struct HmemGone {
    uint64_t gfn;
    uint64_t num;
    uint64_t generation;
} HmemGone;

/* A generation before all others: it is not known which memory went when. */
#define HMEM_GENERATION_UNKNOWN 0

typedef struct HmemMemory {
    /* Fastest first; the tiers never change. */
    HmemTier tiers[HMEM_LINK_MAX_TIERS];
    uint32_t num_tiers;

    /*
     * The memory of the tiers, as the guest sees it now: HmemRange, sorted, not
     * overlapping, at most HMEM_LINK_MAX_RANGES.  While @pending is true, which
     * is between begin and commit of the memory listener, @next collects the
     * new ranges.  Code that drops the BQL or changes memory regions can swap
     * the two arrays, so nobody may keep pointers into @ranges across it.  A
     * range's memory region exists as long as the range.
     */
    GArray *ranges;
    GArray *next;
    bool pending;
    /*
     * HmemGone, not overlapping or adjacent, at most HMEM_LINK_MAX_RANGES.
     * Whenever frames go, a new generation begins.  The first is 1.
     */
    GArray *gone;
    uint64_t generation;
    MemoryListener listener;
    void (*changed)(void *opaque);
    void *opaque;
} HmemMemory;

/*
 * Learn the tiers from the machine's NUMA nodes.  @kinds has the kinds of all
 * tiers, fastest first; if @num_kinds is 0, they are DRAM first, then NVM.
 */
bool hmem_memory_realize(HmemMemory *memory, const VirtioHmemTierKind *kinds,
                         uint32_t num_kinds, Error **errp);

/* Follow the ranges, and call @changed whenever they have changed. */
void hmem_memory_start(HmemMemory *memory, void (*changed)(void *opaque),
                       void *opaque);

void hmem_memory_unrealize(HmemMemory *memory);

/* The first GFN behind all ranges, now and in the future. */
uint64_t hmem_memory_end(const HmemMemory *memory);

/* The largest number of RAM frames that the machine can ever have. */
uint64_t hmem_memory_max_frames(void);

/* Is any range in @mr? */
bool hmem_memory_has_region(const HmemMemory *memory, const MemoryRegion *mr);

/*
 * Is the page at @gfn aligned, of a valid order, and wholly in the memory of
 * one tier?  The arguments can have any value.
 */
bool hmem_memory_has_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order);

/* The same; memory that went after generation @since counts as well. */
bool hmem_memory_had_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order, uint64_t since);

/*
 * Where @num frames from @gfn on are, if all of them are in one piece of memory
 * of @tier: the RAM, and the offset there in bytes.  Any values are safe to ask
 * for.
 */
bool hmem_memory_find(const HmemMemory *memory, uint64_t gfn, uint64_t num,
                      uint32_t tier, MemoryRegion **mr, uint64_t *offset);

/*
 * A mask of those of the frames 64 * @word .. 64 * @word + 63 that are in a
 * range.  @word is at most UINT64_MAX / 64.
 */
uint64_t hmem_memory_word(const HmemMemory *memory, uint64_t word);

#endif
