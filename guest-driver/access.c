// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Scans: reads the accessed and dirty bits in the page tables of all user address spaces,
 * reports them to the host, and clears the bits that the host wants to see again.
 *
 * A scan runs in slices, and pages can move between slices.  It has three phases:
 *
 *   request   collect the frames to rearm, from one buffer or more
 *   walk      walk the address spaces, note accessed and written frames, and clear bits;
 *             then flush the TLBs, once
 *   report    send the accessed frames, then the written frames
 *
 * If the host wants looks that are shorter than the time from scan to scan, the walk has two
 * phases instead, which take turns: clear the bits of a segment of memory and flush the TLBs;
 * after the time of a look, read which of the bits were set again.  A segment is as much as the
 * driver can clear in half of a look.
 *
 * A processor that has a translation in its TLB does not read the page table again, and so
 * does not set a cleared bit.  So all translations must be flushed.  This includes those
 * tagged (by PCID) for address spaces that the processor does not run now, because they
 * are valid again when it runs these spaces next.  Writing CR3 flushes the current tag
 * only.  The kernel's own functions are not exported (one was, until 7.2), hence
 * hmem_flush_cpu().  A scan flushes once each CPU that runs a process of which it cleared
 * bits, whatever the number of pages and processes.  Other CPUs flush by themselves before
 * they run such a process: see hmem_flush_cpus().  The scan can miss an access between the
 * clearing of a bit and the flush.  Such an access comes before the end of the scan, and so
 * before the window that the scan opens.
 *
 * A bit of a huge page stands for 512 base pages.  If all are used alike, it is set 512
 * times as fast as the bit of a base page.  A look at a base page lasts from scan to scan,
 * so a look at a huge page lasts a 512th of that: then the bit says about each frame what
 * the bit of a base page says.  Such a look is a part of the walk, and covers a group of
 * huge pages: see hmem_walk_huge().  Huge pages that were not used since the last scan were
 * not used in a shorter time either, and need no look.  A bitmap beside the page tables
 * notes which huge pages a look has found used, until they are rearmed.  With looks within the
 * scan, the host says how long a look at a base page lasts.
 *
 * A scan does not read page tables that nobody has used: see idle.c.
 *
 * A dirty bit is more than an observation: before the kernel takes such a page away, it
 * must write the page to swap.  hmem_move_dirty_bit() and hmem_scan_flush_mm() tell how a dirty
 * bit is cleared, and why the TLBs are then flushed at once.
 *
 * The guest's reclaim uses the accessed bits, too: see hmem_note_access().
 *
 * A scan does not see accesses by devices, by the kernel through its own mapping, and by
 * virtual machines inside this guest.
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

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/* Buffers of each queue, and entries in one: 8 KiB with the headers. */
#define HMEM_SCAN_BUFS		8
#define HMEM_SCAN_FRAMES	510
#define HMEM_SCAN_BUF_SIZE						\
	(sizeof(struct virtio_hmem_scan) + sizeof(struct virtio_hmem_look) + \
	 HMEM_SCAN_FRAMES * sizeof(struct virtio_hmem_frames))
/* Entries in a report, which leave room for an account. */
#define HMEM_REPORT_FRAMES						\
	(HMEM_SCAN_FRAMES -						\
	 sizeof(struct virtio_hmem_account) / sizeof(struct virtio_hmem_frames))

/* Longest slice: moves wait at most this long for a scan. */
#define HMEM_SCAN_SLICE_NS	(2 * NSEC_PER_MSEC)
/* Attempts to lock an address space, a millisecond apart. */
#define HMEM_SCAN_TRIES		20
/*
 * Bounds of a look at a base page within a scan, whatever the device wants.  In a shorter one,
 * flushing TLBs takes a tenth of the time (see HMEM_LOOK_FLUSH_NS); a longer one would keep
 * the memory of processes that have ended for more than an hour.
 */
#define HMEM_BASE_LOOK_MIN_NS	(100ULL * NSEC_PER_USEC)
#define HMEM_BASE_LOOK_MAX_NS	(3600ULL * NSEC_PER_SEC)
/*
 * Attempts to look at a group of huge pages, or at a segment, if the looks take too long.  If
 * the host disturbs two of five looks, five attempts fail for one group in a hundred.
 */
#define HMEM_LOOK_TRIES		5

static_assert(HMEM_SCAN_FRAMES >= VIRTIO_HMEM_MIN_SCAN_FRAMES);
static_assert(sizeof(struct virtio_hmem_scan) ==
	      sizeof(struct virtio_hmem_access));
static_assert(sizeof(struct virtio_hmem_look) ==
	      sizeof(struct virtio_hmem_cost));
static_assert(BITS_PER_LONG == 64 && PAGES_PER_SECTION % HPAGE_PMD_NR == 0);

/* Huge pages per section. */
#define HMEM_SECTION_HUGE	(PAGES_PER_SECTION / HPAGE_PMD_NR)

/* The kinds of use that a scan finds, in the order of the reports. */
enum hmem_use {
	HMEM_ACCESSED,
	HMEM_WRITTEN,
	HMEM_USES
};

/* The frames of one section (in the kernel's sense) of the guest's memory. */
struct hmem_section {
	DECLARE_BITMAP(rearm, PAGES_PER_SECTION);
	unsigned long found[HMEM_USES][BITS_TO_LONGS(PAGES_PER_SECTION)];
	/*
	 * The fields from here on are kept from scan to scan.  A bit of noted is for
	 * the folio that begins at the frame: PG_young was set when the last scan left it.
	 */
	DECLARE_BITMAP(noted, PAGES_PER_SECTION);
	/* Huge pages that a look has found used and that were not rearmed since. */
	unsigned long known[HMEM_USES][BITS_TO_LONGS(HMEM_SECTION_HUGE)];
	struct hmem_idle_tables tables;
};

enum hmem_phase {
	HMEM_PHASE_REQUEST,
	HMEM_PHASE_WALK,
	HMEM_PHASE_CLEAR,	/* with VIRTIO_HMEM_SCAN_LOOK, instead of WALK */
	HMEM_PHASE_READ,	/* with VIRTIO_HMEM_SCAN_LOOK, after CLEAR */
	HMEM_PHASE_REPORT,
};

