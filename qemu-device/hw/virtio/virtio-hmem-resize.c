/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the guest gives up memory of a tier, and takes it back.
 *
 * hmemd requests a size, and the guest complies as far as it can.  A guest can
 * cheat: when it touches memory that was released, the host allocates the
 * memory again.  Such a guest has no more than a guest that gives up nothing.
 * If a guest must not exceed its size, the host has to limit it (cgroups); the
 * device cannot.
 *
 * During a live migration the guest cannot give up memory, because QEMU decides
 * at the start which pages it need not send.  Memory that the guest takes back
 * during the migration is marked as dirty, so that QEMU sends it.  Memory that
 * the guest takes back on the target of postcopy is zero: if the guest touches
 * it, QEMU must not wait for the source, which does not send it.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/madvise.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "hw/virtio/virtio-hmem-access.h"
#include "hw/virtio/virtio-hmem-driver.h"
#include "hw/virtio/virtio-hmem-resize.h"
#include "trace.h"

#define HMEM_QUEUE_SIZE 128
#define HMEM_FRAME (1ull << VIRTIO_HMEM_GFN_SHIFT)

/*
 * The RamDiscardManager: tells other parts of QEMU, such as migration, which
 * memory was given up
 */

#define TYPE_HMEM_DISCARDS "virtio-hmem-discards"
OBJECT_DECLARE_SIMPLE_TYPE(HmemDiscards, HMEM_DISCARDS)

struct HmemDiscards {
    Object parent;
    HmemResize *resize;
};

static const HmemResizeTier *hmem_discards_tier(const RamDiscardManager *rdm,
                                                const MemoryRegion *mr)
{
    const HmemResize *resize = HMEM_DISCARDS(rdm)->resize;
    int i;

    for (i = 0; i < resize->num_tiers; i++) {
        if (resize->tiers[i].mr == mr) {
            return &resize->tiers[i];
        }
    }
    g_assert_not_reached();
}

/*
 * The frames that QEMU need not send, and need not wait for.  Postcopy reads
 * this in a thread that does not have the BQL, and so needs a record that does
 * not change.
 */
static const unsigned long *hmem_discarded(const HmemResizeTier *tier)
{
    const unsigned long *unsent = qatomic_load_acquire(&tier->unsent);

    return unsent && migration_in_incoming_postcopy() ? unsent : tier->given;
}

static uint64_t hmem_discards_granularity(const RamDiscardManager *rdm,
                                          const MemoryRegion *mr)
{
    return hmem_discards_tier(rdm, mr)->unit;
}

/*
 * Returns the end of the section's frames, and sets @first to the first frame.
 * Frames that are partly in the section count.
 */
static uint64_t hmem_section_end(const HmemResizeTier *tier,
                                 const MemoryRegionSection *section,
                                 uint64_t *first)
{
    const uint64_t end = section->offset_within_region +
        int128_get64(section->size);

    *first = section->offset_within_region / HMEM_FRAME;
    return MIN(DIV_ROUND_UP(end, HMEM_FRAME), tier->num_frames);
}

static bool hmem_discards_is_populated(const RamDiscardManager *rdm,
                                       const MemoryRegionSection *section)
{
    const HmemResizeTier *tier = hmem_discards_tier(rdm, section->mr);
    uint64_t first;
    uint64_t end = hmem_section_end(tier, section, &first);

    return find_next_bit(hmem_discarded(tier), end, first) >= end;
}

static void hmem_discards_part(MemoryRegionSection *part,
                               const MemoryRegionSection *all, uint64_t first,
                               uint64_t end)
{
    const uint64_t start = MAX(first * HMEM_FRAME, all->offset_within_region);
    const uint64_t stop = MIN(end * HMEM_FRAME, all->offset_within_region +
                              int128_get64(all->size));

    *part = *all;
    part->offset_within_region = start;
    part->offset_within_address_space += start - all->offset_within_region;
    part->size = int128_make64(stop - start);
}

