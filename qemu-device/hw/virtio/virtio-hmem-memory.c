/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which guest memory belongs to which tier.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "system/hostmem.h"
#include "system/numa.h"
#include "hw/virtio/virtio-hmem-memory.h"

/* NodeInfo has it, too, but only with HMAT. */
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

/* What the HMAT says about @target as seen from @initiator; 0: nothing. */
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
    /* QEMU has nanoseconds and bytes a second. */
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

/*
 * By latency where the HMAT knows all of them; then nodes with CPUs before
 * nodes without; then as numbered.
 */
static bool hmem_tier_faster(const MachineState *ms, const HmemTier *a,
                             const HmemTier *b, bool by_latency)
{
    bool a_cpu = hmem_node_has_cpu(ms, a->info.pxm);
    bool b_cpu = hmem_node_has_cpu(ms, b->info.pxm);

    if (by_latency && a->info.read_latency != b->info.read_latency) {
        return a->info.read_latency < b->info.read_latency;
    }
    if (a_cpu != b_cpu) {
        return a_cpu;
    }
    return a->info.pxm < b->info.pxm;
}

static bool hmem_memory_set_kinds(HmemMemory *memory, const char *kinds,
                                  Error **errp)
{
    static const char *const names[] = {
        [VIRTIO_HMEM_KIND_DRAM] = "dram",
        [VIRTIO_HMEM_KIND_NVM] = "nvm",
        [VIRTIO_HMEM_KIND_CXL] = "cxl",
    };
    g_auto(GStrv) words = kinds ? g_strsplit(kinds, ":", -1) : NULL;
    uint32_t i, kind;

    if (words && g_strv_length(words) != memory->num_tiers) {
        error_setg(errp, "'kinds' names %u tiers, but the machine has %u NUMA "
                   "nodes with a memory backend", g_strv_length(words),
                   memory->num_tiers);
        return false;
    }
    for (i = 0; i < memory->num_tiers; i++) {
        kind = i ? VIRTIO_HMEM_KIND_NVM : VIRTIO_HMEM_KIND_DRAM;
        if (words) {
            for (kind = 0; kind < ARRAY_SIZE(names); kind++) {
                if (!strcmp(words[i], names[kind])) {
                    break;
                }
            }
            if (kind == ARRAY_SIZE(names)) {
                error_setg(errp, "'kinds' has '%s', which is none of dram, "
                           "nvm and cxl", words[i]);
                return false;
            }
        }
        memory->tiers[i].info.kind = kind;
    }
    return true;
}

bool hmem_memory_realize(HmemMemory *memory, const char *kinds, Error **errp)
{
    const MachineState *ms = MACHINE(qdev_get_machine());
    const NumaState *numa = ms->numa_state;
    bool by_latency = true;
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
        error_setg(errp, "heterogeneous memory takes at least two NUMA nodes "
                   "with a memory backend, the machine has %u: use "
                   "'-numa node,memdev=...'", memory->num_tiers);
        return false;
    }

    for (i = 0; i < memory->num_tiers; i++) {
        by_latency &= memory->tiers[i].info.read_latency != 0;
    }
    for (i = 1; i < memory->num_tiers; i++) {
        HmemTier tier = memory->tiers[i];
        int j = i;

        while (j > 0 &&
               hmem_tier_faster(ms, &tier, &memory->tiers[j - 1],
                                by_latency)) {
            memory->tiers[j] = memory->tiers[j - 1];
            j--;
        }
        memory->tiers[j] = tier;
    }
    return hmem_memory_set_kinds(memory, kinds, errp);
}

static void hmem_memory_begin(MemoryListener *listener)
{
    HmemMemory *memory = container_of(listener, HmemMemory, listener);

    g_array_set_size(memory->next, 0);
}

/* Sections come in the order of their addresses, changed ones or not. */
static void hmem_memory_add(MemoryListener *listener,
                            MemoryRegionSection *section)
{
    HmemMemory *memory = container_of(listener, HmemMemory, listener);
    hwaddr start = section->offset_within_address_space;
    hwaddr size = int128_get64(section->size);
    HmemRange range = { };
    uint32_t tier;

    for (tier = 0; tier < memory->num_tiers; tier++) {
        if (section->mr == memory->tiers[tier].mr) {
            break;
        }
    }
    /* Read-only: the firmware's shadow, which the guest cannot move. */
    if (tier == memory->num_tiers || section->readonly) {
        return;
    }

    range.link.tier = tier;
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

        if (last->link.tier == tier &&
            last->link.gfn + last->link.num == range.link.gfn &&
            last->offset + bytes == range.offset) {
            last->link.num += range.link.num;
            return;
        }
    }
    if (memory->next->len == HMEM_LINK_MAX_RANGES) {
        warn_report_once("virtio-hmem: guest memory is in more than %u pieces,"
                         " the others are left alone", HMEM_LINK_MAX_RANGES);
        return;
    }
    g_array_append_val(memory->next, range);
}

static void hmem_memory_commit(MemoryListener *listener)
{
    HmemMemory *memory = container_of(listener, HmemMemory, listener);
    GArray *old = memory->ranges;

    if (old->len == memory->next->len &&
        !memcmp(old->data, memory->next->data, old->len * sizeof(HmemRange))) {
        return;
    }
    memory->ranges = memory->next;
    memory->next = old;
    memory->changed(memory->opaque);
}

void hmem_memory_start(HmemMemory *memory, void (*changed)(void *opaque),
                       void *opaque)
{
    memory->changed = changed;
    memory->opaque = opaque;
    memory->ranges = g_array_new(false, true, sizeof(HmemRange));
    memory->next = g_array_new(false, true, sizeof(HmemRange));
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
    memory->ranges = NULL;
    memory->next = NULL;
}

uint64_t hmem_memory_end(const HmemMemory *memory)
{
    const HmemRange *last;

    if (!memory->ranges->len) {
        return 0;
    }
    last = &g_array_index(memory->ranges, HmemRange, memory->ranges->len - 1);
    return last->link.gfn + last->link.num;
}

bool hmem_memory_has_page(const HmemMemory *memory, uint64_t gfn,
                          uint8_t order)
{
    size_t low = 0;
    size_t high = memory->ranges->len;

    if (order > VIRTIO_HMEM_MAX_ORDER || gfn & ((1ull << order) - 1)) {
        return false;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct hmem_link_range *range =
            &g_array_index(memory->ranges, HmemRange, middle).link;

        if (gfn < range->gfn) {
            high = middle;
        } else if (gfn - range->gfn >= range->num) {
            low = middle + 1;
        } else {
            return 1ull << order <= range->num - (gfn - range->gfn);
        }
    }
    return false;
}