/* A position of the walk: an address in the address space mms[mm]. */
struct hmem_position {
	unsigned int mm;
	unsigned long addr;
};

/* A page table that the walk visits: where its addresses begin, and what is known so far. */
struct hmem_visited {
	struct hmem_position at;
	struct hmem_idle_visit visit;
};

struct hmem_scan {
	struct hmem *hm;
	struct work_struct work;
	enum hmem_phase phase;

	/* The request; more: the request continues in the next buffer. */
	bool more;
	u64 id;
	u32 flags;
	bool rearm;		/* the request names at least one frame to rearm */
	/* Bits of page-table entries that the scan reads, and clears to rearm. */
	u64 bits;
	/* Length of a look at a huge page in ns; 0: looks last from scan to scan. */
	u64 look_ns;
	/* With VIRTIO_HMEM_SCAN_LOOK: length of a look at a base page in ns. */
	u64 base_look_ns;
	/* The scan left something out: an address space was locked, or memory was short. */
	bool incomplete;
	/* Others may have cleared accessed bits; and one that does so runs now. */
	bool others, observer;

	/* By section number; NULL: no memory is there, or allocating the bitmaps failed. */
	struct hmem_section **sections;
	unsigned long nr_sections;

	/*
	 * The walk: address spaces, held by mmgrab(), and the current position.  The
	 * walk does not hold mm_users, so that exiting processes need not wait for it.
	 */
	struct mm_struct **mms;
	unsigned int nr_mms;
	struct hmem_position at, end;
	unsigned int tries;
	u64 slice_end;
	/*
	 * The segment under a look: its begin; when the driver began to clear its bits, and until
	 * when it may go on; and when it had flushed the TLBs, after which @timer lets it read the
	 * bits.
	 */
	struct hmem_position segment;
	u64 clear_begin;
	u64 clear_until;
	u64 clear_end;
	u64 read_begin;
	struct hrtimer timer;
	unsigned int segment_tries;
	struct hmem_idle idle;
	/* Where the walk is: the table of base pages, and the table of pmd entries. */
	struct hmem_visited lower, upper;
	/* CPUs to flush at the end of the walk, or of the phase that clears. */
	struct cpumask flush;
	u64 ns;
	u64 entries;
	u64 idle_entries;
	u64 cleared;
	u64 cleaned;
	/* The current look at huge pages; attempts before it that took too long. */
	struct hmem_look look;
	unsigned int look_tries;

