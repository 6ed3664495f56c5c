/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to the dirty bits of large RAM regions, in parts and by the word.
 */
#ifndef SYSTEM_MEMORY_DIRTY_H
#define SYSTEM_MEMORY_DIRTY_H

/**
 * memory_region_sync_dirty: Bring the dirty bitmaps of a region up to date with
 *                           what accelerators and others have logged.
 *
 * Call this function once before any number of memory_region_take_dirty().  It
 * can drop the BQL.
 *
 * @mr: the memory region, which is RAM.
 */
void memory_region_sync_dirty(MemoryRegion *mr);

/**
 * memory_region_take_dirty: Get a part of the dirty bitmap and clear it.
 *
 * Like memory_region_snapshot_and_clear_dirty(), but for a part of a large
 * region, and returns the bits themselves.  This function does not sync, and
 * does not wait for vCPUs that are about to write to a page whose bit it takes.
 * A caller that reads such a page afterwards must call
 * memory_global_after_dirty_log_sync().
 *
 * @mr: the memory region, which is RAM.
 * @addr: where the part starts, relative to the region; a multiple of
 *        BITS_PER_LONG pages.
 * @size: a multiple of BITS_PER_LONG pages, or up to the region's end.
 * @client: the user of the logging information; typically %DIRTY_MEMORY_VGA.
 * @bits: filled with a bit for each page, in whole longs.
 */
void memory_region_take_dirty(MemoryRegion *mr, uint64_t addr, uint64_t size,
                              unsigned client, unsigned long *bits);

#endif
