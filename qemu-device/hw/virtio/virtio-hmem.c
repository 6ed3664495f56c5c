/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: heterogeneous memory device.
 *
 * hmemd decides which pages belong into which memory tier of the guest, and the
 * guest's driver moves them.  The device is between the two and trusts neither:
 * it checks hints before the guest sees them, and results before hmemd sees
 * them.  The device has no policy of its own.
 *
 * If hmemd breaks the rules, the device drops the connection
 * (hmem_link_drop()).  If the guest breaks the rules, the device is broken
 * until the guest resets it (virtio_hmem_violation()).  The guest keeps running
 * in either case.
 *
 * The device never holds a buffer of the guest: it takes one only when it has
 * hints to put in.  So when a reset, an unplug or a migration comes, all
 * buffers are in the rings.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/uuid.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-migration.h"
#include "qapi/qapi-visit-virtio-hmem.h"
#include "qapi/util.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "hw/core/cpu.h"
#include "system/runstate.h"
#include "system/system.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-hmem.h"
#include "hw/virtio/virtio-hmem-driver.h"
#include "hw/virtio/virtio-hmem-qmp.h"
#include "trace.h"

#define HMEM_ASSERT_SIZE(type, size) QEMU_BUILD_BUG_ON(sizeof(type) != (size))
VIRTIO_HMEM_ASSERT_LAYOUT(HMEM_ASSERT_SIZE);
QEMU_BUILD_BUG_ON(HMEM_LINK_MAX_TIERS != VIRTIO_HMEM_MAX_TIERS);
QEMU_BUILD_BUG_ON(HMEM_LINK_PAUSE_BUCKETS != VIRTIO_HMEM_PAUSE_BUCKETS);

#define VIRTIO_HMEM_QUEUE_SIZE 128

/* QEMU does not tell when incoming postcopy has ended, so poll this often. */
#define VIRTIO_HMEM_POSTCOPY_POLL_MS 100

/* The smallest buffer that the driver may post for hints. */
#define VIRTIO_HMEM_MIN_HINT_BUFFER                                         \
    (sizeof(struct virtio_hmem_hint_batch) +                                \
     VIRTIO_HMEM_MIN_HINTS * sizeof(struct virtio_hmem_hint))

/* A result batch must fit into one message to hmemd. */
#define VIRTIO_HMEM_MAX_RESULTS                                             \
    ((HMEM_LINK_MAX_PAYLOAD - sizeof(struct virtio_hmem_result_batch)) /    \
     sizeof(struct virtio_hmem_result))

/*
 * Time from the driver's write of a tier's online size until hmemd is told.
 * The driver may write the two halves of the number one after the other, and it
 * must not be able to keep hmemd busy.  A person does not notice the delay.
 */
#define VIRTIO_HMEM_ONLINE_DELAY_NS (10 * SCALE_MS)
/* The same for the sizes of tiers, which change with each of many messages. */
#define VIRTIO_HMEM_SIZES_DELAY_NS VIRTIO_HMEM_ONLINE_DELAY_NS

static bool virtio_hmem_driver_ok(VirtIOHMEM *hmem)
{
    return hmem_driver_ok(VIRTIO_DEVICE(hmem));
}

/* The driver is ready and the VM runs, so the queues can be used. */
static bool virtio_hmem_ready(VirtIOHMEM *hmem)
{
    return VIRTIO_DEVICE(hmem)->vm_running && virtio_hmem_driver_ok(hmem);
}

/*
 * Have virtio_hmem_work() called.  With -icount, use the timer: the main loop
 * would call the function at some later time, but the guest must see the same
 * in each run.
 *
 * The code before this call can have unplugged the device, see
 * virtio-hmem-dirty.c.
 */
static void virtio_hmem_kick(VirtIOHMEM *hmem)
{
    if (!hmem->work_bh) {
        return;
    }
    if (icount_enabled()) {
        timer_mod(hmem->work_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    } else {
        qemu_bh_schedule(hmem->work_bh);
    }
}

/*
 * Live migration, outgoing or (postcopy) incoming.  Moving pages would rewrite
 * memory that is being sent, and tracking would have memory sent once more.
 */
static bool virtio_hmem_is_migrating(VirtIOHMEM *hmem)
{
    return hmem->migrating || migration_in_incoming_postcopy();
}

/*
 * Batches from hmemd, and hint batches sent to the guest
 */

static void virtio_hmem_free_batch(VirtIOHMEM *hmem, VirtIOHMEMBatch *batch)
{
    QTAILQ_REMOVE(&hmem->batches, batch, entry);
    hmem->num_batches--;
    g_free(batch->hints);
    g_free(batch);
}

/* hmemd does not want results any more. */
static void virtio_hmem_end_batches(VirtIOHMEM *hmem)
{
    VirtIOHMEMBatch *batch, *next;
    int i;

    for (i = 0; i < VIRTIO_HMEM_MAX_SENT; i++) {
        hmem->sent[i].batch = NULL;
    }
    QTAILQ_FOREACH_SAFE(batch, &hmem->batches, entry, next) {
        virtio_hmem_free_batch(hmem, batch);
    }
}

/* The driver has gone, so no results can come any more. */
static void virtio_hmem_end_sent(VirtIOHMEM *hmem)
{
    virtio_hmem_end_batches(hmem);
    memset(hmem->sent, 0, sizeof(hmem->sent));
}

static VirtIOHMEMSent *virtio_hmem_find_sent(VirtIOHMEM *hmem, uint64_t id)
{
    int i;

    for (i = 0; i < VIRTIO_HMEM_MAX_SENT; i++) {
        if (hmem->sent[i].id == id) {
            return &hmem->sent[i];
        }
    }
    return NULL;
}

/*
 * Messages to hmemd
 */

/*
 * A guest can change its memory as often as it can write to a register (shadow
 * RAM, MMCONFIG), and each change makes hmemd pass over its page table.  So the
 * device sends ranges at most once per shortest window, which is the time that
 * hmemd needs for a pass.  Ranges come earlier only before a message that
 * depends on them, and hmemd bounds how often such messages come (see
 * virtio_hmem_send()).
 */
static void virtio_hmem_send_ranges(VirtIOHMEM *hmem)
{
    const GArray *ranges = hmem->memory.ranges;
    g_autofree struct hmem_link_range *links =
        g_new(struct hmem_link_range, ranges->len);
    int i;

    QEMU_BUILD_BUG_ON(HMEM_LINK_MAX_RANGES * sizeof(*links) >
                      HMEM_LINK_MAX_PAYLOAD);
    for (i = 0; i < ranges->len; i++) {
        links[i] = g_array_index(ranges, HmemRange, i).link;
        trace_virtio_hmem_range(links[i].gfn, links[i].num, links[i].tier);
    }
    hmem_link_send(&hmem->link, HMEM_LINK_RANGES, links,
                   ranges->len * sizeof(*links));
    hmem->ranges_changed = false;
    timer_mod(hmem->ranges_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
              hmem_track_pass_ns());
}

static void virtio_hmem_flush_ranges(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    if (hmem->ranges_changed) {
        virtio_hmem_send_ranges(hmem);
    }
}

static void virtio_hmem_memory_changed(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    hmem->ranges_changed = true;
    /*
     * The timer stands still while the VM is stopped; then the guest changes
     * nothing.
     */
    if (!timer_pending(hmem->ranges_timer) ||
        !VIRTIO_DEVICE(hmem)->vm_running) {
        virtio_hmem_flush_ranges(hmem);
    }
    hmem_track_memory_changed(&hmem->track);
    hmem_resize_memory_changed(&hmem->resize);
}

/* Send a message that refers to the current ranges. */
static void virtio_hmem_send(VirtIOHMEM *hmem, enum hmem_link_type type,
                             const void *payload, size_t len)
{
    virtio_hmem_flush_ranges(hmem);
    hmem_link_send(&hmem->link, type, payload, len);
}

static void virtio_hmem_send_sizes(VirtIOHMEM *hmem)
{
    timer_del(hmem->sizes_timer);
    hmem_resize_sizes(&hmem->resize, &hmem->sizes);
    hmem_link_send(&hmem->link, HMEM_LINK_SIZES, &hmem->sizes,
                   sizeof(hmem->sizes));
}

/* hmemd has not been told of the sizes as they are. */
static bool virtio_hmem_sizes_differ(const VirtIOHMEM *hmem)
{
    struct hmem_link_sizes sizes;

    hmem_resize_sizes(&hmem->resize, &sizes);
    return memcmp(&sizes, &hmem->sizes, sizeof(sizes));
}

static void virtio_hmem_flush_sizes(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    if (virtio_hmem_sizes_differ(hmem)) {
        virtio_hmem_send_sizes(hmem);
    }
}

/* The sizes that hmemd assumes until the device tells others. */
static void virtio_hmem_assume_sizes(VirtIOHMEM *hmem)
{
    int i;

    memset(&hmem->sizes, 0, sizeof(hmem->sizes));
    for (i = 0; i < hmem->memory.num_tiers; i++) {
        hmem->sizes.tiers[i].requested = hmem->memory.tiers[i].info.size;
        hmem->sizes.tiers[i].actual = hmem->memory.tiers[i].info.size;
    }
}

static void virtio_hmem_sizes_changed(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    if (hmem->sizes_timer && !timer_pending(hmem->sizes_timer) &&
        virtio_hmem_sizes_differ(hmem)) {
        timer_mod(hmem->sizes_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                  VIRTIO_HMEM_SIZES_DELAY_NS);
    }
}

static void virtio_hmem_send_pauses(VirtIOHMEM *hmem)
{
    if (hmem->have_pauses) {
        hmem_link_send(&hmem->link, HMEM_LINK_PAUSES, &hmem->pauses,
                       sizeof(hmem->pauses));
    }
}

static void virtio_hmem_send_state(VirtIOHMEM *hmem)
{
    hmem->state.vtime_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    hmem_link_send(&hmem->link, HMEM_LINK_STATE, &hmem->state,
                   sizeof(hmem->state));
}

/*
 * The online size of the tier as the driver wrote it, but at most all memory
 * that the machine can ever have.
 */
static uint64_t virtio_hmem_online(const VirtIOHMEM *hmem, int tier)
{
    const uint64_t frame = 1 << VIRTIO_HMEM_GFN_SHIFT;

    return QEMU_ALIGN_DOWN(MIN(hmem->online[tier],
                               current_machine->maxram_size), frame);
}

/*
 * A number by which hmemd recognizes the driver.  It must differ between two
 * runs of a machine with the same -seed, so QEMU's own generator will not do.
 */
static uint32_t virtio_hmem_new_boot(void)
{
    uint32_t boot;

    do {
        boot = g_random_int();
    } while (!boot);
    return boot;
}

/* Compute the state.  If it has changed, tell hmemd and act accordingly. */
static void virtio_hmem_update_state(VirtIOHMEM *hmem)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(hmem);
    const struct hmem_link_state old = hmem->state;
    uint32_t flags = 0;
    int i;

    if (!vdev->vm_running) {
        virtio_hmem_flush_ranges(hmem);
    }
    hmem_track_hold(&hmem->track, virtio_hmem_is_migrating(hmem));
    if (virtio_hmem_driver_ok(hmem)) {
        flags |= HMEM_LINK_DRIVER_OK;
        if (!hmem->state.boot) {
            hmem->state.boot = virtio_hmem_new_boot();
        }
    } else {
        hmem->state.boot = 0;
        hmem->have_pauses = false;
        virtio_hmem_end_sent(hmem);
        hmem_access_reset(&hmem->access);
    }
    hmem_track_set_driver(&hmem->track, flags & HMEM_LINK_DRIVER_OK,
                          virtio_vdev_has_feature(vdev,
                                                  VIRTIO_HMEM_F_ACCESS));
    if (hmem->track.late) {
        flags |= HMEM_LINK_SCAN_LATE;
    }
    /* For virtio, a sleeping machine is running. */
    if (vdev->vm_running && !runstate_check(RUN_STATE_SUSPENDED)) {
        flags |= HMEM_LINK_VM_RUNNING;
    }
    if (virtio_hmem_is_migrating(hmem)) {
        flags |= HMEM_LINK_MIGRATING;
    }
    if (migration_in_incoming_postcopy()) {
        timer_mod(hmem->postcopy_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  VIRTIO_HMEM_POSTCOPY_POLL_MS);
    }
    /* During a reset, the device is broken for a moment: do not report that. */
    if (vdev->broken && vdev->status) {
        flags |= HMEM_LINK_BROKEN;
    }
    hmem->state.flags = flags;
    hmem->state.features = flags & HMEM_LINK_DRIVER_OK ?
        vdev->guest_features : 0;
    memset(hmem->state.online, 0, sizeof(hmem->state.online));
    if (hmem->state.features & 1ull << VIRTIO_HMEM_F_ONLINE) {
        for (i = 0; i < hmem->memory.num_tiers; i++) {
            hmem->state.online[i] = virtio_hmem_online(hmem, i);
        }
    }
    if (flags != old.flags || hmem->state.boot != old.boot ||
        hmem->state.features != old.features ||
        memcmp(hmem->state.online, old.online, sizeof(old.online))) {
        trace_virtio_hmem_state(flags, hmem->state.features);
        virtio_hmem_send_state(hmem);
    }
    virtio_hmem_report_driver(hmem);
}