	/* The report: the section and the word of it to report next. */
	enum hmem_use use;
	unsigned long section;
	unsigned int word;
	u64 found[HMEM_USES];	/* number of frames */

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

/* Allocate bitmaps for all online memory: some may have come since the last scan. */
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

/* Is any of @nr frames of @section, from @first on, to be rearmed? */
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

/* Huge pages that were rearmed are no longer known to be used. */
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

/* The scan has ended: clear the request and the findings. */
static void hmem_sections_clear(struct hmem_scan *scan)
{
	unsigned long nr;

	for (nr = 0; nr < scan->nr_sections; nr++) {
		if (!scan->sections[nr])
			continue;
		if (!scan->base_look_ns)
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
 * Record the use of @nr frames of @section from @first on; @bits are the set bits of their
 * entry.  Returns true if the frames are to be rearmed.
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

/* The use of the huge page at @first that looks have found, as bits of an entry. */
static u64 hmem_known_bits(const struct hmem_section *section, unsigned int first)
{
	unsigned int huge = first / HPAGE_PMD_NR;

	return (test_bit(huge, section->known[HMEM_ACCESSED]) ?
		_PAGE_ACCESSED : 0) |
	       (test_bit(huge, section->known[HMEM_WRITTEN]) ?
		_PAGE_DIRTY_BITS : 0);
}

/* A look has found the huge page at @first used: @bits of its entry were set. */
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
 * The accessed bit of a mapping is about to be cleared.  Tell the guest's reclaim and
 * other observers of accesses, in the way that the kernel itself does:
 *
 * - Anonymous and shared memory: PG_young replaces the bit.  Reclaim counts the flag as an
 *   access and clears it.  Idle page tracking and DAMON set this flag when they clear
 *   accessed bits.  The flag survives the unmapping of a page.  That would confuse code
 *   that takes pages out of the page cache, such as FUSE when a page is spliced into it,
 *   so files get no such flag.  Pages of shared memory are dirty, so no such code can
 *   take them.
 * - Files: folio_mark_accessed() counts an access, and activates a page at the second
 *   one.  zap_pte_range() calls it as well when it removes the mapping of a file.  One
 *   call per scan is right: activating a page at once would also keep the pages of a
 *   stream, which are used once.  So if a look at a segment is repeated, the further
 *   accesses do not count.
 *
 * Debian's Linux 6.1 has no PG_young.  There, the driver does not clear bits of pages that
 * the multi-generational LRU keeps: see hmem_keep_accessed().
 */
static void hmem_note_access(const struct hmem_scan *scan, struct hmem_section *section,
			     struct folio *folio)
{
	if (HMEM_HAS_YOUNG &&
	    (folio_test_anon(folio) || folio_test_swapbacked(folio))) {
		if (!folio_test_young(folio))
			folio_set_young(folio);
		__set_bit(folio_pfn(folio) % PAGES_PER_SECTION, section->noted);
	} else if (folio_test_lru(folio)) {
		if (folio_test_young(folio))
			folio_test_clear_young(folio);
		/* If both flags are set, there is nothing left to mark. */
		if (!scan->segment_tries &&
		    (!folio_test_active(folio) || !folio_test_referenced(folio)))
			folio_mark_accessed(folio);
	}
	if (folio_test_idle(folio))
		folio_clear_idle(folio);
}

/*
 * Does the task clear accessed bits and set PG_young instead?  DAMON's threads do, and idle page
 * tracking on behalf of any task, but few kernels have that.
 */
static bool hmem_is_observer(const struct task_struct *p)
{
	return IS_ENABLED(CONFIG_IDLE_PAGE_TRACKING) ||
	       (p->flags & PF_KTHREAD && !strncmp(p->comm, "kdamond.", 8));
}

/*
 * The accessed bit of a mapping of @folio is clear.  Has another observer cleared it?  Then
 * the observer has set PG_young.  If PG_young was not set when the last scan left the
 * folio, the folio has been accessed since.  DAMON clears bits all the time if it is on, as
 * it is in Linux 7.3.
 *
 * If there is no observer, scans do not ask: reading the flags of each page that is not used would
 * take more time than all else.  Then a bit of noted can stay set after reclaim has cleared the
 * flag.  If an observer comes and sets the flag anew, its finds of such a page are missed until
 * reclaim clears the flag.  An observer that comes and goes between two scans is not seen.
 */
static __always_inline bool hmem_cleared_by_others(struct hmem_section *section,
						   struct folio *folio)
{
	unsigned int head = folio_pfn(folio) % PAGES_PER_SECTION;

	if (!folio_test_young(folio)) {
		/* Reclaim has cleared the flag. */
		__clear_bit(head, section->noted);
		return false;
	}
	return !test_bit(head, section->noted);
}

/*
 * If the dirty bit of a mapping can be cleared, mark the folio dirty instead and return
 * true.  Reclaim does the same when it unmaps a page:
 *
 * - Anonymous memory, also in the swap cache: the kernel itself sets the folio's flag and
 *   takes no lock for it (noop_dirty_folio()).  Code that clears the flag either has
 *   unmapped the folio from all page tables before (pageout()), or holds the lock of the
 *   page table that maps it (MADV_FREE).  If a page was freed by MADV_FREE and then
 *   written, the flag keeps the page as a dirty bit does: see try_to_unmap_one().
 * - Shared memory and tmpfs: the same, because their only write-back is to swap.
 * - Files: the bit must stay.  A file system learns of writes by write protection, and
 *   code that writes back (folio_mkclean()) or unmaps looks at the bit.
 *
 * This does not affect userfaultfd's write protection and soft-dirty bits, which have bits
 * of their own.  A shadow stack is a read-only mapping with the dirty bit set, so
 * hmem_walk_locked() skips shadow stacks.
 */
static bool hmem_move_dirty_bit(struct folio *folio)
{
	if (!folio_test_anon(folio) && !folio_test_swapbacked(folio))
		return false;
	/* While the page table is locked, nobody clears the flag: see above. */
	if (!folio_test_dirty(folio))
		folio_mark_dirty(folio);
	return true;
}

/*
 * The scan is about to clear @bits of an entry that maps @pfn.  Tell the kernel what they
 * say, and return the bits that may be cleared.  If a dirty bit is among them, the caller
 * must call hmem_scan_flush_mm() before it releases the lock of the page table.
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
	if (!scan->idle.lru_gen)
		hmem_idle_found(&scan->idle, folio);
	if (hmem_keep_accessed(folio))
		bits &= ~_PAGE_ACCESSED;
	if (bits & _PAGE_ACCESSED) {
		hmem_note_access(scan, section, folio);
		scan->cleared++;
	}
	return bits;
}

/*
 * Rearm the mapping *@entry, whose set bits are @bits.  The processor can set bits at any
 * time, so clear them atomically.  Returns the bits that were cleared.
 */
static u64 hmem_clear_bits(struct hmem_scan *scan, struct hmem_section *section,
			   void *entry, u64 bits, unsigned long pfn)
{
	bits = hmem_take_bits(scan, section, bits, pfn);
	if (bits)
		atomic64_andnot(bits, entry);
	return bits;
}

/*
 * Flush translations of @mm, after bits were cleared in one of its page tables, whose lock
 * is held.  Used if the CPUs must set the bits again from now on: dirty bits, and bits of
 * huge pages under a look.
 *
 * A CPU whose translation has the dirty bit set writes without setting the bit in the page
 * table again.  Reclaim relies on that bit: when it unmaps a page whose bit was set, it
 * flushes the TLBs before it writes the page to swap (set_tlb_ubc_flush_pending(),
 * try_to_unmap_flush_dirty()).  If the driver cleared the bit without a flush, writes of
 * such a CPU during the I/O would be lost.  So no CPU may have such a translation when
 * reclaim can use the page table, which is when its lock is released.  Until then, the
 * folio is dirty and mapped.
 *
 * Interrupts are on, as they are wherever the kernel flushes with this lock held.
 */
static void hmem_scan_flush_mm(struct hmem_scan *scan, struct mm_struct *mm)
{
	scan->hm->stats.scan_flushes++;
	scan->hm->stats.scan_ipis += hmem_flush_mm(mm);
}

/*
 * Add the huge page of *@pmdp, whose set bits are @bits, to the look.  Report at once the
 * use that earlier looks have found; the look is for the other bits.
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
 * Record what the look has found.  A huge page that has gone or was split counts as unused.
 * Returns false if the look must be repeated: it took too long, so a set bit means nothing.
 * After HMEM_LOOK_TRIES attempts the findings count all the same, as they would without
 * short looks.
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
 * Walk the consecutive huge pages from *@pmdp on, up to @end at most, which is in the same
 * table.  Those that need a look form a group: the driver clears the bits of all, flushes
 * the TLBs, and reads which bits were set again.  Returns the end of the huge pages, or the
 * address of the first huge page that needs a look (again).
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
		/* The huge zero page has no mapping and belongs to no process. */
		if (!pmd_trans_huge(pmd) || !section ||
		    !pfn_to_page(pfn)->mapping)
			goto next;
		if (scan->base_look_ns &&
		    !hmem_is_rearmed(scan, section, pfn % PAGES_PER_SECTION, HPAGE_PMD_NR))
			goto next;
		/*
		 * If PG_young is set, another observer may have cleared the bit after an
		 * access.  A look is cheap, so do not take the page for unused.
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
			cleaned |= hmem_clear_bits(scan, section, pmdp, bits, pfn) &
				   _PAGE_DIRTY_BITS;
next:
		pmdp++;
	} while (addr < end);
	added = scan->look.nr;
	hmem_look_clear(&scan->look);
	if (cleaned || added)
		hmem_scan_flush_mm(scan, mm);
	spin_unlock(ptl);
	if (!added) {
		scan->look_tries = 0;
		return addr;
	}

	hmem_look_wait(&scan->look);
	if (!hmem_look_found(scan))
		return begin;
	/* The time did not suffice to clear the bits of all entries. */
	if (scan->look.nr < added)
		return begin + (scan->look.entries[scan->look.nr].pmdp - table) *
		       HPAGE_PMD_SIZE;
	return addr;
}

/* A part of the table of base pages to which *pmdp points. */
struct hmem_walk {
	struct hmem_scan *scan;
	struct mm_struct *mm;
	pmd_t *pmdp;
	unsigned long addr;
	unsigned long nr;	/* number of entries */
};

/* Does a scan look at pages of @vma? */
static bool hmem_is_walked(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_HUGETLB | VM_PFNMAP | VM_IO | VM_SHADOW_STACK));
}

