/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the tracker in which the guest's driver scans, as in HMM-V.
 *
 * The driver reads and clears the accessed bits in the guest's page tables, and
 * with VIRTIO_HMEM_F_WRITTEN the dirty bits.  This needs nothing from the host.
 *
 * If the guest breaks the rules, the device breaks until it is reset, as with
 * results.  But frames that are not memory of a tier are ignored, because the
 * guest can have memory that the device does not know of.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "qemu/iov.h"
#include "qemu/units.h"
#include "migration/vmstate.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "hw/virtio/virtio-hmem-access.h"
#include "hw/virtio/virtio-hmem-driver.h"
#include "trace.h"

#define HMEM_QUEUE_SIZE 128

/* Largest number of entries in one buffer of a request. */
#define HMEM_MAX_SCAN_FRAMES 4096

/* A report is at most 64 KiB long. */
#define HMEM_MAX_REPORT_FRAMES                                              \
    ((64 * KiB - sizeof(struct virtio_hmem_access)) /                       \
     sizeof(struct virtio_hmem_frames))

static bool hmem_access_ready(const HmemAccess *access)
{
    VirtIODevice *vdev = access->vdev;

    return access->scan_vq && vdev->vm_running && hmem_driver_ok(vdev) &&
           virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_ACCESS);
}

/*
 * Requests
 */

/* The length of the headers that come before the entries of a buffer. */
static size_t hmem_access_head(const HmemAccess *access)
{
    return sizeof(struct virtio_hmem_scan) +
        (virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_LOOK) ?
         sizeof(struct virtio_hmem_look) : 0);
}

/* Take the next frames to rearm out of the map.  False: there are no more. */
static bool hmem_access_next_rearm(HmemAccess *access,
                                   struct virtio_hmem_frames *to)
{
    const HmemMemory *memory = access->track->memory;
    const HmemMaps *maps = &access->track->maps;

    for (; access->range < memory->ranges->len; access->range++) {
        const struct hmem_link_range *range =
            &g_array_index(memory->ranges, HmemRange, access->range).link;
        const uint64_t end = MIN(DIV_ROUND_UP(range->gfn + range->num, 64),
                                 maps->bytes / sizeof(uint64_t));

        access->word = MAX(access->word, range->gfn / 64);
        for (; access->word < end; access->word++) {
            uint64_t mask = hmem_maps_take_rearm(maps, range, access->word);

            if (!mask) {
                continue;
            }
            to->gfn = cpu_to_le64(access->word * 64);
            to->mask = cpu_to_le64(mask);
            access->found.rearmed += ctpop64(mask);
            access->word++;
            return true;
        }
        /* The next range may begin in the same word. */
        access->word = 0;
    }
    return false;
}

/*
 * Fill one buffer with as much of the request as fits.  Returns the number of
 * bytes; or 0 if the buffer broke the rules, and so the device.
 */
static size_t hmem_access_fill(HmemAccess *access, VirtQueueElement *elem)
{
    const size_t size = iov_size(elem->in_sg, elem->in_num);
    const size_t head = hmem_access_head(access);
    /* The smallest buffer that the driver may post for requests. */
    const size_t min = head +
        VIRTIO_HMEM_MIN_SCAN_FRAMES * sizeof(struct virtio_hmem_frames);
    const struct virtio_hmem_look look = { .ns = cpu_to_le64(access->look_ns) };
    struct virtio_hmem_scan header = { .id = cpu_to_le64(access->id) };
    g_autofree struct virtio_hmem_frames *frames = NULL;
    uint32_t num = 0;
    uint32_t max;

    if (elem->out_num) {
        virtio_error(access->vdev, "virtio-hmem: protocol violation: scan "
                     "buffer with device-readable parts");
        return 0;
    }
    if (size < min) {
        virtio_error(access->vdev, "virtio-hmem: protocol violation: scan "
                     "buffer of %zu bytes, less than %zu", size, min);
        return 0;
    }

    max = MIN((size - head) / sizeof(*frames), HMEM_MAX_SCAN_FRAMES);
    frames = g_new(struct virtio_hmem_frames, max);
    while (access->rearm && num < max) {
        if (!hmem_access_next_rearm(access, &frames[num])) {
            access->rearm = false;
            break;
        }
        num++;
    }
    access->request_sent = !access->rearm;
    header.num_frames = cpu_to_le32(num);
    header.flags = cpu_to_le32(access->flags |
                               (access->within ? VIRTIO_HMEM_SCAN_REARM_ALL |
                                VIRTIO_HMEM_SCAN_LOOK : 0) |
                               (access->request_sent ?
                                VIRTIO_HMEM_SCAN_LAST : 0));
    trace_virtio_hmem_scan(access->id, le32_to_cpu(header.flags), num,
                           access->look_ns);
    iov_from_buf(elem->in_sg, elem->in_num, 0, &header, sizeof(header));
    iov_from_buf(elem->in_sg, elem->in_num, sizeof(header), &look,
                 head - sizeof(header));
    iov_from_buf(elem->in_sg, elem->in_num, head, frames,
                 num * sizeof(*frames));
    /* The push can change @access, so do not use @access after it. */
    virtqueue_push(access->scan_vq, elem, head + num * sizeof(*frames));
    return head + num * sizeof(*frames);
}

