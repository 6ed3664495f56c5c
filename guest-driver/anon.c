// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moves anonymous pages, through the address space of an owner.
 *
 * A page frame is not enough to move a page.  Mapping the page again needs its anon_vma,
 * and while the page is unmapped, nothing keeps the anon_vma if the last process that
 * used it exits.  So the driver finds one process that maps the page, holds the mm and
 * the mmap lock, and lets migrate_vma_*() move the page out of that address space.  The
 * VMA then cannot go away, and neither can any anon_vma that it is linked to.  owner.c
 * tells what else must be held.
 *
 * Pages that are neighbours in an address space can move together: see hmem_range_pages.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/memory_hotplug.h>
#include <linux/mmap_lock.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/sort.h>

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/*
 * Moving 16 pages together takes a tenth fewer instructions per page than moving them
 * one by one.  But the kernel flushes the TLB for most pages one by one anyway, and each
 * page is unavailable eight times as long.
 */
static unsigned int hmem_range_pages = 1;
module_param_named(range_pages, hmem_range_pages, uint, 0644);
MODULE_PARM_DESC(range_pages,
		 "Neighbours unmapped together, 1..64 (default 1): more are moved faster, but are out of reach longer");

/* Makes tests hit a race in which chance alone would take hours. */
static unsigned int hmem_race_delay_us;
module_param_named(race_delay_us, hmem_race_delay_us, uint, 0600);
MODULE_PARM_DESC(race_delay_us,
		 "For tests: microseconds to wait between the last look at a page and its move (default 0)");

/*
 * Copy one page, which migrate_vma_setup() has unmapped and locked, to its destination.
 * If the address meanwhile maps another page than the hinted one, leave *dst empty, so
 * that migrate_vma_finalize() puts the page back.
 */
static void hmem_fill_destination(struct hmem_item *item, struct folio *folio,
				  unsigned long *src, unsigned long *dst)
{
	struct page *page = migrate_pfn_to_page(*src);
	struct folio *old;

	if (!page || !(*src & MIGRATE_PFN_MIGRATE))
		return;
	if (page_to_pfn(page) != item->pfn) {
		item->reason = VIRTIO_HMEM_R_UNMAPPED;
		return;
	}
	old = page_folio(page);
	if (!folio_test_anon(old) || folio_test_ksm(old) ||
	    folio_order(old) != item->order) {
		item->reason = VIRTIO_HMEM_R_UNMAPPED;
		return;
	}
	/* migrate_vma_pages() treats writeback as a bug. */
	if (folio_test_writeback(old)) {
		item->reason = VIRTIO_HMEM_R_WRITEBACK;
		return;
	}
	if (!hmem_copy_pages(folio, page)) {
		item->reason = VIRTIO_HMEM_R_POISON;
		return;
	}
	folio_lock(folio);	/* a new folio: the lock is free */
	*dst = migrate_pfn(folio_pfn(folio));
	if (item->order)
		*dst |= MIGRATE_PFN_COMPOUND;
}

/*
 * Move items[0 .. nr) into folios[].  The items are neighbours in the address space that
 * the caller has locked.  A large folio comes alone.
 */
