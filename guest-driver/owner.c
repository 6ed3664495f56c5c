// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds the address spaces that map an anonymous page, and holds them during a move.
 *
 * migrate_vma_setup() unmaps the page at an address, and afterwards the kernel maps the
 * page again at all places to which its reverse mapping (rmap) leads.  If the rmap does
 * not lead to a place, that place keeps a migration entry forever, and a program that
 * touches it crashes the kernel.  The rmap of an anonymous folio leads to all VMAs that
 * can map the folio.  But ksmd gives a merged folio another rmap: it leads only to VMAs
 * that are marked for merging (VM_MERGEABLE), and to their children.  A process that
 * shares pages with a marked process, but is not marked itself, is missing there.
 *
 * So a page that ksmd may merge during the move must not move.  Holding the folio's lock,
 * which ksmd needs, does not work, because migrate_vma_setup() takes that lock.  Holding a
 * reference does not work, because migrate_vma_setup() then considers the page pinned.
 * What works is to hold mmap locks for reading until the page is mapped again: meanwhile,
 * no process of the address space can mark a VMA (madvise(), prctl()), fork, or move a
 * mapping (mremap()).  A page moves only in one of two cases, which are checked with the
 * page table locked that maps the page:
 *
 * - The address space has the page alone: the entry is exclusive, or is the only
 *   reference to the page.  The VMA is not marked.  Only a fork or a merge could give the
 *   page to another address space, and the mmap lock prevents both.
 * - The mmap locks of all address spaces that can map the page are held, that is, of all
 *   with a VMA in the anon_vma's tree at the page's index.  None of these VMAs is marked.
 *   The address spaces can pass pages to each other through the swap cache, but to no
 *   other address space.
 *
 * The entry can still change before migrate_vma_setup() reads it: by a write fault, by
 * reclaim and a fault, by MADV_DONTNEED, or by UFFDIO_MOVE.  The entry then maps a new
 * page, an exclusive page, a page of a file, or a page that was in the same swap slot.  In
 * both cases above, ksmd cannot have merged such a page.
 *
 * The driver holds an mm by mm_count and uses it with the mmap lock held for reading.  It
 * does not hold mm_users, so that memory and files of an exiting process do not stay
 * longer because of the driver.  The OOM reaper does the same.  This is safe because
 * exit_mmap() takes the mmap lock for writing before it frees page tables and VMAs, and
 * leaves no VMA that a lookup could find.
 */
#include <linux/interval_tree_generic.h>
#include <linux/mmap_lock.h>
#include <linux/oom.h>
#include <linux/pgtable.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "hmem.h"

/*
 * Iterators for the interval tree of an anon_vma, as in mm/interval_tree.c, which exports
 * none.
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

/* Lock the anon_vma of a locked folio, as folio_lock_anon_vma_read() does. */
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
	/* A mapped folio keeps its anon_vma; from here on, the lock does. */
	if (folio_mapped(folio)) {
		rcu_read_unlock();
		return anon_vma;
	}
	up_read(&root->rwsem);
fail:
	rcu_read_unlock();
	return NULL;
}

/* The number of VMAs that can map pages from @first to @last, or HMEM_MAX_SHARERS + 1. */
static unsigned int hmem_count_sharers(struct anon_vma *anon_vma, pgoff_t first, pgoff_t last)
{
	struct anon_vma_chain *avc;
	unsigned int nr = 0;

	for (avc = hmem_avc_iter_first(&anon_vma->rb_root, first, last);
	     avc && nr <= HMEM_MAX_SHARERS;
	     avc = hmem_avc_iter_next(avc, first, last))
		nr++;
	return nr;
}

u8 hmem_find_owner(struct folio *folio, struct page *page, unsigned int try,
		   struct hmem_place *place)
{
	struct anon_vma_chain *avc;
	struct anon_vma *anon_vma;
	unsigned int skip, nr;
	pgoff_t pgoff, near;
	u8 reason;

	if (!folio_trylock(folio))
		return VIRTIO_HMEM_R_LOCKED;
	anon_vma = hmem_anon_vma_trylock(folio, &reason);
	if (!anon_vma)
		goto unlock;

