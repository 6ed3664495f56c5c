// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds the page at a hinted frame.  For an anonymous page it also finds an address space
 * that maps the page, through which anon.c moves it.  file.c moves the page cache without
 * an address space.
 */
#include <linux/memory_hotplug.h>
#include <linux/migrate.h>
#include <linux/sched/mm.h>

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

/*
 * Hints come in runs of pages that are neighbours.  So guess that the place of the last page whose
 * owner was looked up tells the place of this one, too.  The guess need not be right:
 * hmem_owner_check() checks what is mapped there, and the next try looks up the owner.
 */
static bool hmem_guess_place(const struct hmem_place *last, struct folio *folio,
			     struct hmem_place *place)
{
	if (!last->mm || folio_test_large(folio) || READ_ONCE(folio->mapping) != last->mapping ||
	    (folio->index ^ last->index) / HMEM_NEAR_PAGES)
		return false;
	*place = *last;
	place->addr += (folio->index - last->index) << PAGE_SHIFT;
	mmgrab(place->mm);
	return true;
}

static u8 hmem_find_place(struct hmem *hm, struct hmem_item *item, struct folio *folio,
			  struct page *page, unsigned int try)
{
	struct hmem_place *last = &hm->area->last_place, place;
	u8 reason = HMEM_PENDING;

	if (try || !hmem_guess_place(last, folio, &place)) {
		reason = hmem_find_owner(folio, page, try, &place);
		/* The item holds the mm until the end of the try. */
		if (reason == HMEM_PENDING)
			*last = place;
	}
	if (reason == HMEM_PENDING) {
		item->mm = place.mm;
		item->addr = place.addr;
	}
	return reason;
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
		reason = hmem_find_place(hm, item, folio, page, try);
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
	item->page = page;
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
