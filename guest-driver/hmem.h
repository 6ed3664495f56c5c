/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_hmem: declarations that the parts of the driver share.
 *
 * Each file calls only files below it in this list:
 *
 *   device.c    the virtio device: queues, tiers, life cycle
 *   batch.c     runs one batch of hints and reports its results
 *   share.c     keeps moves within a share of a processor
 *   result.c    sends results
 *   find.c      finds the page at a frame, and an owner of that page
 *   anon.c      moves anonymous pages, through their owner's address space
 *   file.c      moves page cache and shmem, by page frame
 *   large.c     moves large folios of the page cache
 *   folio.c     tells kinds of pages apart, and why a page did not move
 *   hide.c      hides a group of base pages from the processors while they move
 *   owner.c     finds and locks the address spaces that map an anonymous page
 *   restrict.c  tells on which nodes a page may be
 *   access.c    scans: reads and clears accessed and dirty bits of page tables
 *   look.c      one look at a group of entries that lasts a given time
 *   idle.c      tells which page tables were not used
 *   table.c     finds and locks page tables, and flushes their translations
 *   resize.c    gives up memory of a tier, and takes it back
 *   account.c   tells how much memory the guest has, and what scans did
 *   paging.c    counts what the guest reads because it has too little memory
 *   queue.c     buffers of the queues
 *   stats.c     counters in sysfs and debugfs
 *
 * Vocabulary:
 *
 *   hint    a request of the host: move the pages at these frames to that tier
 *   item    one page of a hint: a base page, or a large folio as a whole
 *   chunk   up to HMEM_CHUNK items, which the driver finds and moves together
 *   group   base pages of one page table that move together
 *   pause   the time that a page is unmapped, so that programs wait for it
 *   scan    one pass over the page tables of all processes
 *   look    a time at whose end each page is found used or unused
 *   rearm   clear the bits of a page, so that the next look finds later accesses only
 */
#ifndef HMEM_H
#define HMEM_H

#include <linux/build_bug.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/huge_mm.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/vm_event_item.h>
#include <linux/workqueue.h>

#include "virtio_hmem.h"

/* Buffers posted on the hint queue: the number of batches that the host can send ahead. */
#define HMEM_HINT_BUFS		16
/* Hints in one buffer: 8 KiB with the header. */
#define HMEM_HINTS_PER_BUF	511
/* Results in one buffer: 8 KiB with the header, the pauses and the account. */
#define HMEM_RESULT_BUFS	8
#define HMEM_RESULTS_PER_BUF	320
#define HMEM_RESULT_BUF_SIZE						\
	(sizeof(struct virtio_hmem_result_batch) +			\
	 HMEM_RESULTS_PER_BUF * sizeof(struct virtio_hmem_result) +	\
	 sizeof(struct virtio_hmem_pauses) + sizeof(struct virtio_hmem_account))

/* Items of a chunk: at least HPAGE_PMD_NR, the base pages of a large folio. */
#define HMEM_CHUNK		512
/* Attempts to move a page before the host is told why the page did not move. */
#define HMEM_TRIES		4

/*
 * A page moves only if at most this many address spaces can have it mapped.  The kernel
 * walks all of them twice, along the reverse mapping, while no program can use the page.
 * On an emulated machine, a page that 300 processes mapped was unavailable for 1 to 8 ms.
 * That is the longest pause that the driver imposes on a program.
 */
#ifdef CONFIG_LOCKDEP
#define HMEM_MAX_SHARERS	32	/* lockdep can track 48 held locks */
#else
#define HMEM_MAX_SHARERS	256
#endif

/* Value of item->reason until the item's result is decided. */
#define HMEM_PENDING		0xff