static void G_GNUC_PRINTF(2, 3)
virtio_hmem_violation(VirtIOHMEM *hmem, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    virtio_error(VIRTIO_DEVICE(hmem), "virtio-hmem: protocol violation: %s",
                 what);
}

static void virtio_hmem_reject(VirtIOHMEM *hmem, uint64_t cookie,
                               enum hmem_link_reject_code code, uint32_t hint)
{
    const struct hmem_link_reject reject = {
        .id = cookie,
        .code = code,
        .hint = hint,
    };

    trace_virtio_hmem_reject(cookie, code, hint);
    hmem->stats.rejected[code]++;
    virtio_hmem_send(hmem, HMEM_LINK_REJECT, &reject, sizeof(reject));
}

static void virtio_hmem_send_hello(VirtIOHMEM *hmem)
{
    struct hmem_link_hello hello = {
        .magic = HMEM_LINK_MAGIC,
        .version = HMEM_LINK_VERSION,
        .num_tiers = hmem->memory.num_tiers,
        .max_batches = VIRTIO_HMEM_MAX_BATCHES,
        .map_bytes = hmem->track.maps.bytes,
        .trackers = hmem_track_trackers(&hmem->track),
        .track_flags = hmem_track_flags(),
        .min_window_ns = hmem_track_min_window(&hmem->track),
    };
    const char *vm = qemu_get_vm_name();
    CPUState *cpu;
    int i;

    CPU_FOREACH(cpu) {
        hello.num_cpus++;
    }

    if (vm) {
        g_strlcpy(hello.vm, vm, sizeof(hello.vm));
    } else {
        snprintf(hello.vm, sizeof(hello.vm), "qemu-%d", (int)getpid());
    }
    g_strlcpy(hello.device, hmem->link.name, sizeof(hello.device));
    if (qemu_uuid_set) {
        memcpy(hello.uuid, qemu_uuid.data, sizeof(hello.uuid));
    }
    for (i = 0; i < hmem->memory.num_tiers; i++) {
        hello.tiers[i] = hmem->memory.tiers[i].info;
        if (hmem->offer_resize) {
            hello.tiers[i].min = hmem->resize.tiers[i].min;
            hello.tiers[i].unit = hmem->resize.tiers[i].unit;
        }
    }
    hmem_link_send_fd(&hmem->link, HMEM_LINK_HELLO, &hello, sizeof(hello),
                      hmem->track.maps.fd);
}

static void virtio_hmem_tick(void *opaque, const struct hmem_link_tick *tick,
                             const struct hmem_link_cleared *cleared)
{
    if (cleared) {
        virtio_hmem_send(opaque, HMEM_LINK_CLEARED, cleared, sizeof(*cleared));
    }
    virtio_hmem_send(opaque, HMEM_LINK_TICK, tick, sizeof(*tick));
}

static bool virtio_hmem_tick_answered(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    return !hmem_track_waiting(&hmem->track);
}

static void virtio_hmem_wait(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    hmem_link_wait(&hmem->link, virtio_hmem_tick_answered);
}

/*
 * Scans
 */

static void virtio_hmem_scan(void *opaque, HmemScan scan)
{
    VirtIOHMEM *hmem = opaque;

    hmem_access_begin(&hmem->access, scan);
    virtio_hmem_kick(hmem);
}

/* Callback that calls virtio_hmem_update_state(). */
static void virtio_hmem_changed(void *opaque)
{
    virtio_hmem_update_state(opaque);
}

/* Have the driver asked for an account. */
static void virtio_hmem_ask(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    hmem_access_ask(&hmem->access);
    virtio_hmem_kick(hmem);
}

static const HmemTrackOps virtio_hmem_track_ops = {
    .account = virtio_hmem_ask,
    .tick = virtio_hmem_tick,
    .wait = virtio_hmem_wait,
    .scan = virtio_hmem_scan,
    .late = virtio_hmem_changed,
};

/*
 * Hints: from hmemd to the guest
 */

/*
 * The oldest batch with hints that wait for a buffer; NULL: none can be sent.
 */
