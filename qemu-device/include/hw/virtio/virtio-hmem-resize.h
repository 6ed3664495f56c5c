/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: memory of a tier that the guest gives up, and takes back.
 *
 * The device keeps a bit for each frame of each tier's memory backend: the
 * guest has given the frame up.  Such memory is released on the host, reads as
 * zeros, and is not migrated.  All functions run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_RESIZE_H
#define HW_VIRTIO_HMEM_RESIZE_H

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem-memory.h"
#include "standard-headers/linux/virtio_hmem.h"

typedef struct HmemResizeTier {
    /* The memory backend's; other memory of the tier is never given up. */
    MemoryRegion *mr;
    /* Bytes: of @mr, and of the smallest part that the host can release. */
    uint64_t size;
    uint64_t unit;
    /* The least that hmemd may ask for, and what is asked for now; bytes. */
    uint64_t min;
    uint64_t requested;
    /*
     * A bit for each frame of @mr, by its place in it.  QEMU's threads for
     * migration read it without the BQL, and only while it does not change.
     */
    int32_t num_frames;
    unsigned long *given;
    uint64_t num_given;
    /* As the driver has said last: bytes, and VIRTIO_HMEM_WHY_*. */
    uint64_t free;
    uint32_t why;
    /* The host could not release some of it: not tried again. */
    bool stuck;
} HmemResizeTier;

typedef struct HmemResize {
    VirtIODevice *vdev;
    VirtQueue *vq;
    const HmemMemory *memory;
    HmemResizeTier tiers[HMEM_LINK_MAX_TIERS];
    uint32_t num_tiers;
    /*
     * What tells others in QEMU, by way of the memory regions, which memory is
     * given up.  It is set there, and others may not rely on memory to stay
     * (as VFIO does), as long as some memory is given up: @active.
     */
    Object *discards;
    bool active;
    /* The driver has gone, but the record of what it gave up is needed. */
    bool forget;
    /* What hmem_resize_sizes() returns has changed. */
    void (*changed)(void *opaque);
    void *opaque;
} HmemResize;

/*
 * @initial and @minimum have a size for each tier, fastest first, with ':'
 * between; an empty one or NULL: all of the tier, and nothing.
 */
bool hmem_resize_realize(HmemResize *resize, VirtIODevice *vdev,
                         const HmemMemory *memory, const char *initial,
                         const char *minimum, void (*changed)(void *opaque),
                         void *opaque, Error **errp);
void hmem_resize_add_queue(HmemResize *resize, VirtIOHandleOutput handle_vq);
/* @vq is there if hmem_resize_add_queue() was called. */
void hmem_resize_unrealize(HmemResize *resize);

/* NULL, or what is wrong with what hmemd has asked for; to be freed. */
char *hmem_resize_request(HmemResize *resize,
                          const struct hmem_link_resize *request);

void hmem_resize_sizes(const HmemResize *resize, struct hmem_link_sizes *sizes);

/*
 * Queue work, of one pass (HMEM_PASS_BYTES).  True: there may be more.  May
 * break the device.
 */
bool hmem_resize_receive(HmemResize *resize);

/* The driver has gone: all memory is the guest's again. */
void hmem_resize_reset(HmemResize *resize);

/* A subsection of the device's state, for fields of HmemResize. */
extern const VMStateDescription vmstate_hmem_resize;

#endif
