/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: scans of the guest's page tables, by the guest's driver.
 *
 * The driver does one at a time, and may take any time for it.  All functions
 * run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_ACCESS_H
#define HW_VIRTIO_HMEM_ACCESS_H

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem-track.h"

/*
 * The guest can fill a queue as fast as it is emptied.  QEMU's main loop gets
 * its turn after so much of one: the longest message that there is, where short
 * ones count for no less than what makes 128 of them a pass.
 */
#define HMEM_PASS_BYTES HMEM_LINK_MAX_PAYLOAD
#define HMEM_PASS_MIN_BYTES (HMEM_PASS_BYTES / 128)

typedef struct HmemAccess {
    VirtIODevice *vdev;
    VirtQueue *scan_vq;
    VirtQueue *access_vq;
    HmemTrack *track;

    /*
     * What the driver works on, and migrates with it.  No id: nothing.
     * @asked: it has all of the request.  Reports go on at @next_gfn, with
     * written frames if @written.
     */
    uint64_t next_id;
    uint64_t id;
    uint32_t flags;
    bool asked;
    bool written;
    uint64_t next_gfn;

    /* How long the driver is to look at each frame, in ns of guest time. */
    uint64_t look_ns;
    /* Nobody waits for it any more. */
    bool orphan;
    /* What is to follow it. */
    HmemScan wanted;
    /* The request goes on with this word of the rearm map, in this range. */
    bool rearm;
    uint32_t range;
    uint64_t word;
    /* So far. */
    HmemScanned found;
} HmemAccess;

/* Ids count from 1; no machine gets near the end, where they would be 0. */
static inline bool hmem_access_id_ok(uint64_t next_id)
{
    return next_id && next_id <= INT64_MAX;
}

/*
 * Adds the two queues, with one handler that has the work done which is below.
 * @track outlives @access.
 */
void hmem_access_realize(HmemAccess *access, VirtIODevice *vdev,
                         HmemTrack *track, VirtIOHandleOutput handle_vq);
void hmem_access_unrealize(HmemAccess *access);

/* As HmemTrackOps.scan; hmem_access_deliver() has to follow. */
void hmem_access_begin(HmemAccess *access, HmemScan scan);

/*
 * Queue work, of one pass (HMEM_PASS_BYTES).  True: there may be more.  May
 * break the device.
 */
bool hmem_access_deliver(HmemAccess *access);
bool hmem_access_receive(HmemAccess *access);

/* The driver has gone. */
void hmem_access_reset(HmemAccess *access);

/* A subsection of the device's state, for fields of HmemAccess. */
extern const VMStateDescription vmstate_hmem_access;

#endif
