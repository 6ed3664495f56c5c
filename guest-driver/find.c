// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds the page at a hinted frame.  For an anonymous page it also finds an address space
 * that maps the page, through which anon.c moves it.  file.c moves the page cache without
 * an address space.
 */
#include <linux/memory_hotplug.h>
#include <linux/migrate.h>

#include "compat.h"
#include "hmem.h"

/*
 * Put the pages in the CPUs' LRU caches, where they can stay for long, onto the LRU
 * lists.  lru_add_drain_all() is not exported.  migrate_device_range() calls it when it
 * meets a page that is not on an LRU list, so pass it a new page.
 */
static void hmem_drain_lru(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long src;

	if (!page)
		return;
	migrate_device_range(&src, page_to_pfn(page), 1);
	__free_page(page);
}

static u8 hmem_find_once(struct hmem *hm, struct hmem_item *item,
			 struct page *page, unsigned int try)
{
	struct folio *folio = hmem_folio_get(page);
	u8 reason;

	if (!folio)
		return hmem_off_lru_reason(page);
	reason = hmem_check_page(folio, page, item->order, hm->tier_nid[item->tier]);
	if (reason == HMEM_PENDING && folio_test_anon(folio))
		reason = hmem_find_owner(folio, page, try, &item->mm,
					 &item->addr);
	folio_put(folio);
	return reason;
}

void hmem_find_page(struct hmem *hm, struct hmem_item *item, unsigned int try)
{
	struct page *page = pfn_to_online_page(item->pfn);

	item->mm = NULL;
	if (!page) {
		item->reason = VIRTIO_HMEM_R_BAD_GFN;
		return;
	}
	if (page_to_nid(page) == hm->tier_nid[item->tier]) {
		item->reason = VIRTIO_HMEM_R_ALREADY;
		return;
	}
	/* Read the node now: after the move, the frame may be hot-unplugged. */
	item->from_tier = hmem_nid_tier(hm, page_to_nid(page));
	item->reason = hmem_find_once(hm, item, page, try);
	/*
	 * A CPU's LRU cache keeps a page off the LRU list and holds a reference.
	 * Draining the caches is expensive: do it once per batch, and not on the
	 * first try.
	 */
	if ((item->reason == VIRTIO_HMEM_R_OFF_LRU ||
	     item->reason == VIRTIO_HMEM_R_PINNED) && try && !hm->drained) {
		hm->drained = true;
		hmem_drain_lru();
		item->reason = hmem_find_once(hm, item, page, try);
	}
}
