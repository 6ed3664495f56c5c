/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracker tells which frames were used in the window that has ended.  When a
 * window ends, and how tracking is switched on, is the business of who owns
 * the tracker: the page table only collects.
 */
#ifndef HMEM_TRACKER_H
#define HMEM_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

struct hmem_tracker;

/* Of 64 frames, a bit each.  What was written was accessed, too. */
struct hmem_sample {
	uint64_t accessed, written;
};

struct hmem_tracker_ops {
	const char *name;
	/*
	 * Take (read and clear) the samples of frames @gfn .. @gfn + 63, @gfn
	 * being a multiple of 64: bit i of a word stands for @gfn + i.  Only
	 * the bits in @mask are taken; the others stay for a later call.
	 */
	struct hmem_sample (*take)(struct hmem_tracker *t, uint64_t gfn,
				   uint64_t mask);
	/*
	 * NULL: each window is found by itself.  Otherwise a frame that was
	 * accessed is found so in every window until it is rearmed, as with
	 * the bits of a page table, and this rearms the frames of @bits.
	 */
	void (*rearm)(struct hmem_tracker *t, uint64_t gfn, uint64_t bits);
	/* They are rearmed a window later, after they have been found again. */
	bool rearms_late;
	/*
	 * A window costs the guest what is rearmed in it, and no more, however
	 * short it is: nobody goes through all of memory for it.
	 */
	bool pay_by_page;
	/* A window that is no rest costs a scan of all that is used, besides. */
	bool scans;
	/*
	 * In a window that is no rest each page that is written costs the host a
	 * fault, and the guest has no huge pages there: see sample.h.
	 */
	bool faults;
};

struct hmem_tracker {
	const struct hmem_tracker_ops *ops;
};

/* Over the maps of the link, see hmem_link.h. */
struct hmem_tracker_maps {
	struct hmem_tracker tracker;
	/* Shared with the device, unless it is the host's; words change under us. */
	uint64_t *dirty, *accessed, *rearm;
	/* Frames that a map has bits for. */
	uint64_t frames;
};

/* @maps: HMEM_LINK_MAPS of @map_bytes each; this one only looks at the first. */
void hmem_tracker_dirty_init(struct hmem_tracker_maps *m, uint64_t *maps,
			     uint64_t map_bytes);
void hmem_tracker_sim_init(struct hmem_tracker_maps *m, uint64_t *maps,
			   uint64_t map_bytes);
/* Without VIRTIO_HMEM_F_WRITTEN the device finds no written pages. */
void hmem_tracker_gpt_init(struct hmem_tracker_maps *m, uint64_t *maps,
			   uint64_t map_bytes);
/*
 * Accessed pages from two maps of @map_bytes each, accessed and rearm, of whoever
 * looks at the host; no written ones.  @rearms: "idle", whose pages stay accessed
 * until they are rearmed; else "damon", with each window by itself.
 */
void hmem_tracker_host_init(struct hmem_tracker_maps *m, bool rearms, uint64_t *maps,
			    uint64_t map_bytes);

#endif /* HMEM_TRACKER_H */
