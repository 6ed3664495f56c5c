// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Anonymous pages, by their owner.
 *
 * A page frame alone is not enough: once its page is unmapped, nothing keeps
 * the anon_vma, which is needed to map it again, from going away with the last
 * process that used it.  So look up one process that maps the page, hold its
 * mm and mmap lock, and let migrate_vma_*() move the page out of that address
 * space.  The VMA cannot go away meanwhile, nor can, with it, any anon_vma
 * that it is linked to.
 *
 * Pages that lie side by side in an address space are moved together.
 */
#include <linux/interval_tree_generic.h>
#include <linux/ktime.h>
#include <linux/mmap_lock.h>
#include <linux/moduleparam.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sort.h>

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/*
 * Counted in instructions, moving 16 pages at a time costs a tenth less than
 * one by one, but each of them is out of reach eight times as long: most of
 * the TLB flushes are for single pages in any case.
 */
static unsigned int hmem_range_pages = 1;
module_param_named(range_pages, hmem_range_pages, uint, 0644);
MODULE_PARM_DESC(range_pages,
		 "Neighbours unmapped together, 1..64 (default 1): more are moved faster, but are out of reach longer");

/*
 * The walk of an anon_vma's interval tree, as in mm/interval_tree.c, which
 * exports none.  Only the iterators are used.
 */
static unsigned long hmem_avc_start(struct anon_vma_chain *avc)
{
	return hmem_vma_anon_pgoff(avc->vma);
}

static unsigned long hmem_avc_last(struct anon_vma_chain *avc)
{
	return hmem_vma_anon_pgoff(avc->vma) + vma_pages(avc->vma) - 1;
}

INTERVAL_TREE_DEFINE(struct anon_vma_chain, rb, unsigned long, rb_subtree_last,
		     hmem_avc_start, hmem_avc_last,
		     static __maybe_unused, hmem_avc)

/* Lock the anon_vma of a locked folio.  As folio_lock_anon_vma_read() does. */
static struct anon_vma *hmem_anon_vma_trylock(struct folio *folio, u8 *reason)
{
	struct anon_vma *anon_vma, *root;
	unsigned long mapping;

	rcu_read_lock();
	mapping = (unsigned long)READ_ONCE(folio->mapping);
	*reason = VIRTIO_HMEM_R_UNMAPPED;
	if ((mapping & FOLIO_MAPPING_FLAGS) != FOLIO_MAPPING_ANON ||
	    !folio_mapped(folio))
		goto fail;
	anon_vma = (struct anon_vma *)(mapping - FOLIO_MAPPING_ANON);
	root = READ_ONCE(anon_vma->root);
	if (!down_read_trylock(&root->rwsem)) {
		*reason = VIRTIO_HMEM_R_LOCKED;
		goto fail;
	}
	/* Still mapped, so still its anon_vma; the lock keeps it from now on. */
	if (folio_mapped(folio)) {
		rcu_read_unlock();
		return anon_vma;
	}
	up_read(&root->rwsem);
fail:
	rcu_read_unlock();
	return NULL;
}

u8 hmem_find_owner(struct folio *folio, struct page *page, unsigned int try,
		   struct mm_struct **mm, unsigned long *addr)
{
	struct anon_vma_chain *avc;
	struct anon_vma *anon_vma;
	unsigned int skip, nr = 0;
	pgoff_t pgoff;
	u8 reason;

	if (!folio_trylock(folio))
		return VIRTIO_HMEM_R_LOCKED;
	anon_vma = hmem_anon_vma_trylock(folio, &reason);
	if (!anon_vma)
		goto unlock;

	/*
	 * After a fork, some of the VMAs in the tree no longer map this page
	 * but a copy.  Which ones cannot be seen from here: take another one
	 * on each try.
	 */
	pgoff = folio->index + folio_page_idx(folio, page);
	for (avc = hmem_avc_iter_first(&anon_vma->rb_root, pgoff, pgoff); avc;
	     avc = hmem_avc_iter_next(avc, pgoff, pgoff))
		if (++nr == HMEM_TRIES)
			break;
	reason = VIRTIO_HMEM_R_UNMAPPED;
	skip = nr ? try % nr : 0;
	for (avc = hmem_avc_iter_first(&anon_vma->rb_root, pgoff, pgoff); avc;
	     avc = hmem_avc_iter_next(avc, pgoff, pgoff)) {
		struct vm_area_struct *vma = avc->vma;

		if (skip) {
			skip--;
			continue;
		}
		if (!mmget_not_zero(vma->vm_mm))
			continue;	/* exiting */
		*mm = vma->vm_mm;
		*addr = vma->vm_start +
			((pgoff - hmem_avc_start(avc)) << PAGE_SHIFT);
		reason = HMEM_PENDING;
		break;
	}
	up_read(&anon_vma->root->rwsem);
unlock:
	folio_unlock(folio);
	return reason;
}

