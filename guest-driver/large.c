// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moves large folios of the page cache, each as a whole.
 *
 * file.c cannot move them: migrate_device_range() takes each for pinned, because it expects one
 * reference of the page cache, whatever the folio's size (7.3), or refuses large folios (6.12).
 * The file system's own migrate_folio() needs a folio that is on no LRU list, since it takes
 * away the folio's memcg, which tells on which list the folio is; but the kernel exports nothing
 * that isolates a folio.  Nor does it export a way to split one.
 *
 * It exports replace_page_cache_folio(), by which FUSE puts pages that it was given into the
 * page cache.  The new folio takes the place of the old one at once.  The old one keeps its LRU
 * list and memcg until its last reference goes, as a truncated folio does.  As in FUSE, the old
 * folio must be clean, without private data, and not mapped:
 *
 * - It is part of a regular file, for which the following is true, and the driver holds its lock:
 *   so no program can map the folio again, write to it by a system call, truncate it or write it
 *   back.
 * - unmap_mapping_pages() takes the folio out of all page tables; copies that programs have made
 *   of a private mapping stay.  If one of the mappings was written, the folio is dirty then.
 * - filemap_release_folio() lets the file system take back its private data.
 * - After that, references tell of programs or devices that may still write to the memory.  So
 *   there must be none but those of the page cache and of the driver.  From then on, others find
 *   the folio in the page cache or on its LRU list only.  Whoever wants to write waits for the
 *   lock, and then sees that the folio has gone.  Whoever reads has begun before the replacement,
 *   and may get what was there before.  Copying takes long, so the driver looks for references
 *   again when the copy is there.  hmem_replace() tells of those who want to remove the folio.
 *
 * Two things are left to do here, because FUSE's folios have one page: replace_page_cache_folio()
 * moves one reference of the page cache, which has one for each page, and does not count huge
 * pages.
 */
#include <linux/ktime.h>
#include <linux/memory_hotplug.h>
#include <linux/page_idle.h>
#include <linux/pagemap.h>
#include <linux/swap.h>

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/*
 * Does nobody use the locked folio, which is not mapped?  Returns HMEM_PENDING then, or why not.
 * Whoever writes to the memory through a reference marks the folio dirty before he drops the
 * reference, and does not need the lock for it.  So look at the references first.
 */
static u8 hmem_check_unused(struct folio *folio)
{
	if (folio_mapped(folio) || folio_test_mlocked(folio) || folio_has_private(folio) ||
	    folio_ref_count(folio) != hmem_expected_refs(folio))
		return VIRTIO_HMEM_R_PINNED;
	if (folio_test_dirty(folio) || folio_test_writeback(folio))
		return VIRTIO_HMEM_R_WRITEBACK;
	return HMEM_PENDING;
}

/*
 * Unmap the locked @folio, for which hmem_check_locked_file() finds no obstacle.  Returns
 * HMEM_PENDING if it can be replaced now, or why not.
 */
static u8 hmem_unmap(struct folio *folio)
{
	/* While somebody holds a reference, programs would lose their mappings for nothing. */
	if (folio_ref_count(folio) > hmem_expected_refs(folio))
		return VIRTIO_HMEM_R_PINNED;
	if (folio_mapped(folio))
		unmap_mapping_pages(folio->mapping, folio->index, folio_nr_pages(folio), false);
	if (folio_test_dirty(folio))
		return VIRTIO_HMEM_R_WRITEBACK;
	/* Some file systems would wait for their server. */
	if (folio_has_private(folio) && !filemap_release_folio(folio, GFP_NOWAIT))
		return VIRTIO_HMEM_R_LOCKED;
	return hmem_check_unused(folio);
}

/*
 * Give @dst what reclaim knows of @src, as the kernel's migration does, but for the age.  The
 * multi-generational LRU tells the age of a folio only while it takes the folio off its list,
 * which the driver cannot have done.  So there, a folio that the host promotes becomes one of the
 * youngest, because the host has seen it used, and any other folio becomes one of the old ones.
 */
