/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the device in QEMU's monitor.
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-virtio-hmem.h"
#include "qapi/qapi-events-virtio-hmem.h"
#include "hw/virtio/virtio-hmem-qmp.h"

/* A reason without a member, or a member without a reason. */
QEMU_BUILD_BUG_ON(sizeof(VirtioHmemReasons) !=
                  VIRTIO_HMEM_R_MAX * sizeof(uint64_t));
QEMU_BUILD_BUG_ON(sizeof(VirtioHmemStatuses) !=
                  (VIRTIO_HMEM_S_ERROR + 1) * sizeof(uint64_t));
QEMU_BUILD_BUG_ON((int)VIRTIO_HMEM_TIER_KIND_DRAM != VIRTIO_HMEM_KIND_DRAM ||
                  (int)VIRTIO_HMEM_TIER_KIND_NVM != VIRTIO_HMEM_KIND_NVM ||
                  (int)VIRTIO_HMEM_TIER_KIND_CXL != VIRTIO_HMEM_KIND_CXL);

/* What users know as the device: the transport, if there is one. */
static DeviceState *virtio_hmem_user_device(VirtIOHMEM *hmem)
{
    DeviceState *proxy = qdev_get_parent_bus(DEVICE(hmem))->parent;

    return proxy ?: DEVICE(hmem);
}

static bool virtio_hmem_connected(const VirtIOHMEM *hmem)
{
    return hmem->link.up && hmem->link.welcome;
}

static VirtioHmemDriverState virtio_hmem_driver_state(const VirtIOHMEM *hmem)
{
    if (hmem->state.flags & HMEM_LINK_BROKEN) {
        return VIRTIO_HMEM_DRIVER_STATE_BROKEN;
    }
    return hmem->state.flags & HMEM_LINK_DRIVER_OK ?
        VIRTIO_HMEM_DRIVER_STATE_OK : VIRTIO_HMEM_DRIVER_STATE_NONE;
}

/*
 * Events
 */

void virtio_hmem_report_connection(VirtIOHMEM *hmem)
{
    const DeviceState *dev = virtio_hmem_user_device(hmem);
    const bool connected = virtio_hmem_connected(hmem);

    if (connected != hmem->reported_connected) {
        hmem->reported_connected = connected;
        qapi_event_send_virtio_hmem_connection_change(
            dev->id, dev->canonical_path, connected);
    }
}

void virtio_hmem_report_driver(VirtIOHMEM *hmem)
{
    const DeviceState *dev = virtio_hmem_user_device(hmem);
    const VirtioHmemDriverState state = virtio_hmem_driver_state(hmem);

    if (state != hmem->reported_driver) {
        hmem->reported_driver = state;
        qapi_event_send_virtio_hmem_driver_change(
            dev->id, dev->canonical_path, state);
    }
}

/*
 * Query
 */

static uint32_t virtio_hmem_outstanding(const VirtIOHMEM *hmem)
{
    uint32_t num = 0;
    int i;

    for (i = 0; i < VIRTIO_HMEM_MAX_SENT; i++) {
        num += hmem->sent[i].id != 0;
    }
    return num;
}

static VirtioHmemTierList *virtio_hmem_tiers(const VirtIOHMEM *hmem)
{
    VirtioHmemTierList *head = NULL, **tail = &head;
    struct hmem_link_sizes sizes;
    int i;

    hmem_resize_sizes(&hmem->resize, &sizes);
    for (i = 0; i < hmem->memory.num_tiers; i++) {
        const struct hmem_link_tier *info = &hmem->memory.tiers[i].info;
        VirtioHmemTier *tier = g_new(VirtioHmemTier, 1);

        *tier = (VirtioHmemTier) {
            .node = info->pxm,
            .kind = info->kind,
            .size = info->size,
            .minimum = hmem->resize.tiers[i].min,
            .requested = sizes.tiers[i].requested,
            .actual = sizes.tiers[i].actual,
        };
        QAPI_LIST_APPEND(tail, tier);
    }
    return head;
}

static VirtioHmemRejects *virtio_hmem_rejects(const uint64_t *rejected)
{
    VirtioHmemRejects *rejects = g_new(VirtioHmemRejects, 1);

    *rejects = (VirtioHmemRejects) {
        .no_driver = rejected[HMEM_LINK_REJECT_NO_DRIVER],
        .migrating = rejected[HMEM_LINK_REJECT_MIGRATING],
        .busy = rejected[HMEM_LINK_REJECT_BUSY],
        .invalid = rejected[HMEM_LINK_REJECT_INVALID],
    };
    return rejects;
}

static VirtioHmemStatuses *virtio_hmem_statuses(const uint64_t *frames)
{
    VirtioHmemStatuses *statuses = g_new(VirtioHmemStatuses, 1);

    *statuses = (VirtioHmemStatuses) {
        .ok = frames[VIRTIO_HMEM_S_OK],
        .nack = frames[VIRTIO_HMEM_S_NACK],
        .busy = frames[VIRTIO_HMEM_S_BUSY],
        .error = frames[VIRTIO_HMEM_S_ERROR],
    };
    return statuses;
}