/* One page to move: a base page, or a large folio as a whole. */
struct hmem_item {
	unsigned long pfn;	/* the page's frame when it was hinted */
	struct page *page;	/* of this frame, since hmem_find_page() */
	unsigned long new_pfn;	/* the page's frame now; valid once it has moved */
	/*
	 * One place where an anonymous page is mapped.  mmgrab() holds the mm
	 * from hmem_find_page() until the end of hmem_move_anon().
	 */
	struct mm_struct *mm;
	unsigned long addr;
	struct list_head node;	/* among the anonymous pages that remain to be moved */
	bool alone;		/* no other address space has the page: see hmem_owner_check() */
	u32 seq;		/* n-th move of the chunk, from 1; 0: not moved */
	u16 hint;		/* index of the hint in the batch */
	u8 order;		/* 0, or the order of a large folio: HPAGE_PMD_ORDER at most */
	u8 tier;		/* destination */
	u8 from_tier;		/* source; num_tiers: the source is in no tier */
	u8 reason;		/* VIRTIO_HMEM_R_* or HMEM_PENDING */
	bool hidden;		/* an anonymous page: hmem_hide() has changed its entry */
	bool unmapped;		/* an anonymous page: programs could not use it, for pause_ns */
	u64 pause_ns;
};

enum hmem_kind {
	HMEM_KIND_ANON,
	HMEM_KIND_LARGE,
	HMEM_KIND_FILE,
	HMEM_KINDS
};

/* The worker alone writes the counters; anyone reads them at any time. */
struct hmem_stats {
	u64 batches;
	u64 hints;
	u64 promoted;			/* pages of 4 KiB, as in demoted and reasons */
	u64 demoted;
	u64 reasons[VIRTIO_HMEM_R_MAX];
	u64 large_moved;		/* large folios that moved whole */
	u64 move_flushes;		/* the driver's flushes for groups of pages */
	u64 move_ipis;			/* other CPUs that these interrupted */
	u64 scans;
	u64 scan_entries;		/* page-table entries that were read */
	u64 scan_idle;			/* entries passed over, because nobody used their table */
	u64 scan_cleared;		/* accessed bits that were cleared */
	u64 scan_cleaned;		/* dirty bits that were cleared */
	u64 scan_flushes;		/* page tables that needed an immediate flush */
	u64 scan_ipis;			/* other CPUs that these and final flushes interrupted */
	u64 scan_looks;			/* looks at huge pages shorter than a window */
	u64 scan_looks_long;		/* groups of these looks that took too long */
	u64 scan_segments;		/* looks at base pages of a segment, within a scan */
	u64 scan_segments_long;		/* slices in which such a look was found to take too long */
	u64 scan_incomplete;		/* scans that left something out */
	u64 scan_ns;			/* processor time for walking and flushing */
	u64 scan_skipped;		/* address spaces that stayed locked */
	u64 foreign_moves;		/* pages, as last reported to the host */
	/* Pages of 4 KiB, except resize_huge.  Written under the lock of struct hmem_resize. */
	u64 resize_given;		/* given up */
	u64 resize_taken;		/* taken back */
	u64 resize_oom;			/* taken back because the guest was short of memory */
	u64 resize_huge;		/* huge pages that were given up */
	/* Access pauses, as in struct virtio_hmem_pauses. */
	u64 pause_ns;
	u64 pause[HMEM_KINDS][VIRTIO_HMEM_PAUSE_BUCKETS];
};

/* Address spaces whose mmap locks are held for reading, and whose mm by mmgrab(). */
struct hmem_sharers {
	unsigned int nr;
	struct mm_struct *mms[HMEM_MAX_SHARERS];
};

/*
 * Where a page is mapped.  While the mm is held, the other pages with this mapping and with an
 * index in the same aligned HMEM_NEAR_PAGES are probably mapped next to it, in its address space,
 * and none of them can be mapped by more than HMEM_MAX_SHARERS; unless the mapping is NULL.
 */
#define HMEM_NEAR_PAGES		512
struct hmem_place {
	struct mm_struct *mm;
	unsigned long addr;
	pgoff_t index;
	const void *mapping;		/* as in the folio: names an anon_vma */
};