static void hmem_inherit(struct folio *dst, struct folio *src, bool promoted)
{
	if (promoted || folio_test_active(src))
		folio_set_active(dst);
	if (folio_test_referenced(src))
		folio_set_referenced(dst);
	if (folio_test_workingset(src))
		folio_set_workingset(dst);
	hmem_migrate_refs(dst, src);
	if (folio_test_young(src))
		folio_set_young(dst);
	if (folio_test_idle(src))
		folio_set_idle(dst);
	if (folio_test_readahead(src))
		folio_set_readahead(dst);
}

/*
 * Both are locked, and @src is unmapped.  Returns false if @src has gone from the page cache, but
 * @dst could not take its place.
 */
static bool hmem_replace(struct folio *dst, struct folio *src, bool promoted)
{
	struct address_space *mapping = src->mapping;
	long nr = folio_nr_pages(dst);

	folio_mark_uptodate(dst);
	folio_ref_add(dst, nr - 1);
	hmem_replace_page_cache_folio(src, dst);
	folio_ref_sub(src, nr - 1);
	if (folio_test_pmd_mappable(dst)) {
		lruvec_stat_mod_folio(src, NR_FILE_THPS, -nr);
		lruvec_stat_mod_folio(dst, NR_FILE_THPS, nr);
	}
	/*
	 * Somebody may have found the old folio shortly before and wait for its lock, for example
	 * to take it out of the page cache because its data on the disk has changed.  He will see
	 * that the folio has gone.  So take the new one away, too: it is clean.
	 */
	if (folio_ref_count(src) > 1) {
		hmem_remove_page_cache_folio(mapping, dst);
		return false;
	}
	/* Not before: the kernel takes a folio that is freed with PG_active for broken. */
	hmem_inherit(dst, src, promoted);
	folio_add_lru(dst);
	return true;
}

static u8 hmem_replace_locked(struct hmem *hm, const struct hmem_item *item, struct folio *dst,
			      struct folio *src)
{
	bool mapped = folio_mapped(src), promoted = item->from_tier > item->tier;
	u64 ns = ktime_get_ns();
	u8 reason = VIRTIO_HMEM_R_UNMAPPED;

	/*
	 * Since the folio was found, it may have been split, or freed and used anew: for another
	 * file, which other processes map.
	 */
	if (folio_test_anon(src) || folio_order(src) != item->order || folio_pfn(src) != item->pfn)
		return reason;
	reason = hmem_check_locked_file(src, hm->tier_nid[item->tier]);
	if (reason == HMEM_PENDING)
		reason = hmem_unmap(src);
	if (reason == HMEM_PENDING && !hmem_copy_pages(dst, &src->page))
		reason = VIRTIO_HMEM_R_POISON;
	if (reason == HMEM_PENDING)
		reason = hmem_check_unused(src);
	if (reason == HMEM_PENDING) {
		folio_lock(dst);	/* a new folio: the lock is free */
		reason = hmem_replace(dst, src, promoted) ? VIRTIO_HMEM_R_MOVED :
							    VIRTIO_HMEM_R_UNMAPPED;
		folio_unlock(dst);
	}
	ns = ktime_get_ns() - ns;
	/* Reads by a system call wait for nothing. */
	if (mapped)
		hmem_stats_pause(hm, HMEM_KIND_FILE, ns, hmem_item_pages(item));
	trace_hmem_pause(HMEM_KIND_FILE, item->pfn, hmem_item_pages(item),
			 reason == VIRTIO_HMEM_R_MOVED ? hmem_item_pages(item) : 0, ns);
	return reason;
}

void hmem_move_large_file(struct hmem *hm, struct hmem_item *item)
{
	struct folio *src, *dst;
	unsigned long new_pfn;

	if (!hmem_alloc_folios(hm, item->tier, item->order, &dst, 1)) {
		item->reason = VIRTIO_HMEM_R_NO_MEMORY;
		return;
	}
	new_pfn = folio_pfn(dst);
	src = hmem_folio_get(pfn_to_online_page(item->pfn));
	if (!src) {
		item->reason = VIRTIO_HMEM_R_UNMAPPED;
	} else if (!folio_trylock(src)) {
		item->reason = VIRTIO_HMEM_R_LOCKED;
		folio_put(src);
	} else {
		item->reason = hmem_replace_locked(hm, item, dst, src);
		folio_unlock(src);
		folio_put(src);
	}
	folio_put(dst);
	if (item->reason == VIRTIO_HMEM_R_MOVED)
		hmem_record_move(hm, item, new_pfn);
}
