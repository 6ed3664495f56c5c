// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells what kind of page a frame holds, and why a page did not move.
 *
 * The host can name any frame, and a frame can change hands at any time.  So every answer
 * here can be outdated.  The code that moves the page checks again under the folio's lock.
 */
#include <linux/cache.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/memory_hotplug.h>
#include <linux/pagemap.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include <asm/asm.h>
#include <asm/trapnr.h>

#include "compat.h"
#include "hmem.h"

/*
 * Takes references only on pages of an LRU list.  The owners of other pages, such as
 * virtio_mem and memory hot-unplug, rely on having the only references.
 */
struct folio *hmem_folio_get(struct page *page)
{
	struct folio *folio;

	if (!page)
		return NULL;
	folio = page_folio(page);
	if (!folio_test_lru(folio) || !folio_try_get(folio))
		return NULL;
	/* Before we held it, the folio may have been freed and reused for another one. */
	if (unlikely(page_folio(page) != folio || !folio_test_lru(folio))) {
		folio_put(folio);
		return NULL;
	}
	return folio;
}

int hmem_expected_refs(struct folio *folio)
{
	int refs = folio_mapcount(folio) + 1;	/* and the driver's */

	if (folio_test_swapcache(folio) ||
	    (!folio_test_anon(folio) && folio->mapping))
		refs += folio_nr_pages(folio) + folio_has_private(folio);
	return refs;
}

/* The driver does not hold the page, so each test may see another page. */
u8 hmem_off_lru_reason(struct page *page)
{
	struct folio *folio = page_folio(page);
	unsigned long mapping = (unsigned long)READ_ONCE(folio->mapping);

	if (PageHWPoison(page))
		return VIRTIO_HMEM_R_POISON;
	if (folio_test_hugetlb(folio))
		return VIRTIO_HMEM_R_HUGETLB;
	/* Newer kernels hold no reference on slabs. */
	if (folio_test_slab(folio))
		return VIRTIO_HMEM_R_KERNEL;
	if (!folio_ref_count(folio))
		return VIRTIO_HMEM_R_FREE;
	if (page_has_type(&folio->page) || PageReserved(page) || !mapping)
		return VIRTIO_HMEM_R_KERNEL;
	switch (mapping & FOLIO_MAPPING_FLAGS) {
	case 0:
		return VIRTIO_HMEM_R_OFF_LRU;
	case FOLIO_MAPPING_ANON:
		return folio_mapped(folio) ? VIRTIO_HMEM_R_OFF_LRU :
					     VIRTIO_HMEM_R_KERNEL;
	default:	/* zsmalloc, balloon: movable pages of the kernel */
		return VIRTIO_HMEM_R_KERNEL;
	}
}

static bool hmem_can_replace(struct folio *folio)
{
	/* Shared memory is always dirty. */
	return HMEM_CAN_REPLACE && !folio_test_swapbacked(folio) &&
	       S_ISREG(folio->mapping->host->i_mode);
}

/* Is the large folio in a state in which another one can replace it? */
static u8 hmem_check_large(struct folio *folio)
{
	if (!hmem_can_replace(folio))
		return VIRTIO_HMEM_R_LARGE;
	if (folio_test_has_hwpoisoned(folio))
		return VIRTIO_HMEM_R_POISON;
	/* Some of the pages were not read. */
	if (!folio_test_uptodate(folio))
		return VIRTIO_HMEM_R_LOCKED;
	if (folio_test_dirty(folio) || folio_test_writeback(folio))
		return VIRTIO_HMEM_R_WRITEBACK;
	return HMEM_PENDING;
}

u8 hmem_check_locked_file(struct folio *folio, int nid)
{
	struct address_space *mapping = folio->mapping;
	u8 reason = HMEM_PENDING;

	if (!mapping)
		return VIRTIO_HMEM_R_UNMAPPED;
	if (folio_test_swapcache(folio))
		return VIRTIO_HMEM_R_WRITEBACK;
	if (mapping_inaccessible(mapping) || mapping->host->i_sb->s_magic == SECRETMEM_MAGIC)
		return VIRTIO_HMEM_R_INACCESSIBLE;
	if (folio_test_large(folio))
		reason = hmem_check_large(folio);
	else if (!mapping->a_ops->migrate_folio && folio_test_dirty(folio))
		reason = VIRTIO_HMEM_R_UNSUPPORTED;
	return reason == HMEM_PENDING ? hmem_file_check(folio, nid) : reason;
}

static u8 hmem_check_file(struct folio *folio, unsigned int order, int nid)
{
	u8 reason;

	if (folio_order(folio) != order)
		return VIRTIO_HMEM_R_LARGE;
	/* The lock keeps the mapping and its inode in place. */
	if (!folio_trylock(folio))
		return VIRTIO_HMEM_R_LOCKED;
	reason = hmem_check_locked_file(folio, nid);
	folio_unlock(folio);
	return reason;
}