static VirtIOHMEMBatch *virtio_hmem_to_deliver(VirtIOHMEM *hmem)
{
    VirtIOHMEMBatch *batch;

    if (!virtio_hmem_ready(hmem) || virtio_hmem_is_migrating(hmem) ||
        !virtio_hmem_find_sent(hmem, 0)) {
        return NULL;
    }
    QTAILQ_FOREACH(batch, &hmem->batches, entry) {
        if (batch->hints) {
            return batch;
        }
    }
    return NULL;
}

/*
 * Fill one buffer with hints of the oldest batch, as many as fit.  Returns the
 * number of bytes; or 0 if there is nothing to deliver any more, or the device
 * is broken.
 */
static size_t virtio_hmem_fill(VirtIOHMEM *hmem, VirtQueueElement *elem)
{
    const size_t size = iov_size(elem->in_sg, elem->in_num);
    VirtIOHMEMBatch *batch = virtio_hmem_to_deliver(hmem);
    struct virtio_hmem_hint_batch header = { };
    const struct virtio_hmem_hint *hints;
    uint64_t frames = 0;
    uint32_t i, num;
    size_t len;

    if (!batch) {
        return 0;
    }
    if (elem->out_num) {
        virtio_hmem_violation(hmem, "hint buffer with device-readable parts");
        return 0;
    }
    if (size < VIRTIO_HMEM_MIN_HINT_BUFFER) {
        virtio_hmem_violation(hmem, "hint buffer of %zu bytes, less than %zu",
                              size, VIRTIO_HMEM_MIN_HINT_BUFFER);
        return 0;
    }

    hints = &batch->hints[batch->next];
    num = MIN(batch->num_hints - batch->next,
              (size - sizeof(header)) / sizeof(*hints));
    for (i = 0; i < num; i++) {
        frames += 1ull << hints[i].order;
    }
    len = sizeof(header) + num * sizeof(*hints);
    header.id = cpu_to_le64(hmem->next_id);
    header.num_hints = cpu_to_le32(num);
    iov_from_buf(elem->in_sg, elem->in_num, 0, &header, sizeof(header));
    iov_from_buf(elem->in_sg, elem->in_num, sizeof(header), hints,
                 num * sizeof(*hints));
    trace_virtio_hmem_hints(hmem->next_id, batch->cookie, num, frames);

    *virtio_hmem_find_sent(hmem, 0) = (VirtIOHMEMSent) {
        .id = hmem->next_id++,
        .frames = frames,
        .since = batch->since,
        .batch = batch,
    };
    batch->num_sent++;
    batch->next += num;
    if (batch->next == batch->num_hints) {
        g_free(batch->hints);
        batch->hints = NULL;
    }
    /* The push can end the batch. */
    virtqueue_push(hmem->hint_vq, elem, len);
    return len;
}

/*
 * Put waiting hints into the buffers that the driver has posted, for one pass.
 * Returns true if there may be more work.
 */
static bool virtio_hmem_deliver(VirtIOHMEM *hmem)
{
    size_t done = 0;

    while (done < HMEM_PASS_BYTES && virtio_hmem_to_deliver(hmem)) {
        VirtQueueElement *elem = virtqueue_pop(hmem->hint_vq, sizeof(*elem));
        size_t len;

        if (!elem) {
            break;
        }
        len = virtio_hmem_fill(hmem, elem);
        if (!len) {
            virtqueue_detach_element(hmem->hint_vq, elem, 0);
        }
        g_free(elem);
        if (!len) {
            return false;
        }
        done += MAX(len, HMEM_PASS_MIN_BYTES);
    }
    if (done && virtio_hmem_ready(hmem)) {
        virtio_notify(VIRTIO_DEVICE(hmem), hmem->hint_vq);
    }
    return done >= HMEM_PASS_BYTES;
}

static bool virtio_hmem_hint_ok(VirtIOHMEM *hmem,
                                const struct virtio_hmem_hint *hint)
{
    return hint->tier < hmem->memory.num_tiers &&
           hmem_memory_has_page(&hmem->memory, le64_to_cpu(hint->gfn),
                                hint->order);
}

static void virtio_hmem_receive_hints(VirtIOHMEM *hmem,
                                      struct virtio_hmem_hint_batch *from,
                                      uint32_t len)
{
    const uint64_t cookie = le64_to_cpu(from->id);
    const uint32_t num = le32_to_cpu(from->num_hints);
    VirtIOHMEMBatch *batch;
    uint32_t i;

    if (len != sizeof(*from) + (uint64_t)num * sizeof(from->hints[0])) {
        hmem_link_drop(&hmem->link, "HINTS says %u hints in %u bytes", num,
                       len);
        return;
    }
    if (from->flags) {
        hmem_link_drop(&hmem->link, "HINTS with flags 0x%x",
                       le32_to_cpu(from->flags));
        return;
    }
    QTAILQ_FOREACH(batch, &hmem->batches, entry) {
        if (batch->cookie == cookie) {
            hmem_link_drop(&hmem->link, "HINTS with id %" PRIu64
                           ", which is under way", cookie);
            return;
        }
    }

    if (!virtio_hmem_driver_ok(hmem)) {
        virtio_hmem_update_state(hmem);
        virtio_hmem_reject(hmem, cookie, HMEM_LINK_REJECT_NO_DRIVER, 0);
        return;
    }
    if (virtio_hmem_is_migrating(hmem)) {
        virtio_hmem_reject(hmem, cookie, HMEM_LINK_REJECT_MIGRATING, 0);
        return;
    }
    if (hmem->num_batches == VIRTIO_HMEM_MAX_BATCHES) {
        virtio_hmem_reject(hmem, cookie, HMEM_LINK_REJECT_BUSY, 0);
        return;
    }
    for (i = 0; i < num; i++) {
        if (!virtio_hmem_hint_ok(hmem, &from->hints[i])) {
            virtio_hmem_reject(hmem, cookie, HMEM_LINK_REJECT_INVALID, i);
            return;
        }
        memset(from->hints[i].padding, 0, sizeof(from->hints[i].padding));
    }

    batch = g_new0(VirtIOHMEMBatch, 1);
    batch->cookie = cookie;
    batch->num_hints = num;
    batch->since = hmem->memory.generation;
    batch->hints = g_memdup2(from->hints, num * sizeof(from->hints[0]));
    QTAILQ_INSERT_TAIL(&hmem->batches, batch, entry);
    hmem->num_batches++;
    hmem->stats.batches++;
    hmem->stats.hints += num;
    virtio_hmem_kick(hmem);
}

/*
 * Results: from the guest to hmemd
 */

/*
 * Returns NULL, or a text that says what is wrong with the result.  A result
 * may name frames that have gone since the hints were checked, because the
 * guest cannot know when hmemd was told.
 */
static const char *virtio_hmem_check_result(VirtIOHMEM *hmem,
                                            const VirtIOHMEMSent *sent,
                                            const struct virtio_hmem_result *r)
{
    const uint64_t gfn = le64_to_cpu(r->gfn);
    const uint64_t new_gfn = le64_to_cpu(r->new_gfn);

    if (r->reason >= VIRTIO_HMEM_R_MAX) {
        return "reason that does not exist";
    }
    if (r->reason == VIRTIO_HMEM_R_RESTRICTED &&
        !virtio_vdev_has_feature(VIRTIO_DEVICE(hmem),
                                 VIRTIO_HMEM_F_RESTRICTED)) {
        return "reason that was not negotiated";
    }
    if (r->status != virtio_hmem_status(r->reason)) {
        return "status that does not follow from its reason";
    }
    if (!hmem_memory_had_page(&hmem->memory, gfn, r->order, sent->since)) {
        return "gfn that is no page of the guest";
    }
    if (new_gfn != gfn &&
        (r->reason != VIRTIO_HMEM_R_MOVED ||
         !hmem_memory_had_page(&hmem->memory, new_gfn, r->order,
                               sent->since))) {
        return "new_gfn where the page cannot be";
    }
    return NULL;
}

/*
 * Check a whole result batch before any of its results has an effect.
 *
 * The device remembers only how many frames were hinted, not which ones.
 * Results must not answer more frames, and the last results must answer all of
 * them.  A guest that answers for other pages only misinforms hmemd about its
 * own memory, which it can do anyway.
 */