/* A group of base pages that hmem_hide() has hidden. */
struct hmem_hidden {
	struct mm_struct *mm;
	struct hmem_item **items;
	unsigned int nr;			/* number of items */
	unsigned int nr_held;
	struct folio *held[HMEM_CHUNK];		/* locked pages that stay */
	u64 flush_ns;				/* how long the flush took */
	unsigned int flush_ipis;		/* other CPUs that the flush interrupted */
};

/* Measured times, which decide how many pages move together: see hmem_group_size(). */
struct hmem_pace {
	u64 page_ns;		/* for a page of a group: the median */
	s64 extra_ns;		/* left for what a group takes besides */
	u64 flush_ns;		/* for a flush: the mean */
};

/* Memory that the worker uses while it moves one chunk; too large for the stack. */
struct hmem_work_area {
	/* A copy of the batch's hints, which the device cannot change. */
	struct virtio_hmem_hint hints[HMEM_HINTS_PER_BUF];
	struct hmem_item items[HMEM_CHUNK];
	struct hmem_item *order[HMEM_CHUNK];	/* items, sorted as a step needs them */
	struct list_head anon;			/* items that hmem_move_anon() is to move */
	struct hmem_place last_place;		/* of an item in this list; mm can be NULL */
	unsigned int nr_items;
	u32 nr_moved;				/* items of the chunk that have moved */
	unsigned long src[HMEM_CHUNK];		/* for migrate_vma_*() */
	unsigned long dst[HMEM_CHUNK];
	struct folio *folios[HMEM_CHUNK];	/* destinations */
	struct hmem_hidden hidden;
	struct hmem_sharers sharers;
	unsigned long events[NR_VM_EVENT_ITEMS];
};

/* A buffer that the device reads. */
struct hmem_out_buf {
	bool busy;		/* the device has the buffer */
	void *data;
};

/*
 * A device.  hmem_probe() sets everything up and hmem_remove() frees everything.
 *
 * "The worker" is the ordered workqueue wq.  It runs three works in turns: hints,
 * scans and tiers.  The worker alone uses queues, buffers, tiers and the work area, so
 * these need no lock.  It runs from virtio_device_ready() until stop is set and
 * cancel_work_sync() has returned.
 */
struct hmem {
	struct virtio_device *vdev;
	/* Valid while running is true. */
	struct virtqueue *vqs[VIRTIO_HMEM_VQ_MAX];

	unsigned int num_tiers;
	/* NUMA node of each tier; NUMA_NO_NODE: no node with memory belongs to the tier. */
	int tier_nid[VIRTIO_HMEM_MAX_TIERS];

	struct workqueue_struct *wq;
	struct work_struct hints_work;
	struct work_struct tiers_work;
	/*
	 * The worker holds this mutex while it finds and moves pages, and releases it
	 * while it sends results.  The memory notifier takes the mutex to wait until no
	 * page of memory that went offline is in use here.  The mutex nests inside the
	 * kernel's locks for CPU and memory hotplug.
	 */
	struct mutex moving;
	/*
	 * The device has its queues and is at work.  False between a freeze and the
	 * restore, and after a failed restore.  Only probe, remove, freeze and restore
	 * write this field, and they exclude each other.
	 */
	bool running;
	/* Tells the worker to finish soon: it answers the remaining hints as stopped. */
	bool stop;
	/*
	 * The system is about to sleep: the worker answers batches as stopped, so that
	 * the kernel can freeze the worker soon.
	 */
	bool going_to_sleep;
	struct notifier_block pm_notifier;
	struct notifier_block memory_notifier;
	/* The worker waits here for a free result buffer. */
	wait_queue_head_t result_wait;

