/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: heterogeneous memory device.
 */
#ifndef HW_VIRTIO_HMEM_H
#define HW_VIRTIO_HMEM_H

#include "standard-headers/linux/virtio_hmem.h"
#include "qapi/qapi-types-virtio-hmem.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem-access.h"
#include "hw/virtio/virtio-hmem-link.h"
#include "hw/virtio/virtio-hmem-memory.h"
#include "hw/virtio/virtio-hmem-resize.h"
#include "hw/virtio/virtio-hmem-track.h"
#include "qemu/notify.h"
#include "qom/object.h"

#define TYPE_VIRTIO_HMEM "virtio-hmem-device"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOHMEM, VIRTIO_HMEM)

#define VIRTIO_HMEM_CHARDEV_PROP "chardev"
#define VIRTIO_HMEM_KINDS_PROP "kinds"
#define VIRTIO_HMEM_ACCESS_PROP "access"
#define VIRTIO_HMEM_TRACK_DIRTY_PROP "track-dirty"
#define VIRTIO_HMEM_TRACK_HOST_PROP "track-host"
#define VIRTIO_HMEM_MIN_WINDOW_PROP "min-window"
#define VIRTIO_HMEM_RESIZE_PROP "resize"
#define VIRTIO_HMEM_INITIAL_PROP "initial"
#define VIRTIO_HMEM_MINIMUM_PROP "minimum"

/* Largest number of unfinished batches from hmemd. */
#define VIRTIO_HMEM_MAX_BATCHES 64
/*
 * Largest number of hint batches that the guest works on.  A batch from hmemd
 * needs two of the smallest buffers that the driver may post.
 */
#define VIRTIO_HMEM_MAX_SENT (2 * VIRTIO_HMEM_MAX_BATCHES)

/* A batch that hmemd waits for.  Exists at most as long as the connection. */
typedef struct VirtIOHMEMBatch {
    /* hmemd's id of the batch */
    uint64_t cookie;
    /* Sent hint batches of this batch that the guest has not finished. */
    uint32_t num_sent;
    /* Hints from @next on wait for a buffer.  NULL when all have been sent. */
    uint32_t num_hints;
    uint32_t next;
    /* HmemMemory.generation when the hints were checked. */
    uint64_t since;
    struct virtio_hmem_hint *hints;
    QTAILQ_ENTRY(VirtIOHMEMBatch) entry;
} VirtIOHMEMBatch;

/*
 * A hint batch that was sent to the guest: the specification's batch.  Exists
 * at most as long as the driver.
 */
typedef struct VirtIOHMEMSent {
    /* 0: this slot is free. */
    uint64_t id;
    /* Number of hinted frames, and of those that have results. */
    uint64_t frames;
    uint64_t answered;
    /* VirtIOHMEMBatch.since of its batch. */
    uint64_t since;
    /* The batch that gets the results; NULL: nobody wants them any more. */
    VirtIOHMEMBatch *batch;
} VirtIOHMEMSent;

/* Counted since the device was created.  Host state: not migrated. */
typedef struct VirtIOHMEMStats {
    uint64_t batches;
    uint64_t hints;
    uint64_t rejected[HMEM_LINK_REJECT_INVALID + 1];
    uint64_t results;
    /* Frames by the status and reason of their results. */
    uint64_t frames_by_status[VIRTIO_HMEM_S_ERROR + 1];
    uint64_t frames_by_reason[VIRTIO_HMEM_R_MAX];
    /* The driver's count in its last result batch. */
    uint64_t foreign_moves;
} VirtIOHMEMStats;

/* All fields are protected by the BQL. */
struct VirtIOHMEM {
    VirtIODevice parent_obj;

    VirtQueue *hint_vq;
    VirtQueue *result_vq;
    /*
     * Does all work on queues.  With -icount, the timer does the same work at a
     * repeatable time.  NULL after unrealize, when the transport can still call
     * the reset function.
     */
    QEMUBH *work_bh;
    QEMUTimer *work_timer;

    /* The user's kinds of tiers, if there are any. */
    uint32_t num_kinds;
    VirtioHmemTierKind *kinds;
    HmemMemory memory;
    HmemLink link;
    HmemTrack track;
    /* The device offers VIRTIO_HMEM_F_ACCESS; its state. */
    bool offer_access;
    HmemAccess access;
    /* Likewise; and the queues of scans, where there are none. */
    bool offer_resize;
    char *initial, *minimum;
    HmemResize resize;
    VirtQueue *no_scan_vqs[2];
    /* The driver is to be told that its configuration has changed. */
    bool config_changed;
    struct virtio_hmem_config config;
    /*
     * The ranges have changed since hmemd was told.  The timer is pending if
     * hmemd was told only a short time ago.
     */
    bool ranges_changed;
    QEMUTimer *ranges_timer;
    /*
     * The driver's values in the configuration space.  The timer is pending
     * if hmemd must be told of a change.
     */
    uint64_t online[VIRTIO_HMEM_MAX_TIERS];
    QEMUTimer *online_timer;
    /* Pending: hmemd is to be told of the sizes of tiers. */
    QEMUTimer *sizes_timer;

    /* Oldest first; at most VIRTIO_HMEM_MAX_BATCHES. */
    QTAILQ_HEAD(, VirtIOHMEMBatch) batches;
    uint32_t num_batches;
    VirtIOHMEMSent sent[VIRTIO_HMEM_MAX_SENT];
    /* In a migration stream: how many of them follow. */
    uint32_t num_saved;
    uint64_t next_id;

    /* Outgoing live migration is under way. */
    bool migrating;
    NotifierWithReturn migration_notifier;
    /* The machine sleeps or wakes up; @sleep_bh tells hmemd afterwards. */
    Notifier suspend_notifier, wakeup_notifier;
    QEMUBH *sleep_bh;
    /* Pending during incoming postcopy, see virtio_hmem_is_migrating(). */
    QEMUTimer *postcopy_timer;

    /* The state that hmemd was last told. */
    struct hmem_link_state state;
    struct hmem_link_sizes sizes;

    /* What the driver told last; it has not if @have_pauses is false. */
    bool have_pauses;
    struct hmem_link_pauses pauses;

    VirtIOHMEMStats stats;

    /* What the monitor was told last; virtio-hmem-qmp.c changes it. */
    bool reported_connected;
    VirtioHmemDriverState reported_driver;
};

#endif
