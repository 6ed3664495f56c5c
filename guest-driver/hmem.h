/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_hmem: what the parts of the driver share.
 *
 *   device.c    the virtio device: queues, tiers, life cycle
 *   batch.c     one batch of hints in, its results out
 *   result.c    sends results
 *   find.c      which page is at a frame, and who has it
 *   anon.c      moves anonymous pages, by their owner's address space
 *   file.c      moves page cache and shmem, by page frame
 *   folio.c     what kind of page is it, and why did it not move
 *   owner.c     who has an anonymous page, and what keeps it so
 *   restrict.c  which nodes may a page be on
 *   access.c    which frames are used: reads and clears accessed and dirty bits
 *   look.c      a look at some entries of a page table that lasts a given time
 *   queue.c     buffers of the queues
 *   stats.c     counters in sysfs and debugfs
 *
 * Each calls only those below it.
 */
#ifndef HMEM_H
#define HMEM_H

#include <linux/build_bug.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/huge_mm.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/vm_event_item.h>
#include <linux/workqueue.h>

#include "virtio_hmem.h"

/* Buffers posted on the hint queue; bounds the batches under way. */
#define HMEM_HINT_BUFS		16
/* Hints in one buffer: 8 KiB with the header. */
#define HMEM_HINTS_PER_BUF	511
/* Results in one buffer: just under 8 KiB with the header. */
#define HMEM_RESULT_BUFS	8
#define HMEM_RESULTS_PER_BUF	340
#define HMEM_RESULT_BUF_SIZE						\
	(sizeof(struct virtio_hmem_result_batch) +			\
	 HMEM_RESULTS_PER_BUF * sizeof(struct virtio_hmem_result))

/* Pages that are looked up together; at least one large folio's. */
#define HMEM_CHUNK		512
/* Pages that may be unmapped at the same time; see hmem_range_pages. */
#define HMEM_MAX_RANGE		64
/* Times that a page is tried before the host is told that it is busy. */
#define HMEM_TRIES		4

/*
 * Address spaces that can have a page mapped which moves.  Its reverse mapping leads
 * through all of them twice while nobody can use the page.  On an emulated machine
 * a page that 300 processes had mapped was away for 1 to 8 ms: so that much is the
 * longest pause that is asked of anybody.
 */
#ifdef CONFIG_LOCKDEP
#define HMEM_MAX_SHARERS	32	/* it keeps 48 locks in mind */
#else
#define HMEM_MAX_SHARERS	256
#endif

/* Not decided yet: item->reason while work on it goes on. */
#define HMEM_PENDING		0xff

/* One page to move: a base page, or a large folio as a whole. */
struct hmem_item {
	unsigned long pfn;	/* where it was when hinted */
	unsigned long new_pfn;	/* where it is, once reason says that it moved */
	/*
	 * One place where the page is mapped, for anonymous pages; the mm is
	 * held by mmgrab() from hmem_find_page() until hmem_move_anon() is done.
	 */
	struct mm_struct *mm;
	unsigned long addr;
	u32 seq;		/* n: the n-th of its chunk to move; 0: did not */
	u16 hint;		/* index in the batch */
	u8 order;		/* 0 or HPAGE_PMD_ORDER */
	u8 tier;		/* to this one */
	u8 from_tier;		/* and from that; num_tiers: from no tier */
	u8 reason;		/* VIRTIO_HMEM_R_* or HMEM_PENDING */
};

/* Histogram of access pauses: bucket n counts pages of 2^(n-1) .. 2^n - 1 ns. */
#define HMEM_PAUSE_BUCKETS	32

enum hmem_kind {
	HMEM_KIND_ANON,
	HMEM_KIND_LARGE,
	HMEM_KIND_FILE,
	HMEM_KINDS
};

/* Written by the worker alone, read by anyone at any time. */
struct hmem_stats {
	u64 batches;
	u64 hints;
	u64 promoted;			/* pages of 4 KiB, as the next two */
	u64 demoted;
	u64 reasons[VIRTIO_HMEM_R_MAX];
	u64 large_moved;		/* large folios moved whole */
	u64 scans;
	u64 scan_entries;		/* of page tables, looked at */
	u64 scan_cleared;		/* of these, accessed bits cleared */
	u64 scan_cleaned;		/* ... and dirty bits */
	u64 scan_flushes;		/* page tables with bits cleared, flushed at once */
	u64 scan_ipis;			/* other CPUs interrupted for these */
	u64 scan_looks;			/* at huge pages, for less than a window */
	u64 scan_looks_long;		/* groups of these that lasted too long */
	u64 scan_incomplete;		/* scans that left something out */
	u64 scan_ns;			/* spent on walking and flushing */
	u64 scan_skipped;		/* address spaces that stayed locked */
	u64 foreign_moves;		/* as reported last, in pages */
	u64 pause[HMEM_KINDS][HMEM_PAUSE_BUCKETS];
};