	void *hint_bufs[HMEM_HINT_BUFS];
	struct hmem_out_buf result_bufs[HMEM_RESULT_BUFS];
	/* The result buffer that is being filled, or NULL. */
	struct hmem_out_buf *result_buf;
	/* The batch that is being answered. */
	u64 batch_id;
	/* Some results of the batch could not be sent, so the batch stays unfinished. */
	bool results_lost;
	/* The CPUs' LRU caches have been drained for this batch. */
	bool drained;
	/*
	 * Per tier: pages that left the tier in this batch, less pages that came.  At most
	 * HMEM_CHUNK, so that the driver takes no more of the kernel's reserve if others
	 * have taken what those pages left.
	 */
	long room[VIRTIO_HMEM_MAX_TIERS];
	struct hmem_pace pace;
	/*
	 * The clocks of share.c: when this try of a chunk began, when the last one ended, and
	 * for how many ns the worker is to rest from then on.  Negative: it has rested longer.
	 */
	u64 try_begin;
	u64 try_end;
	s64 rest_ns;
	/* hmem_foreign_moves() and hmem_collapsed() when the driver started. */
	unsigned long foreign_base;
	unsigned long collapsed_base;

	struct hmem_work_area *area;
	struct hmem_scan *scan;		/* NULL without VIRTIO_HMEM_F_ACCESS */
	struct hmem_resize *resize;	/* NULL without VIRTIO_HMEM_F_RESIZE */
	struct hmem_stats stats;
	struct dentry *debugfs;
};

/* batch.c */

/*
 * Run the hints in area->hints[0 .. num) and send results that cover each hinted
 * frame exactly once.  Never fails: a result tells why a page did not move.
 */
void hmem_batch_run(struct hmem *hm, unsigned int num);

/* share.c */

/*
 * A try to move a chunk begins: rest for as long as the last one has left to others, or until
 * the driver is to stop.  The caller holds hm->moving and uses no page.  This function releases
 * the mutex while it sleeps.
 */
void hmem_share_begin(struct hmem *hm);
/* A try has ended. */
void hmem_share_end(struct hmem *hm);

/* result.c */

/*
 * Add a result to the batch that is being answered, and send the buffer when it is
 * full.  The caller holds hm->moving.  This function releases the mutex while it
 * sleeps until the device takes a buffer.
 */
void hmem_result_add(struct hmem *hm, const struct virtio_hmem_result *res);
/* Send hm->result_buf, which must not be NULL.  @last: these are the last results. */
void hmem_result_send(struct hmem *hm, bool last);

/* find.c */

/*
 * Decide what to do with the page at item->pfn.  Sets item->reason to a final reason,
 * or leaves it HMEM_PENDING and sets
 * - item->mm (held) and ->addr to one mapping of an anonymous page, or
 * - item->mm to NULL for a page of the page cache.
 * @try counts from 0; each try looks for an owner behind the one that the last found.
 */
void hmem_find_page(struct hmem *hm, struct hmem_item *item, unsigned int try);

/* folio.c */

/* The references of a folio that only its mappings, caches and the driver use. */
int hmem_expected_refs(struct folio *folio);
/* Copy as many pages as @dst has.  Returns false if memory of @src is broken. */
bool hmem_copy_pages(struct folio *dst, struct page *src);
/*
 * Read a base page while programs can still use it.  So it is in the processor's cache when
 * it is copied, which makes the pause shorter.  Returns HMEM_PENDING, or why the page cannot be
 * read.
 */
u8 hmem_read_ahead(struct page *page);
/*
 * Take a reference on the folio of @page, which comes from pfn_to_online_page().
 * Returns NULL if @page is NULL or the folio is not on an LRU list.
 */
struct folio *hmem_folio_get(struct page *page);
/* The reason why @page is not on an LRU list, now or for good. */
u8 hmem_off_lru_reason(struct page *page);
/*
 * Check without touching @page, a part of @folio, if it can move to node @nid; with @order, if
 * all of @folio can, which must have this order and begin with @page.
 * Returns HMEM_PENDING or the reason why not.  The caller holds a reference on @folio.
 */