static bool virtio_hmem_check_results(VirtIOHMEM *hmem,
                                      const VirtIOHMEMSent *sent,
                                      const struct virtio_hmem_result_batch *b,
                                      uint64_t *frames)
{
    const uint32_t num = le32_to_cpu(b->num_results);
    const uint32_t flags = le32_to_cpu(b->flags);
    uint32_t i;

    *frames = 0;
    for (i = 0; i < num; i++) {
        const struct virtio_hmem_result *r = &b->results[i];
        const char *wrong = virtio_hmem_check_result(hmem, sent, r);

        if (wrong) {
            virtio_hmem_violation(hmem, "result %u of %u (gfn 0x%" PRIx64
                                  ", order %u, status %u, reason %u) has a %s",
                                  i, num, le64_to_cpu(r->gfn), r->order,
                                  r->status, r->reason, wrong);
            return false;
        }
        /* At most 2729 times 2^18. */
        *frames += 1ull << r->order;
    }
    if (*frames > sent->frames - sent->answered) {
        virtio_hmem_violation(hmem, "results for %" PRIu64 " frames, %" PRIu64
                              " of batch %" PRIu64 " are open", *frames,
                              sent->frames - sent->answered, sent->id);
        return false;
    }
    if (flags & VIRTIO_HMEM_RESULT_LAST &&
        *frames != sent->frames - sent->answered) {
        virtio_hmem_violation(hmem, "last results of batch %" PRIu64 " leave %"
                              PRIu64 " frames open", sent->id,
                              sent->frames - sent->answered - *frames);
        return false;
    }
    return true;
}

/* Pass on what the driver tells about pauses; it can tell anything. */
static void virtio_hmem_accept_pauses(VirtIOHMEM *hmem,
                                      const struct virtio_hmem_pauses *from)
{
    int i;

    hmem->pauses.sum_ns = le64_to_cpu(from->sum_ns);
    for (i = 0; i < VIRTIO_HMEM_PAUSE_BUCKETS; i++) {
        hmem->pauses.pauses[i] = le64_to_cpu(from->pauses[i]);
    }
    hmem->have_pauses = true;
    virtio_hmem_send_pauses(hmem);
}

/*
 * Pass on the driver's account, if hmemd wants it.  The driver can tell
 * anything, and memory can go offline while the driver reads the numbers.
 */
static void virtio_hmem_accept_account(VirtIODevice *vdev,
                                       const struct virtio_hmem_account *from)
{
    VirtIOHMEM *hmem = VIRTIO_HMEM(vdev);
    struct hmem_link_account account = {
        .entries = le64_to_cpu(from->entries),
        .skipped = le64_to_cpu(from->skipped),
        .left_out = le64_to_cpu(from->left_out),
        .collapsed = le64_to_cpu(from->collapsed),
    };
    int i;

    if (!(hmem->track.request.flags & HMEM_LINK_TRACK_ACCOUNT)) {
        return;
    }
    for (i = 0; i < hmem->memory.num_tiers; i++) {
        struct hmem_link_account_tier *tier = &account.tiers[i];

        tier->total = MIN(le64_to_cpu(from->tiers[i].total),
                          current_machine->maxram_size);
        tier->free = MIN(le64_to_cpu(from->tiers[i].free), tier->total);
        tier->reserve = MIN(le64_to_cpu(from->tiers[i].reserve), tier->free);
    }
    hmem_link_send(&hmem->link, HMEM_LINK_ACCOUNT, &account, sizeof(account));
}

/* Account for checked results and pass them on with hmemd's batch id. */
static void virtio_hmem_accept_results(VirtIOHMEM *hmem, VirtIOHMEMSent *sent,
                                       struct virtio_hmem_result_batch *b,
                                       uint64_t frames)
{
    const uint32_t num = le32_to_cpu(b->num_results);
    const uint32_t flags = le32_to_cpu(b->flags);
    const bool last = flags & VIRTIO_HMEM_RESULT_LAST;
    VirtIOHMEMBatch *batch = sent->batch;
    uint32_t i;

    trace_virtio_hmem_results(sent->id, num, frames, last);
    for (i = 0; i < num; i++) {
        struct virtio_hmem_result *r = &b->results[i];

        /*
         * The guest has no memory at the new place any more: the page has gone.
         */
        if (r->reason == VIRTIO_HMEM_R_MOVED &&
            !hmem_memory_has_page(&hmem->memory, le64_to_cpu(r->new_gfn),
                                  r->order)) {
            r->new_gfn = r->gfn;
            r->reason = VIRTIO_HMEM_R_BAD_GFN;
            r->status = virtio_hmem_status(r->reason);
        }
        memset(r->padding, 0, sizeof(r->padding));
        hmem->stats.frames_by_status[r->status] += 1ull << r->order;
        hmem->stats.frames_by_reason[r->reason] += 1ull << r->order;
    }
    hmem->stats.results += num;
    hmem->stats.foreign_moves = le64_to_cpu(b->foreign_moves);
    b->flags &= cpu_to_le32(VIRTIO_HMEM_RESULT_LAST);
    /* Before the results: hmemd then has the pauses of all moves it knows. */
    if (flags & VIRTIO_HMEM_RESULT_PAUSES) {
        virtio_hmem_accept_pauses(hmem, (const void *)&b->results[num]);
    }

    sent->answered += frames;
    if (last) {
        memset(sent, 0, sizeof(*sent));
    }
    if (!batch) {
        return;
    }
    if (last) {
        batch->num_sent--;
        /* hmemd's batch ends with the last of its hint batches. */
        if (batch->num_sent || batch->hints) {
            b->flags = 0;
        }
    }
    b->id = cpu_to_le64(batch->cookie);
    if (b->flags) {
        virtio_hmem_free_batch(hmem, batch);
    }
    if (num || b->flags) {
        virtio_hmem_send(hmem, HMEM_LINK_RESULTS, b,
                         sizeof(*b) + num * sizeof(b->results[0]));
    }
}

/* Process a result batch.  Returns its length; or 0 if it broke the device. */
static size_t virtio_hmem_handle_results(VirtIOHMEM *hmem,
                                         const VirtQueueElement *elem)
{
    const size_t size = iov_size(elem->out_sg, elem->out_num);
    g_autofree struct virtio_hmem_result_batch *b = NULL;
    struct virtio_hmem_result_batch header;
    uint32_t known = VIRTIO_HMEM_RESULT_LAST;
    VirtIOHMEMSent *sent;
    uint32_t num, flags;
    uint64_t frames;
    size_t len;

    if (elem->in_num) {
        virtio_hmem_violation(hmem, "results with device-writable parts");
        return 0;
    }
    if (iov_to_buf(elem->out_sg, elem->out_num, 0, &header, sizeof(header)) !=
        sizeof(header)) {
        virtio_hmem_violation(hmem, "results of %zu bytes, less than a header",
                              size);
        return 0;
    }
    num = le32_to_cpu(header.num_results);
    flags = le32_to_cpu(header.flags);
    len = sizeof(header) + (uint64_t)num * sizeof(b->results[0]);
    if (num == 0) {
        virtio_hmem_violation(hmem, "a result batch without results");
        return 0;
    }
    if (num > VIRTIO_HMEM_MAX_RESULTS) {
        virtio_hmem_violation(hmem, "%u results at once, more than %zu", num,
                              VIRTIO_HMEM_MAX_RESULTS);
        return 0;
    }
    if (virtio_vdev_has_feature(VIRTIO_DEVICE(hmem), VIRTIO_HMEM_F_PAUSE)) {
        known |= VIRTIO_HMEM_RESULT_PAUSES;
    }
    if (virtio_vdev_has_feature(VIRTIO_DEVICE(hmem), VIRTIO_HMEM_F_ACCOUNT)) {
        known |= VIRTIO_HMEM_RESULT_ACCOUNT;
    }
    if (flags & ~known) {
        virtio_hmem_violation(hmem, "results with flags 0x%x", flags);
        return 0;
    }
    if (flags & VIRTIO_HMEM_RESULT_PAUSES) {
        len += sizeof(struct virtio_hmem_pauses);
    }
    if (flags & VIRTIO_HMEM_RESULT_ACCOUNT) {
        len += sizeof(struct virtio_hmem_account);
    }
    if (len > size) {
        virtio_hmem_violation(hmem, "%u results with flags 0x%x in %zu bytes",
                              num, flags, size);
        return 0;
    }
    sent = header.id ? virtio_hmem_find_sent(hmem, le64_to_cpu(header.id)) :
        NULL;
    if (!sent) {
        virtio_hmem_violation(hmem, "results of batch %" PRIu64 ", which is "
                              "not under way", le64_to_cpu(header.id));
        return 0;
    }

    /* From here on, use the copy, which the guest cannot change. */
    b = g_malloc(len);
    *b = header;
    iov_to_buf(elem->out_sg, elem->out_num, sizeof(header), b->results,
               len - sizeof(header));
    if (!virtio_hmem_check_results(hmem, sent, b, &frames)) {
        return 0;
    }
    virtio_hmem_accept_results(hmem, sent, b, frames);
    /* After the results: the account counts pages where they are now. */
    if (flags & VIRTIO_HMEM_RESULT_ACCOUNT) {
        virtio_hmem_accept_account(VIRTIO_DEVICE(hmem), (const void *)
            ((char *)b + len - sizeof(struct virtio_hmem_account)));
    }
    return len;
}

