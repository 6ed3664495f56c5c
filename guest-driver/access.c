// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which frames are used: the accessed bits in the page tables of all user
 * address spaces, read and cleared for the host.
 *
 * A scan is done in slices, between which pages move.  It has three phases:
 *
 *   request   collect what is to be rearmed, from one buffer or more
 *   walk      go through the address spaces, note accessed frames, clear bits;
 *             then flush the TLBs, once
 *   report    send what was found
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

/* Buffers of each queue, and entries in one: 8 KiB with the header. */
#define HMEM_SCAN_BUFS		8
#define HMEM_SCAN_FRAMES	511
#define HMEM_SCAN_BUF_SIZE						\
	(sizeof(struct virtio_hmem_scan) +				\
	 HMEM_SCAN_FRAMES * sizeof(struct virtio_hmem_frames))

/* Moves wait for a scan this long at most. */
#define HMEM_SCAN_SLICE_NS	(2 * NSEC_PER_MSEC)
/* Times that an address space is tried to be locked, a millisecond apart. */
#define HMEM_SCAN_TRIES		20

static_assert(HMEM_SCAN_FRAMES >= VIRTIO_HMEM_MIN_SCAN_FRAMES);
static_assert(sizeof(struct virtio_hmem_scan) ==
	      sizeof(struct virtio_hmem_access));
static_assert(BITS_PER_LONG == 64 && PAGES_PER_SECTION % HPAGE_PMD_NR == 0);

/* The frames of one section of the guest's memory. */
struct hmem_section {
	DECLARE_BITMAP(rearm, PAGES_PER_SECTION);
	DECLARE_BITMAP(accessed, PAGES_PER_SECTION);
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

	/* By section number; NULL: no memory there, or none left for us. */
	struct hmem_section **sections;
	unsigned long nr_sections;

	/* The walk: address spaces, held by mmgrab(), and how far we are. */
	struct mm_struct **mms;
	unsigned int nr_mms;
	unsigned int mm;
	unsigned int tries;
	unsigned long addr;
	u64 slice_end;
	u64 ns;
	u64 entries;
	u64 cleared;

	/* The report: the next section and word of it to look at. */
	unsigned long section;
	unsigned int word;
	u64 accessed;

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
	if (nr > scan->nr_sections) {
		struct hmem_section **sections;

		sections = kvcalloc(nr, sizeof(*sections), GFP_KERNEL);
		if (sections) {
			if (scan->nr_sections)
				memcpy(sections, scan->sections,
				       scan->nr_sections * sizeof(*sections));
			kvfree(scan->sections);
			scan->sections = sections;
			scan->nr_sections = nr;
		}
	}
	for (nr = 0; nr < scan->nr_sections; nr++)
		if (!scan->sections[nr] && online_section_nr(nr))
			scan->sections[nr] = kvzalloc(sizeof(**scan->sections),
						      GFP_KERNEL);
}

static void hmem_sections_clear(struct hmem_scan *scan)
{
	unsigned long nr;

	for (nr = 0; nr < scan->nr_sections; nr++)
		if (scan->sections[nr])
			memset(scan->sections[nr], 0, sizeof(**scan->sections));
	scan->rearm = false;
}

/*
 * Note that @nr frames of @section from @first on have been accessed.  True if
 * the bit that says so is to be cleared.
 */
static __always_inline bool hmem_found(const struct hmem_scan *scan,
				       struct hmem_section *section,
				       unsigned int first, unsigned int nr)
{
	if (scan->flags & VIRTIO_HMEM_SCAN_REPORT) {
		if (nr == 1)
			section->accessed[first / BITS_PER_LONG] |=
				BIT(first % BITS_PER_LONG);
		else
			bitmap_set(section->accessed, first, nr);
	}
	if (scan->flags & VIRTIO_HMEM_SCAN_REARM_ALL)
		return true;
	if (!scan->rearm)
		return false;
	if (nr == 1)
		return section->rearm[first / BITS_PER_LONG] >>
		       first % BITS_PER_LONG & 1;
	return find_next_bit(section->rearm, first + nr, first) < first + nr;
}

/*
 * The walk
 */

/*
 * Clear the bit, which the processor sets at any time: hence atomically.  The
 * guest's own reclaim goes by these bits, too: leave it a note, as others do.
 */
static void hmem_clear(struct hmem_scan *scan, void *entry, unsigned long pfn)
{
	clear_bit(_PAGE_BIT_ACCESSED, entry);
	folio_set_young(page_folio(pfn_to_page(pfn)));
	scan->cleared++;
}

static void hmem_walk_huge(struct hmem_scan *scan, struct mm_struct *mm,
			   pmd_t *pmdp)
{
	spinlock_t *ptl = pmd_lock(mm, pmdp);
	pmd_t pmd = READ_ONCE(*pmdp);
	unsigned long pfn = pmd_pfn(pmd);
	struct hmem_section *section = hmem_section_of(scan, pfn);

	scan->entries++;
	/* The huge zero page, which has no mapping, is nobody's. */
	if (pmd_present(pmd) && pmd_trans_huge(pmd) && pmd_young(pmd) &&
	    section && pfn_to_page(pfn)->mapping &&
	    hmem_found(scan, section, pfn % PAGES_PER_SECTION, HPAGE_PMD_NR))
		hmem_clear(scan, pmdp, pfn);
	spin_unlock(ptl);
}

