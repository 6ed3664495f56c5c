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
 * Base pages of a process that runs on several processors move in groups: see hide.c.
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

static unsigned int hmem_pause_us = 50;
module_param_named(pause_us, hmem_pause_us, uint, 0644);
MODULE_PARM_DESC(pause_us,
		 "Microseconds for which pages that move together may be out of reach (default 50): more pages then share the interrupts that a move costs other processors; 0: each page moves alone");

static u64 hmem_pause_ns(void)
{
	return READ_ONCE(hmem_pause_us) * (u64)NSEC_PER_USEC;
}

/* The time per page before the first measurement. */
#define HMEM_FIRST_PAGE_NS	3000

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
 * A mean would follow the few values that are very large because the processor has done
 * something else meanwhile, so follow the median.
 */
static void hmem_page_pace(struct hmem_pace *pace, u64 ns)
{
	u64 step = pace->page_ns / 64 + 1;

	if (!pace->page_ns)
		pace->page_ns = ns;
	else if (ns > pace->page_ns)
		pace->page_ns += step;
	else if (ns < pace->page_ns)
		pace->page_ns -= step;
}

/*
 * 99 of 100 pages are to be out of reach for @limit at most.  There, 99 steps up for each page
 * that takes longer and one step down for each other page are in balance.  How much longer a page
 * takes does not count, because no choice of groups would help against the very long pauses.  A
 * step is so short that ten late pages, which may be of one group, take an eighth of @limit from
 * the next groups; so the share of late pages is 1 % only in the mean of some thousand pages.
 */
static void hmem_extra_pace(struct hmem_pace *pace, unsigned int nr, unsigned int late, s64 limit)
{
	s64 step = limit / 8192 + 1;

	/* With an estimate as long as @limit, groups cannot become smaller. */
	pace->extra_ns = clamp_t(s64, pace->extra_ns + step * (100 * (s64)late - nr), 0, limit);
}

/* Flushes that take very long count in full: they are what larger groups save. */
static void hmem_flush_pace(struct hmem_pace *pace, u64 ns)
{
	pace->flush_ns = pace->flush_ns ? (pace->flush_ns * 7 + ns) / 8 : ns;
}

/*
 * A group of @nr pages has moved in @ns, and the driver's flush took @flush_ns of that.  @late
 * pages were out of reach for longer than @limit.
 */
static void hmem_group_pace(struct hmem_pace *pace, unsigned int nr, s64 ns, s64 flush_ns,
			    unsigned int late, s64 limit)
{
	/* The kernel's flush takes about as long as the driver's. */
	s64 pages = ns - 2 * flush_ns;

	if (!pace->flush_ns)
		pace->extra_ns = 2 * flush_ns;
	hmem_flush_pace(pace, flush_ns);
	/* What remains of a time that nearly all went for flushes would tell nothing. */
	if (pages >= ns / 4)
		hmem_page_pace(pace, pages / nr);
	hmem_extra_pace(pace, nr, late, limit);
}

/*
 * How many base pages move together, if they may be out of reach for @limit?  As many as move in
 * that time, together with what a group takes besides.  But a page that moves alone is out of reach
 * for two flushes as well.  If these take long, because the other processors answer late, pages are
 * out of reach for twice as long as that, and at most half of the time is lost for flushes.
 */
static unsigned int hmem_group_size(const struct hmem_pace *pace, s64 limit)
{
	s64 flushes = 2 * pace->flush_ns, ns = max(limit - pace->extra_ns, flushes);

	/* With two, the driver still measures. */
	return clamp_t(s64, div64_s64(ns, pace->page_ns ?: HMEM_FIRST_PAGE_NS), 2, HMEM_CHUNK);
}

/*
 * migrate_vma_setup() has unmapped the pages at group->start and behind.  Let programs use them
 * again, from entry @first up to the page of @item, which moves into @folio if possible.  Returns
 * the entry behind the last one.
 *
 * Holds the old page of an item that has moved, so that migrate_vma_finalize() does not free the
 * page: when a CPU's cache of free pages is full, the kernel frees some hundreds at once, and the
 * other pages of the group would be out of reach meanwhile.
 */
static unsigned int hmem_finish(const struct migrate_vma *group, unsigned int first,
				struct hmem_item *item, struct folio *folio)
{
	unsigned int k = (item->addr - group->start) / PAGE_SIZE;
	struct migrate_vma args = *group;

	args.src += first;
	args.dst += first;
	args.start += first * PAGE_SIZE;
	args.end = item->addr + hmem_item_pages(item) * PAGE_SIZE;
	args.npages = (args.end - args.start) / PAGE_SIZE;
	hmem_fill_destination(item, folio, &group->src[k], &group->dst[k]);
	migrate_vma_pages(&args);
	if (group->dst[k] && group->src[k] & MIGRATE_PFN_MIGRATE)
		folio_get(page_folio(migrate_pfn_to_page(group->src[k])));
	migrate_vma_finalize(&args);
	return first + args.npages;
}