static int hmem_discards_replay_populated(const RamDiscardManager *rdm,
                                          MemoryRegionSection *section,
                                          HmemReplayPopulated replay,
                                          void *opaque)
{
    const HmemResizeTier *tier = hmem_discards_tier(rdm, section->mr);
    const unsigned long *discarded = hmem_discarded(tier);
    uint64_t first, end = hmem_section_end(tier, section, &first);
    int ret = 0;

    while (!ret) {
        MemoryRegionSection part;
        uint64_t next;

        first = find_next_zero_bit(discarded, end, first);
        if (first >= end) {
            break;
        }
        next = MIN(find_next_bit(discarded, end, first), end);
        hmem_discards_part(&part, section, first, next);
        ret = replay(&part, opaque);
        first = next;
    }
    return ret;
}

static HmemReplayDiscardedRet
hmem_discards_replay_discarded(const RamDiscardManager *rdm,
                               MemoryRegionSection *section,
                               HmemReplayDiscarded replay, void *opaque)
{
    const HmemResizeTier *tier = hmem_discards_tier(rdm, section->mr);
    const unsigned long *discarded = hmem_discarded(tier);
    uint64_t first, end = hmem_section_end(tier, section, &first);

    while ((first = find_next_bit(discarded, end, first)) < end) {
        uint64_t next = MIN(find_next_zero_bit(discarded, end, first), end);
        MemoryRegionSection part;

        hmem_discards_part(&part, section, first, next);
        HMEM_REPLAY_DISCARDED(replay, &part, opaque);
        first = next;
    }
    return HMEM_REPLAY_DISCARDED_OK;
}

/*
 * Users such as VFIO, which would listen, pin memory.  They have to disable
 * discards before, which fails while memory is given up, and this object is in
 * use only then.
 */
static void hmem_discards_register(RamDiscardManager *rdm,
                                   RamDiscardListener *listener,
                                   MemoryRegionSection *section)
{
    g_assert_not_reached();
}

static void hmem_discards_unregister(RamDiscardManager *rdm,
                                     RamDiscardListener *listener)
{
    g_assert_not_reached();
}

static void hmem_discards_class_init(ObjectClass *klass, HmemClassData *data)
{
    RamDiscardManagerClass *rdmc = RAM_DISCARD_MANAGER_CLASS(klass);

    rdmc->get_min_granularity = hmem_discards_granularity;
    rdmc->is_populated = hmem_discards_is_populated;
    rdmc->replay_populated = hmem_discards_replay_populated;
    rdmc->replay_discarded = hmem_discards_replay_discarded;
    rdmc->register_listener = hmem_discards_register;
    rdmc->unregister_listener = hmem_discards_unregister;
}

static const TypeInfo hmem_discards_info = {
    .name = TYPE_HMEM_DISCARDS,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(HmemDiscards),
    .class_init = hmem_discards_class_init,
    .interfaces = (HmemInterfaceInfo[]) {
        { TYPE_RAM_DISCARD_MANAGER },
        { }
    },
};

static void hmem_discards_register_types(void)
{
    type_register_static(&hmem_discards_info);
}

type_init(hmem_discards_register_types)

/*
 * The record of the memory that was given up
 */

static uint64_t hmem_resize_actual(const HmemResizeTier *tier)
{
    return tier->size - tier->num_given * HMEM_FRAME;
}

static bool hmem_resize_any_given(const HmemResize *resize)
{
    int i;

    for (i = 0; i < resize->num_tiers; i++) {
        if (resize->tiers[i].num_given) {
            return true;
        }
    }
    return false;
}

/* Ends the use of the RamDiscardManager, if it has nothing to tell. */
static void hmem_resize_deactivate(HmemResize *resize)
{
    int i;

    if (!resize->active || resize->postcopy ||
        hmem_resize_any_given(resize)) {
        return;
    }
    for (i = 0; i < resize->num_tiers; i++) {
        memory_region_set_ram_discard_manager(resize->tiers[i].mr, NULL);
    }
    ram_block_discard_require(false);
    resize->active = false;
}

/*
 * Returns false if another part of QEMU has pinned memory, or has set a
 * RamDiscardManager of its own.
 */
static bool hmem_resize_activate(HmemResize *resize)
{
    int i;

    if (resize->active) {
        return true;
    }
    for (i = 0; i < resize->num_tiers; i++) {
        if (memory_region_has_ram_discard_manager(resize->tiers[i].mr)) {
            return false;
        }
    }
    if (ram_block_discard_require(true)) {
        return false;
    }
    for (i = 0; i < resize->num_tiers; i++) {
        memory_region_set_ram_discard_manager(
            resize->tiers[i].mr, RAM_DISCARD_MANAGER(resize->discards));
    }
    resize->active = true;
    return true;
}