/* Process posted results, for one pass.  Returns true if there may be more. */
static bool virtio_hmem_receive_results(VirtIOHMEM *hmem)
{
    VirtQueue *vq = hmem->result_vq;
    VirtQueueElement *elem;
    size_t done = 0;

    while (done < HMEM_PASS_BYTES && virtio_hmem_ready(hmem) &&
           (elem = virtqueue_pop(vq, sizeof(*elem)))) {
        /* Popping can have reset the driver, by a write to device registers. */
        size_t len = virtio_hmem_ready(hmem) ?
            virtio_hmem_handle_results(hmem, elem) : 0;

        if (len) {
            virtqueue_push(vq, elem, 0);
        } else {
            virtqueue_detach_element(vq, elem, 0);
        }
        g_free(elem);
        if (!len) {
            return false;
        }
        done += MAX(len, HMEM_PASS_MIN_BYTES);
    }
    if (done && virtio_hmem_ready(hmem)) {
        virtio_notify(VIRTIO_DEVICE(hmem), vq);
    }
    return done >= HMEM_PASS_BYTES;
}

/*
 * Queues
 *
 * The guest can place a buffer, a ring or an interrupt's address anywhere, also
 * into the registers of a device: then using it makes that device do something.
 * So all work on queues runs here, in a bottom half that blocks this device's
 * own registers meanwhile (virtio_bh_new_guarded()).  PCI configuration space
 * stays open: any pop, push or notification can reset, stop or unplug the
 * device.  So the code completes its state before each of these calls, and
 * reads the state again afterwards.
 */

static void virtio_hmem_release(void *opaque)
{
    object_unref(OBJECT(opaque));
}

static void virtio_hmem_work(void *opaque)
{
    VirtIOHMEM *hmem = opaque;
    /* The transport owns the device; keep both. */
    Object *transport = OBJECT(qdev_get_parent_bus(DEVICE(hmem))->parent);
    bool more;

    object_ref(transport);
    if (hmem->config_changed) {
        hmem->config_changed = false;
        virtio_notify_config(VIRTIO_DEVICE(hmem));
    }
    more = virtio_hmem_receive_results(hmem);
    more |= hmem_resize_receive(&hmem->resize);
    more |= hmem_access_receive(&hmem->access);
    /* Deliver after receiving, because finished batches make room. */
    more |= virtio_hmem_deliver(hmem);
    more |= hmem_access_deliver(&hmem->access);
    if (DEVICE(hmem)->realized) {
        if (VIRTIO_DEVICE(hmem)->broken) {
            virtio_hmem_update_state(hmem);
        } else if (more) {
            virtio_hmem_kick(hmem);
        }
        object_unref(transport);
    } else {
        /* The caller still uses its guard: drop the reference later. */
        aio_bh_schedule_oneshot(qemu_get_aio_context(),
                                virtio_hmem_release, transport);
    }
}

/*
 * With -icount, runs the bottom half's work in guest time, with the same guard.
 */
static void virtio_hmem_work_timer(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    aio_bh_call(hmem->work_bh);
}

static void virtio_hmem_handle_vq(VirtIODevice *vdev, VirtQueue *vq)
{
    virtio_hmem_kick(VIRTIO_HMEM(vdev));
}

/*
 * Messages from hmemd
 */

static void virtio_hmem_link_opened(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    hmem_track_new_connection(&hmem->track);
    virtio_hmem_send_hello(hmem);
    virtio_hmem_send_ranges(hmem);
    virtio_hmem_send_state(hmem);
    virtio_hmem_send_pauses(hmem);
    virtio_hmem_assume_sizes(hmem);
    virtio_hmem_sizes_changed(hmem);
}

static void virtio_hmem_link_closed(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    virtio_hmem_end_batches(hmem);
    hmem_track_stop(&hmem->track);
    virtio_hmem_report_connection(hmem);
}

static void virtio_hmem_link_welcome(void *opaque)
{
    virtio_hmem_report_connection(opaque);
}

static void virtio_hmem_link_message(void *opaque, uint32_t type,
                                     void *payload, uint32_t len)
{
    VirtIOHMEM *hmem = opaque;

    switch (type) {
    case HMEM_LINK_HINTS:
        virtio_hmem_receive_hints(hmem, payload, len);
        break;
    case HMEM_LINK_TRACK: {
        g_autofree char *wrong = hmem_track_start(&hmem->track, payload);

        if (wrong) {
            hmem_link_drop(&hmem->link, "TRACK with %s", wrong);
        }
        break;
    }
    case HMEM_LINK_TICK_DONE: {
        const struct hmem_link_tick_done *done = payload;

        if (!hmem_track_answered(&hmem->track, done->seq)) {
            hmem_link_drop(&hmem->link, "TICK_DONE for tick %" PRIu64
                           ", which was not sent", done->seq);
        }
        break;
    }
    case HMEM_LINK_RESIZE: {
        g_autofree char *wrong = hmem->offer_resize ?
            hmem_resize_request(&hmem->resize, payload) :
            g_strdup("a device that does not resize");

        if (wrong) {
            hmem_link_drop(&hmem->link, "RESIZE to %s", wrong);
            break;
        }
        virtio_hmem_send_sizes(hmem);
        hmem->config_changed = true;
        virtio_hmem_kick(hmem);
        break;
    }
    default:
        g_assert_not_reached();
    }
}

static const HmemLinkOps virtio_hmem_link_ops = {
    .opened = virtio_hmem_link_opened,
    .welcome = virtio_hmem_link_welcome,
    .closed = virtio_hmem_link_closed,
    .message = virtio_hmem_link_message,
};

/*
 * Device
 */

/* Devices have no other function for this. */
static bool virtio_hmem_migrates_by_colo(void)
{
    g_autoptr(MigrationCapabilityStatusList) all =
        qmp_query_migrate_capabilities(NULL);
    MigrationCapabilityStatusList *item;

    for (item = all; item; item = item->next) {
        if (item->value->capability == MIGRATION_CAPABILITY_X_COLO) {
            return item->value->state;
        }
    }
    return false;
}

static int virtio_hmem_migration_notify(NotifierWithReturn *notifier,
                                        MigrationEvent *event, Error **errp)
{
    VirtIOHMEM *hmem = container_of(notifier, VirtIOHMEM, migration_notifier);

    /* Pages would rest as long as the secondary machine is there: for good. */
    if (event->type == MIG_EVENT_PRECOPY_SETUP &&
        virtio_hmem_migrates_by_colo()) {
        error_setg(errp, "virtio-hmem does not support COLO: unplug the device "
                   "first, or migrate without x-colo");
        return -1;
    }
    /* When postcopy takes over, precopy has ended, but migration has not. */
    hmem->migrating = event->type == MIG_EVENT_PRECOPY_SETUP ||
        migration_is_running();
    virtio_hmem_update_state(hmem);
    virtio_hmem_kick(hmem);
    return 0;
}

/*
 * The run state changes after the notifiers have been called, so use a bottom
 * half.
 */
static void virtio_hmem_suspended(Notifier *notifier, void *data)
{
    qemu_bh_schedule(container_of(notifier, VirtIOHMEM,
                                  suspend_notifier)->sleep_bh);
}

static void virtio_hmem_woken_up(Notifier *notifier, void *data)
{
    qemu_bh_schedule(container_of(notifier, VirtIOHMEM,
                                  wakeup_notifier)->sleep_bh);
}

static void virtio_hmem_postcopy_timer(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    virtio_hmem_update_state(hmem);
    virtio_hmem_kick(hmem);
}

static HmemSetStatusRet virtio_hmem_set_status(VirtIODevice *vdev,
                                               uint8_t status)
{
    VirtIOHMEM *hmem = VIRTIO_HMEM(vdev);

    /* QEMU calls this for a change of the run state as well. */
    vdev->status = status;
    if (hmem->work_bh) {
        virtio_hmem_update_state(hmem);
        virtio_hmem_kick(hmem);
    }
    return HMEM_SET_STATUS_OK;
}

static void virtio_hmem_get_config(VirtIODevice *vdev, uint8_t *config)
{
    VirtIOHMEM *hmem = VIRTIO_HMEM(vdev);

    struct virtio_hmem_config now = hmem->config;
    int i;

    for (i = 0; i < hmem->memory.num_tiers; i++) {
        now.tiers[i].online = cpu_to_le64(hmem->online[i]);
        if (virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_RESIZE)) {
            const HmemResizeTier *tier = &hmem->resize.tiers[i];

            now.tiers[i].requested = cpu_to_le64(tier->requested);
            now.tiers[i].unit_order = tier->unit ?
                ctz64(tier->unit) - VIRTIO_HMEM_GFN_SHIFT : 0;
        }
    }
    memcpy(config, &now, sizeof(now));
}