/* Does the walk come to no further part of a table after @end?  The table ends at @table_end. */
static bool hmem_is_last_part(struct mm_struct *mm, unsigned long end, unsigned long table_end)
{
	struct vm_area_struct *vma;

	if (end == table_end)
		return true;
	vma = find_vma(mm, end);
	while (vma && vma->vm_start < table_end && !hmem_is_walked(vma))
		vma = find_vma(mm, vma->vm_end);
	return !vma || vma->vm_start >= table_end;
}

/* The marks of the table that @entry points to, or NULL. */
static struct hmem_idle_tables *hmem_tables_of(const struct hmem_scan *scan, pmd_t entry)
{
	struct hmem_section *section = hmem_section_of(scan, pmd_pfn(entry));

	return section ? &section->tables : NULL;
}

/* Can the walk pass over the table that @entry points to? */
static bool hmem_is_idle(const struct hmem_scan *scan, pmd_t entry)
{
	const struct hmem_idle_tables *tables;

	/* Most tables are in use, so the cheapest test is first. */
	if (pmd_young(entry))
		return false;
	tables = hmem_tables_of(scan, entry);
	return tables && hmem_idle_unused(&scan->idle, tables, entry,
					  scan->phase == HMEM_PHASE_READ);
}

/* The visit of a part of the table that @entry points to begins.  The table begins at @addr. */
static void hmem_part_begin(struct hmem_scan *scan, struct hmem_visited *table,
			    unsigned long addr, pmd_t entry)
{
	struct hmem_position at = { .mm = scan->at.mm, .addr = addr };
	bool again = at.mm == table->at.mm && at.addr == table->at.addr;

	if (again && pmd_pfn(entry) == table->visit.pfn)
		return;
	table->at = at;
	hmem_idle_visit_begin(&scan->idle, &table->visit, hmem_tables_of(scan, entry), entry);
	/*
	 * Another table has come to this place, or a look is repeated that began within the table:
	 * the walk does not visit all of it.
	 */
	table->visit.left |= again || (at.mm == scan->segment.mm && at.addr < scan->segment.addr);
}

/*
 * The visit of a part of the table has ended, at @end.  The table's addresses are @size.  @left:
 * something in the part keeps scans from passing over the table.
 */
static void hmem_part_end(struct hmem_scan *scan, struct hmem_visited *table,
			  struct mm_struct *mm, unsigned long end, unsigned long size,
			  bool left, void *entryp)
{
	table->visit.left |= left;
	if (!table->visit.left && hmem_is_last_part(mm, end, ALIGN(end, size)))
		hmem_idle_visit_end(&scan->idle, &table->visit, entryp);
}

/* The same for a part of a table of base pages, which is locked. */
static void hmem_entries_begin(const struct hmem_walk *walk)
{
	hmem_part_begin(walk->scan, &walk->scan->lower, walk->addr & PMD_MASK,
			READ_ONCE(*walk->pmdp));
}

static void hmem_entries_end(const struct hmem_walk *walk, bool left)
{
	hmem_part_end(walk->scan, &walk->scan->lower, walk->mm,
		      walk->addr + walk->nr * PAGE_SIZE, PMD_SIZE, left, walk->pmdp);
}

/* A special entry maps the zero page, or memory without struct page. */
static __always_inline bool hmem_is_base_page(pte_t pte)
{
	return pte_present(pte) && !pte_special(pte);
}

/* A page that is on its way to another frame comes back with the bits that it had. */
static __always_inline u64 hmem_bits_to_come(pte_t pte)
{
	return !pte_present(pte) && hmem_is_migrating(pte) ? _PAGE_ACCESSED : 0;
}

/*
 * The bits that pte_present() tests, which takes more instructions: the page is there, though the
 * processor may not be allowed to access it.
 */
#define HMEM_PRESENT	(_PAGE_PRESENT | _PAGE_PROTNONE)

static void hmem_walk_entries(pte_t *ptep, void *data)
{
	const struct hmem_walk *walk = data;
	struct hmem_scan *scan = walk->scan;
	struct hmem_section *section = NULL;
	unsigned long nr = ULONG_MAX;	/* number of that section */
	const pte_t *end = ptep + walk->nr;
	const bool others = HMEM_HAS_YOUNG && scan->others;
	const u64 wanted = scan->bits;
	u64 cleared = 0, left = 0;

	hmem_entries_begin(walk);
	scan->entries += walk->nr;
	/* A scan of base pages spends most of its time in this loop. */
	for (; ptep < end; ptep++) {
		pte_t pte = ptep_get(ptep);
		u64 bits = pte_val(pte) & wanted, taken;
		unsigned long pfn;

		/* Most entries are empty or of unused pages, so their test is first, and short. */
		if (!bits && (pte_val(pte) & HMEM_PRESENT ? !others : pte_none(pte)))
			continue;
		if (!hmem_is_base_page(pte)) {
			left |= hmem_bits_to_come(pte);
			continue;
		}
		pfn = pte_pfn(pte);
		if (pfn / PAGES_PER_SECTION != nr) {
			nr = pfn / PAGES_PER_SECTION;
			section = hmem_section_of(scan, pfn);
		}
		if (!section) {
			left |= bits;
			continue;
		}
		/* The flag of a large folio does not tell which of its pages was used. */
		if (others && !(bits & _PAGE_ACCESSED) &&
		    !PageCompound(pfn_to_page(pfn)) &&
		    hmem_cleared_by_others(section, pfn_folio(pfn)))
			bits |= _PAGE_ACCESSED;
		if (!bits)
			continue;
		taken = hmem_found_used(scan, section, pfn % PAGES_PER_SECTION, 1, bits) ?
			hmem_clear_bits(scan, section, ptep, bits, pfn) : 0;
		cleared |= taken;
		left |= bits & ~taken;
	}
	hmem_entries_end(walk, left);
	if (cleared & _PAGE_DIRTY_BITS)
		hmem_scan_flush_mm(scan, walk->mm);
}

