// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which frames are used: the accessed and dirty bits in the page tables of all
 * user address spaces, read and cleared for the host.
 *
 * A scan is done in slices, between which pages move.  It has three phases:
 *
 *   request   collect what is to be rearmed, from one buffer or more
 *   walk      go through the address spaces, note what was accessed and written,
 *             clear bits; then flush the TLBs, once
 *   report    send what was found: accessed frames first, then written ones
 *
 * A processor that holds a translation does not look at the page table, so it
 * does not set a bit that was cleared.  It has to forget its translations: all
 * of them, also those that are tagged (PCID) for address spaces that it is not
 * running now, and will be found valid when it runs them next.  Writing CR3
 * flushes the current tag only, so it does not do.  The kernel's own functions
 * are not exported (one was, to 7.2); see hmem_flush_cpu().  Each CPU is flushed
 * once in a scan that cleared anything, whatever the number of pages and
 * processes.  What is accessed between the clearing and the flush can be
 * missed; it is before the end of the scan, and so before the window that it
 * counts for.
 *
 * A bit of a huge page stands for 512 base pages, and is set 512 times more often than
 * theirs are, if they are used alike.  So a look at a huge page lasts a 512th of one at
 * a base page, which goes from scan to scan: then the bit says about each frame what a
 * base page's bit says.  Such looks are a part of the walk (see hmem_walk_huge()), a
 * group at a time, and only at huge pages that were used since the scan before: the
 * others were not in a shorter time either.  Which were found to be used, and stay so
 * until they are rearmed, is noted beside the page tables.
 *
 * A dirty bit is more than an observation: the kernel must write such a page to
 * swap before it takes it away.  See hmem_move_dirty_bit() and hmem_flush_mm() for how
 * a dirty bit is cleared, and why the TLBs are then flushed at once.
 *
 * The guest's reclaim goes by the accessed bits, too: see hmem_note_access().
 *
 * Not seen are accesses by devices, by the kernel through its own mapping, and
 * by virtual machines in this guest.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/memory_hotplug.h>
#include <linux/mmap_lock.h>
#include <linux/mmzone.h>
#include <linux/page_idle.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include <asm/invpcid.h>
#include <asm/special_insns.h>

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/* Buffers of each queue, and entries in one: 8 KiB with the headers. */
#define HMEM_SCAN_BUFS		8
#define HMEM_SCAN_FRAMES	510
#define HMEM_SCAN_BUF_SIZE						\
	(sizeof(struct virtio_hmem_scan) + sizeof(struct virtio_hmem_look) + \
	 HMEM_SCAN_FRAMES * sizeof(struct virtio_hmem_frames))

/* Moves wait for a scan this long at most. */
#define HMEM_SCAN_SLICE_NS	(2 * NSEC_PER_MSEC)
/* Times that an address space is tried to be locked, a millisecond apart. */
#define HMEM_SCAN_TRIES		20
/*
 * Times that a group of huge pages is looked at, if the look lasts too long.  Where the
 * host runs something else in two of five looks, one of a hundred groups is left.
 */
#define HMEM_LOOK_TRIES		5

static_assert(HMEM_SCAN_FRAMES >= VIRTIO_HMEM_MIN_SCAN_FRAMES);
static_assert(sizeof(struct virtio_hmem_scan) ==
	      sizeof(struct virtio_hmem_access));
static_assert(BITS_PER_LONG == 64 && PAGES_PER_SECTION % HPAGE_PMD_NR == 0);

/* Huge pages in a section. */
#define HMEM_SECTION_HUGE	(PAGES_PER_SECTION / HPAGE_PMD_NR)

/* What a scan finds out, in the order of the reports. */
enum hmem_use {
	HMEM_ACCESSED,
	HMEM_WRITTEN,
	HMEM_USES
};

/* The frames of one section of the guest's memory. */
struct hmem_section {
	DECLARE_BITMAP(rearm, PAGES_PER_SECTION);
	unsigned long found[HMEM_USES][BITS_TO_LONGS(PAGES_PER_SECTION)];
	/*
	 * What follows is kept from scan to scan.  Of folios that begin there: PG_young
	 * was set when the last scan left them.
	 */
	DECLARE_BITMAP(noted, PAGES_PER_SECTION);
	/* Of huge pages: a look has found it used, and it was not rearmed since. */
	unsigned long known[HMEM_USES][BITS_TO_LONGS(HMEM_SECTION_HUGE)];
};

enum hmem_phase {
	HMEM_PHASE_REQUEST,
	HMEM_PHASE_WALK,
	HMEM_PHASE_REPORT,
};

struct hmem_scan {
	struct hmem *hm;
	struct work_struct work;
	enum hmem_phase phase;

	/* The request; more: it goes on in the next buffer. */
	bool more;
	u64 id;
	u32 flags;
	bool rearm;		/* anything */
	/* Bits of page tables that are looked at, and cleared to rearm. */
	u64 bits;
	/* ns that a look at a huge page lasts; 0: from scan to scan. */
	u64 look_ns;
	/* Something was left out: there was a lock, or no memory. */
	bool incomplete;

	/* By section number; NULL: no memory there, or none left for us. */
	struct hmem_section **sections;
	unsigned long nr_sections;

	/*
	 * The walk: address spaces, held by mmgrab(), and how far we are.
	 * mm_users is left alone, so that nobody's exit waits for the scan.
	 */
	struct mm_struct **mms;
	unsigned int nr_mms;
	unsigned int mm;
	unsigned int tries;
	unsigned long addr;
	u64 slice_end;
	u64 ns;
	u64 entries;
	u64 cleared;
	u64 cleaned;
	/* The look at huge pages that is under way; those before it that were too long. */
	struct hmem_look look;
	unsigned int look_tries;