/* Address spaces whose mmap lock is held for reading, and their mm by mmgrab(). */
struct hmem_sharers {
	unsigned int nr;
	struct mm_struct *mms[HMEM_MAX_SHARERS];
};

/* What the worker needs while it moves one chunk; too large for the stack. */
struct hmem_work_area {
	/* The batch, out of the device's reach. */
	struct virtio_hmem_hint hints[HMEM_HINTS_PER_BUF];
	struct hmem_item items[HMEM_CHUNK];
	struct hmem_item *order[HMEM_CHUNK];	/* items, sorted as needed */
	unsigned int nr_items;
	u32 nr_moved;				/* of the chunk */
	unsigned long src[HMEM_CHUNK];		/* for migrate_vma_*() */
	unsigned long dst[HMEM_CHUNK];
	struct folio *folios[HMEM_MAX_RANGE];	/* destinations */
	struct hmem_sharers sharers;
	unsigned long events[NR_VM_EVENT_ITEMS];
};

/* A buffer that the device reads. */
struct hmem_out_buf {
	bool busy;		/* with the device */
	void *data;
};

/*
 * A device.  Everything is set up in probe and freed in remove.  The worker is
 * the only one to touch queues, buffers, tiers and the work area; it runs from
 * the time the device is ready until stop is set and cancel_work_sync() returns.
 * It has three works, hints, scans and tiers, which take turns.
 */
struct hmem {
	struct virtio_device *vdev;
	/* Valid while running. */
	struct virtqueue *vqs[VIRTIO_HMEM_VQ_MAX];

	unsigned int num_tiers;
	/* Node of each tier; NUMA_NO_NODE: the guest has none with memory. */
	int tier_nid[VIRTIO_HMEM_MAX_TIERS];

	struct workqueue_struct *wq;
	struct work_struct hints_work;
	struct work_struct tiers_work;
	/*
	 * Held by the worker while it looks for pages and moves them, but not
	 * while it answers, so that memory that went offline can be waited out.
	 * Taken in the memory notifier, inside of the kernel's locks for CPU and
	 * memory hotplug.
	 */
	struct mutex moving;
	/*
	 * The device has its queues and works.  Not so from a freeze to the
	 * restore, and after a restore that failed.  Written in probe, remove,
	 * freeze and restore, which exclude each other.
	 */
	bool running;
	/* Asks the worker to finish soon, answering what is left as stopped. */
	bool stop;
	/*
	 * The system is going to sleep: batches are answered as stopped, so that
	 * the worker can be frozen soon.
	 */
	bool going_to_sleep;
	struct notifier_block pm_notifier;
	struct notifier_block memory_notifier;
	/* The result queue's callback wakes the worker here. */
	wait_queue_head_t result_wait;

	void *hint_bufs[HMEM_HINT_BUFS];
	struct hmem_out_buf result_bufs[HMEM_RESULT_BUFS];
	/* The one being filled, or NULL, and the batch that it belongs to. */
	struct hmem_out_buf *result_buf;
	u64 batch_id;
	/* Some of its results could not be sent: it cannot be finished. */
	bool results_lost;
	/* The CPUs' LRU caches were drained for this batch. */
	bool drained;
	/* Pages that have left each tier in this batch, less those that came. */
	long room[VIRTIO_HMEM_MAX_TIERS];
	/* Sum of the guest's own moves when the driver started. */
	unsigned long foreign_base;

	struct hmem_work_area *area;
	struct hmem_scan *scan;		/* NULL without VIRTIO_HMEM_F_ACCESS */
	struct hmem_stats stats;
	struct dentry *debugfs;
};

/* batch.c */

/*
 * Do what area->hints[0 .. num) ask for and answer with results that cover each
 * hinted frame exactly once.  Never fails: what cannot be done is answered so.
 */
void hmem_batch_run(struct hmem *hm, unsigned int num);

/* result.c */

/*
 * Add a result to the batch that is being answered, sending a buffer when it
 * is full.  Sleeps until the device takes one, with hm->moving released, which the
 * caller holds.
 */
void hmem_result_add(struct hmem *hm, const struct virtio_hmem_result *res);
/* Send the buffer that is being filled, which there must be; @last: it is all. */
void hmem_result_send(struct hmem *hm, bool last);