	/*
	 * After a fork, some VMAs in the tree map a copy instead of this page.  The
	 * tree does not tell which ones, so each try takes another VMA.
	 */
	pgoff = folio->index + folio_page_idx(folio, page);
	nr = hmem_count_sharers(anon_vma, pgoff, pgoff);
	if (nr > HMEM_MAX_SHARERS) {
		reason = VIRTIO_HMEM_R_UNSUPPORTED;
		goto unlock_anon_vma;
	}
	reason = VIRTIO_HMEM_R_UNMAPPED;
	skip = nr ? try % nr : 0;
	for (avc = hmem_avc_iter_first(&anon_vma->rb_root, pgoff, pgoff); avc;
	     avc = hmem_avc_iter_next(avc, pgoff, pgoff)) {
		if (skip) {
			skip--;
			continue;
		}
		near = round_down(pgoff, HMEM_NEAR_PAGES);
		nr = hmem_count_sharers(anon_vma, near, near + HMEM_NEAR_PAGES - 1);
		*place = (struct hmem_place) {
			.mm = avc->vma->vm_mm,
			.addr = avc->vma->vm_start + ((pgoff - hmem_avc_start(avc)) << PAGE_SHIFT),
			.index = pgoff,
			.mapping = nr <= HMEM_MAX_SHARERS ? folio->mapping : NULL,
		};
		mmgrab(place->mm);
		reason = HMEM_PENDING;
		break;
	}
unlock_anon_vma:
	up_read(&anon_vma->root->rwsem);
unlock:
	folio_unlock(folio);
	return reason;
}

struct vm_area_struct *hmem_owner_lock(struct mm_struct *mm, unsigned long addr,
				       u8 *reason)
{
	struct vm_area_struct *vma;

	if (!mmap_read_trylock(mm)) {
		*reason = VIRTIO_HMEM_R_LOCKED;
		return NULL;
	}
	/* A failed fork can leave entries in the tree of VMAs that are not VMAs. */
	vma = check_stable_address_space(mm) ? NULL : vma_lookup(mm, addr);
	if (!vma) {
		mmap_read_unlock(mm);
		*reason = VIRTIO_HMEM_R_UNMAPPED;
	}
	return vma;
}

/* Check a base page, or the head of a huge page, that the locked page table maps. */
static void hmem_check_mapped(struct hmem_item *item, struct page *head)
{
	if (!PageAnon(head)) {
		item->reason = VIRTIO_HMEM_R_UNMAPPED;
	} else if (folio_test_ksm(page_folio(head))) {
		item->reason = VIRTIO_HMEM_R_KSM;
	} else {
		item->reason = HMEM_PENDING;
		item->alone = PageAnonExclusive(head) || page_ref_count(head) == 1;
	}
}

/* Check the entry *@pmdp, which mapped a huge page when it was read before. */
static void hmem_check_huge(struct mm_struct *mm, struct hmem_item *item, pmd_t *pmdp)
{
	spinlock_t *ptl = pmd_lock(mm, pmdp);
	pmd_t pmd = READ_ONCE(*pmdp);
	unsigned long pfn = pmd_pfn(pmd);

	/* The item can be a base page of the huge page. */
	if (pmd_present(pmd) && pmd_trans_huge(pmd) &&
	    item->pfn == pfn + ((item->addr & ~HPAGE_PMD_MASK) >> PAGE_SHIFT))
		hmem_check_mapped(item, pfn_to_page(pfn));
	spin_unlock(ptl);
}

static void hmem_check_entry(pte_t pte, struct hmem_item *item)
{
	struct page *page;

	if (!pte_present(pte) || pte_special(pte) || pte_pfn(pte) != item->pfn)
		return;
	page = pfn_to_page(item->pfn);
	/* Newer kernels would wait for the folio's lock, in order to split it. */
	if (PageCompound(page))
		item->reason = VIRTIO_HMEM_R_LARGE;
	else
		hmem_check_mapped(item, page);
}

/* Items in one page table. */
struct hmem_in_table {
	struct hmem_item **items;
	unsigned int nr;
};