/*
 * For the pages that the request names: before a look, clear their bits; at the end of the look,
 * note the pages whose bits were set again.
 */
static void hmem_look_entries(pte_t *ptep, void *data)
{
	const struct hmem_walk *walk = data;
	struct hmem_scan *scan = walk->scan;
	const bool clear = scan->phase == HMEM_PHASE_CLEAR;
	const pte_t *end = ptep + walk->nr;
	u64 left = 0;

	if (clear)
		hmem_entries_begin(walk);
	scan->entries += walk->nr;
	for (; ptep < end; ptep++) {
		pte_t pte = ptep_get(ptep);
		struct hmem_section *section;
		unsigned int first;
		unsigned long pfn;

		/* Most entries are empty or of unused pages, so their test is first, and short. */
		if (!(pte_val(pte) & _PAGE_ACCESSED) &&
		    (pte_val(pte) & HMEM_PRESENT || pte_none(pte)))
			continue;
		if (!hmem_is_base_page(pte)) {
			left |= hmem_bits_to_come(pte);
			continue;
		}
		pfn = pte_pfn(pte);
		first = pfn % PAGES_PER_SECTION;
		section = hmem_section_of(scan, pfn);
		if (!section || !hmem_is_rearmed(scan, section, first, 1))
			left |= _PAGE_ACCESSED;
		else if (clear)
			left |= _PAGE_ACCESSED &
				~hmem_clear_bits(scan, section, ptep, _PAGE_ACCESSED, pfn);
		else
			hmem_mark_frames(section->found[HMEM_ACCESSED], first, 1);
	}
	if (clear)
		hmem_entries_end(walk, left);
}

/* Count the entries of the addresses from @addr to @end, which the walk passes over. */
static void hmem_pass_over(struct hmem_scan *scan, unsigned long addr, unsigned long end)
{
	scan->idle_entries += (end - addr) >> PAGE_SHIFT;
}

/*
 * Walk what is mapped at @addr, up to @end at most, in the table of pmd entries that @pud points
 * to.  Returns where the walk stopped.  Sets @left if scans must not pass over this table.
 */
static unsigned long hmem_walk_pmds(struct hmem_scan *scan, struct mm_struct *mm, pud_t *pud,
				    unsigned long addr, unsigned long end, bool *left)
{
	struct hmem_walk walk = { .scan = scan, .mm = mm };
	unsigned long next;
	pmd_t *pmdp, pmd;

	for (pmdp = pmd_offset(pud, addr); addr < end; pmdp++, addr = next) {
		pmd = READ_ONCE(*pmdp);
		next = (addr & PMD_MASK) + PMD_SIZE;
		/* Most entries of a mapping with holes are empty, so the cheapest test is first. */
		if (pmd_none(pmd))
			continue;
		if (!pmd_present(pmd)) {
			/* A huge page that is on its way to another frame. */
			*left = true;
			continue;
		}
		if (pmd_leaf(pmd) || !hmem_is_idle(scan, pmd))
			break;
		hmem_pass_over(scan, addr, min(next, end));
	}
	if (addr >= end)
		return end;
	if (pmd_present(pmd) && pmd_leaf(pmd)) {
		*left = true;
		/*
		 * The whole look at a huge page comes in the phase that reads.  If the page has
		 * been split until then, all of its base pages count as used.
		 */
		if (scan->phase == HMEM_PHASE_CLEAR)
			return pmd_addr_end(addr, end);
		next = hmem_walk_huge(scan, mm, pmdp, addr, end);
		if (next > addr || scan->look_tries)
			return next;
		/* The huge page has been split: walk the page table. */
	}
	next = pmd_addr_end(addr, end);
	walk.pmdp = pmdp;
	walk.addr = addr;
	walk.nr = (next - addr) >> PAGE_SHIFT;
	hmem_table_visit(mm, pmdp, addr, scan->phase == HMEM_PHASE_WALK ?
			 hmem_walk_entries : hmem_look_entries, &walk);
	pmd = READ_ONCE(*pmdp);
	/* The entry can have become one of a huge page, whose frame has no marks. */
	*left |= !pmd_none(pmd) &&
		 (!pmd_present(pmd) || pmd_leaf(pmd) || !hmem_is_idle(scan, pmd));
	return next;
}

/* Walk what is mapped at @addr, up to @end at most.  Returns where the walk stopped. */
static unsigned long hmem_walk_step(struct hmem_scan *scan,
				    struct mm_struct *mm, unsigned long addr,
				    unsigned long end)
{
	bool left = false;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pudp, pud;
	pmd_t entry;

	pgd = pgd_offset(mm, addr);
	if (!pgd_present(READ_ONCE(*pgd)))
		return pgd_addr_end(addr, end);
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(READ_ONCE(*p4d)))
		return p4d_addr_end(addr, end);
	pudp = pud_offset(p4d, addr);
	pud = READ_ONCE(*pudp);
	end = pud_addr_end(addr, end);
	if (!pud_present(pud) || pud_leaf(pud))
		return end;
	entry = __pmd(pud_val(pud));
	if (hmem_is_idle(scan, entry)) {
		hmem_pass_over(scan, addr, end);
		return end;
	}
	if (scan->phase == HMEM_PHASE_READ)
		return hmem_walk_pmds(scan, mm, pudp, addr, end, &left);
	hmem_part_begin(scan, &scan->upper, addr & PUD_MASK, entry);
	addr = hmem_walk_pmds(scan, mm, pudp, addr, end, &left);
	hmem_part_end(scan, &scan->upper, mm, addr, PUD_SIZE, left, pudp);
	return addr;
}

/* Must the walk let others continue? */
static bool hmem_slice_over(const struct hmem_scan *scan, struct mm_struct *mm)
{
	return ktime_get_ns() >= scan->slice_end || mmap_lock_is_contended(mm);
}