	/* The report: the next section and word of it to look at. */
	enum hmem_use use;
	unsigned long section;
	unsigned int word;
	u64 found[HMEM_USES];	/* frames */

	void *bufs[HMEM_SCAN_BUFS];
	struct hmem_out_buf reports[HMEM_SCAN_BUFS];
};

/*
 * Frames
 */

static struct hmem_section *hmem_section_of(const struct hmem_scan *scan,
					    unsigned long pfn)
{
	unsigned long nr = pfn / PAGES_PER_SECTION;

	return nr < scan->nr_sections ? scan->sections[nr] : NULL;
}

/* Have bitmaps for all memory that is online: some may have come since. */
static void hmem_sections_update(struct hmem_scan *scan)
{
	unsigned long end = 0, nr;
	int nid;

	for_each_node_state(nid, N_MEMORY)
		end = max(end, node_end_pfn(nid));
	nr = DIV_ROUND_UP(end, PAGES_PER_SECTION);
	scan->incomplete = false;
	if (nr > scan->nr_sections) {
		struct hmem_section **sections;

		sections = kvcalloc(nr, sizeof(*sections), GFP_KERNEL);
		if (!sections) {
			scan->incomplete = true;
		} else {
			if (scan->nr_sections)
				memcpy(sections, scan->sections,
				       scan->nr_sections * sizeof(*sections));
			kvfree(scan->sections);
			scan->sections = sections;
			scan->nr_sections = nr;
		}
	}
	for (nr = 0; nr < scan->nr_sections; nr++) {
		if (scan->sections[nr] || !online_section_nr(nr))
			continue;
		scan->sections[nr] = kvzalloc(sizeof(**scan->sections),
					      GFP_KERNEL);
		if (!scan->sections[nr])
			scan->incomplete = true;
	}
}

/* Are some of @nr frames of @section from @first on to be rearmed? */
static __always_inline bool hmem_is_rearmed(const struct hmem_scan *scan,
					    const struct hmem_section *section,
					    unsigned int first, unsigned int nr)
{
	if (scan->flags & VIRTIO_HMEM_SCAN_REARM_ALL)
		return true;
	if (!scan->rearm)
		return false;
	if (nr == 1)
		return section->rearm[first / BITS_PER_LONG] >>
		       first % BITS_PER_LONG & 1;
	return find_next_bit(section->rearm, first + nr, first) < first + nr;
}

/* Huge pages that are rearmed are not known any more to be used. */
static void hmem_forget_rearmed(const struct hmem_scan *scan,
			     struct hmem_section *section)
{
	unsigned int huge;

	for (huge = 0; huge < HMEM_SECTION_HUGE; huge++) {
		if (!hmem_is_rearmed(scan, section, huge * HPAGE_PMD_NR,
				     HPAGE_PMD_NR))
			continue;
		__clear_bit(huge, section->known[HMEM_ACCESSED]);
		__clear_bit(huge, section->known[HMEM_WRITTEN]);
	}
}

/* A scan has ended: forget the request, and what was found. */
static void hmem_sections_clear(struct hmem_scan *scan)
{
	unsigned long nr;

	for (nr = 0; nr < scan->nr_sections; nr++) {
		if (!scan->sections[nr])
			continue;
		hmem_forget_rearmed(scan, scan->sections[nr]);
		memset(scan->sections[nr], 0,
		       offsetof(struct hmem_section, noted));
	}
	scan->rearm = false;
}

static __always_inline void hmem_mark_frames(unsigned long *map, unsigned int first,
				      unsigned int nr)
{
	if (nr == 1)
		map[first / BITS_PER_LONG] |= BIT(first % BITS_PER_LONG);
	else
		bitmap_set(map, first, nr);
}

/*
 * Note that @nr frames of @section from @first on have been used, as @bits of
 * their entry say.  True if the frames are to be rearmed.
 */
static __always_inline bool hmem_found_used(const struct hmem_scan *scan,
				       struct hmem_section *section,
				       unsigned int first, unsigned int nr,
				       u64 bits)
{
	if (scan->flags & VIRTIO_HMEM_SCAN_REPORT) {
		if (bits & _PAGE_ACCESSED)
			hmem_mark_frames(section->found[HMEM_ACCESSED], first, nr);
		if (bits & _PAGE_DIRTY_BITS)
			hmem_mark_frames(section->found[HMEM_WRITTEN], first, nr);
	}
	return hmem_is_rearmed(scan, section, first, nr);
}

/* As bits of an entry: what the huge page at @first is known to be used for. */
static u64 hmem_known_bits(const struct hmem_section *section, unsigned int first)
{
	unsigned int huge = first / HPAGE_PMD_NR;

	return (test_bit(huge, section->known[HMEM_ACCESSED]) ?
		_PAGE_ACCESSED : 0) |
	       (test_bit(huge, section->known[HMEM_WRITTEN]) ?
		_PAGE_DIRTY_BITS : 0);
}

/* A look has found it used, as @bits of its entry say. */
static void hmem_set_known_bits(struct hmem_section *section, unsigned int first,
			   u64 bits)
{
	unsigned int huge = first / HPAGE_PMD_NR;

	if (bits & _PAGE_ACCESSED)
		__set_bit(huge, section->known[HMEM_ACCESSED]);
	if (bits & _PAGE_DIRTY_BITS)
		__set_bit(huge, section->known[HMEM_WRITTEN]);
}

/*
 * The walk
 */

