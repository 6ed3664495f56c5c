/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: finds out which guest memory belongs to which tier.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "hw/mem/pc-dimm.h"
#include "hw/virtio/virtio-mem.h"
#include "qapi/error.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "system/hostmem.h"
#include "system/numa.h"
#include "hw/virtio/virtio-hmem-maps.h"
#include "hw/virtio/virtio-hmem-memory.h"

/* NodeInfo has this information, too, but only with HMAT. */
static bool hmem_node_has_cpu(const MachineState *ms, int node)
{
    const CPUArchIdList *cpus = ms->possible_cpus;
    int i;

    for (i = 0; cpus && i < cpus->len; i++) {
        const CpuInstanceProperties *props = &cpus->cpus[i].props;

        if (props->has_node_id && props->node_id == node) {
            return true;
        }
    }
    return false;
}

/* The HMAT's value for @target, seen from @initiator; 0: there is none. */
static uint64_t hmem_hmat(const NumaState *numa, int type, int access_type,
                          int initiator, int target)
{
    const int types[] = { type, access_type };
    int i, j;

    for (i = 0; i < ARRAY_SIZE(types); i++) {
        const HMAT_LB_Info *info =
            numa->hmat_lb[HMAT_LB_MEM_MEMORY][types[i]];

        for (j = 0; info && j < info->list->len; j++) {
            const HMAT_LB_Data *data =
                &g_array_index(info->list, HMAT_LB_Data, j);

            if (data->initiator == initiator && data->target == target) {
                return data->data;
            }
        }
    }
    return 0;
}

static void hmem_tier_init(HmemTier *tier, const NumaState *numa,
                           int initiator, int node)
{
    struct hmem_link_tier *info = &tier->info;

    tier->mr = host_memory_backend_get_memory(numa->nodes[node].node_memdev);
    info->pxm = node;
    info->size = memory_region_size(tier->mr);
    /* QEMU stores nanoseconds, and bytes per second. */
    info->read_latency = hmem_hmat(numa, HMAT_LB_DATA_READ_LATENCY,
                                   HMAT_LB_DATA_ACCESS_LATENCY,
                                   initiator, node);
    info->write_latency = hmem_hmat(numa, HMAT_LB_DATA_WRITE_LATENCY,
                                    HMAT_LB_DATA_ACCESS_LATENCY,
                                    initiator, node);
    info->read_bandwidth = hmem_hmat(numa, HMAT_LB_DATA_READ_BANDWIDTH,
                                     HMAT_LB_DATA_ACCESS_BANDWIDTH,
                                     initiator, node) / MiB;
    info->write_bandwidth = hmem_hmat(numa, HMAT_LB_DATA_WRITE_BANDWIDTH,
                                      HMAT_LB_DATA_ACCESS_BANDWIDTH,
                                      initiator, node) / MiB;
}

typedef enum HmemOrder {
    HMEM_BY_NODE,
    HMEM_BY_BANDWIDTH,
    HMEM_BY_LATENCY,
} HmemOrder;

/*
 * Order the tiers by latency if the HMAT has all latencies; by bandwidth if it
 * has no latency, but all bandwidths.  Any other order is a guess, which can be
 * wrong, so warn the user.
 */
static HmemOrder hmem_tier_order(const HmemMemory *memory)
{
    int latencies = 0, bandwidths = 0;
    int missing = 0;
    int i;

    for (i = 0; i < memory->num_tiers; i++) {
        const struct hmem_link_tier *info = &memory->tiers[i].info;

        latencies += info->read_latency != 0;
        bandwidths += info->read_bandwidth != 0;
        missing = info->read_latency ? missing : info->pxm;
    }
    if (latencies == memory->num_tiers) {
        return HMEM_BY_LATENCY;
    }
    if (latencies) {
        warn_report("virtio-hmem: the latency of node %d is not known: tiers "
                    "are in node order; give each node an access-latency with "
                    "-numa hmat-lb", missing);
        return HMEM_BY_NODE;
    }
    if (bandwidths == memory->num_tiers) {
        warn_report("virtio-hmem: no latencies known: tiers are in the order "
                    "of their bandwidth; add access-latency with -numa "
                    "hmat-lb");
        return HMEM_BY_BANDWIDTH;
    }
    warn_report("virtio-hmem: no latencies known: tiers are in node order; add "
                "hmat=on to -machine, and -numa hmat-lb");
    return HMEM_BY_NODE;
}