/* find.c */

/*
 * Decide what to do with the page at item->pfn.  Either sets a final reason,
 * or leaves it pending: with item->mm and ->addr where one anonymous mapping
 * of it is (the mm held), or without an mm, for the page cache.  @try counts
 * from 0 and makes the search for an owner go on where it stopped before.
 */
void hmem_find_page(struct hmem *hm, struct hmem_item *item, unsigned int try);

/* folio.c */

/* Copy as many pages as @dst has; false if some memory in @src is broken. */
bool hmem_copy_pages(struct folio *dst, struct page *src);
/*
 * Copy a base page while it can still be used.  That is done once more when it
 * cannot, but then both pages are in the cache.  Returns a reason if it turns out
 * that the page cannot move, or HMEM_PENDING.
 */
u8 hmem_copy_ahead(struct hmem *hm, const struct hmem_item *item, struct folio *dst);
/*
 * A reference on the folio that @page, which pfn_to_online_page() gave, is part of;
 * NULL if the folio is not on an LRU list, or @page is NULL.
 */
struct folio *hmem_folio_get(struct page *page);
/*
 * Why the page is not on an LRU list: a reason.  It is on its way there, or never will
 * be.
 */
u8 hmem_off_lru_reason(struct page *page);
/*
 * Can it be moved to node @nid, as far as can be seen without touching it?  A reason
 * why not, or HMEM_PENDING.  The caller holds a reference on @folio, which @page is
 * part of.
 */
u8 hmem_check_page(struct folio *folio, struct page *page, int nid);
/* Why an attempt to move the page, just made, has failed: a reason. */
u8 hmem_failure_reason(const struct hmem_item *item);
/* The folio's head is here, it is anonymous and PMD-sized; a guess, unlocked. */
bool hmem_is_large_folio(unsigned long pfn);
/* A destination page: in that tier or none. */
struct folio *hmem_alloc_folio(struct hmem *hm, unsigned int tier, unsigned int order);
/* Record that the page is at @new_pfn now. */
void hmem_record_move(struct hmem *hm, struct hmem_item *item, unsigned long new_pfn,
		enum hmem_kind kind);

/* anon.c */

/*
 * Move all items in area->order[0 .. nr), which hmem_find_page() has found owners
 * for, and drop these.  Each item that moved has its reason set; the others
 * say why not.  Sleeps.
 */
void hmem_move_anon(struct hmem *hm, unsigned int nr);

/* owner.c */

/*
 * Where a page may be mapped: mm (held by mmgrab()) and addr, or a reason why not
 * known.  The caller holds a reference on @folio.
 */
u8 hmem_find_owner(struct folio *folio, struct page *page, unsigned int try,
		   struct mm_struct **mm, unsigned long *addr);
/*
 * Lock an address space, held by mmgrab(), for reading.  Returns the VMA at @addr,
 * or NULL, with a reason and without the lock.
 */
struct vm_area_struct *hmem_owner_lock(struct mm_struct *mm, unsigned long addr,
				       u8 *reason);
/*
 * Is the page still mapped at item->addr in @vma, and may it be taken from there, to
 * node @nid?  A reason why not, or HMEM_PENDING.  With *@alone that stays so until
 * the mmap lock, which is held, is released; else hmem_sharers_lock() is needed, and
 * another check.
 */
u8 hmem_owner_check(struct vm_area_struct *vma, const struct hmem_item *item,
		    int nid, bool *alone);
/*
 * Lock all address spaces that can have the page mapped, for reading, if all of them
 * let it move to node @nid.  A reason why not, without any lock, or HMEM_PENDING.
 * The caller holds a reference on @folio.  Only tries, so that the order of locks
 * does not matter.
 */
u8 hmem_sharers_lock(struct hmem_sharers *sharers, struct folio *folio,
		     const struct hmem_item *item, int nid);
void hmem_sharers_unlock(struct hmem_sharers *sharers);

/* restrict.c */

/* Must memory of this VMA, whose mmap lock is held, not be on node @nid? */
bool hmem_vma_restricted(struct vm_area_struct *vma, int nid);
/*
 * May this page of a file be moved to node @nid, for all that have it mapped?  A
 * reason why not, or HMEM_PENDING.  The folio is locked.
 */
u8 hmem_file_check(struct folio *folio, int nid);

/* file.c */

/* Move one page of the page cache.  Sets item->reason.  Sleeps. */
void hmem_move_file(struct hmem *hm, struct hmem_item *item, unsigned int try);