u8 hmem_check_page(struct folio *folio, struct page *page, unsigned int order, int nid);
/*
 * The same for a locked folio that is, or was, in the page cache: the lock keeps most of the answer
 * true.
 */
u8 hmem_check_locked_file(struct folio *folio, int nid);
/* The reason why the attempt to move the page, just made, has failed. */
u8 hmem_failure_reason(const struct hmem_item *item);
/*
 * The order of the large folio that begins at @pfn and can move as a whole, or 0.  The answer
 * can be outdated, since no lock is held.
 */
unsigned int hmem_large_order(const struct hmem *hm, unsigned long pfn);
/*
 * Allocate @nr destinations in @tier, never elsewhere.  Returns how many there are; the other
 * entries of @folios are NULL.
 */
unsigned int hmem_alloc_folios(struct hmem *hm, unsigned int tier, unsigned int order,
			       struct folio **folios, unsigned int nr);
/* Record that the page of @item has moved to @new_pfn. */
void hmem_record_move(struct hmem *hm, struct hmem_item *item, unsigned long new_pfn);

/* anon.c */

/*
 * Move the items of area->anon, for which hmem_find_page() found owners, and release the
 * owners.  Empties the list, and sets each item's reason.  Sleeps.
 */
void hmem_move_anon(struct hmem *hm);

/* hide.c */

/* Do pages of @mm move faster in groups?  The answer can change at any time. */
bool hmem_hide_pays(struct mm_struct *mm);
/*
 * Hide items[0 .. nr) from the processors, as far as they can move together.  The items are
 * in one page table of @mm, sorted by address, and each page passed hmem_owner_check() as
 * alone.  Returns the number of items that one call of migrate_vma_setup() may cover, with all
 * addresses between them: at least 1.  A single item is not hidden.  The caller holds the
 * mmap lock, and calls hmem_show() next after migrate_vma_setup().
 */
unsigned int hmem_hide(struct hmem_hidden *hidden, struct mm_struct *mm,
		       struct hmem_item **items, unsigned int nr);
/* Show pages that are still hidden, and unlock those that stay. */
void hmem_show(struct hmem_hidden *hidden);

/* owner.c */

/*
 * Find one place where @page, a part of @folio, may be mapped.  Returns HMEM_PENDING
 * with *@place, whose mm is held by mmgrab(); or the reason why no place is known.  The
 * caller holds a reference on @folio.
 */
u8 hmem_find_owner(struct folio *folio, struct page *page, unsigned int try,
		   struct hmem_place *place);
/*
 * Lock an address space for reading.  The caller holds @mm by mmgrab().  Returns the
 * VMA at @addr; or NULL, without the lock and with *@reason.
 */
struct vm_area_struct *hmem_owner_lock(struct mm_struct *mm, unsigned long addr,
				       u8 *reason);
/*
 * Check that the pages of items[0 .. nr) are still mapped at their addresses in @vma, and may
 * move from there to node @nid.  The items are in one page table, sorted by address; a large
 * folio comes alone.  The caller holds the mmap lock.  Sets each item's reason to HMEM_PENDING
 * or to the reason why not.  If item->alone is set, the answer holds until the mmap lock is
 * released.  Otherwise the caller must call hmem_sharers_lock() and check again.
 */
void hmem_owner_check(struct vm_area_struct *vma, struct hmem_item **items, unsigned int nr,
		      int nid);
/*
 * Lock for reading all address spaces that can have the item's page mapped, if all of
 * them let the page move to node @nid.  Returns HMEM_PENDING; or, with no lock held,
 * the reason why not.  The caller holds a reference on @folio.  The function only tries
 * to take locks, so their order does not matter.
 */
u8 hmem_sharers_lock(struct hmem_sharers *sharers, struct folio *folio,
		     const struct hmem_item *item, int nid);
void hmem_sharers_unlock(struct hmem_sharers *sharers);

/* restrict.c */