/* Break ties: nodes with CPUs come first, then lower node numbers. */
static bool hmem_tier_faster(const MachineState *ms, const HmemTier *a,
                             const HmemTier *b, HmemOrder order)
{
    bool a_cpu = hmem_node_has_cpu(ms, a->info.pxm);
    bool b_cpu = hmem_node_has_cpu(ms, b->info.pxm);

    if (order == HMEM_BY_LATENCY &&
        a->info.read_latency != b->info.read_latency) {
        return a->info.read_latency < b->info.read_latency;
    }
    if (order == HMEM_BY_BANDWIDTH &&
        a->info.read_bandwidth != b->info.read_bandwidth) {
        return a->info.read_bandwidth > b->info.read_bandwidth;
    }
    if (a_cpu != b_cpu) {
        return a_cpu;
    }
    return a->info.pxm < b->info.pxm;
}

static bool hmem_memory_set_kinds(HmemMemory *memory,
                                  const VirtioHmemTierKind *kinds,
                                  uint32_t num_kinds, Error **errp)
{
    int i;

    if (num_kinds && num_kinds != memory->num_tiers) {
        error_setg(errp, "'kinds' names %u tiers, but the machine has %u NUMA "
                   "nodes with a memory backend", num_kinds,
                   memory->num_tiers);
        return false;
    }
    for (i = 0; i < memory->num_tiers; i++) {
        if (num_kinds) {
            memory->tiers[i].info.kind = kinds[i];
        } else {
            memory->tiers[i].info.kind = i ? VIRTIO_HMEM_KIND_NVM :
                VIRTIO_HMEM_KIND_DRAM;
        }
    }
    return true;
}

bool hmem_memory_realize(HmemMemory *memory, const VirtioHmemTierKind *kinds,
                         uint32_t num_kinds, Error **errp)
{
    const MachineState *ms = MACHINE(qdev_get_machine());
    const NumaState *numa = ms->numa_state;
    HmemOrder order;
    int initiator = 0;
    int node, i;

    memory->num_tiers = 0;
    while (numa && initiator < numa->num_nodes - 1 &&
           !hmem_node_has_cpu(ms, initiator)) {
        initiator++;
    }
    for (node = 0; numa && node < numa->num_nodes; node++) {
        if (!numa->nodes[node].node_memdev) {
            continue;
        }
        if (memory->num_tiers == HMEM_LINK_MAX_TIERS) {
            error_setg(errp, "more than %u NUMA nodes have a memory backend",
                       HMEM_LINK_MAX_TIERS);
            return false;
        }
        hmem_tier_init(&memory->tiers[memory->num_tiers++], numa, initiator,
                       node);
    }
    if (memory->num_tiers < 2) {
        error_setg(errp, "heterogeneous memory needs at least two NUMA nodes "
                   "with a memory backend, the machine has %u: use "
                   "'-numa node,memdev=...'", memory->num_tiers);
        return false;
    }

    order = hmem_tier_order(memory);
    for (i = 1; i < memory->num_tiers; i++) {
        HmemTier tier = memory->tiers[i];
        int j = i;

        while (j > 0 &&
               hmem_tier_faster(ms, &tier, &memory->tiers[j - 1], order)) {
            memory->tiers[j] = memory->tiers[j - 1];
            j--;
        }
        memory->tiers[j] = tier;
    }
    return hmem_memory_set_kinds(memory, kinds, num_kinds, errp);
}

/*
 * The tier of RAM that is not a node's own memory backend
 */

typedef struct HmemDeviceSearch {
    /* The backend that has the memory region. */
    Object *backend;
    bool found;
    uint64_t node;
} HmemDeviceSearch;