/* The number of pages that were out of reach for longer than @limit. */
static unsigned int hmem_late(struct hmem_item **items, unsigned int nr, s64 limit)
{
	unsigned int i, late = 0;

	for (i = 0; i < nr; i++)
		late += items[i]->unmapped && (s64)items[i]->pause_ns > limit;
	return late;
}

/*
 * Move items[0 .. nr) into folios[], or as many of the first ones as can move together.
 * Returns their number.  The items are in one page table of @vma, sorted by address; the
 * caller has locked the address space.  A large folio comes alone.
 *
 * The pages are unmapped together, but each is in reach again as soon as it has moved.
 */
static unsigned int hmem_move_mapped(struct hmem *hm, struct vm_area_struct *vma,
				     struct hmem_item **items, struct folio **folios,
				     unsigned int nr)
{
	struct hmem_work_area *area = hm->area;
	bool large = items[0]->order;
	enum hmem_kind kind = large ? HMEM_KIND_LARGE : HMEM_KIND_ANON;
	unsigned int i, k, done = 0;
	struct migrate_vma args = {
		.vma = vma,
		.start = items[0]->addr,
		.src = area->src,
		.dst = area->dst,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	s64 running;
	u64 begin, limit;
	int rc;

	if (large)
		args.flags |= MIGRATE_VMA_SELECT_COMPOUND;
	if (unlikely(READ_ONCE(hmem_race_delay_us)))
		fsleep(READ_ONCE(hmem_race_delay_us));
	/*
	 * Let lru_add_drain(), which is not exported, put the pages of the last group on their LRU
	 * lists now.  migrate_vma_setup() would do that while this group is out of reach.
	 */
	migrate_device_range(NULL, 0, 0);
	args.end = items[nr - 1]->addr + hmem_item_pages(items[nr - 1]) * PAGE_SIZE;
	memset(area->dst, 0, (args.end - args.start) / PAGE_SIZE * sizeof(*area->dst));
	begin = ktime_get_ns();
	running = hmem_running_ns();
	nr = hmem_hide(&area->hidden, vma->vm_mm, items, nr);
	args.end = items[nr - 1]->addr + hmem_item_pages(items[nr - 1]) * PAGE_SIZE;
	rc = migrate_vma_setup(&args);
	hmem_show(&area->hidden);
	if (nr > 1) {
		hm->stats.move_flushes++;
		hm->stats.move_ipis += area->hidden.flush_ipis;
	}
	if (rc) {
		/* Pages cannot be moved out of this kind of VMA. */
		for (i = 0; i < nr; i++)
			items[i]->reason = VIRTIO_HMEM_R_UNSUPPORTED;
		return nr;
	}
	for (i = 0; i < nr; i++) {
		k = (items[i]->addr - args.start) / PAGE_SIZE;
		items[i]->unmapped = area->src[k] & MIGRATE_PFN_MIGRATE;
		done = hmem_finish(&args, done, items[i], folios[i]);
		items[i]->pause_ns = ktime_get_ns() - begin;
	}
	running = hmem_running_ns() - running;

	if (nr > 1) {
		limit = hmem_pause_ns();
		/* Time in which the processor did something else does not count. */
		hmem_group_pace(&hm->pace, nr, running, area->hidden.flush_ns,
				hmem_late(items, nr, limit + items[nr - 1]->pause_ns - running),
				limit);
	}
	for (i = 0; i < nr; i++) {
		struct hmem_item *item = items[i];

		k = (item->addr - args.start) / PAGE_SIZE;
		if (area->dst[k]) {
			if (area->src[k] & MIGRATE_PFN_MIGRATE) {
				hmem_record_move(hm, item, folio_pfn(folios[i]));
				folio_put(page_folio(migrate_pfn_to_page(area->src[k])));
			}
			/* Finalize has unlocked the folio and dropped the reference. */
			folios[i] = NULL;
		}
		if (item->unmapped)
			hmem_stats_pause(hm, kind, item->pause_ns, hmem_item_pages(item));
		trace_hmem_pause(kind, item->pfn, item->unmapped ? hmem_item_pages(item) : 0,
				 item->reason == VIRTIO_HMEM_R_MOVED ? hmem_item_pages(item) : 0,
				 item->pause_ns);
		if (item->reason == HMEM_PENDING)
			item->reason = hmem_failure_reason(item);
	}
	return nr;
}

/* Move a page that other address spaces than that of @vma can map as well. */
static void hmem_move_shared(struct hmem *hm, struct vm_area_struct *vma,
			     struct hmem_item *item, struct folio **dst)
{
	struct hmem_sharers *sharers = &hm->area->sharers;
	int nid = hm->tier_nid[item->tier];
	struct folio *folio;

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
	hmem_owner_check(vma, &item, 1, nid);
	folio_put(folio);
	if (item->reason == HMEM_PENDING)
		hmem_move_mapped(hm, vma, &item, dst, 1);
	hmem_sharers_unlock(sharers);
}

/*
 * Move items[0 .. nr), which are in one page table of the locked @vma and sorted by address,
 * into folios[], as far as possible.
 */
static void hmem_move_in_vma(struct hmem *hm, struct vm_area_struct *vma,
			     struct hmem_item **items, struct folio **folios,
			     unsigned int nr)
{
	unsigned int i, lone = 0;

	hmem_owner_check(vma, items, nr, hm->tier_nid[items[0]->tier]);
	for (i = 0; i < nr; i++) {
		if (items[i]->reason != HMEM_PENDING)
			continue;
		if (!items[i]->alone) {
			hmem_move_shared(hm, vma, items[i], folios + i);
			continue;
		}
		swap(items[lone], items[i]);
		swap(folios[lone], folios[i]);
		lone++;
	}
	for (i = 0; i < lone; )
		i += hmem_move_mapped(hm, vma, items + i, folios + i, lone - i);
}

/* Move items[0 .. nr), which are in one page table and sorted by address, into folios[]. */
static void hmem_move_filled(struct hmem *hm, struct hmem_item **items,
			     struct folio **folios, unsigned int nr)
{
	struct mm_struct *mm = items[0]->mm;
	struct vm_area_struct *vma;
	unsigned int i, n;
	u8 reason;

	vma = hmem_owner_lock(mm, items[0]->addr, &reason);
	if (!vma) {
		for (i = 0; i < nr; i++)
			items[i]->reason = reason;
		return;
	}
	for (i = 0; i < nr; i += n) {
		n = 1;
		vma = vma_lookup(mm, items[i]->addr);
		if (!vma) {
			items[i]->reason = VIRTIO_HMEM_R_UNMAPPED;
			continue;
		}
		while (i + n < nr && items[i + n]->addr < vma->vm_end)
			n++;
		hmem_move_in_vma(hm, vma, items + i, folios + i, n);
	}
	mmap_read_unlock(mm);
}

/*
 * Move the group items[0 .. nr), or as many of the first ones as there is memory for, but at
 * least try one.  Returns their number.
 */
static unsigned int hmem_move_group(struct hmem *hm, struct hmem_item **items,
				    unsigned int nr)
{
	struct folio **folios = hm->area->folios;
	unsigned int i, n = 0;

	/* Allocate before unmapping anything, so that no access waits for it. */
	nr = hmem_alloc_folios(hm, items[0]->tier, items[0]->order, folios, nr);
	if (!nr) {
		items[0]->reason = VIRTIO_HMEM_R_NO_MEMORY;
		return 1;
	}
	for (i = 0; i < nr; i++) {
		if (!items[i]->order)
			items[i]->reason = hmem_read_ahead(items[i]->page);
		if (items[i]->reason != HMEM_PENDING)
			continue;
		swap(items[n], items[i]);
		n++;
	}
	/* Let other tasks run now, not while pages are unmapped. */
	cond_resched();
	if (n)
		hmem_move_filled(hm, items, folios, n);
	for (i = 0; i < nr; i++)
		if (folios[i])
			folio_put(folios[i]);
	return nr;
}

static int hmem_item_cmp(const void *a, const void *b)
{
	const struct hmem_item *x = *(const struct hmem_item **)a;
	const struct hmem_item *y = *(const struct hmem_item **)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/*
 * Take the first item from the list, and others that can move together with it.  Returns
 * their number; they are in area->order.
 */
static unsigned int hmem_gather(struct hmem *hm)
{
	struct hmem_work_area *area = hm->area;
	struct hmem_item *item, *next;
	struct hmem_item *first = list_first_entry(&area->anon, struct hmem_item, node);
	u64 limit = first->order ? 0 : hmem_pause_ns();
	unsigned int nr = 0, max = 1;
	bool sorted = true;

	if (limit && hmem_hide_pays(first->mm))
		max = hmem_group_size(&hm->pace, limit);

	list_for_each_entry_safe(item, next, &area->anon, node) {
		if (nr == max)
			break;
		if (item->mm != first->mm || item->tier != first->tier ||
		    item->order != first->order ||
		    (item->addr ^ first->addr) & PMD_MASK)
			continue;
		list_del(&item->node);
		sorted = sorted && (!nr || area->order[nr - 1]->addr <= item->addr);
		area->order[nr++] = item;
	}
	if (!sorted)
		sort(area->order, nr, sizeof(*area->order), hmem_item_cmp, NULL);
	return nr;
}

/*
 * The items come in the order in which they make room for each other.  A group keeps to that:
 * it begins with the first item.  If memory does not suffice for all of a group, the others
 * move after the groups that make room.
 */
void hmem_move_anon(struct hmem *hm)
{
	struct hmem_work_area *area = hm->area;

	while (!list_empty(&area->anon)) {
		unsigned int i, nr = hmem_gather(hm), tried;

		tried = hmem_move_group(hm, area->order, nr);
		for (i = 0; i < tried; i++) {
			mmdrop(area->order[i]->mm);
			area->order[i]->mm = NULL;
		}
		for (; i < nr; i++)
			list_add_tail(&area->order[i]->node, &area->anon);
	}
}
