/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracker tells which frames were used in the last window.  The owner of the tracker
 * switches tracking on and ends windows; the page table only collects.
 */
#ifndef HMEM_TRACKER_H
#define HMEM_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

struct hmem_tracker;

/* One bit for each of 64 frames.  A written frame counts as accessed, too. */
struct hmem_sample {
	uint64_t accessed, written;
};

struct hmem_tracker_ops {
	const char *name;
	/*
	 * Take (read and clear) the samples of frames @gfn .. @gfn + 63, where @gfn is a
	 * multiple of 64: bit i of a word stands for @gfn + i.  Takes only the bits in
	 * @mask; the others stay for a later call.
	 */
	struct hmem_sample (*take)(struct hmem_tracker *t, uint64_t gfn,
				   uint64_t mask);
	/*
	 * Rearms the frames of @bits.  An accessed frame is found in each window until it
	 * is rearmed, like the bits of a page table.  NULL: the tracker finds the accesses
	 * of each window by itself.
	 */
	void (*rearm)(struct hmem_tracker *t, uint64_t gfn, uint64_t bits);
	/* Frames are rearmed a window later, after they have been found again. */
	bool rearms_late;
	/*
	 * A window costs the guest only the frames rearmed in it, however short the
	 * window is: nothing passes over all of memory.
	 */
	bool pay_by_page;
	/* A window that is not a rest also costs a scan of all used memory. */
	bool scans;
	/*
	 * In a window that is not a rest, each written page costs the host a fault, and
	 * the guest has no huge pages: see sample.h.
	 */
	bool faults;
};

/* The kinds of windows that a device offers: see struct hmem_next_window. */
#define HMEM_CAN_REST		(1u << 0)
#define HMEM_CAN_LOOK_LONG	(1u << 1)
#define HMEM_CAN_LOOK_WITHIN	(1u << 2)

struct hmem_tracker {
	const struct hmem_tracker_ops *ops;
};

/* A tracker that reads the maps of the link, see hmem_link.h. */
struct hmem_tracker_maps {
	struct hmem_tracker tracker;
	/*
	 * Unless the tracker is the host's, shared with the device: words change at any time.
	 */
	uint64_t *dirty, *accessed, *rearm;
	/* Number of frames that a map has bits for. */
	uint64_t frames;
};

/* @maps: HMEM_LINK_MAPS maps of @map_bytes each; this tracker reads the first one only. */
void hmem_tracker_dirty_init(struct hmem_tracker_maps *m, uint64_t *maps,
			     uint64_t map_bytes);
void hmem_tracker_sim_init(struct hmem_tracker_maps *m, uint64_t *maps,
			   uint64_t map_bytes);
/* Without VIRTIO_HMEM_F_WRITTEN, the device finds no written pages. */
void hmem_tracker_gpt_init(struct hmem_tracker_maps *m, uint64_t *maps,
			   uint64_t map_bytes);
/*
 * Accessed pages from two maps, accessed and rearm, of @map_bytes each, which a host tracker
 * fills; no written pages.  @rearms: "idle", whose pages stay accessed until they are
 * rearmed; otherwise "damon", which finds the accesses of each window by itself.
 */
void hmem_tracker_host_init(struct hmem_tracker_maps *m, bool rearms, uint64_t *maps,
			    uint64_t map_bytes);

#endif /* HMEM_TRACKER_H */