static bool hmem_access_to_deliver(const HmemAccess *access)
{
    return hmem_access_ready(access) && access->id && !access->request_sent;
}

bool hmem_access_deliver(HmemAccess *access)
{
    size_t done = 0;

    while (done < HMEM_PASS_BYTES && hmem_access_to_deliver(access)) {
        VirtQueueElement *elem = virtqueue_pop(access->scan_vq, sizeof(*elem));
        size_t len;

        if (!elem) {
            break;
        }
        /* Popping can have reset the driver, by a write to device registers. */
        len = hmem_access_to_deliver(access) ?
            hmem_access_fill(access, elem) : 0;
        if (!len) {
            virtqueue_detach_element(access->scan_vq, elem, 0);
        }
        g_free(elem);
        if (!len) {
            return false;
        }
        done += MAX(len, HMEM_PASS_MIN_BYTES);
    }
    if (done && hmem_access_ready(access)) {
        virtio_notify(access->vdev, access->scan_vq);
    }
    return done >= HMEM_PASS_BYTES;
}

/*
 * Do the looks of the window lie within its scan?  A driver that cannot make
 * them, or also looks for writes, looks from scan to scan.
 */
static bool hmem_access_looks_within(const HmemAccess *access)
{
    return access->track->flags & HMEM_LINK_TRACK_WITHIN &&
        virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_LOOK) &&
        !(virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_WRITTEN) &&
          access->track->maps.want_written);
}

static void hmem_access_start(HmemAccess *access, HmemScan scan)
{
    access->within = scan == HMEM_SCAN_COLLECT &&
        hmem_access_looks_within(access);
    access->id = access->next_id++;
    if (scan == HMEM_SCAN_CLEAR) {
        access->flags = VIRTIO_HMEM_SCAN_REARM_ALL;
        access->look_ns = 0;
    } else {
        access->flags = VIRTIO_HMEM_SCAN_REPORT;
        access->look_ns = access->within ? access->track->window_ns :
            access->track->flags & HMEM_LINK_TRACK_LONG ? 0 :
            hmem_track_window_so_far(access->track);
    }
    if (virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_WRITTEN) &&
        access->track->maps.want_written) {
        access->flags |= VIRTIO_HMEM_SCAN_WRITTEN;
    }
    access->rearm = scan == HMEM_SCAN_COLLECT && !access->within;
    access->request_sent = false;
    access->range = 0;
    access->word = 0;
    access->written = false;
    access->next_gfn = 0;
    access->found = (HmemScanned) { };
}

void hmem_access_begin(HmemAccess *access, HmemScan scan)
{
    access->wanted = HMEM_SCAN_NONE;
    if (access->id) {
        access->orphan = true;
        /* The part of the request that the driver has is enough. */
        access->rearm = false;
        access->wanted = scan;
    } else if (scan != HMEM_SCAN_NONE) {
        hmem_access_start(access, scan);
    }
}

