/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: the device in QEMU's monitor for people.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands-virtio-hmem.h"

static void hmp_virtio_hmem_tiers(Monitor *mon, const VirtioHmemTierList *list)
{
    int i;

    for (i = 0; list; list = list->next, i++) {
        const VirtioHmemTier *tier = list->value;

        monitor_printf(mon, "  tier %d: node %" PRIu32 ", %s, %" PRIu64
                       " of %" PRIu64 " MiB, requested %" PRIu64
                       " MiB, minimum %" PRIu64 " MiB\n",
                       i, tier->node, VirtioHmemTierKind_str(tier->kind),
                       tier->actual / MiB, tier->size / MiB,
                       tier->requested / MiB, tier->minimum / MiB);
    }
}

static void hmp_virtio_hmem_device(Monitor *mon, const VirtioHmemInfo *info)
{
    const VirtioHmemStats *stats = info->stats;
    const VirtioHmemStatuses *frames = stats->frames_by_status;

    monitor_printf(mon, "virtio-hmem \"%s\"\n", info->id ?: info->qom_path);
    monitor_printf(mon, "  hmemd: %s, %" PRIu64 " connections, %" PRIu64
                   " dropped\n",
                   info->connected ? "connected" : "not connected",
                   stats->connections, stats->connections_dropped);
    monitor_printf(mon, "  driver: %s, works on %" PRIu32 " batches\n",
                   VirtioHmemDriverState_str(info->driver_state),
                   info->outstanding);
    monitor_printf(mon, "  tracker: %s, dirty log %s\n",
                   VirtioHmemTracker_str(info->tracker),
                   info->dirty_log ? "on" : "off");
    hmp_virtio_hmem_tiers(mon, info->tiers);
    monitor_printf(mon, "  hints: %" PRIu64 " in %" PRIu64 " batches\n",
                   stats->hints, stats->batches);
    monitor_printf(mon, "  frames: %" PRIu64 " moved, %" PRIu64 " ok, %"
                   PRIu64 " refused, %" PRIu64 " busy, %" PRIu64 " errors\n",
                   stats->frames_by_reason->moved, frames->ok, frames->nack,
                   frames->busy, frames->error);
    monitor_printf(mon, "  windows: %" PRIu64 ", %" PRIu64
                   " pages accessed, %" PRIu64 " written\n",
                   stats->ticks, stats->accessed_pages, stats->dirty_pages);
}

void hmp_info_virtio_hmem(Monitor *mon, const QDict *qdict)
{
    VirtioHmemInfoList *list = qmp_query_virtio_hmem(NULL);
    const VirtioHmemInfoList *entry;

    for (entry = list; entry; entry = entry->next) {
        hmp_virtio_hmem_device(mon, entry->value);
    }
    qapi_free_VirtioHmemInfoList(list);
}
