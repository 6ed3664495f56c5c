/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contains all differences between the kernels that the driver supports (6.1 and newer).
 * The driver is written for the newest kernel; this header supplies what older ones lack.
 */
#ifndef HMEM_COMPAT_H
#define HMEM_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/version.h>
#include <linux/virtio_config.h>
#include <linux/vmstat.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#include <linux/leafops.h>
#else
#include <linux/swapops.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "virtio_hmem needs Linux 6.1 or newer"
#endif

#if !IS_ENABLED(CONFIG_DEVICE_MIGRATION)
#error "virtio_hmem needs CONFIG_DEVICE_MIGRATION"
#endif

/* Before 6.16, the names of the flags in folio->mapping began with PAGE_. */
#ifndef FOLIO_MAPPING_ANON
#define FOLIO_MAPPING_ANON	PAGE_MAPPING_ANON
#define FOLIO_MAPPING_FLAGS	PAGE_MAPPING_FLAGS
#endif

/*
 * A kernel with MIGRATE_PFN_COMPOUND moves an anonymous large folio as a whole.  An older
 * kernel splits the folio as soon as a part of it moves.
 */
#ifdef MIGRATE_PFN_COMPOUND
#define HMEM_CAN_MOVE_LARGE	true
#else
#define HMEM_CAN_MOVE_LARGE	false
#define MIGRATE_PFN_COMPOUND	0UL
#define MIGRATE_VMA_SELECT_COMPOUND 0
#endif

/*
 * Can a large folio of the page cache be replaced by another one?  Not before 6.8, where
 * replace_page_cache_folio() counted all folios as one page for the memcg; tested since 6.12.
 */
#define HMEM_CAN_REPLACE	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))

/* Take the locked, clean @folio out of the page cache. */
static inline void hmem_remove_page_cache_folio(struct address_space *mapping,
						struct folio *folio)
{
#if HMEM_CAN_REPLACE
	generic_error_remove_folio(mapping, folio);
#endif
}

static inline void hmem_replace_page_cache_folio(struct folio *old, struct folio *new)
{
#if HMEM_CAN_REPLACE
	replace_page_cache_folio(old, new);
#endif
}

/* Copy how often the multi-generational LRU has seen the folio used by system calls. */
static inline void hmem_migrate_refs(struct folio *new, const struct folio *old)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	folio_migrate_refs(new, old);
#endif
}

/* Before 6.12, a large folio had no flag for being partially mapped. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
static inline bool folio_test_partially_mapped(struct folio *folio)
{
	return false;
}
#endif

/* The index of the VMA's first page, in the units of an anonymous folio's index. */
static inline pgoff_t hmem_vma_anon_pgoff(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	return vma_start_anon_pgoff(vma);
#else
	return vma->vm_pgoff;
#endif
}

/* Before 6.11, the names and callbacks of queues were arrays of their own. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
struct virtqueue_info {
	const char *name;
	vq_callback_t *callback;
	bool ctx;
};

/* Supports up to 5 queues. */
static inline int hmem_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
				struct virtqueue *vqs[],
				struct virtqueue_info info[],
				struct irq_affinity *desc)
{
	vq_callback_t *callbacks[5];
	const char *names[5];
	unsigned int i;

	if (WARN_ON(nvqs > ARRAY_SIZE(names)))
		return -EINVAL;
	for (i = 0; i < nvqs; i++) {
		callbacks[i] = info[i].callback;
		names[i] = info[i].name;
	}
	return virtio_find_vqs(vdev, nvqs, vqs, callbacks, names, desc);
}

#define virtio_find_vqs hmem_find_vqs
#endif

/*
 * Before 6.10, folio_mapcount() called what was not exported.  Of a large folio, count all
 * references as mappings: the driver refuses large folios on these kernels anyway.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
static inline int hmem_folio_mapcount(struct folio *folio)
{
	return folio_test_large(folio) ? folio_ref_count(folio) :
					 page_mapcount(&folio->page);
}

#define folio_mapcount hmem_folio_mapcount
#endif

/* Before 6.11, inaccessible memory was one kind of unmovable memory; there is such since 6.7. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static inline bool mapping_inaccessible(struct address_space *mapping)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	return mapping_unmovable(mapping);
#else
	return false;
#endif
}
#endif

/*
 * Have the kernel take the frame, whose memory is broken, out of use.  6.1 does not export the
 * function, and it learns of the frame when a program reads it.
 */
static inline void hmem_memory_failure(unsigned long pfn)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	memory_failure_queue(pfn, 0);
#endif
}

/*
 * Allocate base pages of node @nid until all of @nr entries of @pages are set; those behind the
 * returned number are still NULL.
 */
static inline unsigned int hmem_alloc_pages_bulk(gfp_t gfp, int nid, unsigned int nr,
						 struct page **pages)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	return alloc_pages_bulk_node(gfp, nid, nr, pages);
#else
	return alloc_pages_bulk_array_node(gfp, nid, nr, pages);
#endif
}