void hmem_access_ask(HmemAccess *access)
{
    if (access->id || !hmem_access_ready(access) ||
        !virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_ACCOUNT)) {
        return;
    }
    access->id = access->next_id++;
    access->flags = VIRTIO_HMEM_SCAN_ACCOUNT;
    access->within = false;
    access->look_ns = 0;
    access->rearm = false;
    access->request_sent = false;
    access->written = false;
    access->next_gfn = 0;
    /* The tracker waits for nothing. */
    access->orphan = true;
}

/*
 * Reports
 */

static bool hmem_access_reports_written(const HmemAccess *access)
{
    return access->flags & VIRTIO_HMEM_SCAN_REPORT &&
        access->flags & VIRTIO_HMEM_SCAN_WRITTEN;
}

/* A mask of those of the 64 frames from @gfn on that are memory of a tier. */
static uint64_t hmem_access_tier_frames(const HmemAccess *access, uint64_t gfn)
{
    return gfn / 64 < access->track->maps.bytes / sizeof(uint64_t) ?
        hmem_memory_word(access->track->memory, gfn / 64) : 0;
}

/* Record the entries of a report.  Returns false if one of them is wrong. */
static bool hmem_access_take_frames(HmemAccess *access,
                                    const struct virtio_hmem_frames *frames,
                                    uint32_t num)
{
    const HmemMaps *maps = &access->track->maps;
    uint64_t *map = access->written ? maps->dirty : maps->accessed;
    uint64_t *found = access->written ? &access->found.dirty :
        &access->found.accessed;
    uint32_t i;

    for (i = 0; i < num; i++) {
        const uint64_t gfn = le64_to_cpu(frames[i].gfn);
        uint64_t mask = le64_to_cpu(frames[i].mask);

        if (gfn % 64 || gfn < access->next_gfn || gfn > UINT64_MAX - 64 ||
            !mask) {
            virtio_error(access->vdev, "virtio-hmem: protocol violation: "
                         "entry %u of %u of a report names frames 0x%" PRIx64
                         " (mask 0x%" PRIx64 "), expected multiples of 64 from"
                         " 0x%" PRIx64 " on", i, num, gfn, mask,
                         access->next_gfn);
            return false;
        }
        access->next_gfn = gfn + 64;
        mask &= hmem_access_tier_frames(access, gfn);
        if (mask && !access->orphan) {
            qatomic_or(&map[gfn / 64], mask);
            *found += ctpop64(mask);
        }
    }
    return true;
}

static void hmem_access_finish(HmemAccess *access)
{
    const HmemScan wanted = access->wanted;
    const bool orphan = access->orphan;

    access->id = 0;
    access->orphan = false;
    access->wanted = HMEM_SCAN_NONE;
    if (!orphan) {
        hmem_track_scanned(access->track, &access->found);
    }
    if (wanted != HMEM_SCAN_NONE) {
        hmem_access_start(access, wanted);
    }
}

/* The length of the headers that come before the entries of a report. */
static size_t hmem_access_report_head(const HmemAccess *access)
{
    return sizeof(struct virtio_hmem_access) +
        (virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_COST) ?
         sizeof(struct virtio_hmem_cost) : 0);
}

/* The length of a report, with its entries and what follows them. */
static size_t hmem_access_report_len(const HmemAccess *access,
                                     const struct virtio_hmem_access *header)
{
    const uint64_t num = le32_to_cpu(header->num_frames);

    return hmem_access_report_head(access) + num * sizeof(header->frames[0]) +
        (le32_to_cpu(header->flags) & VIRTIO_HMEM_ACCESS_ACCOUNT ?
         sizeof(struct virtio_hmem_account) : 0);
}