u8 hmem_check_page(struct folio *folio, struct page *page, unsigned int order, int nid)
{
	/* The large folio that was to move as a whole may have been split or freed. */
	if (order && (folio_order(folio) != order || &folio->page != page))
		return VIRTIO_HMEM_R_UNMAPPED;
	if (PageHWPoison(page))
		return VIRTIO_HMEM_R_POISON;
	if (folio_test_hugetlb(folio))
		return VIRTIO_HMEM_R_HUGETLB;
	if (!folio_test_lru(folio))
		return hmem_off_lru_reason(page);
	if (folio_test_ksm(folio))
		return VIRTIO_HMEM_R_KSM;
	if (folio_test_writeback(folio))
		return VIRTIO_HMEM_R_WRITEBACK;
	/* Migration would unmap the page, find it pinned, and map it again. */
	if (folio_ref_count(folio) > hmem_expected_refs(folio))
		return VIRTIO_HMEM_R_PINNED;
	if (!folio_test_anon(folio))
		return hmem_check_file(folio, order, nid);
	if (folio_test_large(folio) && !folio_entire_mapcount(folio))
		return VIRTIO_HMEM_R_LARGE;
	return HMEM_PENDING;
}

/*
 * Copy a page.  copy_mc_highpage() survives broken memory only on a processor with fast string
 * instructions for bytes (ERMS), and takes three times as many instructions on others.  Returns the
 * number of the exception that has ended the copy early, or 0.
 */
static __always_inline unsigned long hmem_copy_page(struct page *to, struct page *from)
{
	void *dst = page_address(to), *src = page_address(from);
	unsigned long words = PAGE_SIZE / sizeof(u64), trap = 0;

	asm volatile("1:	rep movsq\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE(1b, 2b, EX_TYPE_FAULT_MCE_SAFE)
		     : "+D" (dst), "+S" (src), "+c" (words), "+a" (trap)
		     : : "memory");
	return trap;
}

/* Not inlined, so that a profile can tell the cost of copying from other costs. */
noinline bool hmem_copy_pages(struct folio *dst, struct page *src)
{
	long i, nr = folio_nr_pages(dst);

	for (i = 0; i < nr; i++) {
		unsigned long trap = hmem_copy_page(folio_page(dst, i), src + i);

		if (trap == X86_TRAP_MC)
			hmem_memory_failure(page_to_pfn(src + i));
		if (trap)
			return false;
		if (nr > 1)
			cond_resched();
	}
	return true;
}

/* Read one cache line, of eight in a turn. */
#define HMEM_TOUCH(line)						\
	"1:	mov " #line "*%c[size](%[at]), %[word]\n"		\
	_ASM_EXTABLE_TYPE(1b, 2f, EX_TYPE_FAULT_MCE_SAFE)

/*
 * The frame may meanwhile hold a page that the kernel does not map, and its memory may be broken.
 * In both cases the read faults, and the exception table lets it end early.  Returns the number of
 * the exception then, or 0.
 */
static unsigned long hmem_touch_page(struct page *page)
{
	void *at = page_address(page), *end = at + PAGE_SIZE;
	unsigned long word, trap = 0;

	asm volatile("3:\n"
		     HMEM_TOUCH(0) HMEM_TOUCH(1) HMEM_TOUCH(2) HMEM_TOUCH(3)
		     HMEM_TOUCH(4) HMEM_TOUCH(5) HMEM_TOUCH(6) HMEM_TOUCH(7)
		     "	add %[eight], %[at]\n"
		     "	cmp %[end], %[at]\n"
		     "	jb 3b\n"
		     "2:\n"
		     : [at] "+r" (at), [word] "=&r" (word), "+a" (trap)
		     : [end] "r" (end), [size] "i" (L1_CACHE_BYTES),
		       [eight] "i" (8 * L1_CACHE_BYTES)
		     : "cc", "memory");
	return trap;
}

u8 hmem_read_ahead(struct page *page)
{
	/* Nobody unplugs the memory, or gives it back to the host, while it is held. */
	struct folio *folio = hmem_folio_get(page);
	unsigned long trap;

	/* The move will find out why. */
	if (!folio)
		return HMEM_PENDING;
	trap = hmem_touch_page(page);
	folio_put(folio);
	if (!trap)
		return HMEM_PENDING;
	if (trap != X86_TRAP_MC)
		return VIRTIO_HMEM_R_UNMAPPED;
	hmem_memory_failure(page_to_pfn(page));
	return VIRTIO_HMEM_R_POISON;
}