static VirtioHmemReasons *virtio_hmem_reasons(const uint64_t *frames)
{
    VirtioHmemReasons *reasons = g_new(VirtioHmemReasons, 1);

    *reasons = (VirtioHmemReasons) {
        .moved = frames[VIRTIO_HMEM_R_MOVED],
        .already = frames[VIRTIO_HMEM_R_ALREADY],
        .free = frames[VIRTIO_HMEM_R_FREE],
        .kernel = frames[VIRTIO_HMEM_R_KERNEL],
        .hugetlb = frames[VIRTIO_HMEM_R_HUGETLB],
        .ksm = frames[VIRTIO_HMEM_R_KSM],
        .inaccessible = frames[VIRTIO_HMEM_R_INACCESSIBLE],
        .unsupported = frames[VIRTIO_HMEM_R_UNSUPPORTED],
        .large = frames[VIRTIO_HMEM_R_LARGE],
        .poison = frames[VIRTIO_HMEM_R_POISON],
        .pinned = frames[VIRTIO_HMEM_R_PINNED],
        .writeback = frames[VIRTIO_HMEM_R_WRITEBACK],
        .locked = frames[VIRTIO_HMEM_R_LOCKED],
        .unmapped = frames[VIRTIO_HMEM_R_UNMAPPED],
        .off_lru = frames[VIRTIO_HMEM_R_OFF_LRU],
        .no_memory = frames[VIRTIO_HMEM_R_NO_MEMORY],
        .stopped = frames[VIRTIO_HMEM_R_STOPPED],
        .bad_gfn = frames[VIRTIO_HMEM_R_BAD_GFN],
        .bad_tier = frames[VIRTIO_HMEM_R_BAD_TIER],
        .bad_order = frames[VIRTIO_HMEM_R_BAD_ORDER],
        .restricted = frames[VIRTIO_HMEM_R_RESTRICTED],
    };
    return reasons;
}

static VirtioHmemStats *virtio_hmem_stats(const VirtIOHMEM *hmem)
{
    const VirtIOHMEMStats *counted = &hmem->stats;
    const HmemLogStats log = hmem->track.log ?
        hmem_log_stats(hmem->track.log) : (HmemLogStats) { };
    VirtioHmemStats *stats = g_new(VirtioHmemStats, 1);

    *stats = (VirtioHmemStats) {
        .connections = hmem->link.num_opened,
        .connections_dropped = hmem->link.num_dropped,
        .batches = counted->batches,
        .hints = counted->hints,
        .rejected = virtio_hmem_rejects(counted->rejected),
        .results = counted->results,
        .frames_by_status = virtio_hmem_statuses(counted->frames_by_status),
        .frames_by_reason = virtio_hmem_reasons(counted->frames_by_reason),
        .foreign_moves = counted->foreign_moves,
        .ticks = hmem->track.num_ticks,
        .dirty_pages = hmem->track.num_dirty,
        .accessed_pages = hmem->track.num_accessed,
        .rearmed_pages = hmem->track.num_rearmed,
        .log_on = log.on,
        .log_pages = log.pages,
        .log_slices = log.slices,
        .scans = hmem->track.num_scans,
        .scans_late = hmem->track.num_late,
    };
    return stats;
}

VirtioHmemInfoList *qmp_query_virtio_hmem(Error **errp)
{
    Object *found = object_resolve_path_type("", TYPE_VIRTIO_HMEM, NULL);
    VirtioHmemInfoList *list = NULL;
    const DeviceState *dev;
    VirtioHmemInfo *info;
    VirtIOHMEM *hmem;

    /* While the device is being plugged in, it is there, but not realized. */
    if (!found || !DEVICE(found)->realized) {
        return NULL;
    }
    hmem = VIRTIO_HMEM(found);
    dev = virtio_hmem_user_device(hmem);
    info = g_new(VirtioHmemInfo, 1);
    *info = (VirtioHmemInfo) {
        .id = g_strdup(dev->id),
        .qom_path = g_strdup(dev->canonical_path),
        .connected = virtio_hmem_connected(hmem),
        .driver_state = virtio_hmem_driver_state(hmem),
        .outstanding = virtio_hmem_outstanding(hmem),
        .tracker = hmem->track.tracker ? hmem->track.tracker->shown :
            VIRTIO_HMEM_TRACKER_NONE,
        .dirty_log = hmem->track.log && hmem_log_is_on(hmem->track.log),
        .tiers = virtio_hmem_tiers(hmem),
        .stats = virtio_hmem_stats(hmem),
    };
    QAPI_LIST_PREPEND(list, info);
    return list;
}