/*
 * Walk from scan->at on, up to @limit at most.  Returns false if the walk must continue in a later
 * slice.
 */
static bool hmem_walk_locked(struct hmem_scan *scan, struct mm_struct *mm,
			     unsigned long limit)
{
	VMA_ITERATOR(vmi, mm, scan->at.addr);
	struct vm_area_struct *vma;

	for_each_vma(vmi, vma) {
		unsigned long end = min(vma->vm_end, limit);

		if (vma->vm_start >= limit)
			break;
		if (!hmem_is_walked(vma))
			continue;
		scan->at.addr = max(scan->at.addr, vma->vm_start);
		while (scan->at.addr < end) {
			scan->at.addr = hmem_walk_step(scan, mm, scan->at.addr, end);
			if (hmem_slice_over(scan, mm))
				return false;
			cond_resched();
		}
	}
	return true;
}

/*
 * Walk a part of the current address space, up to @limit at most.  Returns true when the walk of
 * the address space has ended.
 *
 * The process may be exiting, since the driver holds only the mm_struct.  So check with the
 * mmap lock held, as the kernel's OOM reaper does, if exit_mmap() has freed the memory.  If
 * it has not, it takes the lock for writing before it frees page tables, and so waits for
 * the end of the slice.
 */
static bool hmem_walk_mm(struct hmem *hm, unsigned long limit)
{
	struct hmem_scan *scan = hm->scan;
	struct mm_struct *mm = scan->mms[scan->at.mm];
	bool through;
	u64 begin, cleared, tables;

	if (!mmap_read_trylock(mm)) {
		if (++scan->tries < HMEM_SCAN_TRIES) {
			begin = hmem_running_ns();
			usleep_range(500, 1000);
			scan->look.waited += hmem_running_ns() - begin;
			return false;
		}
		hm->stats.scan_skipped++;
		scan->incomplete = true;
		return true;
	}
	scan->tries = 0;
	cleared = scan->cleared;
	tables = scan->idle.cleared;
	through = hmem_mm_exited(mm) || hmem_walk_locked(scan, mm, limit);
	if (scan->cleared != cleared || scan->idle.cleared != tables)
		hmem_flush_later(mm, &scan->flush);
	mmap_read_unlock(mm);
	return through;
}

/* Has the walk come to scan->end? */
static bool hmem_walk_ended(const struct hmem_scan *scan)
{
	return scan->at.mm > scan->end.mm ||
	       (scan->at.mm == scan->end.mm && scan->at.addr >= scan->end.addr);
}

/* Let the walk end where all address spaces end. */
static void hmem_walk_to_end(struct hmem_scan *scan)
{
	scan->end = (struct hmem_position) { .mm = scan->nr_mms };
}

/* Add the processor time since @begin, without @waited ns, to that of the scan. */
static void hmem_scan_ran(struct hmem_scan *scan, u64 begin, u64 waited)
{
	/* The kernel measures waits by another clock, which may run a little faster. */
	s64 ns = hmem_running_ns() - begin - waited;

	scan->ns += max_t(s64, ns, 0);
}

/* Flush the CPUs that ran the address spaces of which bits were cleared. */
static void hmem_walk_flush(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	u64 begin = hmem_running_ns();

	hm->stats.scan_ipis += hmem_flush_now(&scan->flush);
	cpumask_clear(&scan->flush);
	hmem_scan_ran(scan, begin, 0);
}

/* The time when the slice that begins now must end; the first step may end later. */
static u64 hmem_slice_end(const struct hmem_scan *scan)
{
	u64 end = ktime_get_ns() + HMEM_SCAN_SLICE_NS;

	if (scan->phase == HMEM_PHASE_CLEAR)
		return min(end, scan->clear_until);
	if (scan->phase == HMEM_PHASE_READ)
		return min(end, scan->clear_end + 2 * scan->base_look_ns);
	return end;
}

/* Walk for one slice, up to scan->end.  Returns true there. */
static bool hmem_walk(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	u64 begin = hmem_running_ns();

	scan->look.waited = 0;
	scan->slice_end = hmem_slice_end(scan);
	while (!hmem_walk_ended(scan)) {
		bool last = scan->at.mm == scan->end.mm;

		if (!hmem_walk_mm(hm, last ? scan->end.addr : ULONG_MAX))
			break;
		scan->tries = 0;
		if (last) {
			scan->at = scan->end;
		} else {
			scan->at.mm++;
			scan->at.addr = 0;
		}
		if (ktime_get_ns() >= scan->slice_end)
			break;
	}
	hmem_scan_ran(scan, begin, scan->look.waited);
	return hmem_walk_ended(scan);
}

/*
 * Looks at base pages, with VIRTIO_HMEM_SCAN_LOOK
 */

/* The time from the flush of the TLBs until the bits of the segment are read. */
static u64 hmem_segment_wait_ns(const struct hmem_scan *scan)
{
	/*
	 * A CPU that had no translation of a page sets the bit as soon as it is cleared.  So the
	 * looks at the first pages are longer than those at the last ones; this makes them last as
	 * long as requested in the mean.
	 */
	u64 clear_ns = min(scan->clear_end, scan->clear_until) - scan->clear_begin;

	return scan->base_look_ns - clear_ns / 2;
}

/* The segment begins at scan->at. */
static void hmem_segment_begin(struct hmem_scan *scan)
{
	scan->segment = scan->at;
	scan->clear_begin = ktime_get_ns();
	scan->clear_until = scan->clear_begin + scan->base_look_ns / 2;
	hmem_walk_to_end(scan);
	scan->phase = HMEM_PHASE_CLEAR;
}

/*
 * Clear bits for one slice.  Returns false if the work is to continue when the timer runs.  An
 * interrupt of a queue can run the work earlier, which then does nothing.
 */
static bool hmem_segment_clear(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;

	if (!hmem_walk(hm) && ktime_get_ns() < scan->clear_until)
		return true;
	hmem_walk_flush(hm);
	scan->clear_end = ktime_get_ns();
	scan->end = scan->at;
	scan->at = scan->segment;
	scan->phase = HMEM_PHASE_READ;
	scan->read_begin = scan->clear_end + hmem_segment_wait_ns(scan);
	hrtimer_start(&scan->timer, ns_to_ktime(hmem_segment_wait_ns(scan)),
		      HRTIMER_MODE_REL_PINNED);
	return false;
}