u8 hmem_failure_reason(const struct hmem_item *item)
{
	struct page *page = pfn_to_online_page(item->pfn);
	struct folio *folio = hmem_folio_get(page);
	u8 reason;

	if (!folio)
		return page && hmem_off_lru_reason(page) == VIRTIO_HMEM_R_OFF_LRU ?
		       VIRTIO_HMEM_R_OFF_LRU : VIRTIO_HMEM_R_UNMAPPED;
	if (folio_test_writeback(folio))
		reason = VIRTIO_HMEM_R_WRITEBACK;
	else if (folio_test_locked(folio))
		reason = VIRTIO_HMEM_R_LOCKED;
	else if (folio_ref_count(folio) > hmem_expected_refs(folio))
		reason = VIRTIO_HMEM_R_PINNED;
	else if (folio_test_large(folio) && !item->order)
		reason = VIRTIO_HMEM_R_LARGE;
	else
		reason = VIRTIO_HMEM_R_UNMAPPED;
	folio_put(folio);
	return reason;
}

/* A folio that the kernel is about to split moves in pieces. */
static bool hmem_can_move_whole(const struct hmem *hm, struct folio *folio)
{
	if (!folio_test_anon(folio))
		return HMEM_CAN_REPLACE && !folio_test_swapbacked(folio);
	return virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_LARGE) &&
	       folio_order(folio) == HPAGE_PMD_ORDER && folio_entire_mapcount(folio) &&
	       !folio_test_partially_mapped(folio);
}

unsigned int hmem_large_order(const struct hmem *hm, unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio = page && PageHead(page) ? hmem_folio_get(page) : NULL;
	unsigned int order = 0;

	if (!folio)
		return 0;
	/* Since the test of @page, the folio may have become a part of another one. */
	if (folio_pfn(folio) == pfn && folio_order(folio) <= HPAGE_PMD_ORDER &&
	    hmem_can_move_whole(hm, folio))
		order = folio_order(folio);
	folio_put(folio);
	return order;
}

/*
 * Allocate on this node or fail, without reclaim and without a warning.  Reclaim would push out
 * pages that the host wants there.  Only on the slowest tier, from which nothing can be demoted,
 * may kswapd make room for a later try.
 */
static gfp_t hmem_gfp(const struct hmem *hm, unsigned int tier)
{
	gfp_t gfp = (GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | __GFP_NOMEMALLOC |
		    __GFP_NOWARN | __GFP_THISNODE;

	return tier == hm->num_tiers - 1 ? gfp | __GFP_KSWAPD_RECLAIM : gfp;
}

static struct folio *hmem_alloc_folio(struct hmem *hm, unsigned int tier, unsigned int order,
				      long room)
{
	gfp_t gfp = hmem_gfp(hm, tier);
	struct folio *folio = __folio_alloc_node(gfp, order, hm->tier_nid[tier]);

	if (folio || room < 1L << order)
		return folio;
	/*
	 * A page that left this node in the batch made room, but may still be in a CPU's
	 * cache of free pages, which does not count as free memory.  The kernel may also
	 * have raised the watermarks for a while, because a block of pages was put to
	 * another use.  So ignore the watermarks for as many pages as have left.
	 */
	gfp = (gfp & ~__GFP_NOMEMALLOC) | __GFP_MEMALLOC;
	return __folio_alloc_node(gfp, order, hm->tier_nid[tier]);
}

unsigned int hmem_alloc_folios(struct hmem *hm, unsigned int tier, unsigned int order,
			       struct folio **folios, unsigned int nr)
{
	unsigned int got = 0;

	memset(folios, 0, nr * sizeof(*folios));
	/* A folio of order 0 is its page. */
	if (!order && nr > 1)
		got = hmem_alloc_pages_bulk(hmem_gfp(hm, tier), hm->tier_nid[tier], nr,
					    (struct page **)folios);
	for (; got < nr; got++) {
		long room = hm->room[tier] - ((long)got << order);

		folios[got] = hmem_alloc_folio(hm, tier, order, room);
		if (!folios[got])
			break;
	}
	return got;
}

void hmem_record_move(struct hmem *hm, struct hmem_item *item, unsigned long new_pfn)
{
	unsigned int nr = hmem_item_pages(item);

	hm->room[item->tier] -= nr;
	if (item->from_tier < hm->num_tiers)
		hm->room[item->from_tier] =
			min_t(long, hm->room[item->from_tier] + nr, HMEM_CHUNK);
	item->new_pfn = new_pfn;
	hmem_scan_page_moved(hm, item->pfn, new_pfn, item->order);
	item->seq = ++hm->area->nr_moved;
	item->reason = VIRTIO_HMEM_R_MOVED;
	/* Count as migrate_pages() does, because administrators look at these counters. */
	count_vm_events(PGMIGRATE_SUCCESS, nr);
	if (item->order == HPAGE_PMD_ORDER)
		count_vm_events(THP_MIGRATION_SUCCESS, 1);
	if (item->order)
		hm->stats.large_moved++;
	if (item->from_tier > item->tier)
		hm->stats.promoted += nr;
	else
		hm->stats.demoted += nr;
}