static void virtio_hmem_set_config(VirtIODevice *vdev, const uint8_t *config)
{
    const struct virtio_hmem_config *written = (const void *)config;
    VirtIOHMEM *hmem = VIRTIO_HMEM(vdev);
    int i;

    if (virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_ONLINE)) {
        for (i = 0; i < hmem->memory.num_tiers; i++) {
            hmem->online[i] = le64_to_cpu(written->tiers[i].online);
        }
        if (!timer_pending(hmem->online_timer)) {
            timer_mod(hmem->online_timer,
                      qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                      VIRTIO_HMEM_ONLINE_DELAY_NS);
        }
    }
    /* The transport keeps the written bytes: restore the read-only fields. */
    virtio_hmem_get_config(vdev, vdev->config);
}

static void virtio_hmem_reset(VirtIODevice *vdev)
{
    VirtIOHMEM *hmem = VIRTIO_HMEM(vdev);

    if (!hmem->work_bh) {
        return;
    }
    timer_del(hmem->online_timer);
    memset(hmem->online, 0, sizeof(hmem->online));
    hmem_resize_reset(&hmem->resize);
    virtio_hmem_sizes_changed(hmem);
    virtio_hmem_get_config(vdev, vdev->config);
}

static uint64_t virtio_hmem_get_features(VirtIODevice *vdev, uint64_t features,
                                         Error **errp)
{
    virtio_add_feature(&features, VIRTIO_HMEM_F_LARGE);
    virtio_add_feature(&features, VIRTIO_HMEM_F_RESTRICTED);
    virtio_add_feature(&features, VIRTIO_HMEM_F_ONLINE);
    virtio_add_feature(&features, VIRTIO_HMEM_F_PAUSE);
    virtio_add_feature(&features, VIRTIO_HMEM_F_ACCOUNT);
    if (VIRTIO_HMEM(vdev)->offer_access) {
        virtio_add_feature(&features, VIRTIO_HMEM_F_ACCESS);
        virtio_add_feature(&features, VIRTIO_HMEM_F_WRITTEN);
        virtio_add_feature(&features, VIRTIO_HMEM_F_INCOMPLETE);
        virtio_add_feature(&features, VIRTIO_HMEM_F_LOOK);
        virtio_add_feature(&features, VIRTIO_HMEM_F_COST);
    }
    if (VIRTIO_HMEM(vdev)->offer_resize) {
        virtio_add_feature(&features, VIRTIO_HMEM_F_RESIZE);
        virtio_add_feature(&features, VIRTIO_HMEM_F_PAGING);
    }
    return features;
}

static int virtio_hmem_validate_features(VirtIODevice *vdev)
{
    if (!virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_ACCESS) &&
        (virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_WRITTEN) ||
         virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_INCOMPLETE) ||
         virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_LOOK) ||
         virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_COST))) {
        return -EINVAL;
    }
    if (!virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_RESIZE) &&
        virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_PAGING)) {
        return -EINVAL;
    }
    return 0;
}

static void virtio_hmem_init_config(VirtIOHMEM *hmem)
{
    int i;

    hmem->config.num_tiers = cpu_to_le16(hmem->memory.num_tiers);
    for (i = 0; i < hmem->memory.num_tiers; i++) {
        const struct hmem_link_tier *from = &hmem->memory.tiers[i].info;

        hmem->config.tiers[i] = (struct virtio_hmem_tier) {
            .pxm = cpu_to_le32(from->pxm),
            .kind = from->kind,
            .read_latency = cpu_to_le32(from->read_latency),
            .write_latency = cpu_to_le32(from->write_latency),
            .read_bandwidth = cpu_to_le32(from->read_bandwidth),
            .write_bandwidth = cpu_to_le32(from->write_bandwidth),
            .size = cpu_to_le64(from->size),
        };
    }
}

/* The id that the user gave to the device or to its transport. */
static const char *virtio_hmem_name(DeviceState *dev)
{
    DeviceState *proxy = qdev_get_parent_bus(dev)->parent;

    if (dev->id) {
        return dev->id;
    }
    if (proxy && proxy->id) {
        return proxy->id;
    }
    return object_get_canonical_path_component(OBJECT(proxy ?: dev));
}

static bool virtio_hmem_check_machine(VirtIOHMEM *hmem, Error **errp)
{
    bool two = false;

    /*
     * Two devices would take each other's dirty bits and move pages to and fro.
     */
    object_resolve_path_type("", TYPE_VIRTIO_HMEM, &two);
    if (two) {
        error_setg(errp, "only one virtio-hmem device is supported: it "
                   "serves all tiers of the machine");
        return false;
    }
    if (object_dynamic_cast(OBJECT(current_machine), "microvm-machine")) {
        error_setg(errp, "microvm does not tell its guest about NUMA nodes "
                   "(no ACPI SRAT): use another machine, such as q35");
        return false;
    }
    if (machine_require_guest_memfd(current_machine)) {
        if (!hmem->offer_access) {
            error_setg(errp, "memory of this confidential guest cannot be "
                       "tracked from outside: use 'access=on'");
            return false;
        }
        warn_report("virtio-hmem: memory of this confidential guest cannot be "
                    "tracked from outside: only the guest's driver can "
                    "track it ('gpt')");
        /* This device would release other memory than the private one. */
        hmem->offer_resize = false;
    }
    if (!hmem->offer_resize && (hmem->initial || hmem->minimum)) {
        error_setg(errp, "'initial' and 'minimum' are for a device with "
                   "'resize=on'");
        return false;
    }
    return true;
}

static void virtio_hmem_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIOHMEM *hmem = VIRTIO_HMEM(dev);
    int i;

    if (!virtio_hmem_check_machine(hmem, errp) ||
        !hmem_memory_realize(&hmem->memory, hmem->kinds, hmem->num_kinds,
                             errp) ||
        !hmem_link_realize(&hmem->link, virtio_hmem_name(dev),
                           &virtio_hmem_link_ops, hmem, errp)) {
        return;
    }
    hmem->ranges_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL,
                                      virtio_hmem_flush_ranges, hmem);
    hmem_memory_start(&hmem->memory, virtio_hmem_memory_changed, hmem);
    if (!hmem_track_realize(&hmem->track, &hmem->memory, hmem->offer_access,
                            &virtio_hmem_track_ops, hmem, errp)) {
        hmem_link_unrealize(&hmem->link);
        hmem_memory_unrealize(&hmem->memory);
        timer_free(hmem->ranges_timer);
        return;
    }

    if (!hmem_resize_realize(&hmem->resize, vdev, &hmem->memory,
                             &hmem->track.maps, hmem->initial, hmem->minimum,
                             virtio_hmem_sizes_changed, hmem, errp)) {
        hmem_link_unrealize(&hmem->link);
        hmem_track_unrealize(&hmem->track);
        hmem_memory_unrealize(&hmem->memory);
        timer_free(hmem->ranges_timer);
        return;
    }

    virtio_init(vdev, VIRTIO_ID_HMEM, sizeof(struct virtio_hmem_config));
    hmem->hint_vq = virtio_add_queue(vdev, VIRTIO_HMEM_QUEUE_SIZE,
                                     virtio_hmem_handle_vq);
    hmem->result_vq = virtio_add_queue(vdev, VIRTIO_HMEM_QUEUE_SIZE,
                                       virtio_hmem_handle_vq);
    if (hmem->offer_access) {
        hmem_access_realize(&hmem->access, vdev, &hmem->track,
                            virtio_hmem_handle_vq, virtio_hmem_accept_account);
    } else if (hmem->offer_resize) {
        for (i = 0; i < ARRAY_SIZE(hmem->no_scan_vqs); i++) {
            hmem->no_scan_vqs[i] = virtio_add_queue(vdev,
                                                    VIRTIO_HMEM_QUEUE_SIZE,
                                                    virtio_hmem_handle_vq);
        }
    }
    if (hmem->offer_resize) {
        hmem_resize_add_queue(&hmem->resize, virtio_hmem_handle_vq);
    }
    hmem->work_bh = virtio_bh_new_guarded(dev, virtio_hmem_work, hmem);
    hmem->work_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, virtio_hmem_work_timer,
                                    hmem);
    virtio_hmem_init_config(hmem);
    hmem->next_id = 1;
    hmem->online_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL,
                                      virtio_hmem_changed, hmem);
    hmem->sizes_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL,
                                     virtio_hmem_flush_sizes, hmem);
    virtio_hmem_assume_sizes(hmem);
    hmem->postcopy_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                        virtio_hmem_postcopy_timer, hmem);
    migration_add_notifier(&hmem->migration_notifier,
                           virtio_hmem_migration_notify);
    hmem->sleep_bh = qemu_bh_new(virtio_hmem_changed, hmem);
    hmem->suspend_notifier.notify = virtio_hmem_suspended;
    hmem->wakeup_notifier.notify = virtio_hmem_woken_up;
    qemu_register_suspend_notifier(&hmem->suspend_notifier);
    qemu_register_wakeup_notifier(&hmem->wakeup_notifier);
    virtio_hmem_update_state(hmem);
    hmem_link_start(&hmem->link);
}