/*
 * The accessed bit of a mapping is about to be cleared.  Tell the guest's
 * reclaim, and whoever else looks for accesses, as the kernel itself does:
 *
 * - PG_young stands in for the bit until reclaim looks at the page, and takes
 *   the flag away.  It is left by those who clear accessed bits in the middle of
 *   a page's life (idle page tracking, DAMON).  It stays when the page is
 *   unmapped, and then upsets who takes a page out of the page cache: FUSE, when
 *   a page is spliced into it.  So it is not for pages of files.  Pages of
 *   shared memory are dirty, which keeps them from being taken.
 * - folio_mark_accessed() counts an access, and makes a page active that is
 *   found accessed twice.  It is called by who clears the accessed bit of a file's
 *   mapping for good (zap_pte_range()).  One call for each scan is right: to make
 *   pages active at once would keep those of a stream as well.
 *
 * Linux 6.1 as Debian configures it has no PG_young.  There, bits of pages that
 * the multi-generational LRU keeps are not cleared: see hmem_keep_accessed().
 */
static void hmem_note_access(struct hmem_section *section, struct folio *folio)
{
	if (HMEM_HAS_YOUNG &&
	    (folio_test_anon(folio) || folio_test_swapbacked(folio))) {
		if (!folio_test_young(folio))
			folio_set_young(folio);
		__set_bit(folio_pfn(folio) % PAGES_PER_SECTION, section->noted);
	} else if (folio_test_lru(folio)) {
		if (folio_test_young(folio))
			folio_test_clear_young(folio);
		/* Where both are set there is nothing left to mark. */
		if (!folio_test_active(folio) || !folio_test_referenced(folio))
			folio_mark_accessed(folio);
	}
	if (folio_test_idle(folio))
		folio_clear_idle(folio);
}

/*
 * The accessed bit of a mapping of @folio is clear.  Others may have cleared it,
 * and set PG_young, which was not set when the last scan left the folio: then it
 * has been accessed since.  DAMON does so all the time where it is on, as it is
 * in Linux 7.3.
 */
static __always_inline bool hmem_cleared_by_others(struct hmem_section *section,
						   struct folio *folio)
{
	unsigned int head = folio_pfn(folio) % PAGES_PER_SECTION;

	if (!folio_test_young(folio)) {
		/* Reclaim has been there. */
		__clear_bit(head, section->noted);
		return false;
	}
	return !test_bit(head, section->noted);
}

/*
 * Can the dirty bit of a mapping be cleared?  Then the folio is dirty instead,
 * which is where reclaim moves the bit when it unmaps a page:
 *
 * - Anonymous memory, also in the swap cache: the kernel itself sets the folio's
 *   flag and takes no lock for it (noop_dirty_folio()).  What clears the flag
 *   has unmapped the folio from all page tables before (pageout()), or holds
 *   the lock of the one that maps it (MADV_FREE).  A page that MADV_FREE gave
 *   away and that was written since is kept because of the flag, as because of
 *   a dirty bit: see try_to_unmap_one().
 * - Shared memory and tmpfs: the same, they have no write-back but to swap.
 * - Files: not.  A file system learns of writes by write protection, and who
 *   writes back (folio_mkclean()) or unmaps looks at the bit.
 *
 * Write protection for userfaultfd and soft-dirty bits are not affected, since
 * they have bits of their own.  A shadow stack is a read-only mapping with the
 * dirty bit set: its bits are not looked at, see hmem_walk_locked().
 */
static bool hmem_move_dirty_bit(struct folio *folio)
{
	if (!folio_test_anon(folio) && !folio_test_swapbacked(folio))
		return false;
	/* The flag stays while the page table is locked, as said above. */
	if (!folio_test_dirty(folio))
		folio_mark_dirty(folio);
	return true;
}

/*
 * @bits of an entry that maps @pfn are about to be cleared.  Tell the kernel what they
 * say; returns those that may be cleared.  Where a dirty bit is one of them,
 * hmem_flush_mm() is due before the page table's lock is released.
 */
static u64 hmem_take_bits(struct hmem_scan *scan, struct hmem_section *section,
			  u64 bits, unsigned long pfn)
{
	struct folio *folio = page_folio(pfn_to_page(pfn));

	if (bits & _PAGE_DIRTY_BITS) {
		if (hmem_move_dirty_bit(folio))
			scan->cleaned++;
		else
			bits &= ~_PAGE_DIRTY_BITS;
	}
	if (hmem_keep_accessed(folio))
		bits &= ~_PAGE_ACCESSED;
	if (bits & _PAGE_ACCESSED) {
		hmem_note_access(section, folio);
		scan->cleared++;
	}
	return bits;
}

/*
 * Rearm the mapping that @entry is, of which @bits are set.  The processor sets
 * bits at any time: hence atomically.  True if a dirty bit was cleared.
 */
static bool hmem_clear_bits(struct hmem_scan *scan, struct hmem_section *section,
		       void *entry, u64 bits, unsigned long pfn)
{
	bits = hmem_take_bits(scan, section, bits, pfn);
	if (bits)
		atomic64_andnot(bits, entry);
	return bits & _PAGE_DIRTY_BITS;
}

/*
 * Called by an interrupt.  All of the CPU's translations, whatever their tag:
 * by the instruction for it, which leaves the kernel's alone, or else by
 * switching global pages off and on, which takes them as well.
 */
static void hmem_flush_cpu(void *unused)
{
	unsigned long cr4;

	if (boot_cpu_has(X86_FEATURE_INVPCID)) {
		invpcid_flush_all_nonglobals();
		return;
	}
	cr4 = native_read_cr4();
	asm volatile("mov %0, %%cr4" : : "r" (cr4 ^ X86_CR4_PGE) : "memory");
	asm volatile("mov %0, %%cr4" : : "r" (cr4) : "memory");
}

