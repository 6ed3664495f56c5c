/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trackers that this process runs itself, which needs privileges.  They ask the host's kernel
 * which pages of the QEMU process's memory were accessed; the kernel does not tell which were
 * written.  The device ends the windows (the link's tracker HOST).
 *
 * A check takes the kernel a while, so it runs in slices or in the background.  The rest
 * of hmemd processes the window's end when the check has ended.  Meanwhile the device waits
 * for TICK_DONE, so a slow tracker gets longer windows.
 */
#ifndef HMEMD_LOCAL_TRACKER_H
#define HMEMD_LOCAL_TRACKER_H

#include "damon.h"
#include "hostpath.h"
#include "policy.h"
#include "work.h"

/* The process and its mapping of guest memory.  The user keeps the ranges. */
struct host_tracker_target {
	pid_t pid;
	/* The VM's connection, as a proof that the process is a VM's; only for others. */
	int connection;
	const struct hmem_link_range *ranges;
	uint32_t num_ranges;
	/* Size of a map with one bit per frame. */
	uint64_t map_bytes;
	/*
	 * Two maps, one after the other, which the user keeps, at first all zero.  The tracker
	 * sets the bits of accessed frames in the first one, and rearms those in the second.
	 */
	uint64_t *maps;
};

/* State that all host trackers share. */
struct host_trackers {
	struct loop *loop;
	struct work_queue *queue;
	struct host_paths paths;
	/* Where hmemd-trackers listens. */
	const char *helper;
	/* It has not answered in time, so hmemd does not wait for it before this time, in ms. */
	uint64_t helper_hangs_until;
	struct damon_admin damon;
};

/* Callbacks to the user of a tracker, who may stop the tracker in each of them. */
struct host_tracker_ops {
	/* A window has ended; the maps say which @accessed pages were accessed in it. */
	void (*found)(void *user, uint64_t accessed);
	/* All pages have been rearmed, or tracking has only just begun. */
	void (*rearmed)(void *user);
	/*
	 * Tracking has ended for the reason given, and the user must stop the tracker.
	 * -EBUSY: the user can start another one later.
	 */
	void (*failed)(void *user, int error, const char *why);
};

struct local_tracker;

/*
 * Begin to track @target by @how (HMEM_TRACK_IDLE or HMEM_TRACK_DAMON) in windows of
 * @window_ms.  The tracker adds its processor time to *@cpu_ns, in ns.  Returns 0; or -errno
 * with the missing requirement in @err.  -EBUSY: try again later.
 */
int local_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
			enum hmem_track how, uint32_t window_ms,
			const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
			struct local_tracker **to, struct hmem_err *err);

/* Restore the kernel's state and free the tracker.  No callback comes any more. */
void local_tracker_stop(struct local_tracker *t);

/*
 * Window number @window has ended.  Find the pages that were accessed in it, then call
 * ops->found().  If tracking has not begun yet, call ops->rearmed().
 */
void local_tracker_tick(struct local_tracker *t, uint64_t window);

/* After found(): rearm the pages in the rearm map, then call ops->rearmed(). */
void local_tracker_rearm(struct local_tracker *t);

/* Guest memory is at other addresses now. */
void local_tracker_ranges(struct local_tracker *t, const struct hmem_link_range *ranges,
			  uint32_t num_ranges);

#endif /* HMEMD_LOCAL_TRACKER_H */