static int hmem_memory_find_device(Object *obj, void *opaque)
{
    HmemDeviceSearch *search = opaque;

    /* Both devices use the same names for these two properties. */
    if ((object_dynamic_cast(obj, TYPE_PC_DIMM) ||
         object_dynamic_cast(obj, TYPE_VIRTIO_MEM)) &&
        object_property_get_link(obj, PC_DIMM_MEMDEV_PROP, NULL) ==
        search->backend) {
        search->node = object_property_get_uint(obj, PC_DIMM_NODE_PROP, NULL);
        search->found = true;
    }
    return search->found;
}

/*
 * The tier that @mr belongs to, or @memory->num_tiers.
 *
 * The list of memory devices does not help: a device's memory is mapped before
 * the device is realized, and so before it is in that list.  So search all
 * objects.
 */
static uint32_t hmem_memory_tier(const HmemMemory *memory,
                                 const MemoryRegion *mr)
{
    HmemDeviceSearch search = {
        .backend = memory_region_owner((MemoryRegion *)mr),
    };
    uint32_t tier, i;

    for (tier = 0; tier < memory->num_tiers; tier++) {
        if (mr == memory->tiers[tier].mr) {
            return tier;
        }
    }
    /*
     * This function is called for the same memory again and again: look there.
     */
    for (i = 0; i < memory->ranges->len; i++) {
        const HmemRange *range = &g_array_index(memory->ranges, HmemRange, i);

        if (range->mr == mr) {
            return range->link.tier;
        }
    }
    if (!search.backend ||
        !object_dynamic_cast(search.backend, TYPE_MEMORY_BACKEND)) {
        return memory->num_tiers;
    }
    object_child_foreach_recursive(qdev_get_machine(), hmem_memory_find_device,
                                   &search);
    for (tier = 0; tier < memory->num_tiers; tier++) {
        if (search.found && memory->tiers[tier].info.pxm == search.node) {
            break;
        }
    }
    return tier;
}

/*
 * Ranges
 */

static void hmem_memory_begin(MemoryListener *listener)
{
    HmemMemory *memory = container_of(listener, HmemMemory, listener);

    g_array_set_size(memory->next, 0);
    memory->pending = true;
}

/* Called for all sections, changed or not, in the order of their addresses. */
static void hmem_memory_add(MemoryListener *listener,
                            MemoryRegionSection *section)
{
    HmemMemory *memory = container_of(listener, HmemMemory, listener);
    hwaddr start = section->offset_within_address_space;
    hwaddr size = int128_get64(section->size);
    HmemRange range = { .mr = section->mr };

    /*
     * Skip read-only memory (the firmware's shadow), which the guest cannot
     * move, and non-volatile memory (an NVDIMM), which is a disk for the guest.
     */
    if (!memory_region_is_ram(section->mr) || section->readonly ||
        section->nonvolatile) {
        return;
    }
    range.link.tier = hmem_memory_tier(memory, section->mr);
    if (range.link.tier == memory->num_tiers) {
        return;
    }

    range.link.gfn = DIV_ROUND_UP(start, 1 << VIRTIO_HMEM_GFN_SHIFT);
    range.offset = section->offset_within_region +
        (range.link.gfn << VIRTIO_HMEM_GFN_SHIFT) - start;
    if ((start + size) >> VIRTIO_HMEM_GFN_SHIFT <= range.link.gfn) {
        return;
    }
    range.link.num = ((start + size) >> VIRTIO_HMEM_GFN_SHIFT) -
        range.link.gfn;
    range.link.hva = (uintptr_t)memory_region_get_ram_ptr(section->mr) +
        range.offset;

    if (memory->next->len) {
        HmemRange *last = &g_array_index(memory->next, HmemRange,
                                         memory->next->len - 1);
        hwaddr bytes = last->link.num << VIRTIO_HMEM_GFN_SHIFT;

        if (last->mr == range.mr &&
            last->link.gfn + last->link.num == range.link.gfn &&
            last->offset + bytes == range.offset) {
            last->link.num += range.link.num;
            return;
        }
    }
    if (memory->next->len == HMEM_LINK_MAX_RANGES) {
        warn_report_once("virtio-hmem: guest memory is in more than %u pieces;"
                         " pages in the others do not move",
                         HMEM_LINK_MAX_RANGES);
        return;
    }
    g_array_append_val(memory->next, range);
}