/* Sets or clears the bits of frames in the map that hmemd reads. */
static void hmem_resize_map(HmemResize *resize, uint64_t gfn, uint64_t num,
                            bool given)
{
    while (num) {
        uint64_t *word = &resize->maps->given[gfn / 64];
        const uint64_t n = MIN(num, 64 - gfn % 64);
        const uint64_t mask = MAKE_64BIT_MASK(gfn % 64, n);

        if (given) {
            qatomic_or(word, mask);
        } else {
            qatomic_and(word, ~mask);
        }
        gfn += n;
        num -= n;
    }
    resize->mapped |= given;
}

static void hmem_resize_map_range(HmemResize *resize, const HmemRange *range)
{
    const HmemResizeTier *tier = &resize->tiers[range->link.tier];
    const uint64_t start = range->offset / HMEM_FRAME;
    const uint64_t end = start + range->link.num;
    uint64_t first = start;

    if (range->mr != tier->mr || !tier->num_given) {
        return;
    }
    while ((first = find_next_bit(tier->given, end, first)) < end) {
        uint64_t next = MIN(find_next_zero_bit(tier->given, end, first), end);

        hmem_resize_map(resize, range->link.gfn + (first - start),
                        next - first, true);
        first = next;
    }
}

/*
 * Builds the map from the bitmaps.  A map that is empty already is not written,
 * so that it takes no memory.
 */
static void hmem_resize_map_all(HmemResize *resize)
{
    const GArray *ranges = resize->memory->ranges;
    int i;

    if (resize->mapped) {
        memset(resize->maps->given, 0, resize->maps->bytes);
        resize->mapped = false;
    }
    for (i = 0; i < ranges->len; i++) {
        hmem_resize_map_range(resize, &g_array_index(ranges, HmemRange, i));
    }
}

void hmem_resize_memory_changed(HmemResize *resize)
{
    if (resize->mapped) {
        hmem_resize_map_all(resize);
    }
}

static void hmem_resize_take(HmemResizeTier *tier, uint64_t first, uint64_t num)
{
    bitmap_clear(tier->given, first, num);
    tier->num_given -= num;
    if (migration_is_running()) {
        memory_region_set_dirty(tier->mr, first * HMEM_FRAME, num * HMEM_FRAME);
    }
}

static void hmem_resize_take_all(HmemResize *resize)
{
    int i;

    memset(&resize->paging, 0, sizeof(resize->paging));
    for (i = 0; i < resize->num_tiers; i++) {
        HmemResizeTier *tier = &resize->tiers[i];
        const uint64_t end = tier->num_frames;
        uint64_t first = 0;

        tier->free = 0;
        tier->why = VIRTIO_HMEM_WHY_NOTHING;
        while (tier->num_given &&
               (first = find_next_bit(tier->given, end, first)) < end) {
            uint64_t next = MIN(find_next_zero_bit(tier->given, end, first),
                                end);

            hmem_resize_take(tier, first, next - first);
            first = next;
        }
    }
    hmem_resize_map_all(resize);
    hmem_resize_deactivate(resize);
}

/*
 * Provides the host's memory for frames that the guest takes back, if the host
 * can have too little of it: huge pages that are reserved for such backends.
 * Linux kills QEMU if it accesses such memory and no huge page is free.  On the
 * target of postcopy, the memory would have to come from another thread.
 */
static bool hmem_resize_provide(const HmemResizeTier *tier, uint64_t first,
                                uint64_t num)
{
    char *host = memory_region_get_ram_ptr(tier->mr);
    const uint64_t offset = first * HMEM_FRAME;
    const uint64_t bytes = num * HMEM_FRAME;

    if (tier->unit <= qemu_real_host_page_size()) {
        return true;
    }
    if (migration_in_incoming_postcopy()) {
        return false;
    }
    /* Linux before 5.14 cannot tell. */
    if (!qemu_madvise(host + offset, bytes, QEMU_MADV_POPULATE_WRITE) ||
        errno == EINVAL) {
        return true;
    }
    ram_block_discard_range(tier->mr->ram_block, offset, bytes);
    return false;
}

