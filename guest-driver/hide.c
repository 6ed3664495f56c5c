// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hides base pages from the processors, so that a group of them can move with few flushes.
 *
 * migrate_vma_setup() flushes the TLBs for each page that a process has alone, and then once
 * for all pages of a page table.  A flush interrupts each processor that runs the address
 * space.  The flush for a page is left out if no processor can have a translation of it: the
 * entry then is not present for the processor, and is marked as inaccessible (PROT_NONE), as
 * NUMA balancing marks entries.  So the driver marks the entries of the group, and flushes
 * once; the kernel's flush at the end is the second one.
 *
 * The driver holds the lock of the page table until its flush has ended, so no other holder
 * of that lock finds an entry that is marked but not flushed.  That is why the driver does
 * not count as a pending flush (mm->tlb_flush_pending).  Meanwhile the hardware cannot set
 * bits of the entry.  All other bits keep their values: NUMA balancing takes away the right
 * to write and the bit "user" as well, which would cost a fault later.  Also, this tells the
 * driver's marks from others:
 *
 * - A program that touches a hidden page faults (do_numa_page()).  The kernel maps the page
 *   again, and migrate_vma_setup() then flushes for this page; unless the program already waits
 *   for the lock of the page table, see HMEM_FLIP_WAIT.  Or the kernel moves the page
 *   to the node of the processor that touched it, even if kernel.numa_balancing is 0, because
 *   only the scans that mark entries obey that setting.  The driver cannot prevent this.
 * - Forks and mprotect() need the mmap lock for writing, and the driver holds it for reading.
 *   KSM merges with the lock held for reading, but only in VMAs that are marked for merging,
 *   and hmem_owner_check() refuses those: see owner.c.  userfaultfd's write protection only
 *   needs the lock of the page table.  It replaces all bits for access, so the page is no
 *   longer hidden.
 * - get_user_pages_fast() leaves the entry alone.  The flush has waited for calls that have
 *   seen the entry before, because they run with interrupts off.
 * - Reclaim, other migrations, and MADV_DONTNEED treat the entry as that of a present page.
 * - Devices can use the page tables of a process, or copy entries to tables of their own.
 *   They learn of flushes by MMU notifiers, which the driver's flush does not call.  So the
 *   driver hides no page of an address space that has notifiers.
 *
 * A range of addresses can contain pages that are not to move.  The driver locks them, so
 * that migrate_vma_setup(), which only tries to lock pages, leaves them mapped.  Such a page
 * must be one that could be unmapped without harm: it can still be exchanged for another
 * one, as owner.c tells.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>

#include "compat.h"
#include "hmem.h"

/*
 * Passing over a page takes about a thirtieth of the time for moving one.  So a gap between
 * two pages that move is worth passing over if it is not longer than this.
 */
#define HMEM_HIDE_GAP	32

/*
 * Has the host taken the processor from a CPU that runs @mm?  That CPU answers an interrupt
 * only when it runs again.  The kernel's own flush does not wait for it, if the hypervisor
 * promises to flush then; the driver's would, with the page table locked.
 */
static bool hmem_cpu_away(struct mm_struct *mm)
{
	unsigned int cpu;

	for_each_cpu(cpu, mm_cpumask(mm))
		if (vcpu_is_preempted(cpu))
			return true;
	return false;
}

bool hmem_hide_pays(struct mm_struct *mm)
{
	/* Where the processor broadcasts flushes, they interrupt nobody. */
	return IS_ENABLED(CONFIG_NUMA_BALANCING) && hmem_flush_possible() &&
	       !hmem_tlb_broadcast() && !mm_has_notifiers(mm) &&
	       cpumask_any_but(mm_cpumask(mm), raw_smp_processor_id()) < nr_cpu_ids &&
	       !hmem_cpu_away(mm);
}

/* Bits that hide a present entry, or show a hidden one. */
#define HMEM_FLIP_HIDE	(_PAGE_PRESENT | _PAGE_PROTNONE)
/*
 * A program that touches a hidden page while the driver waits for its flush waits for the lock of
 * the page table, and would map the page again before migrate_vma_setup() takes the lock.  But it
 * does nothing if the entry has changed meanwhile, so hidden entries also have this bit inverted
 * until the flush has ended.  No code looks at it in an entry of this kind.
 */
#define HMEM_FLIP_WAIT	_PAGE_NX

/* The frame of a hidden entry is inverted. */
static pte_t hmem_flip(pte_t pte, pteval_t bits)
{
	pteval_t old = pte_val(pte);

	return __pte(flip_protnone_guard(old, old ^ bits, PTE_PFN_MASK));
}

static bool hmem_is_hidden(pte_t pte)
{
	return (pte_flags(pte) & (_PAGE_PRESENT | _PAGE_PROTNONE | _PAGE_USER)) ==
	       (_PAGE_PROTNONE | _PAGE_USER);
}

static void hmem_flip_entry(struct mm_struct *mm, unsigned long addr, pte_t *ptep, pteval_t bits)
{
	/* The processor may set bits until the entry is clear. */
	pte_t pte = ptep_get_and_clear(mm, addr, ptep);

	set_pte_at(mm, addr, ptep, hmem_flip(pte, bits));
}

/* The base page that this address space has alone, or NULL. */
static struct page *hmem_lone_page(pte_t pte)
{
	struct page *page;