/* The index of the first range that ends behind @gfn, or their number. */
static uint32_t hmem_ranges_find(const GArray *ranges, uint64_t gfn)
{
    uint32_t low = 0;
    uint32_t high = ranges->len;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct hmem_link_range *range =
            &g_array_index(ranges, HmemRange, middle).link;

        if (range->gfn + range->num > gfn) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/*
 * Record that frames have gone.  Merge them with recorded frames that overlap
 * or touch them, so that a guest that maps the same memory in and out adds no
 * entry.
 */
static void hmem_memory_add_gone(HmemMemory *memory, uint64_t gfn,
                                 uint64_t end)
{
    HmemGone all = { .generation = memory->generation };
    uint32_t i = 0;

    while (i < memory->gone->len) {
        const HmemGone *gone = &g_array_index(memory->gone, HmemGone, i);

        if (gone->gfn <= end && gfn <= gone->gfn + gone->num) {
            gfn = MIN(gfn, gone->gfn);
            end = MAX(end, gone->gfn + gone->num);
            g_array_remove_index_fast(memory->gone, i);
            /* The merged frames may touch one that was checked before. */
            i = 0;
        } else {
            i++;
        }
    }
    if (memory->gone->len == HMEM_LINK_MAX_RANGES) {
        g_array_remove_index(memory->gone, 0);
    }
    all.gfn = gfn;
    all.num = end - gfn;
    g_array_append_val(memory->gone, all);
}

/* Record the frames of @old that are in no range now. */
static void hmem_memory_find_gone(HmemMemory *memory, const GArray *old)
{
    const GArray *now = memory->ranges;
    bool any = false;
    uint32_t i;

    for (i = 0; i < old->len; i++) {
        const struct hmem_link_range *was =
            &g_array_index(old, HmemRange, i).link;
        const uint64_t end = was->gfn + was->num;
        uint32_t at = hmem_ranges_find(now, was->gfn);
        uint64_t gfn = was->gfn;

        while (gfn < end) {
            uint64_t hole = end;

            if (at < now->len) {
                const struct hmem_link_range *is =
                    &g_array_index(now, HmemRange, at).link;

                if (is->gfn <= gfn) {
                    gfn = is->gfn + is->num;
                    at++;
                    continue;
                }
                hole = MIN(end, is->gfn);
            }
            memory->generation += !any;
            any = true;
            hmem_memory_add_gone(memory, gfn, hole);
            gfn = hole;
        }
    }
}

static void hmem_memory_commit(MemoryListener *listener)
{
    HmemMemory *memory = container_of(listener, HmemMemory, listener);
    GArray *old = memory->ranges;

    /*
     * An earlier listener changed memory again during the commit, and that
     * nested commit has processed both changes.
     */
    if (!memory->pending) {
        return;
    }
    memory->pending = false;
    if (old->len == memory->next->len &&
        !memcmp(old->data, memory->next->data, old->len * sizeof(HmemRange))) {
        return;
    }
    memory->ranges = memory->next;
    memory->next = old;
    hmem_memory_find_gone(memory, old);
    memory->changed(memory->opaque);
}

void hmem_memory_start(HmemMemory *memory, void (*changed)(void *opaque),
                       void *opaque)
{
    memory->changed = changed;
    memory->opaque = opaque;
    memory->ranges = g_array_new(false, true, sizeof(HmemRange));
    memory->next = g_array_new(false, true, sizeof(HmemRange));
    memory->gone = g_array_new(false, true, sizeof(HmemGone));
    memory->generation = HMEM_GENERATION_UNKNOWN + 1;
    memory->listener = (MemoryListener) {
        .name = "virtio-hmem",
        .begin = hmem_memory_begin,
        .region_add = hmem_memory_add,
        .region_nop = hmem_memory_add,
        .commit = hmem_memory_commit,
    };
    memory_listener_register(&memory->listener, &address_space_memory);
}

void hmem_memory_unrealize(HmemMemory *memory)
{
    memory_listener_unregister(&memory->listener);
    g_array_unref(memory->ranges);
    g_array_unref(memory->next);
    g_array_unref(memory->gone);
    memory->ranges = NULL;
    memory->next = NULL;
    memory->gone = NULL;
}

uint64_t hmem_memory_end(const HmemMemory *memory)
{
    const MachineState *ms = MACHINE(qdev_get_machine());
    hwaddr end = 0;

    if (memory->ranges->len) {
        const struct hmem_link_range *last =
            &g_array_index(memory->ranges, HmemRange,
                           memory->ranges->len - 1).link;

        end = (last->gfn + last->num) << VIRTIO_HMEM_GFN_SHIFT;
    }
    if (ms->device_memory) {
        end = MAX(end, ms->device_memory->base +
                  memory_region_size(&ms->device_memory->mr));
    }
    return DIV_ROUND_UP(end, 1 << VIRTIO_HMEM_GFN_SHIFT);
}

uint64_t hmem_memory_max_frames(void)
{
    return MACHINE(qdev_get_machine())->maxram_size >> VIRTIO_HMEM_GFN_SHIFT;
}

bool hmem_memory_has_region(const HmemMemory *memory, const MemoryRegion *mr)
{
    uint32_t i;

    for (i = 0; i < memory->ranges->len; i++) {
        if (g_array_index(memory->ranges, HmemRange, i).mr == mr) {
            return true;
        }
    }
    return false;
}

static bool hmem_page_ok(uint64_t gfn, uint8_t order)
{
    return order <= VIRTIO_HMEM_MAX_ORDER && !(gfn & ((1ull << order) - 1));
}

/* Cannot overflow, whatever the arguments are. */
static bool hmem_frames_have_page(uint64_t first, uint64_t num, uint64_t gfn,
                                  uint8_t order)
{
    return gfn >= first && gfn - first < num &&
        1ull << order <= num - (gfn - first);
}

bool hmem_memory_has_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order)
{
    const uint32_t at = hmem_ranges_find(memory->ranges, gfn);
    const struct hmem_link_range *range;

    if (!hmem_page_ok(gfn, order) || at == memory->ranges->len) {
        return false;
    }
    range = &g_array_index(memory->ranges, HmemRange, at).link;
    return hmem_frames_have_page(range->gfn, range->num, gfn, order);
}