/* Returns VIRTIO_HMEM_RESIZED_*. */
static uint32_t hmem_resize_give(HmemResize *resize, HmemResizeTier *tier,
                                 uint64_t first, uint64_t num)
{
    if (tier->stuck) {
        return VIRTIO_HMEM_RESIZED_REFUSED;
    }
    if (hmem_resize_actual(tier) < tier->requested + num * HMEM_FRAME) {
        return VIRTIO_HMEM_RESIZED_UNWANTED;
    }
    if (migration_is_running() || migration_in_incoming_postcopy()) {
        return VIRTIO_HMEM_RESIZED_BUSY;
    }
    if (!hmem_resize_activate(resize)) {
        return VIRTIO_HMEM_RESIZED_REFUSED;
    }
    if (ram_block_discard_range(tier->mr->ram_block, first * HMEM_FRAME,
                                num * HMEM_FRAME)) {
        /*
         * QEMU has reported the cause.  A part of the range may be released
         * already; that is safe, since the guest does not use these frames.
         */
        tier->stuck = true;
        return VIRTIO_HMEM_RESIZED_REFUSED;
    }
    bitmap_set(tier->given, first, num);
    tier->num_given += num;
    return VIRTIO_HMEM_RESIZED_OK;
}

static void hmem_resize_forget_postcopy(HmemResize *resize)
{
    int i;

    resize->postcopy = false;
    for (i = 0; i < resize->num_tiers; i++) {
        g_free(resize->tiers[i].unsent);
        resize->tiers[i].unsent = NULL;
    }
}

/*
 * Incoming postcopy begins: keep a record of what the source does not send,
 * whatever the guest takes back.
 */
static void hmem_resize_begin_postcopy(HmemResize *resize)
{
    int i;

    hmem_resize_forget_postcopy(resize);
    resize->postcopy = true;
    for (i = 0; i < resize->num_tiers; i++) {
        HmemResizeTier *tier = &resize->tiers[i];
        unsigned long *unsent;

        if (tier->num_given) {
            unsent = bitmap_new(tier->num_frames);
            bitmap_copy(unsent, tier->given, tier->num_frames);
            qatomic_store_release(&tier->unsent, unsent);
        }
    }
}

static void hmem_resize_end_postcopy(HmemResize *resize)
{
    if (resize->postcopy && !migration_in_incoming_postcopy()) {
        hmem_resize_forget_postcopy(resize);
        hmem_resize_deactivate(resize);
    }
}

/*
 * Messages
 */

static bool hmem_resize_ready(const HmemResize *resize)
{
    VirtIODevice *vdev = resize->vdev;

    return resize->vq && vdev->vm_running && hmem_driver_ok(vdev) &&
           virtio_vdev_has_feature(vdev, VIRTIO_HMEM_F_RESIZE);
}

typedef struct HmemMessage {
    struct virtio_hmem_resize header;
    union {
        struct virtio_hmem_run runs[VIRTIO_HMEM_MAX_RUNS];
        /* Of a report, see hmem_resize_has_paging(). */
        struct virtio_hmem_paging paging;
    };
} HmemMessage;

static bool hmem_resize_has_paging(const HmemResize *resize,
                                   const HmemMessage *m)
{
    return m->header.op == VIRTIO_HMEM_RESIZE_REPORT &&
           virtio_vdev_has_feature(resize->vdev, VIRTIO_HMEM_F_PAGING);
}

/*
 * The counts are for hmemd only, which knows that a guest can report any
 * numbers.
 */
static void hmem_resize_paging(HmemResize *resize, const HmemMessage *m)
{
    resize->paging = (struct hmem_link_paging) {
        .swapped_in = le64_to_cpu(m->paging.swapped_in),
        .refaulted = le64_to_cpu(m->paging.refaulted),
        .swapped = le64_to_cpu(m->paging.swapped),
        .read = le64_to_cpu(m->paging.read),
        .wait_ns = le64_to_cpu(m->paging.wait_ns),
    };
}

/*
 * Returns NULL, or what is wrong with the message.  Sets @frames to the number
 * of frames in all runs.
 */