/*
 * A clock in ns that stands still while this task waits for a CPU, if the kernel knows for
 * how long tasks wait.
 */
static inline u64 hmem_running_ns(void)
{
#ifdef CONFIG_SCHED_INFO
	return ktime_get_ns() - current->sched_info.run_delay;
#else
	return ktime_get_ns();
#endif
}

/* Does the kernel have PG_young, which records an access whose bit was cleared? */
#define HMEM_HAS_YOUNG		IS_ENABLED(CONFIG_PAGE_IDLE_FLAG)

/* Does the multi-generational LRU keep the folio? */
static inline bool hmem_in_lru_gen(struct folio *folio)
{
#ifdef CONFIG_LRU_GEN
	return folio_lru_gen(folio) >= 0;
#else
	return false;
#endif
}

/*
 * Must the accessed bit stay set?  Without PG_young, the multi-generational LRU has only
 * this bit: nothing else keeps a used page from being reclaimed when its turn comes.
 */
static inline bool hmem_keep_accessed(struct folio *folio)
{
	return !HMEM_HAS_YOUNG && hmem_in_lru_gen(folio);
}

/* Is the page of this entry, which is not present, on its way to another frame? */
static inline bool hmem_is_migrating(pte_t pte)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
	return !pte_none(pte) && softleaf_is_migration(softleaf_from_pte(pte));
#else
	return is_swap_pte(pte) && is_migration_entry(pte_to_swp_entry(pte));
#endif
}

/* Has exit_mmap() or the OOM reaper freed the memory of @mm? */
static inline bool hmem_mm_exited(struct mm_struct *mm)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return mm_flags_test(MMF_OOM_SKIP, mm);
#else
	return test_bit(MMF_OOM_SKIP, &mm->flags);
#endif
}

/*
 * Does the kernel flush TLBs by a broadcast of the processor?  An address space then has
 * the same tag on all CPUs, and a CPU does not check the tag when it returns to it.
 */
static inline bool hmem_tlb_broadcast(void)
{
#ifdef CONFIG_BROADCAST_TLB_FLUSH
	return boot_cpu_has(X86_FEATURE_INVLPGB);
#else
	return false;
#endif
}

/* A monotonic timer with relative times, which fires on the CPU that starts it. */
static inline void hmem_hrtimer_setup(struct hrtimer *timer,
				      enum hrtimer_restart (*function)(struct hrtimer *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
	timer->function = function;
#endif
}

/* Before 6.6, there were no shadow stacks, and there was one dirty bit only. */
#ifndef _PAGE_DIRTY_BITS
#define _PAGE_DIRTY_BITS	_PAGE_DIRTY
#endif
#ifndef VM_SHADOW_STACK
#define VM_SHADOW_STACK		VM_NONE
#endif

/* The number of pages that reclaim demoted.  It was a VM event before 6.8. */
static inline unsigned long hmem_nr_demoted(unsigned long *events)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	return global_node_page_state(PGDEMOTE_KSWAPD) +
	       global_node_page_state(PGDEMOTE_DIRECT);
#else
	return events[PGDEMOTE_KSWAPD] + events[PGDEMOTE_DIRECT];
#endif
}

/*
 * Do the kernel's VM events count the pages that reclaim has scanned?  Later kernels count them by
 * node.  All names are constants of enums, so compare with a neighbour.
 */
#define HMEM_SCANNED_IS_EVENT	(PGSCAN_ANON == PGSCAN_DIRECT_THROTTLE + 1)

/* How often a node has counted @item, also if its CPUs have not yet told. */
static inline unsigned long hmem_node_count(int nid, unsigned int item)
{
	unsigned long sum = atomic_long_read(&NODE_DATA(nid)->vm_stat[item]);
	unsigned int cpu;

	for_each_online_cpu(cpu)
		sum += per_cpu_ptr(NODE_DATA(nid)->per_cpu_nodestats, cpu)->vm_node_stat_diff[item];
	return sum;
}

/* The number of pages that reclaim has scanned. */
static inline unsigned long hmem_nr_scanned(const unsigned long *events)
{
	unsigned long sum = 0;
	int nid;

	if (HMEM_SCANNED_IS_EVENT)
		return events[PGSCAN_ANON] + events[PGSCAN_FILE];
	for_each_node_state(nid, N_MEMORY)
		sum += hmem_node_count(nid, PGSCAN_ANON) + hmem_node_count(nid, PGSCAN_FILE);
	return sum;
}

/*
 * Set and clear the page type that says: this page is offline, and nobody but its owner may
 * touch it.  The page must not be part of a compound page, so that the page is a folio.  6.1 has
 * one bit for each type, and a type is set while its bit is clear.
 */
static inline void hmem_set_offline(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	__folio_set_offline((struct folio *)page);
#else
	page->page_type &= ~PG_offline;
#endif
}

static inline void hmem_clear_offline(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	__folio_clear_offline((struct folio *)page);
#else
	page->page_type |= PG_offline;
#endif
}

#endif /* HMEM_COMPAT_H */