/*
 * Bits were cleared in a page table of @mm, whose lock is held, and the CPUs are to
 * set them again from now on: dirty bits, or bits of huge pages that are looked at.
 *
 * A CPU that holds a translation with the dirty bit set writes without setting
 * the bit again.  Reclaim counts on the bit being there: it unmaps a page, and
 * flushes the TLBs before the page is written to swap only if the bit was set
 * (set_tlb_ubc_flush_pending(), try_to_unmap_flush_dirty()).  Had we cleared it
 * and not flushed, what such a CPU writes during the I/O would be lost.  So no
 * CPU may hold such a translation when reclaim can get at the page table, that
 * is when its lock is released; until then the folio is dirty, and mapped.
 *
 * This is as flush_tlb_mm_range() does it: a CPU that runs the address space,
 * or has it for a kernel thread, is interrupted.  One that runs another has
 * left mm_cpumask() and compares the generation when it comes back; counting
 * that is also the barrier between clearing bits and reading the mask.  Where
 * the kernel has the processor broadcast flushes, it does not compare: there all
 * CPUs are interrupted.  Interrupts are on, as they are wherever the kernel
 * flushes with this lock held.
 */
static void hmem_flush_mm(struct hmem_scan *scan, struct mm_struct *mm)
{
	const struct cpumask *cpus = hmem_tlb_broadcast() ? cpu_online_mask :
							    mm_cpumask(mm);
	unsigned int here = smp_processor_id(), cpu;

	atomic64_inc_return(&mm->context.tlb_gen);
	scan->hm->stats.scan_flushes++;
	/* The mask changes meanwhile: so each CPU is asked for once. */
	for_each_cpu(cpu, cpus)
		scan->hm->stats.scan_ipis += cpu != here;
	on_each_cpu_mask(cpus, hmem_flush_cpu, NULL, true);
}

/*
 * *@pmdp maps a huge page, and @bits of it are set.  Report what is known, and have the
 * group look for the rest: see hmem_walk_huge().
 */
static void hmem_look_add_huge(struct hmem_scan *scan,
			    struct hmem_section *section, pmd_t *pmdp,
			    pmd_t pmd, u64 bits)
{
	unsigned long pfn = pmd_pfn(pmd);
	unsigned int first = pfn % PAGES_PER_SECTION;
	u64 known = hmem_known_bits(section, first);

	hmem_found_used(scan, section, first, HPAGE_PMD_NR, known & scan->bits);
	bits &= ~known;
	if (bits)
		hmem_look_add(&scan->look, pmdp, pmd,
			      hmem_take_bits(scan, section, bits, pfn));
}

/*
 * What has the look found?  Huge pages that are there no more, or were split, are not
 * used by it.  False if it is to be made again: it lasted too long, which says nothing
 * about what it found used.  If that happens time and again, what it found counts, as
 * it would have without short looks.
 */
static bool hmem_look_found(struct hmem_scan *scan)
{
	struct hmem_look *look = &scan->look;
	bool too_long = hmem_look_too_long(look);
	bool again = too_long && ++scan->look_tries < HMEM_LOOK_TRIES;
	unsigned int i, used = 0;

	for (i = 0; i < look->nr; i++) {
		const struct hmem_look_entry *entry = &look->entries[i];
		unsigned long pfn = pmd_pfn(entry->pmd);
		u64 bits = pmd_val(entry->found) & scan->bits;
		struct hmem_section *section = hmem_section_of(scan, pfn);

		if (!bits || !pmd_present(entry->found) ||
		    !pmd_leaf(entry->found) || pmd_pfn(entry->found) != pfn)
			continue;
		used++;
		if (again)
			continue;
		hmem_found_used(scan, section, pfn % PAGES_PER_SECTION, HPAGE_PMD_NR,
			   bits);
		hmem_set_known_bits(section, pfn % PAGES_PER_SECTION, bits);
	}
	scan->hm->stats.scan_looks += look->nr;
	scan->hm->stats.scan_looks_long += too_long;
	trace_hmem_look(look->nr, used, look->ns, look->end - look->begin);
	if (again && used)
		return false;
	scan->look_tries = 0;
	return true;
}

/*
 * Huge pages from *@pmdp on, as many as follow each other up to @end, which is
 * in the same table.  Those that are to be looked at are a group: their bits are
 * cleared, the TLBs flushed, and what was set again is read, all at once.  Returns
 * where the huge pages end, or where those begin that are to be looked at (again).
 */