static const char *hmem_resize_check(const HmemResize *resize,
                                     const HmemMessage *m, uint64_t *frames)
{
    const uint32_t num = le32_to_cpu(m->header.num_runs);
    const HmemResizeTier *tier;
    uint64_t max;
    uint32_t i;

    *frames = 0;
    if (m->header.op > VIRTIO_HMEM_RESIZE_TAKE) {
        return "an op that does not exist";
    }
    if (m->header.why >= VIRTIO_HMEM_WHY_MAX) {
        return "a reason that does not exist";
    }
    if (m->header.tier >= resize->num_tiers) {
        return "a tier that does not exist";
    }
    if (!num != (m->header.op == VIRTIO_HMEM_RESIZE_REPORT)) {
        return "a number of runs that its op does not have";
    }
    tier = &resize->tiers[m->header.tier];
    max = MAX(VIRTIO_HMEM_MAX_RESIZE_FRAMES, tier->unit / HMEM_FRAME);
    for (i = 0; i < num; i++) {
        const uint64_t n = le64_to_cpu(m->runs[i].num);

        if (!n || n > max - *frames) {
            return "runs without frames, or with too many";
        }
        *frames += n;
    }
    return NULL;
}

/*
 * Returns NULL and sets @status to the result of the run, or returns what is
 * wrong with the run.
 */
static const char *hmem_resize_run(HmemResize *resize, const HmemMessage *m,
                                   const struct virtio_hmem_run *run,
                                   uint32_t *status)
{
    HmemResizeTier *tier = &resize->tiers[m->header.tier];
    const uint64_t gfn = le64_to_cpu(run->gfn);
    const uint64_t num = le64_to_cpu(run->num);
    const uint64_t unit = tier->unit / HMEM_FRAME;
    const bool give = m->header.op == VIRTIO_HMEM_RESIZE_GIVE;
    uint64_t first, offset;
    MemoryRegion *mr;

    if (!hmem_memory_find(resize->memory, gfn, num, m->header.tier, &mr,
                          &offset)) {
        return "frames that are not memory of the tier";
    }
    /* This tier's memory cannot be released; see hmem_resize_init_tier(). */
    if (!unit) {
        if (!give) {
            return "frames that were never given up";
        }
        *status = VIRTIO_HMEM_RESIZED_REFUSED;
        return NULL;
    }
    if (gfn % unit || num % unit) {
        return "parts of units";
    }
    /*
     * The memory belongs to a DIMM or another device, or is not aligned to
     * units of the backend.
     */
    if (mr != tier->mr || offset % tier->unit) {
        if (!give) {
            return "frames that were never given up";
        }
        *status = VIRTIO_HMEM_RESIZED_REFUSED;
        return NULL;
    }
    first = offset / HMEM_FRAME;
    if (give) {
        if (find_next_bit(tier->given, first + num, first) < first + num) {
            return "frames that were given up before";
        }
        *status = hmem_resize_give(resize, tier, first, num);
    } else {
        if (find_next_zero_bit(tier->given, first + num, first) < first + num) {
            return "frames that were not given up";
        }
        if (hmem_resize_provide(tier, first, num)) {
            hmem_resize_take(tier, first, num);
            *status = VIRTIO_HMEM_RESIZED_OK;
        } else {
            *status = VIRTIO_HMEM_RESIZED_BUSY;
        }
    }
    if (*status == VIRTIO_HMEM_RESIZED_OK) {
        hmem_resize_map(resize, gfn, num, give);
    }
    return NULL;
}

/* Returns false if the message is wrong; then the device is broken. */
static bool hmem_resize_runs(HmemResize *resize, const HmemMessage *m,
                             struct virtio_hmem_resized *done)
{
    HmemResizeTier *tier = &resize->tiers[m->header.tier];
    const uint32_t num = le32_to_cpu(m->header.num_runs);
    uint32_t status = VIRTIO_HMEM_RESIZED_OK;
    uint32_t i;