	if (!pte_present(pte) || pte_special(pte))
		return NULL;
	page = pfn_to_page(pte_pfn(pte));
	if (PageCompound(page) || !PageAnon(page) || folio_test_ksm(page_folio(page)))
		return NULL;
	return PageAnonExclusive(page) || page_ref_count(page) == 1 ? page : NULL;
}

/* Can the item move together with others? */
static bool hmem_can_join(pte_t pte, const struct hmem_item *item)
{
	struct page *page = hmem_lone_page(pte);

	/* While the kernel puts a page on an LRU list, the others would wait. */
	return page && page_to_pfn(page) == item->pfn && folio_test_lru(page_folio(page));
}

/*
 * Pass over an entry whose page stays.  Returns false if that is not possible.  An empty entry
 * could get a new page before migrate_vma_setup() reads it, and a page that somebody else has
 * locked can become unlocked.  If such a page is not on an LRU list, migrate_vma_setup() waits
 * for all processors (lru_add_drain_all()), and the group would be out of reach meanwhile.
 */
static bool hmem_pass_over(struct hmem_hidden *hidden, pte_t pte)
{
	struct page *page;

	page = hmem_lone_page(pte);
	if (!page || !folio_trylock(page_folio(page)))
		return false;
	folio_get(page_folio(page));
	hidden->held[hidden->nr_held++] = page_folio(page);
	return true;
}

static pte_t *hmem_entry_of(const struct hmem_hidden *hidden, pte_t *ptep, unsigned int i)
{
	return ptep + ((hidden->items[i]->addr - hidden->items[0]->addr) >> PAGE_SHIFT);
}

/*
 * Flip bits of the entries that hmem_hide_entries() has hidden and that still are.  The driver of
 * another device can have hidden others.  @ptep: of the first item.
 */
static void hmem_flip_hidden(const struct hmem_hidden *hidden, pte_t *ptep, pteval_t bits)
{
	unsigned int i;

	for (i = 0; i < hidden->nr; i++) {
		pte_t *entry = hmem_entry_of(hidden, ptep, i);

		if (hidden->items[i]->hidden && hmem_is_hidden(ptep_get(entry)))
			hmem_flip_entry(hidden->mm, hidden->items[i]->addr, entry, bits);
	}
}

/* The number of items from the first one on that can move together.  @ptep: of the first. */
static unsigned int hmem_span(struct hmem_hidden *hidden, pte_t *ptep)
{
	unsigned int i;

	for (i = 0; i < hidden->nr; i++) {
		pte_t *end = hmem_entry_of(hidden, ptep, i);
		pte_t *gap = i ? hmem_entry_of(hidden, ptep, i - 1) + 1 : end;

		/* The same page can be hinted twice. */
		if (gap > end || end - gap > HMEM_HIDE_GAP ||
		    !hmem_can_join(ptep_get(end), hidden->items[i]))
			break;
		while (gap < end && hmem_pass_over(hidden, ptep_get(gap)))
			gap++;
		if (gap < end)
			break;
	}
	return i;
}

static void hmem_hide_entries(pte_t *ptep, void *data)
{
	struct hmem_hidden *hidden = data;
	u64 begin;
	unsigned int i;

	hidden->nr = hmem_span(hidden, ptep);
	if (hidden->nr < 2)
		return;
	for (i = 0; i < hidden->nr; i++) {
		pte_t *entry = hmem_entry_of(hidden, ptep, i);
		pte_t pte = ptep_get(entry);

		/* Other entries need no flush of their own. */
		hidden->items[i]->hidden = pte_flags(pte) & _PAGE_PRESENT &&
					   PageAnonExclusive(pfn_to_page(pte_pfn(pte)));
		if (hidden->items[i]->hidden)
			hmem_flip_entry(hidden->mm, hidden->items[i]->addr, entry,
					HMEM_FLIP_HIDE | HMEM_FLIP_WAIT);
	}
	begin = ktime_get_ns();
	hidden->flush_ipis = hmem_flush_mm(hidden->mm);
	hidden->flush_ns = ktime_get_ns() - begin;
	hmem_flip_hidden(hidden, ptep, HMEM_FLIP_WAIT);
}

static void hmem_show_entries(pte_t *ptep, void *data)
{
	hmem_flip_hidden(data, ptep, HMEM_FLIP_HIDE);
}

static bool hmem_hidden_visit(struct hmem_hidden *hidden,
			      void (*visit)(pte_t *ptep, void *data))
{
	unsigned long addr = hidden->items[0]->addr;
	pmd_t *pmdp = hmem_pmd_of(hidden->mm, addr);

	return pmdp && hmem_table_visit(hidden->mm, pmdp, addr, visit, hidden);
}

unsigned int hmem_hide(struct hmem_hidden *hidden, struct mm_struct *mm,
		       struct hmem_item **items, unsigned int nr)
{
	hidden->mm = mm;
	hidden->items = items;
	hidden->nr = nr;
	hidden->nr_held = 0;
	/* Ask again: now the mmap lock keeps others from adding MMU notifiers. */
	if (nr < 2 || mm_has_notifiers(mm) || hmem_cpu_away(mm) ||
	    !hmem_hidden_visit(hidden, hmem_hide_entries))
		hidden->nr = 0;
	return max(hidden->nr, 1U);
}

void hmem_show(struct hmem_hidden *hidden)
{
	/* If the page table has gone, so have the entries. */
	if (hidden->nr > 1)
		hmem_hidden_visit(hidden, hmem_show_entries);
	while (hidden->nr_held) {
		struct folio *folio = hidden->held[--hidden->nr_held];

		folio_unlock(folio);
		folio_put(folio);
	}
}