/*
 * One page table, or a part of it.
 *
 * It must still be one when a bit in it is cleared.  The mmap lock is held for
 * reading, mm_users is not zero, and the VMA is attached, so free_pgtables()
 * is out.  What else frees page tables of ptes:
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
		unsigned long pfn;

		/* Special: the zero page, or memory without a struct page. */
		if (!pte_young(pte) || !pte_present(pte) || pte_special(pte))
			continue;
		pfn = pte_pfn(pte);
		if (pfn / PAGES_PER_SECTION != nr) {
			nr = pfn / PAGES_PER_SECTION;
			section = hmem_section_of(scan, pfn);
		}
		if (section &&
		    hmem_found(scan, section, pfn % PAGES_PER_SECTION, 1))
			hmem_clear(scan, ptep, pfn);
	}
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
	next = pmd_addr_end(addr, end);
	pmd = READ_ONCE(*pmdp);
	if (pmd_present(pmd) && pmd_leaf(pmd))
		hmem_walk_huge(scan, mm, pmdp);
	else
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
		if (vma->vm_flags & (VM_HUGETLB | VM_PFNMAP | VM_IO))
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

/* True when through with this address space. */
static bool hmem_walk_mm(struct hmem *hm, struct mm_struct *mm)
{
	struct hmem_scan *scan = hm->scan;
	bool through;

	if (!mmget_not_zero(mm))
		return true;	/* exiting */
	if (mmap_read_trylock(mm)) {
		scan->tries = 0;
		through = hmem_walk_locked(scan, mm);
		mmap_read_unlock(mm);
	} else {
		through = ++scan->tries == HMEM_SCAN_TRIES;
		if (through)
			hm->stats.scan_skipped++;
		else
			usleep_range(500, 1000);
	}
	/* The last user tears the address space down: not in this thread. */
	mmput_async(mm);
	return through;
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

/* A slice.  True when all is walked. */
static bool hmem_walk(struct hmem *hm)
{
	struct hmem_scan *scan = hm->scan;
	u64 begin = ktime_get_ns();

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
	scan->ns += ktime_get_ns() - begin;
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
	scan->ns = 0;
	scan->entries = 0;
	scan->cleared = 0;
	rcu_read_lock();
	for_each_process(p)
		max++;
	rcu_read_unlock();
	max += 16;	/* may have come meanwhile */
	scan->mms = kvcalloc(max, sizeof(*scan->mms), GFP_KERNEL);
	if (!scan->mms)
		return;
	rcu_read_lock();
	for_each_process(p) {
		struct mm_struct *mm;

		if (scan->nr_mms == max)
			break;
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

/* False: the device is broken. */
static bool hmem_take_part(struct hmem *hm, const struct virtio_hmem_scan *part,
			   unsigned int len)
{
	struct hmem_scan *scan = hm->scan;
	u32 i, num = le32_to_cpu(READ_ONCE(part->num_frames));
	u64 id = le64_to_cpu(READ_ONCE(part->id));

	if (len < sizeof(*part) || len > HMEM_SCAN_BUF_SIZE ||
	    num > HMEM_SCAN_FRAMES || len < struct_size(part, frames, num)) {
		hmem_broken(hm, "scan request of impossible length");
		return false;
	}
	if (!scan->more) {
		hmem_sections_update(scan);
		scan->id = id;
	} else if (id != scan->id) {
		hmem_broken(hm, "scan request begins before another one ends");
		return false;
	}
	scan->flags = le32_to_cpu(READ_ONCE(part->flags));
	for (i = 0; i < num; i++)
		hmem_take_frames(scan, &part->frames[i]);
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
		hmem_broken(hm, "scan queue has no room for its buffers");
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

/* Put what was found into the report, as much as fits; true if it is all. */
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
			u64 mask = section->accessed[scan->word];

			if (!mask)
				continue;
			if (num == HMEM_SCAN_FRAMES)
				goto out;
			report->frames[num].gfn =
				cpu_to_le64(first + scan->word * 64);
			report->frames[num].mask = cpu_to_le64(mask);
			scan->accessed += hweight64(mask);
			num++;
		}
		scan->word = 0;
	}
out:
	report->num_frames = cpu_to_le32(num);
	return scan->section == scan->nr_sections;
}

/* Send one buffer.  False if none is free: the queue's callback comes back. */
static bool hmem_report(struct hmem *hm)
{
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_ACCESS];
	struct hmem_scan *scan = hm->scan;
	struct hmem_out_buf *buf = hmem_out_free(vq, scan->reports,
						 HMEM_SCAN_BUFS);
	struct virtio_hmem_access *report;
	bool last;

	if (!buf)
		return false;
	report = buf->data;
	report->id = cpu_to_le64(scan->id);
	last = hmem_report_fill(scan, report);
	report->flags = cpu_to_le32(last ? VIRTIO_HMEM_ACCESS_LAST : 0);
	if (hmem_out_post(vq, buf, struct_size(report, frames,
					       le32_to_cpu(report->num_frames)))) {
		hmem_broken(hm, "access queue has no room for its buffers");
		return false;
	}
	if (last) {
		hmem_sections_clear(scan);
		hm->stats.scans++;
		trace_hmem_scan(scan->id, scan->flags, scan->nr_mms,
				scan->entries, scan->accessed, scan->cleared,
				scan->ns);
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
		hm->stats.scan_ns += scan->ns;
		scan->section = 0;
		scan->word = 0;
		scan->accessed = 0;
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