    for (i = 0; i < num; i++) {
        const char *wrong = hmem_resize_run(resize, m, &m->runs[i], &status);

        if (wrong) {
            virtio_error(resize->vdev, "virtio-hmem: protocol violation: run "
                         "%u of %u (op %u, tier %u, gfn 0x%" PRIx64 ", %"
                         PRIu64 " frames) has %s", i, num, m->header.op,
                         m->header.tier, le64_to_cpu(m->runs[i].gfn),
                         le64_to_cpu(m->runs[i].num), wrong);
            break;
        }
        if (status != VIRTIO_HMEM_RESIZED_OK) {
            break;
        }
    }
    hmem_resize_deactivate(resize);
    if (hmem_resize_has_paging(resize, m)) {
        hmem_resize_paging(resize, m);
    }
    tier->free = le64_to_cpu(m->header.free);
    tier->why = status == VIRTIO_HMEM_RESIZED_REFUSED ?
        VIRTIO_HMEM_WHY_REFUSED : m->header.why;
    done->status = cpu_to_le32(status);
    done->num_runs = cpu_to_le32(i);
    trace_virtio_hmem_resize(m->header.op, m->header.tier, num, status, i,
                             hmem_resize_actual(tier));
    resize->changed(resize->opaque);
    return !resize->vdev->broken;
}

/*
 * Returns the message's cost in bytes of a pass, or 0 if the device is broken.
 * A pass releases at most as many frames as one message can name, whether they
 * come in one message or in several.
 */
static size_t hmem_resize_handle(HmemResize *resize,
                                 const VirtQueueElement *elem,
                                 struct virtio_hmem_resized *done)
{
    const size_t size = iov_size(elem->out_sg, elem->out_num);
    g_autofree HmemMessage *m = g_new(HmemMessage, 1);
    const char *wrong = NULL;
    uint64_t frames = 0;
    uint32_t num = 0;

    /* Copy the message, so that the guest cannot change what was checked. */
    if (iov_to_buf(elem->out_sg, elem->out_num, 0, m, sizeof(*m)) <
        sizeof(m->header)) {
        wrong = "less than a header";
    } else if (iov_size(elem->in_sg, elem->in_num) != sizeof(*done)) {
        wrong = "no room for the answer";
    } else {
        num = le32_to_cpu(m->header.num_runs);
        if (num > VIRTIO_HMEM_MAX_RUNS ||
            size < sizeof(m->header) + num * sizeof(m->runs[0])) {
            wrong = "more runs than may be, or than its buffer has";
        } else if (hmem_resize_has_paging(resize, m) &&
                   size < sizeof(m->header) + sizeof(m->paging)) {
            wrong = "no counts of what the guest read";
        } else {
            wrong = hmem_resize_check(resize, m, &frames);
        }
    }
    if (wrong) {
        virtio_error(resize->vdev, "virtio-hmem: protocol violation: resize "
                     "message of %zu bytes and %u runs has %s", size, num,
                     wrong);
        return 0;
    }
    if (!hmem_resize_runs(resize, m, done)) {
        return 0;
    }
    return MAX(HMEM_PASS_MIN_BYTES, frames * (HMEM_PASS_BYTES /
                                              VIRTIO_HMEM_MAX_RESIZE_FRAMES));
}

bool hmem_resize_receive(HmemResize *resize)
{
    VirtQueueElement *elem;
    size_t used = 0;

    hmem_resize_end_postcopy(resize);
    while (used < HMEM_PASS_BYTES && hmem_resize_ready(resize) &&
           (elem = virtqueue_pop(resize->vq, sizeof(*elem)))) {
        struct virtio_hmem_resized done = { };
        /* The pop can write to the device's registers, and so reset it. */
        size_t cost = hmem_resize_ready(resize) ?
            hmem_resize_handle(resize, elem, &done) : 0;

        if (cost) {
            iov_from_buf(elem->in_sg, elem->in_num, 0, &done, sizeof(done));
            virtqueue_push(resize->vq, elem, sizeof(done));
        } else {
            virtqueue_detach_element(resize->vq, elem, 0);
        }
        g_free(elem);
        if (!cost) {
            return false;
        }
        used += cost;
    }
    if (used && hmem_resize_ready(resize)) {
        virtio_notify(resize->vdev, resize->vq);
    }
    return used >= HMEM_PASS_BYTES;
}

/*
 * Requests from hmemd, and sizes for hmemd
 */