static void virtio_hmem_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIOHMEM *hmem = VIRTIO_HMEM(dev);
    int i;

    /* Makes code that is working on a queue stop. */
    virtio_reset(vdev);
    notifier_remove(&hmem->suspend_notifier);
    notifier_remove(&hmem->wakeup_notifier);
    qemu_bh_delete(hmem->sleep_bh);
    migration_remove_notifier(&hmem->migration_notifier);
    hmem_link_unrealize(&hmem->link);
    virtio_hmem_report_connection(hmem);
    /* This writes to the maps, so it comes before they are freed. */
    hmem_resize_unrealize(&hmem->resize);
    /* This ends a scan, which calls virtio_hmem_kick(). */
    hmem_track_unrealize(&hmem->track);
    timer_free(hmem->work_timer);
    qemu_bh_delete(hmem->work_bh);
    hmem->work_bh = NULL;
    timer_free(hmem->online_timer);
    timer_free(hmem->sizes_timer);
    hmem->sizes_timer = NULL;
    timer_free(hmem->postcopy_timer);
    virtio_hmem_end_sent(hmem);
    hmem_memory_unrealize(&hmem->memory);
    timer_free(hmem->ranges_timer);
    virtio_delete_queue(hmem->hint_vq);
    virtio_delete_queue(hmem->result_vq);
    if (hmem->offer_access) {
        hmem_access_unrealize(&hmem->access);
    }
    for (i = 0; i < ARRAY_SIZE(hmem->no_scan_vqs); i++) {
        if (hmem->no_scan_vqs[i]) {
            virtio_delete_queue(hmem->no_scan_vqs[i]);
            hmem->no_scan_vqs[i] = NULL;
        }
    }
    virtio_cleanup(vdev);
}

/*
 * Migration: the hint batches and the scan that the guest works on migrate.
 * Batches from hmemd do not, because they are between this QEMU and its hmemd.
 */

typedef struct VirtIOHMEMMigChecks {
    VirtIOHMEM *parent;
    uint32_t num_tiers;
    uint32_t pxm[VIRTIO_HMEM_MAX_TIERS];
    uint64_t size[VIRTIO_HMEM_MAX_TIERS];
} VirtIOHMEMMigChecks;

static int virtio_hmem_mig_checks_pre_save(void *opaque)
{
    VirtIOHMEMMigChecks *tmp = opaque;
    const HmemMemory *memory = &tmp->parent->memory;
    int i;

    memset(tmp->pxm, 0, sizeof(tmp->pxm));
    memset(tmp->size, 0, sizeof(tmp->size));
    tmp->num_tiers = memory->num_tiers;
    for (i = 0; i < memory->num_tiers; i++) {
        tmp->pxm[i] = memory->tiers[i].info.pxm;
        tmp->size[i] = memory->tiers[i].info.size;
    }
    return 0;
}

/* The numbers of a tier that the guest has read, and does not read again. */
static const char *virtio_hmem_tier_differs(const struct virtio_hmem_tier *a,
                                            const struct virtio_hmem_tier *b)
{
    return a->kind != b->kind ? "kind" :
        a->read_latency != b->read_latency ? "read latency" :
        a->write_latency != b->write_latency ? "write latency" :
        a->read_bandwidth != b->read_bandwidth ? "read bandwidth" :
        a->write_bandwidth != b->write_bandwidth ? "write bandwidth" : NULL;
}

/*
 * The guest does not read its configuration space again, so it must not change.
 * Virtio has loaded the source's into @config, before this.
 */
static int virtio_hmem_mig_checks_post_load(void *opaque, int version_id)
{
    VirtIOHMEMMigChecks *tmp = opaque;
    const HmemMemory *memory = &tmp->parent->memory;
    const struct virtio_hmem_config *from =
        VIRTIO_DEVICE(tmp->parent)->config;
    int i;

    if (tmp->num_tiers != memory->num_tiers) {
        error_report("virtio-hmem: number of tiers changed from %u to %u",
                     tmp->num_tiers, memory->num_tiers);
        return -EINVAL;
    }
    for (i = 0; i < memory->num_tiers; i++) {
        const struct hmem_link_tier *info = &memory->tiers[i].info;
        const char *differs =
            virtio_hmem_tier_differs(&from->tiers[i],
                                     &tmp->parent->config.tiers[i]);

        if (tmp->pxm[i] != info->pxm || tmp->size[i] != info->size) {
            error_report("virtio-hmem: tier %d changed from 0x%" PRIx64
                         " bytes on node %u to 0x%" PRIx64 " bytes on node %u",
                         i, tmp->size[i], tmp->pxm[i], info->size, info->pxm);
            return -EINVAL;
        }
        if (differs) {
            error_report("virtio-hmem: the %s of tier %d differs from the "
                         "source's: use the same 'kinds' and -numa hmat-lb",
                         differs, i);
            return -EINVAL;
        }
    }
    return 0;
}

static const VMStateDescription vmstate_virtio_hmem_mig_checks = {
    .name = "virtio-hmem-device/checks",
    .pre_save = virtio_hmem_mig_checks_pre_save,
    .post_load = virtio_hmem_mig_checks_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(num_tiers, VirtIOHMEMMigChecks),
        VMSTATE_UINT32_ARRAY(pxm, VirtIOHMEMMigChecks, VIRTIO_HMEM_MAX_TIERS),
        VMSTATE_UINT64_ARRAY(size, VirtIOHMEMMigChecks, VIRTIO_HMEM_MAX_TIERS),
        VMSTATE_END_OF_LIST()
    },
};

/* A later version may have room for more batches than this one. */
static bool virtio_hmem_num_sent_ok(void *opaque, int version_id)
{
    VirtIOHMEM *hmem = opaque;

    if (hmem->num_saved > VIRTIO_HMEM_MAX_SENT) {
        error_report("virtio-hmem: %u batches are under way, and this QEMU has "
                     "room for %u: migrate when the guest is idle",
                     hmem->num_saved, VIRTIO_HMEM_MAX_SENT);
        return false;
    }
    return true;
}

static int virtio_hmem_pre_save(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    hmem->num_saved = VIRTIO_HMEM_MAX_SENT;
    while (hmem->num_saved && !hmem->sent[hmem->num_saved - 1].id) {
        hmem->num_saved--;
    }
    return 0;
}

static int virtio_hmem_pre_load(void *opaque)
{
    VirtIOHMEM *hmem = opaque;

    memset(hmem->sent, 0, sizeof(hmem->sent));
    return 0;
}

static const VMStateDescription vmstate_virtio_hmem_sent = {
    .name = "virtio-hmem-device/part",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(id, VirtIOHMEMSent),
        VMSTATE_UINT64(frames, VirtIOHMEMSent),
        VMSTATE_UINT64(answered, VirtIOHMEMSent),
        VMSTATE_END_OF_LIST()
    },
};

static int virtio_hmem_post_load(void *opaque, int version_id)
{
    VirtIOHMEM *hmem = opaque;
    const uint64_t max_frames =
        (uint64_t)HMEM_LINK_MAX_HINTS << VIRTIO_HMEM_MAX_ORDER;
    int i, j;

    /* The pages are where they were when the state was saved. */
    hmem->state.boot = 0;
    /* The driver tells its pauses again with its next results. */
    hmem->have_pauses = false;
    if (!hmem_access_id_ok(hmem->next_id)) {
        error_report("virtio-hmem: the next batch cannot have id %" PRIu64,
                     hmem->next_id);
        return -EINVAL;
    }
    for (i = 0; i < VIRTIO_HMEM_MAX_SENT; i++) {
        VirtIOHMEMSent *sent = &hmem->sent[i];

        sent->batch = NULL;
        sent->since = HMEM_GENERATION_UNKNOWN;
        if (sent->id >= hmem->next_id || sent->frames > max_frames ||
            sent->answered > sent->frames || !sent->id != !sent->frames) {
            error_report("virtio-hmem: batch %" PRIu64 " with %" PRIu64 " of %"
                         PRIu64 " frames answered makes no sense", sent->id,
                         sent->answered, sent->frames);
            return -EINVAL;
        }
        for (j = 0; sent->id && j < i; j++) {
            if (hmem->sent[j].id == sent->id) {
                error_report("virtio-hmem: batch %" PRIu64 " comes twice",
                             sent->id);
                return -EINVAL;
            }
        }
    }
    if (hmem->access.id && !hmem->access.scan_vq) {
        error_report("virtio-hmem: scan %" PRIu64 " of a device with access=on "
                     "comes to one with access=off", hmem->access.id);
        return -EINVAL;
    }
    return 0;
}