static unsigned long hmem_walk_huge(struct hmem_scan *scan,
				    struct mm_struct *mm, pmd_t *pmdp,
				    unsigned long addr, unsigned long end)
{
	spinlock_t *ptl = pmd_lock(mm, pmdp);
	unsigned long begin = addr;
	pmd_t *table = pmdp;
	bool cleaned = false;
	unsigned int added;

	hmem_look_begin(&scan->look, scan->look_ns);

	do {
		pmd_t pmd = READ_ONCE(*pmdp);
		unsigned long pfn = pmd_pfn(pmd);
		u64 bits = pmd_val(pmd) & scan->bits;
		struct hmem_section *section;

		if (!pmd_present(pmd) || !pmd_leaf(pmd))
			break;
		scan->entries++;
		addr = pmd_addr_end(addr, end);
		section = hmem_section_of(scan, pfn);
		/* The huge zero page, which has no mapping, is nobody's. */
		if (!pmd_trans_huge(pmd) || !section ||
		    !pfn_to_page(pfn)->mapping)
			goto next;
		/*
		 * A look is cheap where nothing says that the bit was not cleared
		 * by others: PG_young may have been set before they did.
		 */
		if (HMEM_HAS_YOUNG && !(bits & _PAGE_ACCESSED) &&
		    (hmem_cleared_by_others(section, pfn_folio(pfn)) ||
		     (scan->look_ns && folio_test_young(pfn_folio(pfn)))))
			bits |= _PAGE_ACCESSED;
		if (scan->look_ns)
			hmem_look_add_huge(scan, section, pmdp, pmd, bits);
		else if (bits && hmem_found_used(scan, section,
					    pfn % PAGES_PER_SECTION,
					    HPAGE_PMD_NR, bits))
			cleaned |= hmem_clear_bits(scan, section, pmdp, bits, pfn);
next:
		pmdp++;
	} while (addr < end);
	added = scan->look.nr;
	hmem_look_clear(&scan->look);
	if (cleaned || added)
		hmem_flush_mm(scan, mm);
	spin_unlock(ptl);
	if (!added) {
		scan->look_tries = 0;
		return addr;
	}

	hmem_look_wait(&scan->look);
	if (!hmem_look_found(scan))
		return begin;
	/* The time was up before all were cleared. */
	if (scan->look.nr < added)
		return begin + (scan->look.entries[scan->look.nr].pmdp - table) *
		       HPAGE_PMD_SIZE;
	return addr;
}

/*
 * One page table, or a part of it.
 *
 * It must still be one when a bit in it is cleared.  The mmap lock is held for
 * reading and the VMA is attached, so free_pgtables() is out, also that of
 * exit_mmap(): see hmem_walk_mm().  What else frees page tables of ptes:
 *
 * - Linux 6.1: khugepaged and MADV_COLLAPSE, for anonymous memory and for
 *   files (retract_page_tables(), collapse_pte_mapped_thp()), which hold the
 *   mmap lock for writing.  They cannot be at work.
 * - Linux 6.12 (since 6.5): for files they no longer hold it.  They clear the
 *   pmd with the page table's lock held, and free it by RCU (pte_free_defer()).
 * - Linux 7.3 (since 6.14, CONFIG_PT_RECLAIM): zap_pte_range() frees empty
 *   tables with the mmap lock held for reading, in the same way: the pmd is
 *   cleared with both locks held, and the table is freed by RCU, its lock with
 *   it (tlb_remove_table_free(), __tlb_remove_table_one()).
 *
 * So, as pte_offset_map_lock() does, which is not exported: read the pmd inside
 * of an RCU section, which keeps the table and its lock in memory, take the
 * lock, and look whether the pmd still points there.  It does until the lock is
 * released.  Page tables of pmds are freed by free_pgtables() only.
 */
static void hmem_walk_table(struct hmem_scan *scan, struct mm_struct *mm,
			    pmd_t *pmdp, unsigned long addr, unsigned long end)
{
	struct hmem_section *section = NULL;
	unsigned long nr = ULONG_MAX;	/* of that section */
	bool cleaned = false;
	spinlock_t *ptl;		/* of that page table */
	pte_t *ptep;
	pmd_t pmd;

	rcu_read_lock();
	pmd = READ_ONCE(*pmdp);
	if (!pmd_present(pmd) || pmd_leaf(pmd) || pmd_bad(pmd))
		goto out;
	ptl = pte_lockptr(mm, &pmd);
	spin_lock(ptl);
	if (!pmd_same(pmd, READ_ONCE(*pmdp)))
		goto unlock;
	ptep = pte_offset_kernel(&pmd, addr);
	scan->entries += (end - addr) >> PAGE_SHIFT;
	/* Here is where a scan of base pages spends its time. */
	for (; addr < end; addr += PAGE_SIZE, ptep++) {
		pte_t pte = ptep_get(ptep);
		u64 bits = pte_val(pte) & scan->bits;
		unsigned long pfn;

		/* Special: the zero page, or memory without a struct page. */
		if ((!HMEM_HAS_YOUNG && !bits) || !pte_present(pte) ||
		    pte_special(pte))
			continue;
		pfn = pte_pfn(pte);
		if (pfn / PAGES_PER_SECTION != nr) {
			nr = pfn / PAGES_PER_SECTION;
			section = hmem_section_of(scan, pfn);
		}
		if (!section)
			continue;
		/* Of a large folio the flag does not tell which page it was. */
		if (HMEM_HAS_YOUNG && !(bits & _PAGE_ACCESSED) &&
		    !PageCompound(pfn_to_page(pfn)) &&
		    hmem_cleared_by_others(section, pfn_folio(pfn)))
			bits |= _PAGE_ACCESSED;
		if (bits && hmem_found_used(scan, section, pfn % PAGES_PER_SECTION,
				       1, bits))
			cleaned |= hmem_clear_bits(scan, section, ptep, bits, pfn);
	}
	if (cleaned)
		hmem_flush_mm(scan, mm);
unlock:
	spin_unlock(ptl);
out:
	rcu_read_unlock();
}