/*
 * Has the look at the pages from scan->at on lasted so long that a set bit means nothing?  If so,
 * begin a look at these pages anew, unless that has been done too often.
 */
static bool hmem_segment_late(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	u64 cleared_ns = scan->clear_end - scan->clear_begin;
	bool moved = scan->at.mm != scan->segment.mm || scan->at.addr != scan->segment.addr;

	if (cleared_ns <= scan->base_look_ns &&
	    ktime_get_ns() - scan->clear_end <= 2 * scan->base_look_ns)
		return false;
	hm->stats.scan_segments_long++;
	if (moved)
		scan->segment_tries = 0;
	return ++scan->segment_tries < HMEM_LOOK_TRIES;
}

/* Read bits for one slice.  Returns true when all address spaces have been walked. */
static bool hmem_segment_read(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;

	if (hmem_segment_late(hm)) {
		hmem_segment_begin(scan);
		return false;
	}
	if (!hmem_walk(hm))
		return false;
	hm->stats.scan_segments++;
	scan->segment_tries = 0;
	if (scan->at.mm == scan->nr_mms)
		return true;
	hmem_segment_begin(scan);
	return false;
}

static enum hrtimer_restart hmem_segment_timer(struct hrtimer *timer)
{
	struct hmem_scan *scan = container_of(timer, struct hmem_scan, timer);

	if (!READ_ONCE(scan->hm->stop))
		queue_work(scan->hm->wq, &scan->work);
	return HRTIMER_NORESTART;
}

/* The mm of a process, held by mmgrab(), or NULL.  The first thread may have ended. */
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
 * Collect all address spaces.  The scan leaves out address spaces created later: the bits
 * of a forked one are clear at first.
 */
static void hmem_walk_begin(struct hmem_scan *scan)
{
	unsigned int max = 0;
	struct task_struct *p;

	cpumask_clear(&scan->flush);
	scan->at = (struct hmem_position) { };
	scan->nr_mms = 0;
	scan->tries = 0;
	scan->segment_tries = 0;
	scan->look_tries = 0;
	scan->ns = 0;
	scan->entries = 0;
	scan->idle_entries = 0;
	scan->lower.at = (struct hmem_position) { .mm = UINT_MAX };
	scan->upper.at = scan->lower.at;
	scan->segment = (struct hmem_position) { };
	scan->cleared = 0;
	scan->cleaned = 0;
	rcu_read_lock();
	for_each_process(p)
		max++;
	rcu_read_unlock();
	max += 16;	/* some may have started meanwhile */
	scan->mms = kvcalloc(max, sizeof(*scan->mms), GFP_KERNEL);
	if (!scan->mms) {
		scan->incomplete = true;
		return;
	}
	/* One that has ended may have cleared bits since the last scan. */
	scan->others = scan->observer;
	scan->observer = false;
	rcu_read_lock();
	for_each_process(p) {
		struct mm_struct *mm;

		scan->observer |= hmem_is_observer(p);
		if (scan->nr_mms == max) {
			scan->incomplete = true;
			break;
		}
		mm = hmem_process_mm(p);
		if (mm)
			scan->mms[scan->nr_mms++] = mm;
	}
	rcu_read_unlock();
	scan->others |= scan->observer;
}

static void hmem_walk_end(struct hmem_scan *scan)
{
	unsigned int i;

	for (i = 0; scan->mms && i < scan->nr_mms; i++)
		mmdrop(scan->mms[i]);
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

/* Read each field once: the device can write to it at any time. */
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
 * The length of a look at huge pages, if a look at a base page lasts @ns.  The mmap lock is
 * held for that long, so a look lasts at most a slice, which is the length for a second.
 */
static u64 hmem_look_ns(const struct hmem_scan *scan, u64 ns)
{
	if (!(scan->flags & VIRTIO_HMEM_SCAN_REPORT) || !ns)
		return 0;
	return clamp_t(u64, ns / HPAGE_PMD_NR, 1, HMEM_SCAN_SLICE_NS);
}

/* The length of a look at a base page; 0: looks last from scan to scan. */
static u64 hmem_base_look_ns(const struct hmem_scan *scan, u64 ns)
{
	const u32 both = VIRTIO_HMEM_SCAN_REPORT | VIRTIO_HMEM_SCAN_LOOK;

	/* A look for writes would need a flush for each page table, see hmem_scan_flush_mm(). */
	if ((scan->flags & both) != both || scan->bits & _PAGE_DIRTY_BITS || !ns)
		return 0;
	return clamp_t(u64, ns, HMEM_BASE_LOOK_MIN_NS, HMEM_BASE_LOOK_MAX_NS);
}

/* Process one buffer of a request.  Returns false if the device broke the rules. */
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
		scan->id = id;
		scan->flags = le32_to_cpu(READ_ONCE(part->flags));
		/* Dirty bits are dear to clear, so leave them alone if nobody asks. */
		scan->bits = _PAGE_ACCESSED;
		if (scan->flags & VIRTIO_HMEM_SCAN_WRITTEN &&
		    virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_WRITTEN))
			scan->bits |= _PAGE_DIRTY_BITS;
		scan->look_ns = hmem_look_ns(scan, ns);
		scan->base_look_ns = hmem_base_look_ns(scan, ns);
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

/* Does the device want nothing but an account? */
static bool hmem_wants_account(const struct hmem_scan *scan)
{
	return scan->flags & VIRTIO_HMEM_SCAN_ACCOUNT &&
	       virtio_has_feature(scan->hm->vdev, VIRTIO_HMEM_F_ACCOUNT);
}

/* No table counts as idle any more. */
static void hmem_forget_idle(struct hmem_scan *scan)
{
	unsigned long nr;

	for (nr = 0; nr < scan->nr_sections; nr++) {
		if (scan->sections[nr])
			memset(&scan->sections[nr]->tables, 0, sizeof(scan->sections[nr]->tables));
	}
}