static bool virtio_hmem_access_needed(void *opaque)
{
    return virtio_vdev_has_feature(VIRTIO_DEVICE(opaque), VIRTIO_HMEM_F_ACCESS);
}

static const VMStateDescription vmstate_virtio_hmem_access = {
    .name = "virtio-hmem-device/access",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = virtio_hmem_access_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(access, VirtIOHMEM, 1, vmstate_hmem_access, HmemAccess),
        VMSTATE_END_OF_LIST()
    },
};

static bool virtio_hmem_online_needed(void *opaque)
{
    return virtio_vdev_has_feature(VIRTIO_DEVICE(opaque), VIRTIO_HMEM_F_ONLINE);
}

static const VMStateDescription vmstate_virtio_hmem_online = {
    .name = "virtio-hmem-device/online",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = virtio_hmem_online_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64_ARRAY(online, VirtIOHMEM, VIRTIO_HMEM_MAX_TIERS),
        VMSTATE_END_OF_LIST()
    },
};

static bool virtio_hmem_resize_needed(void *opaque)
{
    return virtio_vdev_has_feature(VIRTIO_DEVICE(opaque), VIRTIO_HMEM_F_RESIZE);
}

/* The queue is there if the feature could be negotiated. */
static int virtio_hmem_resize_post_load(void *opaque, int version_id)
{
    VirtIOHMEM *hmem = opaque;

    if (!hmem->offer_resize) {
        error_report("virtio-hmem: sizes of a device with resize=on come to "
                     "one with resize=off");
        return -EINVAL;
    }
    virtio_hmem_sizes_changed(hmem);
    return 0;
}

static const VMStateDescription vmstate_virtio_hmem_resize = {
    .name = "virtio-hmem-device/resize",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = virtio_hmem_resize_needed,
    .post_load = virtio_hmem_resize_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(resize, VirtIOHMEM, 1, vmstate_hmem_resize, HmemResize),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_virtio_hmem_device = {
    .name = "virtio-hmem-device",
    .version_id = 2,
    .minimum_version_id = 2,
    .pre_save = virtio_hmem_pre_save,
    .pre_load = virtio_hmem_pre_load,
    .post_load = virtio_hmem_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_WITH_TMP(VirtIOHMEM, VirtIOHMEMMigChecks,
                         vmstate_virtio_hmem_mig_checks),
        VMSTATE_UINT64(next_id, VirtIOHMEM),
        VMSTATE_UINT32(num_saved, VirtIOHMEM),
        VMSTATE_VALIDATE("num_saved", virtio_hmem_num_sent_ok),
        VMSTATE_STRUCT_VARRAY_UINT32(sent, VirtIOHMEM, num_saved, 1,
                                     vmstate_virtio_hmem_sent, VirtIOHMEMSent),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * const []) {
        &vmstate_virtio_hmem_access,
        &vmstate_virtio_hmem_online,
        &vmstate_virtio_hmem_resize,
        NULL
    },
};

/* Virtio loads vmstate_virtio_hmem_device as if it had this version. */
static const VMStateDescription vmstate_virtio_hmem = {
    .name = "virtio-hmem",
    .version_id = 2,
    .minimum_version_id = 2,
    .fields = (const VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

/*
 * Properties
 */

static void virtio_hmem_get_kind(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    VirtioHmemTierKind *kind = object_field_prop_ptr(obj, opaque);

    visit_type_VirtioHmemTierKind(v, name, kind, errp);
}

static void virtio_hmem_set_kind(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    VirtioHmemTierKind *kind = object_field_prop_ptr(obj, opaque);
    g_autofree char *word = NULL;
    int parsed;

    /* The enum's own visitor does not tell which property is wrong. */
    if (!visit_type_str(v, name, &word, errp)) {
        return;
    }
    parsed = qapi_enum_parse(&VirtioHmemTierKind_lookup, word, -1, NULL);
    if (parsed < 0) {
        error_setg(errp, "'kinds' has '%s', which is not dram, nvm or cxl",
                   word);
        return;
    }
    *kind = parsed;
}

/* An element of the property "kinds". */
static const PropertyInfo virtio_hmem_kind_info = {
    .type = "VirtioHmemTierKind",
    .enum_table = &VirtioHmemTierKind_lookup,
    .get = virtio_hmem_get_kind,
    .set = virtio_hmem_set_kind,
};

static void virtio_hmem_instance_init(Object *obj)
{
    VirtIOHMEM *hmem = VIRTIO_HMEM(obj);

    QTAILQ_INIT(&hmem->batches);
    hmem->track.maps.fd = -1;
}

static const Property virtio_hmem_properties[] = {
    DEFINE_PROP_CHR(VIRTIO_HMEM_CHARDEV_PROP, VirtIOHMEM, link.chr),
    DEFINE_PROP_ARRAY(VIRTIO_HMEM_KINDS_PROP, VirtIOHMEM, num_kinds, kinds,
                      virtio_hmem_kind_info, VirtioHmemTierKind),
    DEFINE_PROP_BOOL(VIRTIO_HMEM_ACCESS_PROP, VirtIOHMEM, offer_access, true),
    DEFINE_PROP_BOOL(VIRTIO_HMEM_TRACK_DIRTY_PROP, VirtIOHMEM,
                     track.offer_dirty, true),
    DEFINE_PROP_BOOL(VIRTIO_HMEM_TRACK_HOST_PROP, VirtIOHMEM,
                     track.offer_host, true),
    DEFINE_PROP_UINT32(VIRTIO_HMEM_MIN_WINDOW_PROP, VirtIOHMEM,
                       track.min_window_ms, 0),
    DEFINE_PROP_BOOL(VIRTIO_HMEM_RESIZE_PROP, VirtIOHMEM, offer_resize, true),
    DEFINE_PROP_STRING(VIRTIO_HMEM_INITIAL_PROP, VirtIOHMEM, initial),
    DEFINE_PROP_STRING(VIRTIO_HMEM_MINIMUM_PROP, VirtIOHMEM, minimum),
};

static void virtio_hmem_class_init(ObjectClass *klass, HmemClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, virtio_hmem_properties);
    dc->vmsd = &vmstate_virtio_hmem;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    vdc->realize = virtio_hmem_realize;
    vdc->unrealize = virtio_hmem_unrealize;
    vdc->get_config = virtio_hmem_get_config;
    vdc->set_config = virtio_hmem_set_config;
    vdc->get_features = virtio_hmem_get_features;
    vdc->validate_features = virtio_hmem_validate_features;
    vdc->reset = virtio_hmem_reset;
    vdc->set_status = virtio_hmem_set_status;
    vdc->vmsd = &vmstate_virtio_hmem_device;

    object_class_property_set_description(klass, VIRTIO_HMEM_CHARDEV_PROP,
                                          "unix socket of hmemd");
    object_class_property_set_description(klass, VIRTIO_HMEM_KINDS_PROP,
                                          "what the tiers are, fastest first: "
                                          "a list of dram, nvm and cxl "
                                          "(default: dram, then nvm)");
    object_class_property_set_description(klass, VIRTIO_HMEM_ACCESS_PROP,
                                          "let the guest's driver find out "
                                          "which pages are used (the tracker "
                                          "gpt)");
    object_class_property_set_description(klass, VIRTIO_HMEM_TRACK_DIRTY_PROP,
                                          "let hmemd turn the dirty log on "
                                          "(the tracker dirty)");
    object_class_property_set_description(klass, VIRTIO_HMEM_TRACK_HOST_PROP,
                                          "let hmemd have the host's kernel "
                                          "find out which pages are used (the "
                                          "trackers idle and damon)");
    object_class_property_set_description(klass, VIRTIO_HMEM_MIN_WINDOW_PROP,
                                          "the shortest time, in ms, over "
                                          "which hmemd can observe pages "
                                          "(default: what the tracking of all "
                                          "memory takes)");
    object_class_property_set_description(klass, VIRTIO_HMEM_RESIZE_PROP,
                                          "let hmemd have the guest give up "
                                          "memory of a tier");
    object_class_property_set_description(klass, VIRTIO_HMEM_INITIAL_PROP,
                                          "how much of each tier the guest is "
                                          "to have at first, fastest first, "
                                          "with ':' between (default: all)");
    object_class_property_set_description(klass, VIRTIO_HMEM_MINIMUM_PROP,
                                          "how much of each tier hmemd has to "
                                          "leave the guest, in the same form "
                                          "(default: nothing)");
}

static const TypeInfo virtio_hmem_info = {
    .name = TYPE_VIRTIO_HMEM,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VirtIOHMEM),
    .instance_init = virtio_hmem_instance_init,
    .class_init = virtio_hmem_class_init,
};

static void virtio_hmem_register_types(void)
{
    type_register_static(&virtio_hmem_info);
}

type_init(virtio_hmem_register_types)