/* Check a report's header.  Returns NULL, or a text that says what is wrong. */
static const char *hmem_access_check(const HmemAccess *access,
                                     const VirtQueueElement *elem,
                                     const struct virtio_hmem_access *header)
{
    const size_t size = iov_size(elem->out_sg, elem->out_num);
    const uint32_t num = le32_to_cpu(header->num_frames);
    const uint32_t flags = le32_to_cpu(header->flags);
    const bool last = flags & VIRTIO_HMEM_ACCESS_LAST;
    uint32_t known = VIRTIO_HMEM_ACCESS_LAST;

    if (virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_WRITTEN)) {
        known |= VIRTIO_HMEM_ACCESS_WRITTEN;
    }
    if (virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_INCOMPLETE)) {
        known |= VIRTIO_HMEM_ACCESS_INCOMPLETE;
    }
    if (virtio_vdev_has_feature(access->vdev, VIRTIO_HMEM_F_ACCOUNT)) {
        known |= VIRTIO_HMEM_ACCESS_ACCOUNT;
    }
    if (num > HMEM_MAX_REPORT_FRAMES) {
        return "more than 64 KiB";
    }
    if (hmem_access_report_len(access, header) > size) {
        return "more entries than its buffer";
    }
    if (flags & ~known) {
        return "flags that do not exist, or were not negotiated";
    }
    if (!access->id || !access->request_sent ||
        le64_to_cpu(header->id) != access->id) {
        return "an id that is not that of the current scan";
    }
    if (num && !(access->flags & VIRTIO_HMEM_SCAN_REPORT)) {
        return "entries that were not requested";
    }
    if (flags & VIRTIO_HMEM_ACCESS_WRITTEN) {
        if (!hmem_access_reports_written(access)) {
            return "written frames that were not requested";
        }
    } else if (access->written) {
        return "accessed frames after written ones";
    }
    if (flags & (VIRTIO_HMEM_ACCESS_INCOMPLETE |
                 VIRTIO_HMEM_ACCESS_ACCOUNT) && !last) {
        return "flags of a last report, but is not the last";
    }
    if (!num && !last) {
        return "no entries, but is not the last";
    }
    return NULL;
}

/*
 * Process a report.  Returns its length; or 0 if the report broke the device.
 */
static size_t hmem_access_handle(HmemAccess *access,
                                 const VirtQueueElement *elem)
{
    const size_t head = hmem_access_report_head(access);
    struct virtio_hmem_access header;
    /* Without VIRTIO_HMEM_F_COST, the cost is not known. */
    struct virtio_hmem_cost cost = {
        .ns = cpu_to_le64(UINT64_MAX),
        .cleared = cpu_to_le64(UINT64_MAX),
    };
    g_autofree struct virtio_hmem_frames *frames = NULL;
    struct virtio_hmem_account account = { };
    const char *wrong;
    uint32_t num, flags;

    if (elem->in_num) {
        virtio_error(access->vdev, "virtio-hmem: protocol violation: report "
                     "with device-writable parts");
        return 0;
    }
    if (iov_size(elem->out_sg, elem->out_num) < head) {
        virtio_error(access->vdev, "virtio-hmem: protocol violation: report "
                     "of %zu bytes, less than a header of %zu",
                     iov_size(elem->out_sg, elem->out_num), head);
        return 0;
    }
    iov_to_buf(elem->out_sg, elem->out_num, 0, &header, sizeof(header));
    iov_to_buf(elem->out_sg, elem->out_num, sizeof(header), &cost,
               head - sizeof(header));
    wrong = hmem_access_check(access, elem, &header);
    num = le32_to_cpu(header.num_frames);
    flags = le32_to_cpu(header.flags);
    if (wrong) {
        virtio_error(access->vdev, "virtio-hmem: protocol violation: report "
                     "(id %" PRIu64 ", %u entries, flags 0x%x, scan %" PRIu64
                     ") has %s", le64_to_cpu(header.id), num, flags,
                     access->id, wrong);
        return 0;
    }

    /* From here on, use the copy, which the guest cannot change. */
    frames = g_new(struct virtio_hmem_frames, num);
    if (num) {
        iov_to_buf(elem->out_sg, elem->out_num, head, frames,
                   num * sizeof(*frames));
    }
    if (flags & VIRTIO_HMEM_ACCESS_ACCOUNT) {
        iov_to_buf(elem->out_sg, elem->out_num, head + num * sizeof(*frames),
                   &account, sizeof(account));
    }
    trace_virtio_hmem_access(access->id, flags, num);
    if (flags & VIRTIO_HMEM_ACCESS_WRITTEN && !access->written) {
        access->written = true;
        access->next_gfn = 0;
    }
    if (!hmem_access_take_frames(access, frames, num)) {
        return 0;
    }
    if (flags & VIRTIO_HMEM_ACCESS_INCOMPLETE) {
        access->found.flags |= HMEM_LINK_TICK_INCOMPLETE;
    }
    if (flags & VIRTIO_HMEM_ACCESS_ACCOUNT) {
        access->told(access->vdev, &account);
    }
    if (flags & VIRTIO_HMEM_ACCESS_LAST) {
        access->found.cost_ns = le64_to_cpu(cost.ns);
        access->found.cleared = le64_to_cpu(cost.cleared);
        hmem_access_finish(access);
    }
    return hmem_access_report_len(access, &header);
}