/* What is mapped at @addr, up to @end or less; returns where it stopped. */
static unsigned long hmem_walk_step(struct hmem_scan *scan,
				    struct mm_struct *mm, unsigned long addr,
				    unsigned long end)
{
	unsigned long next;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmdp, pmd;

	pgd = pgd_offset(mm, addr);
	if (!pgd_present(READ_ONCE(*pgd)))
		return pgd_addr_end(addr, end);
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(READ_ONCE(*p4d)))
		return p4d_addr_end(addr, end);
	pud = pud_offset(p4d, addr);
	if (!pud_present(READ_ONCE(*pud)) || pud_leaf(READ_ONCE(*pud)))
		return pud_addr_end(addr, end);
	pmdp = pmd_offset(pud, addr);
	pmd = READ_ONCE(*pmdp);
	if (pmd_present(pmd) && pmd_leaf(pmd)) {
		next = hmem_walk_huge(scan, mm, pmdp, addr,
				      pud_addr_end(addr, end));
		if (next > addr || scan->look_tries)
			return next;
		/* Split meanwhile. */
	}
	next = pmd_addr_end(addr, end);
	hmem_walk_table(scan, mm, pmdp, addr, next);
	return next;
}

/* Time to let others go on? */
static bool hmem_slice_over(const struct hmem_scan *scan, struct mm_struct *mm)
{
	return ktime_get_ns() >= scan->slice_end || mmap_lock_is_contended(mm);
}

/* From scan->addr on.  True when through with it; false: go on from there. */
static bool hmem_walk_locked(struct hmem_scan *scan, struct mm_struct *mm)
{
	VMA_ITERATOR(vmi, mm, scan->addr);
	struct vm_area_struct *vma;

	for_each_vma(vmi, vma) {
		if (vma->vm_flags & (VM_HUGETLB | VM_PFNMAP | VM_IO |
				     VM_SHADOW_STACK))
			continue;
		scan->addr = max(scan->addr, vma->vm_start);
		while (scan->addr < vma->vm_end) {
			scan->addr = hmem_walk_step(scan, mm, scan->addr,
						    vma->vm_end);
			if (hmem_slice_over(scan, mm))
				return false;
			cond_resched();
		}
	}
	return true;
}

/*
 * True when through with this address space.
 *
 * It may be exiting, since only the mm_struct itself is held: as the kernel's
 * OOM reaper does it, look whether exit_mmap() is through with the memory, with
 * the mmap lock held.  If not, exit_mmap() takes the lock for writing, and so
 * waits for the end of the slice, before it frees page tables.
 */
static bool hmem_walk_mm(struct hmem *hm, struct mm_struct *mm)
{
	struct hmem_scan *scan = hm->scan;
	bool through;

	if (!mmap_read_trylock(mm)) {
		if (++scan->tries < HMEM_SCAN_TRIES) {
			usleep_range(500, 1000);
			return false;
		}
		hm->stats.scan_skipped++;
		scan->incomplete = true;
		return true;
	}
	scan->tries = 0;
	through = hmem_mm_exited(mm) || hmem_walk_locked(scan, mm);
	mmap_read_unlock(mm);
	return through;
}

/* A slice.  True when all is walked. */
static bool hmem_walk(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	u64 begin = ktime_get_ns();

	scan->look.waited = 0;
	scan->slice_end = begin + HMEM_SCAN_SLICE_NS;
	while (scan->mm < scan->nr_mms && ktime_get_ns() < scan->slice_end) {
		if (!hmem_walk_mm(hm, scan->mms[scan->mm]))
			break;
		mmdrop(scan->mms[scan->mm++]);
		scan->addr = 0;
		scan->tries = 0;
	}
	if (scan->mm == scan->nr_mms && scan->cleared)
		on_each_cpu(hmem_flush_cpu, NULL, 1);
	scan->ns += ktime_get_ns() - begin - scan->look.waited;
	return scan->mm == scan->nr_mms;
}

/* The mm of a process, of which the first thread may have ended. */
static struct mm_struct *hmem_process_mm(struct task_struct *process)
{
	struct mm_struct *mm = NULL;
	struct task_struct *t;

	for_each_thread(process, t) {
		task_lock(t);
		mm = t->flags & PF_KTHREAD ? NULL : t->mm;
		if (mm)
			mmgrab(mm);
		task_unlock(t);
		if (mm)
			break;
	}
	return mm;
}

/*
 * All address spaces there are.  One that comes later has not much to tell: the
 * bits of a forked one are clear to begin with.
 */
static void hmem_walk_begin(struct hmem_scan *scan)
{
	unsigned int max = 0;
	struct task_struct *p;

	scan->mm = 0;
	scan->nr_mms = 0;
	scan->tries = 0;
	scan->addr = 0;
	scan->look_tries = 0;
	scan->ns = 0;
	scan->entries = 0;
	scan->cleared = 0;
	scan->cleaned = 0;
	rcu_read_lock();
	for_each_process(p)
		max++;
	rcu_read_unlock();
	max += 16;	/* may have come meanwhile */
	scan->mms = kvcalloc(max, sizeof(*scan->mms), GFP_KERNEL);
	if (!scan->mms) {
		scan->incomplete = true;
		return;
	}
	rcu_read_lock();
	for_each_process(p) {
		struct mm_struct *mm;

		if (scan->nr_mms == max) {
			scan->incomplete = true;
			break;
		}
		mm = hmem_process_mm(p);
		if (mm)
			scan->mms[scan->nr_mms++] = mm;
	}
	rcu_read_unlock();
}

static void hmem_walk_end(struct hmem_scan *scan)
{
	while (scan->mm < scan->nr_mms)
		mmdrop(scan->mms[scan->mm++]);
	kvfree(scan->mms);
	scan->mms = NULL;
}

/*
 * The request
 */

static int hmem_scan_buf_post(struct hmem *hm, void *buf)
{
	return hmem_in_post(hm->vqs[VIRTIO_HMEM_VQ_SCAN], buf,
			    HMEM_SCAN_BUF_SIZE);
}