/*
 * Fill in the destination of one page that migrate_vma_setup() has unmapped
 * and locked.  It may be another page than the one hinted by now: then leave
 * dst empty, and finalize puts it back.
 */
static void hmem_fill(struct hmem_item *item, struct folio *folio,
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
	/* migrate_vma_pages() takes writeback for a bug. */
	if (folio_test_writeback(old)) {
		item->reason = VIRTIO_HMEM_R_WRITEBACK;
		return;
	}
	if (!hmem_copy(folio, page)) {
		item->reason = VIRTIO_HMEM_R_POISON;
		return;
	}
	folio_lock(folio);	/* new, so nobody else has it */
	*dst = migrate_pfn(folio_pfn(folio));
	if (item->order)
		*dst |= MIGRATE_PFN_COMPOUND;
}

/*
 * Move items[0 .. nr), which follow each other in the address space that the
 * caller has locked, into area->folios[].  A large folio comes alone.
 */
static void hmem_move_mapped(struct hmem *hm, struct vm_area_struct *vma,
			     struct hmem_item **items, unsigned int nr)
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

	ns = ktime_get_ns();
	if (migrate_vma_setup(&args)) {
		/* Not an address space that pages can be taken from. */
		for (i = 0; i < nr; i++)
			items[i]->reason = VIRTIO_HMEM_R_UNSUPPORTED;
		return;
	}
	for (i = 0; i < nr; i++) {
		if (area->src[i] & MIGRATE_PFN_MIGRATE)
			unmapped += hmem_item_pages(items[i]);
		hmem_fill(items[i], area->folios[i], &area->src[i],
			  &area->dst[i]);
	}
	migrate_vma_pages(&args);
	for (i = 0; i < nr; i++) {
		if (!area->dst[i])
			continue;
		if (area->src[i] & MIGRATE_PFN_MIGRATE) {
			hmem_moved(hm, items[i], folio_pfn(area->folios[i]),
				   kind);
			moved += hmem_item_pages(items[i]);
		}
		/* Finalize unlocks and drops it. */
		area->folios[i] = NULL;
	}
	migrate_vma_finalize(&args);
	ns = ktime_get_ns() - ns;

	hmem_stats_pause(hm, kind, ns, unmapped);
	trace_hmem_pause(kind, items[0]->pfn, unmapped, moved, ns);
	for (i = 0; i < nr; i++)
		if (items[i]->reason == HMEM_PENDING)
			items[i]->reason = hmem_why(items[i]);
}

/* Move neighbours: same mm, same tier, one after the other. */
static void hmem_move_range(struct hmem *hm, struct hmem_item **items,
			    unsigned int nr)
{
	struct folio **folios = hm->area->folios;
	struct mm_struct *mm = items[0]->mm;
	unsigned long addr = items[0]->addr;
	struct vm_area_struct *vma;
	unsigned int i, n;

	/* Before anything is unmapped, so that no access waits for it. */
	for (n = 0; n < nr; n++) {
		folios[n] = hmem_alloc(hm, items[n]->tier, items[n]->order);
		if (!folios[n])
			break;
		if (!items[n]->order)
			hmem_fetch(items[n], folios[n]);
	}
	for (i = n; i < nr; i++)
		items[i]->reason = VIRTIO_HMEM_R_NO_MEMORY;
	if (!n)
		return;

	/* Let others run now rather than while pages are unmapped. */
	cond_resched();
	if (!mmap_read_trylock(mm)) {
		for (i = 0; i < n; i++)
			items[i]->reason = VIRTIO_HMEM_R_LOCKED;
		goto free;
	}
	vma = vma_lookup(mm, addr);
	/*
	 * ksmd maps a merged page first, and lets its rmap know afterwards.
	 * migrate_vma_setup() takes whatever is mapped away at once, and who
	 * is not in the rmap then never gets it back.
	 */
	if (vma && vma->vm_flags & VM_MERGEABLE) {
		for (i = 0; i < n; i++)
			items[i]->reason = VIRTIO_HMEM_R_KSM;
		goto unlock;
	}
	for (i = 0; i < n; i++)
		if (!vma || items[i]->addr +
		    hmem_item_pages(items[i]) * PAGE_SIZE > vma->vm_end)
			break;
	if (i)
		hmem_move_mapped(hm, vma, items, i);
	for (; i < n; i++)
		items[i]->reason = VIRTIO_HMEM_R_UNMAPPED;
unlock:
	mmap_read_unlock(mm);
free:
	while (n--)
		if (folios[n])
			folio_put(folios[n]);
}

static int hmem_item_cmp(const void *a, const void *b)
{
	const struct hmem_item *x = *(const struct hmem_item **)a;
	const struct hmem_item *y = *(const struct hmem_item **)b;

	/* What goes to a slower tier first: it makes room. */
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
	/* The last user tears the address space down: not in this thread. */
	for (i = 0; i < nr; i++) {
		mmput_async(items[i]->mm);
		items[i]->mm = NULL;
	}
}