char *hmem_resize_request(HmemResize *resize,
                          const struct hmem_link_resize *request)
{
    HmemResizeTier *tier;

    if (request->tier >= resize->num_tiers || request->padding) {
        return g_strdup_printf("tier %u of %u (padding 0x%x)", request->tier,
                               resize->num_tiers, request->padding);
    }
    tier = &resize->tiers[request->tier];
    if (!tier->unit || request->bytes < tier->min ||
        request->bytes > tier->size || request->bytes % tier->unit) {
        return g_strdup_printf("%" PRIu64 " bytes of tier %u, which is for %"
                               PRIu64 " to %" PRIu64 " in units of %" PRIu64,
                               request->bytes, request->tier, tier->min,
                               tier->size, tier->unit);
    }
    if (tier->requested != request->bytes) {
        tier->requested = request->bytes;
        /* A driver that reads the field in two halves must read it again. */
        resize->vdev->generation++;
    }
    return NULL;
}

void hmem_resize_sizes(const HmemResize *resize, struct hmem_link_sizes *sizes)
{
    int i;

    memset(sizes, 0, sizeof(*sizes));
    sizes->paging = resize->paging;
    for (i = 0; i < resize->num_tiers; i++) {
        const HmemResizeTier *tier = &resize->tiers[i];
        const uint64_t actual = hmem_resize_actual(tier);

        sizes->tiers[i] = (struct hmem_link_size) {
            .requested = tier->requested,
            .actual = actual,
            .free = MIN(tier->free, actual),
            .why = actual == tier->requested ? VIRTIO_HMEM_WHY_NOTHING :
                tier->why,
        };
    }
}

/*
 * Life cycle
 */

void hmem_resize_reset(HmemResize *resize)
{
    hmem_resize_take_all(resize);
}

/*
 * Parses @text, the value of property @name: one size per tier, which is stored
 * at @offset in the HmemResizeTier.
 */
static bool hmem_resize_parse(HmemResize *resize, const char *name,
                              const char *text, size_t offset, Error **errp)
{
    g_auto(GStrv) words = g_strsplit(text ?: "", ":", -1);
    int i;

    if (!text) {
        return true;
    }
    if (g_strv_length(words) != resize->num_tiers) {
        error_setg(errp, "'%s' has %u sizes, but the machine has %u tiers",
                   name, g_strv_length(words), resize->num_tiers);
        return false;
    }
    for (i = 0; i < resize->num_tiers; i++) {
        HmemResizeTier *tier = &resize->tiers[i];
        uint64_t bytes;

        if (!*words[i]) {
            continue;
        }
        if (qemu_strtosz(words[i], NULL, &bytes)) {
            error_setg(errp, "'%s' has '%s' for tier %d, which is no size such "
                       "as 4G", name, words[i], i);
            return false;
        }
        if (!tier->unit || bytes > tier->size || bytes % tier->unit) {
            error_setg(errp, "'%s' has '%s' for tier %d, which has 0x%" PRIx64
                       " bytes in units of 0x%" PRIx64, name, words[i], i,
                       tier->size, tier->unit);
            return false;
        }
        *(uint64_t *)((char *)tier + offset) = bytes;
    }
    return true;
}

static void hmem_resize_init_tier(HmemResizeTier *tier, MemoryRegion *mr)
{
    const uint64_t page = qemu_ram_pagesize(mr->ram_block);
    const uint64_t size = memory_region_size(mr);

    *tier = (HmemResizeTier) {
        .mr = mr,
        .size = size,
        .requested = size,
    };
    if (size / HMEM_FRAME > INT32_MAX || mr->readonly) {
        return;
    }
    tier->unit = MAX(page, HMEM_FRAME);
    tier->num_frames = size / HMEM_FRAME;
    tier->given = bitmap_new(tier->num_frames);
}

static void hmem_resize_free(HmemResize *resize)
{
    int i;

    for (i = 0; i < resize->num_tiers; i++) {
        g_free(resize->tiers[i].given);
        resize->tiers[i].given = NULL;
    }
    object_unref(resize->discards);
    resize->discards = NULL;
}