/* @ptep: of the first item. */
static void hmem_check_entries(pte_t *ptep, void *data)
{
	const struct hmem_in_table *in = data;
	unsigned long begin = in->items[0]->addr;
	unsigned int i;

	for (i = 0; i < in->nr; i++) {
		struct hmem_item *item = in->items[i];

		hmem_check_entry(ptep_get(ptep + ((item->addr - begin) >> PAGE_SHIFT)), item);
	}
}

/* Check the entries that map the items. */
static void hmem_check_table(struct mm_struct *mm, struct hmem_item **items, unsigned int nr)
{
	struct hmem_in_table in = { .items = items, .nr = nr };
	pmd_t *pmdp = hmem_pmd_of(mm, items[0]->addr);
	unsigned int i;

	if (!pmdp)
		return;
	if (pmd_trans_huge(READ_ONCE(*pmdp))) {
		for (i = 0; i < nr; i++)
			hmem_check_huge(mm, items[i], pmdp);
	} else if (!items[0]->order) {
		hmem_table_visit(mm, pmdp, items[0]->addr, hmem_check_entries, &in);
	}
}

void hmem_owner_check(struct vm_area_struct *vma, struct hmem_item **items, unsigned int nr,
		      int nid)
{
	u8 reason = HMEM_PENDING;
	unsigned int i;

	/*
	 * ksmd maps a merged page first and updates the page's rmap afterwards.  So
	 * no page of a marked VMA can move.
	 */
	if (vma->vm_flags & VM_MERGEABLE)
		reason = VIRTIO_HMEM_R_KSM;
	else if (hmem_vma_restricted(vma, nid))
		reason = VIRTIO_HMEM_R_RESTRICTED;
	for (i = 0; i < nr; i++) {
		items[i]->reason = VIRTIO_HMEM_R_UNMAPPED;
		items[i]->alone = false;
	}
	/* A large folio can be longer than what has become of its VMA. */
	if (items[nr - 1]->addr + hmem_item_pages(items[nr - 1]) * PAGE_SIZE <= vma->vm_end)
		hmem_check_table(vma->vm_mm, items, nr);
	for (i = 0; i < nr; i++)
		if (items[i]->reason == HMEM_PENDING)
			items[i]->reason = reason;
}

u8 hmem_sharers_lock(struct hmem_sharers *sharers, struct folio *folio,
		     const struct hmem_item *item, int nid)
{
	struct anon_vma_chain *avc;
	struct anon_vma *anon_vma;
	pgoff_t first, last;
	u8 reason;

	sharers->nr = 0;
	if (!folio_trylock(folio))
		return VIRTIO_HMEM_R_LOCKED;
	anon_vma = hmem_anon_vma_trylock(folio, &reason);
	if (!anon_vma)
		goto unlock;
	first = folio->index + item->pfn - folio_pfn(folio);
	last = first + hmem_item_pages(item) - 1;
	reason = HMEM_PENDING;
	for (avc = hmem_avc_iter_first(&anon_vma->rb_root, first, last);
	     avc && reason == HMEM_PENDING;
	     avc = hmem_avc_iter_next(avc, first, last)) {
		struct mm_struct *mm = avc->vma->vm_mm;

		/* Locking one address space twice is harmless. */
		if (sharers->nr == HMEM_MAX_SHARERS) {
			reason = VIRTIO_HMEM_R_UNSUPPORTED;
		} else if (!mmap_read_trylock(mm)) {
			reason = VIRTIO_HMEM_R_LOCKED;
		} else {
			mmgrab(mm);
			sharers->mms[sharers->nr++] = mm;
			if (avc->vma->vm_flags & VM_MERGEABLE)
				reason = VIRTIO_HMEM_R_KSM;
			else if (hmem_vma_restricted(avc->vma, nid))
				reason = VIRTIO_HMEM_R_RESTRICTED;
		}
	}
	up_read(&anon_vma->root->rwsem);
unlock:
	folio_unlock(folio);
	if (reason != HMEM_PENDING)
		hmem_sharers_unlock(sharers);
	return reason;
}

void hmem_sharers_unlock(struct hmem_sharers *sharers)
{
	while (sharers->nr) {
		struct mm_struct *mm = sharers->mms[--sharers->nr];

		mmap_read_unlock(mm);
		mmdrop(mm);
	}
}