/* The request is complete. */
static void hmem_scan_begin(struct hmem_scan *scan)
{
	unsigned long nr;

	if (hmem_wants_account(scan)) {
		/* There are no findings to report. */
		scan->use = HMEM_ACCESSED;
		scan->section = scan->nr_sections;
		scan->incomplete = false;
		scan->ns = 0;
		scan->cleared = 0;
		scan->phase = HMEM_PHASE_REPORT;
		return;
	}
	if (hmem_idle_begin(&scan->idle, scan->bits, scan->hm->area->events))
		hmem_forget_idle(scan);
	hmem_walk_begin(scan);
	if (!scan->base_look_ns) {
		hmem_walk_to_end(scan);
		scan->phase = HMEM_PHASE_WALK;
		return;
	}
	for (nr = 0; nr < scan->nr_sections; nr++) {
		if (scan->sections[nr])
			hmem_forget_rearmed(scan, scan->sections[nr]);
	}
	hmem_segment_begin(scan);
}

/* Take one buffer of the scan queue.  Returns true if there was one. */
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
	if (!scan->more)
		hmem_scan_begin(scan);
	return true;
}

/*
 * The report
 */

/* The length of the headers that come before the entries of a report. */
static size_t hmem_report_head(struct hmem *hm)
{
	return sizeof(struct virtio_hmem_access) +
		(virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_COST) ?
		 sizeof(struct virtio_hmem_cost) : 0);
}

/*
 * Put the findings of the kind scan->use into the report, as many as fit.  Returns true
 * if these were the last.
 */
static bool hmem_report_fill(struct hmem_scan *scan,
			     struct virtio_hmem_access *report,
			     struct virtio_hmem_frames *frames)
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
			if (num == HMEM_REPORT_FRAMES)
				goto out;
			frames[num].gfn = cpu_to_le64(first + scan->word * 64);
			frames[num].mask = cpu_to_le64(mask);
			scan->found[scan->use] += hweight64(mask);
			num++;
		}
		scan->word = 0;
	}
out:
	report->num_frames = cpu_to_le32(num);
	return scan->section == scan->nr_sections;
}

/* Begin to report the findings of the kind @use, from the first frame on. */
static void hmem_report_begin(struct hmem_scan *scan, enum hmem_use use)
{
	scan->use = use;
	scan->section = 0;
	scan->word = 0;
	scan->found[use] = 0;
}

/* Send one buffer.  Returns false if no buffer is free: the callback runs the work again. */
static bool hmem_report(struct hmem *hm)
{
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_ACCESS];
	struct hmem_scan *scan = hm->scan;
	struct hmem_out_buf *buf = hmem_out_free(vq, scan->reports,
						 HMEM_SCAN_BUFS);
	const size_t head = hmem_report_head(hm);
	struct virtio_hmem_access *report;
	const u32 both = VIRTIO_HMEM_SCAN_REPORT | VIRTIO_HMEM_SCAN_WRITTEN;
	enum hmem_use end = (scan->flags & both) == both ? HMEM_WRITTEN : HMEM_ACCESSED;
	bool last = false;
	size_t len;
	u32 flags;

	if (!buf)
		return false;
	report = buf->data;
	report->id = cpu_to_le64(scan->id);
	while (hmem_report_fill(scan, report, buf->data + head)) {
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
	len = head + le32_to_cpu(report->num_frames) * sizeof(report->frames[0]);
	if (last && virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_ACCOUNT)) {
		flags |= VIRTIO_HMEM_ACCESS_ACCOUNT;
		hmem_account(hm, buf->data + len);
		len += sizeof(struct virtio_hmem_account);
	}
	report->flags = cpu_to_le32(flags);
	if (virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_COST)) {
		struct virtio_hmem_cost *cost = (void *)(report + 1);

		cost->ns = cpu_to_le64(scan->ns);
		cost->cleared = cpu_to_le64(scan->cleared);
	}
	if (hmem_out_post(vq, buf, len)) {
		hmem_device_broken(hm, "access queue has no room for its buffers");
		return false;
	}
	if (last && hmem_wants_account(scan)) {
		scan->phase = HMEM_PHASE_REQUEST;
	} else if (last) {
		hmem_sections_clear(scan);
		hm->stats.scans++;
		trace_hmem_scan(scan->id, scan->flags, scan->nr_mms,
				scan->entries, scan->idle_entries,
				scan->found[HMEM_ACCESSED],
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

	/* hmem_scan_stop() may be taking apart what the work uses. */
	if (READ_ONCE(hm->stop))
		return;
	switch (scan->phase) {
	case HMEM_PHASE_REQUEST:
		again = hmem_request(hm);
		break;
	case HMEM_PHASE_CLEAR:
		again = hmem_segment_clear(hm);
		break;
	case HMEM_PHASE_WALK:
	case HMEM_PHASE_READ:
		if (scan->phase == HMEM_PHASE_READ && ktime_get_ns() < scan->read_begin) {
			again = false;
			break;
		}
		if (scan->phase == HMEM_PHASE_READ ? !hmem_segment_read(hm) : !hmem_walk(hm))
			break;
		hmem_walk_flush(hm);
		hmem_walk_end(scan);
		hm->stats.scan_entries += scan->entries;
		hm->stats.scan_idle += scan->idle_entries;
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
	/* Work in slices, so that moves get their turn and the kernel can freeze the work. */
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

/* The callback of both queues, because a scan may wait for either. */
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
			break;	/* a smaller queue takes fewer buffers */
	virtqueue_kick(hm->vqs[VIRTIO_HMEM_VQ_SCAN]);
}

void hmem_scan_stop(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	unsigned int i;

	/*
	 * hm->stop is set.  The work starts the timer, so it ends first.  The timer can queue the
	 * work once more, which then does nothing.
	 */
	cancel_work_sync(&scan->work);
	hrtimer_cancel(&scan->timer);
	hmem_walk_end(scan);
	hmem_sections_clear(scan);
	/* The TLBs were not flushed. */
	hmem_forget_idle(scan);
	scan->phase = HMEM_PHASE_REQUEST;
	scan->more = false;
	for (i = 0; i < HMEM_SCAN_BUFS; i++)
		scan->reports[i].busy = false;
}

bool hmem_scan_possible(void)
{
	return hmem_flush_possible();
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
	hmem_hrtimer_setup(&scan->timer, hmem_segment_timer);
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