bool hmem_memory_find(const HmemMemory *memory, uint64_t gfn, uint64_t num,
                      uint32_t tier, MemoryRegion **mr, uint64_t *offset)
{
    const uint32_t at = hmem_ranges_find(memory->ranges, gfn);
    const HmemRange *range;

    if (at == memory->ranges->len) {
        return false;
    }
    range = &g_array_index(memory->ranges, HmemRange, at);
    if (range->link.tier != tier || gfn < range->link.gfn ||
        num > range->link.num - (gfn - range->link.gfn)) {
        return false;
    }
    *mr = range->mr;
    *offset = range->offset +
        ((gfn - range->link.gfn) << VIRTIO_HMEM_GFN_SHIFT);
    return true;
}

uint64_t hmem_memory_word(const HmemMemory *memory, uint64_t word)
{
    uint32_t at = hmem_ranges_find(memory->ranges, word * 64);
    uint64_t mask = 0;

    for (; at < memory->ranges->len; at++) {
        const struct hmem_link_range *range =
            &g_array_index(memory->ranges, HmemRange, at).link;

        if (range->gfn / 64 > word) {
            break;
        }
        mask |= hmem_range_mask(range, word);
    }
    return mask;
}

bool hmem_memory_had_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order, uint64_t since)
{
    uint32_t i;

    if (hmem_memory_has_page(memory, gfn, order)) {
        return true;
    }
    if (!hmem_page_ok(gfn, order)) {
        return false;
    }
    if (since == HMEM_GENERATION_UNKNOWN) {
        return hmem_frames_have_page(0, hmem_memory_end(memory), gfn, order);
    }
    for (i = 0; i < memory->gone->len; i++) {
        const HmemGone *gone = &g_array_index(memory->gone, HmemGone, i);

        if (gone->generation > since &&
            hmem_frames_have_page(gone->gfn, gone->num, gfn, order)) {
            return true;
        }
    }
    return false;
}
