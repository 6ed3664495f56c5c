/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracker tells which frames were used in the window that has ended.  When a
 * window ends, and how tracking is switched on, is the business of who owns
 * the tracker: the page table only collects.
 */
#ifndef HMEM_TRACKER_H
#define HMEM_TRACKER_H

#include <stdint.h>

struct hmem_tracker;

struct hmem_tracker_ops {
	const char *name;
	/*
	 * Take (read and clear) the samples of frames @gfn .. @gfn + 63, @gfn
	 * being a multiple of 64: bit i of the word stands for @gfn + i.  Only
	 * the bits in @mask are taken; the others stay for a later call.
	 */
	uint64_t (*take)(struct hmem_tracker *t, uint64_t gfn, uint64_t mask);
};

struct hmem_tracker {
	const struct hmem_tracker_ops *ops;
};

/* The link's dirty map: pages written, as the device found them. */
struct hmem_tracker_dirty {
	struct hmem_tracker tracker;
	/* Shared with the device; words change under us, see hmem_link.h. */
	uint64_t *map;
	/* Frames the map has bits for. */
	uint64_t frames;
};

void hmem_tracker_dirty_init(struct hmem_tracker_dirty *d, uint64_t *map,
			     uint64_t map_bytes);

#endif /* HMEM_TRACKER_H */
