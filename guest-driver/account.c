// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Gives the host an account of the guest's memory: how much each tier has, and how much of that
 * is free, so that the host makes room before room is missed; and of what scans and the kernel
 * did.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/vmstat.h>

#include "hmem.h"

/* What the kernel keeps free of a zone when user space asks for memory. */
static unsigned long hmem_kept(const struct zone *zone, unsigned long watermark)
{
	return watermark + zone->lowmem_reserve[gfp_zone(GFP_HIGHUSER_MOVABLE)];
}

unsigned long hmem_node_free(int nid, unsigned long *spare)
{
	unsigned long free = 0, above = 0;
	int i;

	for (i = 0; nid != NUMA_NO_NODE && i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(nid)->node_zones[i];
		unsigned long nr, least;

		if (!populated_zone(zone))
			continue;
		nr = zone_page_state(zone, NR_FREE_PAGES);
		least = hmem_kept(zone, high_wmark_pages(zone));
		free += nr;
		above += nr > least ? nr - least : 0;
	}
	if (spare)
		*spare = above;
	return free;
}

/*
 * The low watermark counts: below it, a program that needs a page gets one of another node, or
 * the kernel begins to reclaim.  Zones are full one by one.
 */
static void hmem_account_tier(struct hmem *hm, unsigned int tier,
			      struct virtio_hmem_account_tier *account)
{
	u64 total = 0, free = 0, reserve = 0;
	int i, nid = hm->tier_nid[tier];

	for (i = 0; nid != NUMA_NO_NODE && i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(nid)->node_zones[i];
		unsigned long all, nr;

		if (!populated_zone(zone))
			continue;
		/* The numbers change while they are read. */
		all = zone_managed_pages(zone);
		nr = min(zone_page_state(zone, NR_FREE_PAGES), all);
		total += all;
		free += nr;
		reserve += min(hmem_kept(zone, low_wmark_pages(zone)), nr);
	}
	account->total = cpu_to_le64(total << PAGE_SHIFT);
	account->free = cpu_to_le64(free << PAGE_SHIFT);
	account->reserve = cpu_to_le64(reserve << PAGE_SHIFT);
}

void hmem_account(struct hmem *hm, struct virtio_hmem_account *account)
{
	unsigned int tier;

	memset(account, 0, sizeof(*account));
	for (tier = 0; tier < hm->num_tiers; tier++)
		hmem_account_tier(hm, tier, &account->tiers[tier]);
	account->entries = cpu_to_le64(hm->stats.scan_entries);
	account->skipped = cpu_to_le64(hm->stats.scan_idle);
	account->left_out = cpu_to_le64(hm->stats.scan_skipped);
	account->collapsed = cpu_to_le64(hmem_collapsed(hm->area->events) -
					 hm->collapsed_base);
}