/* Is node @nid forbidden for memory of @vma?  The caller holds the mmap lock. */
bool hmem_vma_restricted(struct vm_area_struct *vma, int nid);
/*
 * Check that all processes which map this page, or large folio, of a file let it move to node
 * @nid.  Returns HMEM_PENDING or the reason why not.  The caller has locked @folio.
 */
u8 hmem_file_check(struct folio *folio, int nid);

/* file.c */

/* Move one page of the page cache.  Sets item->reason.  Sleeps. */
void hmem_move_file(struct hmem *hm, struct hmem_item *item, unsigned int try);

/* large.c */

/* Move a large folio of the page cache.  Sets item->reason.  Sleeps. */
void hmem_move_large_file(struct hmem *hm, struct hmem_item *item);

/* access.c */

/* Can this machine scan page tables? */
bool hmem_scan_possible(void);
/*
 * Called by probe if VIRTIO_HMEM_F_ACCESS was negotiated.  The caller calls
 * hmem_scan_free() later, even if this function fails.
 */
int hmem_scan_alloc(struct hmem *hm);
void hmem_scan_free(struct hmem *hm);
/* Post the buffers of the scan queue.  The device is ready. */
void hmem_scan_start(struct hmem *hm);
/* End a running scan at once.  hm->stop is set. */
void hmem_scan_stop(struct hmem *hm);
/*
 * Note that a page of @order has moved from @pfn to @new_pfn.  The flags that move with
 * the page are not new accesses.
 */
void hmem_scan_page_moved(struct hmem *hm, unsigned long pfn, unsigned long new_pfn,
			  unsigned int order);
/* Callback of the scan queue and the access queue. */
void hmem_scan_callback(struct virtqueue *vq);

/* look.c */

/* Largest number of entries in one look.  All are in the same table. */
#define HMEM_LOOK_ENTRIES	PTRS_PER_PMD

struct hmem_look_entry {
	pmd_t *pmdp;
	pmd_t pmd;		/* the entry before the look */
	pmd_t found;		/* the entry at the end of the look */
	u64 bits;		/* bits to clear */
};

/*
 * The worker uses this struct, except from the start of the timer until done is
 * complete: then the timer's interrupt does.
 */
struct hmem_look {
	struct hrtimer timer;
	struct completion done;
	u64 ns;			/* requested length */
	u64 begin;		/* time when the first bits were cleared */
	u64 end;		/* time when the last entry was read */
	u64 waited;		/* ns that the worker has slept in looks of this slice */
	unsigned int nr;
	struct hmem_look_entry entries[HMEM_LOOK_ENTRIES];
};

void hmem_look_init(struct hmem_look *look);
/* Begin a look of @ns, without entries. */
void hmem_look_begin(struct hmem_look *look, u64 ns);
/* Add an entry: *@pmdp, which was read as @pmd.  The caller has locked the table. */
void hmem_look_add(struct hmem_look *look, pmd_t *pmdp, pmd_t pmd, u64 bits);
/*
 * Clear the bits of the first entry, and of as many others as a quarter of look->ns
 * allows.  Sets look->nr to their number.  The caller has locked the table, and must
 * flush the TLBs before it releases the lock.
 */
void hmem_look_clear(struct hmem_look *look);
/* Sleep until the entries have been read.  The caller holds the mmap lock only. */
void hmem_look_wait(struct hmem_look *look);
/* Did the look last so long that a set bit means nothing? */
bool hmem_look_too_long(const struct hmem_look *look);

/* idle.c */

/* Marks of scans for the page tables in the frames of a section. */
struct hmem_idle_tables {
	unsigned long marks[2][BITS_TO_LONGS(PAGES_PER_SECTION)];
};

struct hmem_idle {
	bool off;			/* this scan reads all tables */
	bool odd;			/* the number of this scan is odd */
	bool lru_gen;			/* the multi-generational LRU is in use */
	u64 bits;			/* the bits that the scan reads */
	unsigned long reclaims;		/* a count of the kernel's, when the scan began */
	u64 cleared;			/* bits cleared since the driver started */
};