bool hmem_access_receive(HmemAccess *access)
{
    VirtQueueElement *elem;
    size_t done = 0;

    while (done < HMEM_PASS_BYTES && hmem_access_ready(access) &&
           (elem = virtqueue_pop(access->access_vq, sizeof(*elem)))) {
        /* Popping can have reset the driver, by a write to device registers. */
        size_t len = hmem_access_ready(access) ?
            hmem_access_handle(access, elem) : 0;

        if (len) {
            virtqueue_push(access->access_vq, elem, 0);
        } else {
            virtqueue_detach_element(access->access_vq, elem, 0);
        }
        g_free(elem);
        if (!len) {
            return false;
        }
        done += MAX(len, HMEM_PASS_MIN_BYTES);
    }
    if (done && hmem_access_ready(access)) {
        virtio_notify(access->vdev, access->access_vq);
    }
    return done >= HMEM_PASS_BYTES;
}

/*
 * Life cycle
 */

void hmem_access_reset(HmemAccess *access)
{
    access->id = 0;
    access->written = false;
    access->orphan = false;
    access->wanted = HMEM_SCAN_NONE;
}

void hmem_access_realize(HmemAccess *access, VirtIODevice *vdev,
                         HmemTrack *track, VirtIOHandleOutput handle_vq,
                         HmemAccessTold *told)
{
    access->vdev = vdev;
    access->told = told;
    access->track = track;
    access->next_id = 1;
    access->scan_vq = virtio_add_queue(vdev, HMEM_QUEUE_SIZE, handle_vq);
    access->access_vq = virtio_add_queue(vdev, HMEM_QUEUE_SIZE, handle_vq);
}

void hmem_access_unrealize(HmemAccess *access)
{
    virtio_delete_queue(access->scan_vq);
    virtio_delete_queue(access->access_vq);
    access->scan_vq = NULL;
    access->access_vq = NULL;
}

/*
 * A scan has migrated with the guest.  This QEMU's hmemd does not want its
 * report.
 */
static int hmem_access_post_load(void *opaque, int version_id)
{
    HmemAccess *access = opaque;
    const uint32_t kind = access->flags & ~VIRTIO_HMEM_SCAN_WRITTEN;

    if (!hmem_access_id_ok(access->next_id) || access->id >= access->next_id ||
        access->next_gfn % 64 ||
        (access->id && kind != VIRTIO_HMEM_SCAN_REPORT &&
         kind != VIRTIO_HMEM_SCAN_REARM_ALL &&
         access->flags != VIRTIO_HMEM_SCAN_ACCOUNT) ||
        (access->written && !hmem_access_reports_written(access))) {
        error_report("virtio-hmem: scan %" PRIu64 " of %" PRIu64
                     " with flags 0x%x at 0x%" PRIx64 " makes no sense",
                     access->id, access->next_id, access->flags,
                     access->next_gfn);
        return -EINVAL;
    }
    access->orphan = access->id != 0;
    access->rearm = false;
    access->within = false;
    return 0;
}

static bool hmem_access_written_needed(void *opaque)
{
    HmemAccess *access = opaque;

    return access->written;
}

static const VMStateDescription vmstate_hmem_access_written = {
    .name = "virtio-hmem-device/access/scan/written",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = hmem_access_written_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(written, HmemAccess),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_hmem_access = {
    .name = "virtio-hmem-device/access/scan",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = hmem_access_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(next_id, HmemAccess),
        VMSTATE_UINT64(id, HmemAccess),
        VMSTATE_UINT32(flags, HmemAccess),
        VMSTATE_BOOL(request_sent, HmemAccess),
        VMSTATE_UINT64(next_gfn, HmemAccess),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * const []) {
        &vmstate_hmem_access_written,
        NULL
    },
};