/* access.c */

/* Can this machine do it? */
bool hmem_scan_possible(void);
/*
 * In probe, with VIRTIO_HMEM_F_ACCESS.  If it fails, hmem_scan_free() is to be
 * called all the same.
 */
int hmem_scan_alloc(struct hmem *hm);
void hmem_scan_free(struct hmem *hm);
/* The device is ready: post the buffers. */
void hmem_scan_start(struct hmem *hm);
/* End the scan that is under way, if any, at once.  hm->stop is set. */
void hmem_scan_stop(struct hmem *hm);
/*
 * A page of @order that was at @pfn is at @new_pfn now.  It has the flags that it had,
 * which is no access.
 */
void hmem_scan_page_moved(struct hmem *hm, unsigned long pfn, unsigned long new_pfn,
		     unsigned int order);
/* Of both queues. */
void hmem_scan_callback(struct virtqueue *vq);

/* look.c */

/* Entries that are looked at together: of one table at most. */
#define HMEM_LOOK_ENTRIES	PTRS_PER_PMD

struct hmem_look_entry {
	pmd_t *pmdp;
	pmd_t pmd;		/* what was there before */
	pmd_t found;		/* and at the end of the look */
	u64 bits;		/* to be cleared */
};

/* Used by the worker, and by the timer's interrupt from its start until done. */
struct hmem_look {
	struct hrtimer timer;
	struct completion done;
	u64 ns;			/* how long it is to last */
	u64 begin;		/* when the first bits were cleared */
	u64 end;		/* when the last entry was read */
	u64 waited;		/* ns that the worker has slept, in all looks */
	unsigned int nr;
	struct hmem_look_entry entries[HMEM_LOOK_ENTRIES];
};

void hmem_look_init(struct hmem_look *look);
/* A look of @ns begins, at no entry yet. */
void hmem_look_begin(struct hmem_look *look, u64 ns);
/* Have @bits of *@pmdp, which was @pmd, cleared.  The table is locked. */
void hmem_look_add(struct hmem_look *look, pmd_t *pmdp, pmd_t pmd, u64 bits);
/*
 * Clear the bits: of as many entries as can be done in a fourth of the time that the
 * look is to last, at least one; look->nr says how many.  The table is still locked,
 * and the TLBs are to be flushed before its lock is released.
 */
void hmem_look_clear(struct hmem_look *look);
/* Sleep until the entries have been read.  No lock but the mmap lock is held. */
void hmem_look_wait(struct hmem_look *look);
/* It took so much longer than asked for that a bit that was found says nothing. */
bool hmem_look_too_long(const struct hmem_look *look);

/* queue.c */

/* The device broke the rules, as @what says: leave it alone from now on. */
void hmem_device_broken(struct hmem *hm, const char *what);
/* Give the device @size bytes to write to; an error if the queue is full. */
int hmem_in_post(struct virtqueue *vq, void *buf, size_t size);
/* Take back what the device has read.  One of @bufs that is free, or NULL. */
struct hmem_out_buf *hmem_out_free(struct virtqueue *vq,
				   struct hmem_out_buf *bufs, unsigned int nr);
/* Give the device @len bytes to read; an error if the queue is full. */
int hmem_out_post(struct virtqueue *vq, struct hmem_out_buf *buf, size_t len);

/* stats.c */

extern const struct attribute_group hmem_attr_group;
void hmem_stats_add(struct hmem *hm);
void hmem_stats_remove(struct hmem *hm);
void hmem_stats_init(void);
void hmem_stats_exit(void);
/* Count @nr pages that nobody could use for @ns. */
void hmem_stats_pause(struct hmem *hm, enum hmem_kind kind, u64 ns,
		      unsigned int nr);
/* Pages that the guest itself has moved between nodes since boot. */
unsigned long hmem_foreign_moves(struct hmem *hm);

/* Is what is left of a batch to be answered as stopped? */
static inline bool hmem_stopping(const struct hmem *hm)
{
	return READ_ONCE(hm->stop) || READ_ONCE(hm->going_to_sleep);
}

static inline unsigned int hmem_item_pages(const struct hmem_item *item)
{
	return 1U << item->order;
}

/* The tier of a node, or num_tiers if it is in none. */
static inline unsigned int hmem_nid_tier(const struct hmem *hm, int nid)
{
	unsigned int tier;

	for (tier = 0; tier < hm->num_tiers; tier++)
		if (hm->tier_nid[tier] == nid)
			break;
	return tier;
}

#endif /* HMEM_H */
