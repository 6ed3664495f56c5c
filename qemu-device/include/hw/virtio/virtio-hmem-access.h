/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: scans of the guest's page tables by the guest's driver.
 *
 * The driver does one scan at a time and may take any time for it.  All
 * functions run under the BQL.
 */
#ifndef HW_VIRTIO_HMEM_ACCESS_H
#define HW_VIRTIO_HMEM_ACCESS_H

#include "standard-headers/linux/virtio_hmem.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem-track.h"

/*
 * The guest can fill a queue as fast as the device empties it.  So the device
 * handles at most HMEM_PASS_BYTES of a queue, the length of the longest
 * message, before QEMU's main loop gets a turn.  A short message counts as
 * HMEM_PASS_MIN_BYTES, which bounds a pass to 128 messages.
 */
#define HMEM_PASS_BYTES HMEM_LINK_MAX_PAYLOAD
#define HMEM_PASS_MIN_BYTES (HMEM_PASS_BYTES / 128)

/* The driver has given an account.  The callee checks it. */
typedef void HmemAccessTold(VirtIODevice *vdev,
                            const struct virtio_hmem_account *account);

typedef struct HmemAccess {
    VirtIODevice *vdev;
    HmemAccessTold *told;
    VirtQueue *scan_vq;
    VirtQueue *access_vq;
    HmemTrack *track;

    /*
     * The scan that the driver works on.  These fields migrate.  An id of 0
     * means no scan.  @request_sent: the driver has the whole request.  The
     * next report must name frames from @next_gfn on; @written: it must name
     * written frames.
     */
    uint64_t next_id;
    uint64_t id;
    uint32_t flags;
    bool request_sent;
    bool written;
    uint64_t next_gfn;

    /* Length of the look that is requested from the driver: guest time, ns. */
    uint64_t look_ns;
    /*
     * All looks lie within the scan.  Does not migrate: the target does not
     * want the result, and a request that was not sent becomes a plain one.
     */
    bool within;
    /* The result of the scan is not wanted any more. */
    bool orphan;
    /* The scan to begin after this one. */
    HmemScan wanted;
    /* The rest of the request: from this word of the rearm map and range on. */
    bool rearm;
    uint32_t range;
    uint64_t word;
    /* What the scan has found so far. */
    HmemScanned found;
} HmemAccess;

/* Ids count from 1.  No machine lives long enough for them to wrap to 0. */
static inline bool hmem_access_id_ok(uint64_t next_id)
{
    return next_id && next_id <= INT64_MAX;
}

/*
 * Add the two queues.  @handle_vq must call the functions for queue work below.
 * @track must outlive @access.  hmem_access_receive() calls @told.
 */
void hmem_access_realize(HmemAccess *access, VirtIODevice *vdev,
                         HmemTrack *track, VirtIOHandleOutput handle_vq,
                         HmemAccessTold *told);
void hmem_access_unrealize(HmemAccess *access);

/* See HmemTrackOps.scan.  The caller must call hmem_access_deliver() later. */
void hmem_access_begin(HmemAccess *access, HmemScan scan);

/*
 * Ask the driver for an account, if it can give one, and if no scan is under
 * way, whose report has one.  The same caller's duty.
 */
void hmem_access_ask(HmemAccess *access);

/*
 * Work on one queue, for one pass (HMEM_PASS_BYTES).  Return true if there may
 * be more work.  May break the device.
 */
bool hmem_access_deliver(HmemAccess *access);
bool hmem_access_receive(HmemAccess *access);

/* Forget the scan, because the driver has gone. */
void hmem_access_reset(HmemAccess *access);

/* A subsection of the device's state, for fields of HmemAccess. */
extern const VMStateDescription vmstate_hmem_access;

#endif