static void hmem_move_mapped(struct hmem *hm, struct vm_area_struct *vma,
			     struct hmem_item **items, struct folio **folios,
			     unsigned int nr)
{
	struct hmem_work_area *area = hm->area;
	bool large = items[0]->order;
	enum hmem_kind kind = large ? HMEM_KIND_LARGE : HMEM_KIND_ANON;
	unsigned int i, moved = 0, unmapped = 0;
	unsigned long pages = large ? HPAGE_PMD_NR : nr;
	struct migrate_vma args = {
		.vma = vma,
		.start = items[0]->addr,
		.end = items[0]->addr + pages * PAGE_SIZE,
		.src = area->src,
		.dst = area->dst,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	u64 ns;

	if (large)
		args.flags |= MIGRATE_VMA_SELECT_COMPOUND;
	memset(area->dst, 0, pages * sizeof(*area->dst));

	if (unlikely(READ_ONCE(hmem_race_delay_us)))
		fsleep(READ_ONCE(hmem_race_delay_us));
	ns = ktime_get_ns();
	if (migrate_vma_setup(&args)) {
		/* Pages cannot be moved out of this kind of VMA. */
		for (i = 0; i < nr; i++)
			items[i]->reason = VIRTIO_HMEM_R_UNSUPPORTED;
		return;
	}
	for (i = 0; i < nr; i++) {
		if (area->src[i] & MIGRATE_PFN_MIGRATE)
			unmapped += hmem_item_pages(items[i]);
		hmem_fill_destination(items[i], folios[i], &area->src[i],
				      &area->dst[i]);
	}
	migrate_vma_pages(&args);
	for (i = 0; i < nr; i++) {
		if (!area->dst[i])
			continue;
		if (area->src[i] & MIGRATE_PFN_MIGRATE) {
			hmem_record_move(hm, items[i], folio_pfn(folios[i]),
					 kind);
			moved += hmem_item_pages(items[i]);
		}
		/* Finalize unlocks the folio and drops the reference. */
		folios[i] = NULL;
	}
	migrate_vma_finalize(&args);
	ns = ktime_get_ns() - ns;

	hmem_stats_pause(hm, kind, ns, unmapped);
	trace_hmem_pause(kind, items[0]->pfn, unmapped, moved, ns);
	for (i = 0; i < nr; i++)
		if (items[i]->reason == HMEM_PENDING)
			items[i]->reason = hmem_failure_reason(items[i]);
}

/* Move a page that other address spaces than that of @vma can map as well. */
static void hmem_move_shared(struct hmem *hm, struct vm_area_struct *vma,
			     struct hmem_item *item, struct folio **dst)
{
	struct hmem_sharers *sharers = &hm->area->sharers;
	int nid = hm->tier_nid[item->tier];
	struct folio *folio;
	bool alone;

	folio = hmem_folio_get(pfn_to_online_page(item->pfn));
	if (!folio) {
		item->reason = VIRTIO_HMEM_R_UNMAPPED;
		return;
	}
	item->reason = hmem_sharers_lock(sharers, folio, item, nid);
	if (item->reason != HMEM_PENDING) {
		folio_put(folio);
		return;
	}
	/* The reference keeps the frame from becoming a page with other sharers. */
	item->reason = hmem_owner_check(vma, item, nid, &alone);
	folio_put(folio);
	if (item->reason == HMEM_PENDING)
		hmem_move_mapped(hm, vma, &item, dst, 1);
	hmem_sharers_unlock(sharers);
}

/* Move items[0 .. nr), neighbours in the locked @vma, into folios[], as far as possible. */
static void hmem_move_locked_range(struct hmem *hm, struct vm_area_struct *vma,
				   struct hmem_item **items,
				   struct folio **folios, unsigned int nr)
{
	int nid = hm->tier_nid[items[0]->tier];
	unsigned int i, first = 0;	/* begin of the current group of neighbours */
	bool alone;

	for (i = 0; i < nr; i++) {
		items[i]->reason = hmem_owner_check(vma, items[i], nid, &alone);
		if (items[i]->reason == HMEM_PENDING && alone)
			continue;
		if (first < i)
			hmem_move_mapped(hm, vma, items + first, folios + first,
					 i - first);
		first = i + 1;
		if (items[i]->reason == HMEM_PENDING)
			hmem_move_shared(hm, vma, items[i], folios + i);
	}
	if (first < nr)
		hmem_move_mapped(hm, vma, items + first, folios + first,
				 nr - first);
}

/* Move neighbours: items of the same mm and tier at consecutive addresses. */
static void hmem_move_range(struct hmem *hm, struct hmem_item **items,
			    unsigned int nr)
{
	struct folio **folios = hm->area->folios;
	struct mm_struct *mm = items[0]->mm;
	struct vm_area_struct *vma;
	unsigned int i, n;
	u8 reason;

	/* Allocate before unmapping anything, so that no access waits for it. */
	for (n = 0; n < nr; n++) {
		folios[n] = hmem_alloc_folio(hm, items[n]->tier, items[n]->order);
		if (!folios[n]) {
			items[n]->reason = VIRTIO_HMEM_R_NO_MEMORY;
			break;
		}
		if (items[n]->order)
			continue;
		items[n]->reason = hmem_copy_ahead(hm, items[n], folios[n]);
		if (items[n]->reason != HMEM_PENDING) {
			folio_put(folios[n]);
			break;
		}
	}
	/* The items behind the failed one are not its neighbours: try them again. */
	for (i = n + 1; i < nr; i++)
		items[i]->reason = items[n]->reason == VIRTIO_HMEM_R_NO_MEMORY ?
				   VIRTIO_HMEM_R_NO_MEMORY : VIRTIO_HMEM_R_UNMAPPED;
	if (!n)
		return;

	/* Let other tasks run now, not while pages are unmapped. */
	cond_resched();
	vma = hmem_owner_lock(mm, items[0]->addr, &reason);
	if (vma) {
		hmem_move_locked_range(hm, vma, items, folios, n);
		mmap_read_unlock(mm);
	} else {
		for (i = 0; i < n; i++)
			items[i]->reason = reason;
	}
	while (n--)
		if (folios[n])
			folio_put(folios[n]);
}

static int hmem_item_cmp(const void *a, const void *b)
{
	const struct hmem_item *x = *(const struct hmem_item **)a;
	const struct hmem_item *y = *(const struct hmem_item **)b;

	/* Moves to slower tiers come first, because they make room. */
	if (x->tier != y->tier)
		return x->tier > y->tier ? -1 : 1;
	if (x->mm != y->mm)
		return x->mm < y->mm ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

void hmem_move_anon(struct hmem *hm, unsigned int nr)
{
	struct hmem_item **items = hm->area->order;
	unsigned int max = clamp(READ_ONCE(hmem_range_pages), 1U,
				 (unsigned int)HMEM_MAX_RANGE);
	unsigned int i, n;

	if (max > 1)
		sort(items, nr, sizeof(*items), hmem_item_cmp, NULL);
	for (i = 0; i < nr; i += n) {
		for (n = 1; i + n < nr && n < max; n++)
			if (items[i]->order || items[i + n]->order ||
			    items[i + n]->mm != items[i]->mm ||
			    items[i + n]->tier != items[i]->tier ||
			    items[i + n]->addr !=
			    items[i]->addr + n * PAGE_SIZE)
				break;
		hmem_move_range(hm, items + i, n);
	}
	for (i = 0; i < nr; i++) {
		mmdrop(items[i]->mm);
		items[i]->mm = NULL;
	}
}
