/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: heterogeneous memory device.
 */
#ifndef HW_VIRTIO_HMEM_H
#define HW_VIRTIO_HMEM_H

#include "standard-headers/linux/virtio_hmem.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem-access.h"
#include "hw/virtio/virtio-hmem-link.h"
#include "hw/virtio/virtio-hmem-memory.h"
#include "hw/virtio/virtio-hmem-track.h"
#include "qemu/notify.h"
#include "qom/object.h"

#define TYPE_VIRTIO_HMEM "virtio-hmem-device"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOHMEM, VIRTIO_HMEM)

#define VIRTIO_HMEM_CHARDEV_PROP "chardev"
#define VIRTIO_HMEM_KINDS_PROP "kinds"
#define VIRTIO_HMEM_ACCESS_PROP "access"
#define VIRTIO_HMEM_CONNECTED_PROP "connected"
#define VIRTIO_HMEM_DRIVER_PROP "driver-state"
#define VIRTIO_HMEM_LOG_PROP "dirty-log"
#define VIRTIO_HMEM_OUTSTANDING_PROP "outstanding"
#define VIRTIO_HMEM_STATS_PROP "stats"
#define VIRTIO_HMEM_TRACKER_PROP "tracker"

/* Batches from hmemd that may be under way. */
#define VIRTIO_HMEM_MAX_BATCHES 64
/*
 * Hint batches that the guest may be working on: a batch from hmemd takes two
 * of the smallest buffers that the driver may post.
 */
#define VIRTIO_HMEM_MAX_PARTS (2 * VIRTIO_HMEM_MAX_BATCHES)

/* A batch that hmemd waits for.  Ends with the connection. */
typedef struct VirtIOHMEMBatch {
    /* hmemd's name for it */
    uint64_t cookie;
    /* Parts of it that the guest has and has not finished. */
    uint32_t num_parts;
    /* Hints from @next on still wait for a buffer; freed after the last. */
    uint32_t num_hints;
    uint32_t next;
    /* Which memory there was when they were checked: HmemMemory.generation. */
    uint64_t since;
    struct virtio_hmem_hint *hints;
    QTAILQ_ENTRY(VirtIOHMEMBatch) entry;
} VirtIOHMEMBatch;

/* A hint batch, as the guest knows it.  Ends with the driver. */
typedef struct VirtIOHMEMPart {
    /* 0: this slot is free */
    uint64_t id;
    /* How many frames were hinted, and how many of them are answered. */
    uint64_t frames;
    uint64_t answered;
    /* As in its batch. */
    uint64_t since;
    /* Who wants the results; NULL: nobody any more */
    VirtIOHMEMBatch *batch;
} VirtIOHMEMPart;

/* Since the device was created.  Host state: not migrated. */
typedef struct VirtIOHMEMStats {
    uint64_t batches;
    uint64_t hints;
    uint64_t rejected[HMEM_LINK_REJECT_INVALID + 1];
    uint64_t results;
    /* Frames of those results. */
    uint64_t frames_by_status[VIRTIO_HMEM_S_ERROR + 1];
    uint64_t frames_by_reason[VIRTIO_HMEM_R_MAX];
    /* The driver's count, as of its last result batch. */
    uint64_t foreign_moves;
} VirtIOHMEMStats;

/* All fields are protected by the BQL. */
struct VirtIOHMEM {
    VirtIODevice parent_obj;

    VirtQueue *hint_vq;
    VirtQueue *result_vq;
    /*
     * All that is done on a queue; the timer is in its place with -icount.
     * NULL: unrealized, which a reset by the transport can follow.
     */
    QEMUBH *work_bh;
    QEMUTimer *work_timer;

    char *kinds;
    HmemMemory memory;
    HmemLink link;
    HmemTrack track;
    /* Whether it is there at all, and what it is. */
    bool offer_access;
    HmemAccess access;
    struct virtio_hmem_config config;
    /* hmemd is to be told of the ranges; pending: it has just been. */
    bool ranges_changed;
    QEMUTimer *ranges_timer;
    /* As the driver has written it; @online_timer: hmemd is to be told. */
    uint64_t online[VIRTIO_HMEM_MAX_TIERS];
    QEMUTimer *online_timer;

    /* Oldest first; at most VIRTIO_HMEM_MAX_BATCHES. */
    QTAILQ_HEAD(, VirtIOHMEMBatch) batches;
    uint32_t num_batches;
    VirtIOHMEMPart parts[VIRTIO_HMEM_MAX_PARTS];
    uint64_t next_id;

    /* Outgoing live migration is under way. */
    bool migrating;
    NotifierWithReturn migration_notifier;
    /* The machine goes to sleep, or wakes up: hmemd is told afterwards. */
    Notifier suspend_notifier, wakeup_notifier;
    QEMUBH *sleep_bh;
    /* Incoming postcopy is under way, see virtio_hmem_is_migrating(). */
    QEMUTimer *postcopy_timer;

    /* What hmemd was last told. */
    struct hmem_link_state state;

    VirtIOHMEMStats stats;
};

#endif