/* A visit of one table. */
struct hmem_idle_visit {
	struct hmem_idle_tables *tables;
	unsigned long pfn;		/* the table's frame */
	bool confirms;			/* the bit is clear since an earlier scan */
	bool left;			/* something keeps the table from becoming idle */
};

/*
 * A scan for @bits begins.  Returns true if the caller must clear all marks.  @events: room for
 * NR_VM_EVENT_ITEMS.
 */
bool hmem_idle_begin(struct hmem_idle *idle, u64 bits, unsigned long *events);
/* The scan has found @folio used. */
void hmem_idle_found(struct hmem_idle *idle, struct folio *folio);
/*
 * Was the table that @entry points to not used since a scan left nothing in it?  @in_scan: since
 * this scan, otherwise since an earlier one.  @entry can be a pud entry; the bits are the same.
 */
bool hmem_idle_unused(const struct hmem_idle *idle, const struct hmem_idle_tables *tables,
		      pmd_t entry, bool in_scan);
/* The visit of the table that @entry points to begins.  @tables can be NULL. */
void hmem_idle_visit_begin(const struct hmem_idle *idle, struct hmem_idle_visit *visit,
			   struct hmem_idle_tables *tables, pmd_t entry);
/*
 * The visit has ended, and visit->left is false.  *@entryp still points to the table: the caller
 * holds the lock of a table of base pages, and the mmap lock for a table of pmd entries.  If
 * idle->cleared has grown, the caller must flush the TLBs before the next scan.
 */
void hmem_idle_visit_end(struct hmem_idle *idle, const struct hmem_idle_visit *visit,
			 void *entryp);

/* table.c */

/* Can the driver flush TLBs on this machine? */
bool hmem_flush_possible(void);
/*
 * Flush all translations of this CPU, whatever their tag.  Interrupts of on_each_cpu() call
 * this function.  The instruction INVPCID spares the kernel's translations.  Without it,
 * switching global pages off and on flushes these as well.
 */
void hmem_flush_cpu(void *unused);
/*
 * Flush the translations of @mm on all CPUs, and wait for them.  Returns the number of other
 * CPUs that this has interrupted.  Interrupts are on.
 */
unsigned int hmem_flush_mm(struct mm_struct *mm);
/*
 * Add to @cpus the CPUs that must be flushed before the translations of @mm are gone; all
 * others flush them before they run @mm.
 */
void hmem_flush_later(struct mm_struct *mm, struct cpumask *cpus);
/*
 * Flush the TLBs of @cpus, which hmem_flush_later() has collected, and wait for them.  Returns
 * the number of other CPUs that this has interrupted.  Interrupts are on.
 */
unsigned int hmem_flush_now(const struct cpumask *cpus);
/* The pmd entry for @addr, or NULL.  The mmap lock keeps the entry in place. */
pmd_t *hmem_pmd_of(struct mm_struct *mm, unsigned long addr);
/*
 * Lock the table of base pages to which *@pmdp points, and call @visit with the entry of
 * @addr and with @arg.  Returns false if *@pmdp points to no such table.  The caller holds the
 * mmap lock.  @visit must not sleep.
 */
bool hmem_table_visit(struct mm_struct *mm, pmd_t *pmdp, unsigned long addr,
		      void (*visit)(pte_t *ptep, void *arg), void *arg);

/* resize.c */

/*
 * In probe, with VIRTIO_HMEM_F_RESIZE.  The caller must call hmem_resize_free() also after
 * an error.
 */
int hmem_resize_alloc(struct hmem *hm);
void hmem_resize_free(struct hmem *hm);
/* The device is ready: follow the sizes that it requests. */
void hmem_resize_start(struct hmem *hm);
/* Send no more messages.  The caller has set hm->stop. */
void hmem_resize_stop(struct hmem *hm);
/*
 * Give all memory back to the guest's kernel.  The caller has called hmem_resize_stop(), and
 * then reset the device.
 */