/* Each field is read once: the device can write to it at any time. */
static void hmem_take_frames(struct hmem_scan *scan,
			     const struct virtio_hmem_frames *frames)
{
	u64 gfn = le64_to_cpu(READ_ONCE(frames->gfn));
	u64 mask = le64_to_cpu(READ_ONCE(frames->mask));
	struct hmem_section *section;

	if (gfn % 64)
		return;
	section = hmem_section_of(scan, gfn);
	if (!section)
		return;
	section->rearm[gfn % PAGES_PER_SECTION / 64] |= mask;
	scan->rearm = true;
}

/*
 * How long to look at huge pages, if a look at a base page lasts @ns.  The mmap lock is
 * held for that long, so not longer than a slice: that is what a second comes to.
 */
static u64 hmem_look_ns(const struct hmem_scan *scan, u64 ns)
{
	if (!(scan->flags & VIRTIO_HMEM_SCAN_REPORT) || !ns)
		return 0;
	return clamp_t(u64, ns / HPAGE_PMD_NR, 1, HMEM_SCAN_SLICE_NS);
}

/* False: the device is broken. */
static bool hmem_take_part(struct hmem *hm, const struct virtio_hmem_scan *part,
			   unsigned int len)
{
	struct hmem_scan *scan = hm->scan;
	u32 i, num = le32_to_cpu(READ_ONCE(part->num_frames));
	u64 id = le64_to_cpu(READ_ONCE(part->id)), ns = 0;
	const struct virtio_hmem_frames *frames = part->frames;
	size_t head = sizeof(*part);

	if (virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_LOOK)) {
		const struct virtio_hmem_look *look = (const void *)(part + 1);

		frames = (const void *)(look + 1);
		head += sizeof(*look);
		ns = le64_to_cpu(READ_ONCE(look->ns));
	}
	if (len < head || len > HMEM_SCAN_BUF_SIZE || num > HMEM_SCAN_FRAMES ||
	    len < head + num * sizeof(*frames)) {
		hmem_device_broken(hm, "scan request of impossible length");
		return false;
	}
	if (!scan->more) {
		hmem_sections_update(scan);
		scan->bits = _PAGE_ACCESSED;
		if (virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_WRITTEN))
			scan->bits |= _PAGE_DIRTY_BITS;
		scan->id = id;
		scan->flags = le32_to_cpu(READ_ONCE(part->flags));
		scan->look_ns = hmem_look_ns(scan, ns);
	} else if (id != scan->id) {
		hmem_device_broken(hm, "scan request begins before another one ends");
		return false;
	}
	scan->flags = le32_to_cpu(READ_ONCE(part->flags));
	for (i = 0; i < num; i++)
		hmem_take_frames(scan, &frames[i]);
	scan->more = !(scan->flags & VIRTIO_HMEM_SCAN_LAST);
	return true;
}

/* Take one buffer.  True if there was one. */
static bool hmem_request(struct hmem *hm)
{
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_SCAN];
	struct hmem_scan *scan = hm->scan;
	unsigned int len;
	void *buf = virtqueue_get_buf(vq, &len);

	if (!buf || !hmem_take_part(hm, buf, len))
		return false;
	if (hmem_scan_buf_post(hm, buf)) {
		hmem_device_broken(hm, "scan queue has no room for its buffers");
		return false;
	}
	virtqueue_kick(vq);
	if (!scan->more) {
		hmem_walk_begin(scan);
		scan->phase = HMEM_PHASE_WALK;
	}
	return true;
}

/*
 * The report
 */

/*
 * Put what was found of scan->use into the report, as much as fits; true if it
 * is all.
 */
static bool hmem_report_fill(struct hmem_scan *scan,
			     struct virtio_hmem_access *report)
{
	u32 num = 0;

	for (; scan->section < scan->nr_sections; scan->section++) {
		struct hmem_section *section = scan->sections[scan->section];
		u64 first = (u64)scan->section * PAGES_PER_SECTION;

		if (!section)
			continue;
		for (; scan->word < PAGES_PER_SECTION / 64; scan->word++) {
			u64 mask = section->found[scan->use][scan->word];

			if (!mask)
				continue;
			if (num == HMEM_SCAN_FRAMES)
				goto out;
			report->frames[num].gfn =
				cpu_to_le64(first + scan->word * 64);
			report->frames[num].mask = cpu_to_le64(mask);
			scan->found[scan->use] += hweight64(mask);
			num++;
		}
		scan->word = 0;
	}
out:
	report->num_frames = cpu_to_le32(num);
	return scan->section == scan->nr_sections;
}

/* Go on with what is to be reported next, from its first frame on. */
static void hmem_report_begin(struct hmem_scan *scan, enum hmem_use use)
{
	scan->use = use;
	scan->section = 0;
	scan->word = 0;
	scan->found[use] = 0;
}

