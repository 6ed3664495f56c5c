/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the guest gives up memory of a tier, and takes it back.
 *
 * The device keeps a bit for each frame of each tier's memory backend: the
 * guest has given the frame up.  The host releases such memory; it reads as
 * zeros, and is not migrated.  All functions run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_RESIZE_H
#define HW_VIRTIO_HMEM_RESIZE_H

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem-maps.h"
#include "hw/virtio/virtio-hmem-memory.h"
#include "standard-headers/linux/virtio_hmem.h"

typedef struct HmemResizeTier {
    /* The tier's memory backend; no other memory of the tier is given up. */
    MemoryRegion *mr;
    /*
     * In bytes: the size of @mr, and the smallest part that the host can
     * release; @unit is 0 if the host can release nothing.
     */
    uint64_t size;
    uint64_t unit;
    /* In bytes: the smallest size that hmemd may request, and the request. */
    uint64_t min;
    uint64_t requested;
    /*
     * A bit for each frame of @mr, in the order of @mr.  Threads of QEMU's
     * migration read the bits without the BQL, but only while no bit changes.
     */
    int32_t num_frames;
    unsigned long *given;
    uint64_t num_given;
    /*
     * Incoming postcopy: what was @given when the guest left the source, which
     * does not send it; else, or if there is nothing of this tier, NULL.
     */
    unsigned long *unsent;
    /* The driver's last report: free bytes, and VIRTIO_HMEM_WHY_*. */
    uint64_t free;
    uint32_t why;
    /* The host could not release some memory, so it is not asked again. */
    bool stuck;
} HmemResizeTier;

typedef struct HmemResize {
    VirtIODevice *vdev;
    VirtQueue *vq;
    const HmemMemory *memory;
    /*
     * For hmemd, the map "given" repeats the bitmaps of the tiers, by guest
     * frame number.  The device does not read that map.
     */
    const HmemMaps *maps;
    /* A bit of the map may be set. */
    bool mapped;
    HmemResizeTier tiers[HMEM_LINK_MAX_TIERS];
    uint32_t num_tiers;
    /* The driver's last report, unchecked; all zero: none since the reset. */
    struct hmem_link_paging paging;
    /*
     * The RamDiscardManager, which tells other parts of QEMU which memory is
     * given up.  It is set in the memory regions as long as some memory is
     * given up (@active); meanwhile users that pin memory, such as VFIO, are
     * refused.
     */
    Object *discards;
    bool active;
    /* Incoming postcopy has begun; it may have ended in the meantime. */
    bool postcopy;
    /* Called when the result of hmem_resize_sizes() has changed. */
    void (*changed)(void *opaque);
    void *opaque;
} HmemResize;

/*
 * @initial and @minimum are sizes of all tiers, fastest first, separated by
 * ':'.  An empty size, or NULL, means the whole tier for @initial, and 0 for
 * @minimum.  @maps must live until hmem_resize_unrealize().
 */
bool hmem_resize_realize(HmemResize *resize, VirtIODevice *vdev,
                         const HmemMemory *memory, const HmemMaps *maps,
                         const char *initial, const char *minimum,
                         void (*changed)(void *opaque), void *opaque,
                         Error **errp);
void hmem_resize_add_queue(HmemResize *resize, VirtIOHandleOutput handle_vq);
/* Works with and without a queue from hmem_resize_add_queue(). */
void hmem_resize_unrealize(HmemResize *resize);

/*
 * Requests a size.  Returns NULL, or what is wrong with hmemd's message, which
 * the caller frees.
 */
char *hmem_resize_request(HmemResize *resize,
                          const struct hmem_link_resize *request);

/* Fills in the sizes that hmemd is to know. */
void hmem_resize_sizes(const HmemResize *resize, struct hmem_link_sizes *sizes);

/*
 * Processes messages on the queue, up to the cost of one pass
 * (HMEM_PASS_BYTES).  Returns true if there may be more.  Can break the device.
 */
bool hmem_resize_receive(HmemResize *resize);

/* The ranges of @memory have changed. */
void hmem_resize_memory_changed(HmemResize *resize);

/* The driver has gone: the guest has all memory again. */
void hmem_resize_reset(HmemResize *resize);

/* A subsection of the device's state, for fields of HmemResize. */
extern const VMStateDescription vmstate_hmem_resize;

#endif