void hmem_resize_release(struct hmem *hm);
/* The device's configuration has changed. */
void hmem_resize_changed(struct hmem *hm);
/* A batch has ended: give up the memory that is free now because pages have left a tier. */
void hmem_resize_room(struct hmem *hm);
/* Memory hotplug is about to take @nr pages from @pfn on offline: take them back.  Sleeps. */
void hmem_resize_going_offline(struct hmem *hm, unsigned long pfn, unsigned long nr);
void hmem_resize_callback(struct virtqueue *vq);

/* account.c */

/*
 * Returns the number of free pages of a node.  *@spare: how many of them the driver can
 * allocate without making the kernel reclaim: those above the high watermark of zones.
 */
unsigned long hmem_node_free(int nid, unsigned long *spare);
/*
 * Tell how much memory the tiers have now, and what scans did.  Only the worker calls this
 * function, without hm->moving, because hmem_collapsed() sleeps.
 */
void hmem_account(struct hmem *hm, struct virtio_hmem_account *account);

/* paging.c */

/* Can this kernel count? */
bool hmem_paging_possible(void);
/* Read the counts except @paging->swapped.  @events: room for NR_VM_EVENT_ITEMS.  Sleeps. */
void hmem_paging_read(struct virtio_hmem_paging *paging, unsigned long *events);
/* Set @paging->swapped.  The more processes the guest has, the longer this takes. */
void hmem_paging_count_swapped(struct virtio_hmem_paging *paging);

/* queue.c */

/* The device broke the rules, as @what says: report that, and stop using the device. */
void hmem_device_broken(struct hmem *hm, const char *what);
/* Give the device @size bytes to write to.  Returns an error if the queue is full. */
int hmem_in_post(struct virtqueue *vq, void *buf, size_t size);
/* Take back the buffers that the device has read.  Returns a free one, or NULL. */
struct hmem_out_buf *hmem_out_free(struct virtqueue *vq,
				   struct hmem_out_buf *bufs, unsigned int nr);
/* Give the device @len bytes to read.  Returns an error if the queue is full. */
int hmem_out_post(struct virtqueue *vq, struct hmem_out_buf *buf, size_t len);

/* stats.c */

extern const struct attribute_group hmem_attr_group;
void hmem_stats_add(struct hmem *hm);
void hmem_stats_remove(struct hmem *hm);
void hmem_stats_init(void);
void hmem_stats_exit(void);
/* Count @nr pages that programs could not use for @ns. */
void hmem_stats_pause(struct hmem *hm, enum hmem_kind kind, u64 ns,
		      unsigned int nr);
/* Tell the counts of pages of all kinds. */
void hmem_stats_pauses(struct hmem *hm, struct virtio_hmem_pauses *pauses);
/* Pages that the guest itself has moved between nodes since boot. */
unsigned long hmem_foreign_moves(struct hmem *hm);
/*
 * Huge pages that the kernel has made of base pages since boot.  @events: room for
 * NR_VM_EVENT_ITEMS.  Sleeps.
 */
unsigned long hmem_collapsed(unsigned long *events);

/* Must the driver answer the rest of a batch as stopped? */
static inline bool hmem_stopping(const struct hmem *hm)
{
	return READ_ONCE(hm->stop) || READ_ONCE(hm->going_to_sleep);
}

static inline unsigned int hmem_item_pages(const struct hmem_item *item)
{
	return 1U << item->order;
}

/* The tier of node @nid, or num_tiers if the node is in no tier. */
static inline unsigned int hmem_nid_tier(const struct hmem *hm, int nid)
{
	unsigned int tier;

	for (tier = 0; tier < hm->num_tiers; tier++)
		if (hm->tier_nid[tier] == nid)
			break;
	return tier;
}

#endif /* HMEM_H */