bool hmem_resize_realize(HmemResize *resize, VirtIODevice *vdev,
                         const HmemMemory *memory, const HmemMaps *maps,
                         const char *initial, const char *minimum,
                         void (*changed)(void *opaque), void *opaque,
                         Error **errp)
{
    int i;

    resize->vdev = vdev;
    resize->memory = memory;
    resize->maps = maps;
    resize->changed = changed;
    resize->opaque = opaque;
    resize->num_tiers = memory->num_tiers;
    for (i = 0; i < resize->num_tiers; i++) {
        hmem_resize_init_tier(&resize->tiers[i], memory->tiers[i].mr);
    }
    resize->discards = object_new(TYPE_HMEM_DISCARDS);
    HMEM_DISCARDS(resize->discards)->resize = resize;
    if (!hmem_resize_parse(resize, "minimum", minimum,
                           offsetof(HmemResizeTier, min), errp) ||
        !hmem_resize_parse(resize, "initial", initial,
                           offsetof(HmemResizeTier, requested), errp)) {
        hmem_resize_free(resize);
        return false;
    }
    for (i = 0; i < resize->num_tiers; i++) {
        if (resize->tiers[i].requested < resize->tiers[i].min) {
            error_setg(errp, "'initial' has 0x%" PRIx64 " bytes for tier %d, "
                       "less than its 'minimum'", resize->tiers[i].requested,
                       i);
            hmem_resize_free(resize);
            return false;
        }
    }
    return true;
}

void hmem_resize_add_queue(HmemResize *resize, VirtIOHandleOutput handle_vq)
{
    resize->vq = virtio_add_queue(resize->vdev, HMEM_QUEUE_SIZE, handle_vq);
}

void hmem_resize_unrealize(HmemResize *resize)
{
    hmem_resize_forget_postcopy(resize);
    hmem_resize_take_all(resize);
    if (resize->vq) {
        virtio_delete_queue(resize->vq);
        resize->vq = NULL;
    }
    hmem_resize_free(resize);
}

/*
 * The stream is not trusted, but it can name no memory except this guest's: a
 * wrong record makes only this guest lose memory.
 */
static int hmem_resize_post_load(void *opaque, int version_id)
{
    HmemResize *resize = opaque;
    int i;

    for (i = 0; i < resize->num_tiers; i++) {
        HmemResizeTier *tier = &resize->tiers[i];
        const uint64_t end = tier->num_frames;
        uint64_t first = 0;

        if (tier->requested > tier->size ||
            (tier->unit ? tier->requested % tier->unit != 0 :
             tier->requested != tier->size) ||
            tier->why >= VIRTIO_HMEM_WHY_MAX) {
            error_report("virtio-hmem: 0x%" PRIx64 " bytes requested of tier "
                         "%d (reason %u) make no sense", tier->requested, i,
                         tier->why);
            return -EINVAL;
        }
        tier->num_given = 0;
        while ((first = find_next_bit(tier->given, end, first)) < end) {
            uint64_t next = MIN(find_next_zero_bit(tier->given, end, first),
                                end);
            const uint64_t unit = tier->unit / HMEM_FRAME;

            if (first % unit || next % unit) {
                error_report("virtio-hmem: parts of units of tier %d, of 0x%"
                             PRIx64 " bytes here, are given up", i, tier->unit);
                return -EINVAL;
            }
            tier->num_given += next - first;
            if (!hmem_resize_activate(resize)) {
                error_report("virtio-hmem: memory of tier %d is given up, but "
                             "cannot be released here: is a device assigned?",
                             i);
                return -EBUSY;
            }
            /*
             * The stream has no data for this memory.  If a snapshot is loaded,
             * the memory still has data from before, which must go.  Postcopy
             * begins with empty memory.
             */
            if (!migration_in_incoming_postcopy() &&
                ram_block_discard_range(tier->mr->ram_block,
                                        first * HMEM_FRAME,
                                        (next - first) * HMEM_FRAME)) {
                return -EIO;
            }
            first = next;
        }
    }
    if (migration_in_incoming_postcopy()) {
        hmem_resize_begin_postcopy(resize);
    }
    hmem_resize_map_all(resize);
    return 0;
}

static const VMStateDescription vmstate_hmem_resize_tier = {
    .name = "virtio-hmem-device/resize/tier",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(requested, HmemResizeTier),
        VMSTATE_UINT64(free, HmemResizeTier),
        VMSTATE_UINT32(why, HmemResizeTier),
        VMSTATE_BITMAP(given, HmemResizeTier, 0, num_frames),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_hmem_resize = {
    .name = "virtio-hmem-device/resize/tiers",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = hmem_resize_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT_ARRAY(tiers, HmemResize, HMEM_LINK_MAX_TIERS, 1,
                             vmstate_hmem_resize_tier, HmemResizeTier),
        VMSTATE_END_OF_LIST()
    },
};
