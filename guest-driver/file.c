// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moves page cache and shmem, by page frame, one base page at a time.
 *
 * migrate_device_range() isolates, locks and unmaps the page, and
 * migrate_device_finalize() maps the page and frees the old one.  In between, the file
 * system's own migrate_folio() moves the page.  The kernel's migrate_device_pages() is
 * for pages without a file: it would drop private data, and leave the mapping of the
 * old page set.
 *
 * migrate_device_range() takes its own reference and lock, so this file must drop its
 * own before, and for an instant nothing holds the page.  If in that instant the page is
 * freed and becomes an anonymous page, the driver puts that page back at once.  This is
 * unsafe only if the last owner of the anonymous page exits during the call.  Ruling
 * that out would need folio_isolate_lru(), which is not exported.
 */
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/pagemap.h>

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/*
 * Does what migrate_pages() does for a file system without a migrate_folio(), such as
 * squashfs and iso9660.  If the page is clean, and its private data (if any) can be
 * released, only the page itself needs to move.
 */
static int hmem_migrate_clean(struct address_space *mapping, struct folio *dst,
			      struct folio *folio, enum migrate_mode mode)
{
	if (folio_test_dirty(folio))
		return -EOPNOTSUPP;
	/*
	 * Before Linux 6.6, filemap_release_folio() expects private data.  Some file systems would
	 * wait for their server.
	 */
	if (folio_has_private(folio) && !filemap_release_folio(folio, GFP_NOWAIT))
		return -EBUSY;
	return migrate_folio(mapping, dst, folio, mode);
}

/* @folio is locked, unmapped and isolated. */
static u8 hmem_migrate_locked(struct folio *dst, struct folio *folio,
			      enum migrate_mode mode)
{
	struct address_space *mapping = folio->mapping;
	int rc;

	/*
	 * hmem_check_page() checked all this, but then dropped the lock.  By now the
	 * frame may even hold an anonymous page: that goes straight back.
	 */
	if (folio_test_anon(folio) || !mapping)
		return VIRTIO_HMEM_R_UNMAPPED;
	if (folio_test_writeback(folio) || folio_test_swapcache(folio))
		return VIRTIO_HMEM_R_WRITEBACK;
	if (mapping_inaccessible(mapping))
		return VIRTIO_HMEM_R_INACCESSIBLE;
	if (mapping->a_ops->migrate_folio)
		rc = mapping->a_ops->migrate_folio(mapping, dst, folio, mode);
	else
		rc = hmem_migrate_clean(mapping, dst, folio, mode);
	switch (rc) {
	case 0:
		/* The kernel frees a page only if its mapping is clear. */
		folio->mapping = NULL;
		return VIRTIO_HMEM_R_MOVED;
	case -EAGAIN:
		return VIRTIO_HMEM_R_PINNED;
	case -EBUSY:
		return VIRTIO_HMEM_R_LOCKED;
	case -EHWPOISON:
		return VIRTIO_HMEM_R_POISON;
	default:
		return VIRTIO_HMEM_R_UNSUPPORTED;
	}
}

void hmem_move_file(struct hmem *hm, struct hmem_item *item, unsigned int try)
{
	/* Wait for the page's buffers only after an attempt without waiting failed. */
	enum migrate_mode mode = try ? MIGRATE_SYNC_LIGHT : MIGRATE_ASYNC;
	unsigned long src_pfn = 0, dst_pfn = 0, new_pfn;
	struct folio *folio, *dst;
	u64 ns;

	if (!hmem_alloc_folios(hm, item->tier, 0, &dst, 1)) {
		item->reason = VIRTIO_HMEM_R_NO_MEMORY;
		return;
	}
	new_pfn = folio_pfn(dst);
	item->reason = hmem_read_ahead(item->page);
	if (item->reason != HMEM_PENDING) {
		folio_put(dst);
		return;
	}

	ns = ktime_get_ns();
	migrate_device_range(&src_pfn, item->pfn, 1);
	if (!(src_pfn & MIGRATE_PFN_MIGRATE)) {
		item->reason = hmem_failure_reason(item);
		folio_put(dst);
		return;
	}
	folio = page_folio(migrate_pfn_to_page(src_pfn));
	folio_lock(dst);	/* a new folio: the lock is free */
	item->reason = hmem_migrate_locked(dst, folio, mode);
	/* Finalize keeps the new page if MIGRATE_PFN_MIGRATE is set, else the old. */
	dst_pfn = migrate_pfn(new_pfn);
	if (item->reason != VIRTIO_HMEM_R_MOVED)
		src_pfn &= ~MIGRATE_PFN_MIGRATE;
	migrate_device_finalize(&src_pfn, &dst_pfn, 1);
	ns = ktime_get_ns() - ns;

	hmem_stats_pause(hm, HMEM_KIND_FILE, ns, 1);
	if (item->reason == VIRTIO_HMEM_R_MOVED)
		hmem_record_move(hm, item, new_pfn);
	trace_hmem_pause(HMEM_KIND_FILE, item->pfn, 1,
			 item->reason == VIRTIO_HMEM_R_MOVED, ns);
}