/* Send one buffer.  False if none is free: the queue's callback comes back. */
static bool hmem_report(struct hmem *hm)
{
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_ACCESS];
	struct hmem_scan *scan = hm->scan;
	struct hmem_out_buf *buf = hmem_out_free(vq, scan->reports,
						 HMEM_SCAN_BUFS);
	struct virtio_hmem_access *report;
	enum hmem_use end = scan->flags & VIRTIO_HMEM_SCAN_WRITTEN ?
			    HMEM_WRITTEN : HMEM_ACCESSED;
	bool last = false;
	u32 flags;

	if (!buf)
		return false;
	report = buf->data;
	report->id = cpu_to_le64(scan->id);
	while (hmem_report_fill(scan, report)) {
		last = scan->use == end;
		if (last || report->num_frames)
			break;
		hmem_report_begin(scan, scan->use + 1);
	}
	flags = scan->use == HMEM_WRITTEN ? VIRTIO_HMEM_ACCESS_WRITTEN : 0;
	if (last)
		flags |= VIRTIO_HMEM_ACCESS_LAST;
	if (last && scan->incomplete &&
	    virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_INCOMPLETE))
		flags |= VIRTIO_HMEM_ACCESS_INCOMPLETE;
	report->flags = cpu_to_le32(flags);
	if (hmem_out_post(vq, buf, struct_size(report, frames,
					       le32_to_cpu(report->num_frames)))) {
		hmem_device_broken(hm, "access queue has no room for its buffers");
		return false;
	}
	if (last) {
		hmem_sections_clear(scan);
		hm->stats.scans++;
		trace_hmem_scan(scan->id, scan->flags, scan->nr_mms,
				scan->entries, scan->found[HMEM_ACCESSED],
				scan->found[HMEM_WRITTEN], scan->cleared,
				scan->cleaned, scan->ns);
		scan->phase = HMEM_PHASE_REQUEST;
	}
	virtqueue_kick(vq);
	return true;
}

static void hmem_scan_work(struct work_struct *work)
{
	struct hmem_scan *scan = container_of(work, struct hmem_scan, work);
	struct hmem *hm = scan->hm;
	bool again = true;

	switch (scan->phase) {
	case HMEM_PHASE_REQUEST:
		again = hmem_request(hm);
		break;
	case HMEM_PHASE_WALK:
		if (!hmem_walk(hm))
			break;
		hmem_walk_end(scan);
		hm->stats.scan_entries += scan->entries;
		hm->stats.scan_cleared += scan->cleared;
		hm->stats.scan_cleaned += scan->cleaned;
		hm->stats.scan_ns += scan->ns;
		hm->stats.scan_incomplete += scan->incomplete;
		scan->found[HMEM_WRITTEN] = 0;
		hmem_report_begin(scan, HMEM_ACCESSED);
		scan->phase = HMEM_PHASE_REPORT;
		break;
	case HMEM_PHASE_REPORT:
		again = hmem_report(hm);
		break;
	}
	/* In slices: moves have their turn, and the work can be frozen. */
	if (again && !READ_ONCE(hm->stop))
		queue_work(hm->wq, &scan->work);
}

void hmem_scan_page_moved(struct hmem *hm, unsigned long pfn, unsigned long new_pfn,
		     unsigned int order)
{
	struct hmem_section *from, *to;

	if (!hm->scan)
		return;
	from = hmem_section_of(hm->scan, pfn);
	to = hmem_section_of(hm->scan, new_pfn);
	if (!to)
		return;
	__set_bit(new_pfn % PAGES_PER_SECTION, to->noted);
	if (from && order == HPAGE_PMD_ORDER)
		hmem_set_known_bits(to, new_pfn % PAGES_PER_SECTION,
			       hmem_known_bits(from, pfn % PAGES_PER_SECTION));
}

/*
 * Life cycle
 */

/* Of both queues: either may be what the scan waits for. */
void hmem_scan_callback(struct virtqueue *vq)
{
	struct hmem *hm = vq->vdev->priv;

	if (!READ_ONCE(hm->stop))
		queue_work(hm->wq, &hm->scan->work);
}

void hmem_scan_start(struct hmem *hm)
{
	unsigned int i;

	for (i = 0; i < HMEM_SCAN_BUFS; i++)
		if (hmem_scan_buf_post(hm, hm->scan->bufs[i]))
			break;	/* a smaller queue will do */
	virtqueue_kick(hm->vqs[VIRTIO_HMEM_VQ_SCAN]);
}

void hmem_scan_stop(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	unsigned int i;

	cancel_work_sync(&scan->work);
	hmem_walk_end(scan);
	hmem_sections_clear(scan);
	scan->phase = HMEM_PHASE_REQUEST;
	scan->more = false;
	for (i = 0; i < HMEM_SCAN_BUFS; i++)
		scan->reports[i].busy = false;
}

bool hmem_scan_possible(void)
{
	/* A Xen PV guest's CR4 is not its own, and neither is its TLB. */
	return boot_cpu_has(X86_FEATURE_PGE) && !boot_cpu_has(X86_FEATURE_XENPV);
}

int hmem_scan_alloc(struct hmem *hm)
{
	struct hmem_scan *scan = kzalloc(sizeof(*scan), GFP_KERNEL);
	unsigned int i;

	if (!scan)
		return -ENOMEM;
	hm->scan = scan;
	scan->hm = hm;
	INIT_WORK(&scan->work, hmem_scan_work);
	hmem_look_init(&scan->look);
	for (i = 0; i < HMEM_SCAN_BUFS; i++) {
		scan->bufs[i] = kzalloc(HMEM_SCAN_BUF_SIZE, GFP_KERNEL);
		scan->reports[i].data = kzalloc(HMEM_SCAN_BUF_SIZE,
						GFP_KERNEL);
		if (!scan->bufs[i] || !scan->reports[i].data)
			return -ENOMEM;
	}
	return 0;
}

void hmem_scan_free(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	unsigned long nr;
	unsigned int i;

	if (!scan)
		return;
	for (nr = 0; nr < scan->nr_sections; nr++)
		kvfree(scan->sections[nr]);
	kvfree(scan->sections);
	for (i = 0; i < HMEM_SCAN_BUFS; i++) {
		kfree(scan->bufs[i]);
		kfree(scan->reports[i].data);
	}
	kfree(scan);
	hm->scan = NULL;
}
