/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trackers that hmemd reads by itself, from the host's kernel: which pages of
 * the QEMU process's memory were accessed.  The device ends the windows (the
 * link's tracker HOST); nobody tells which pages were written.
 *
 * Looking takes the kernel a while, so it is done a slice at a time, or in the
 * background, and a window ends for the rest of hmemd when that is through.  All
 * the while the device waits for TICK_DONE: a slow tracker gets longer windows.
 */
#ifndef HMEMD_HOST_TRACKER_H
#define HMEMD_HOST_TRACKER_H

#include "damon.h"
#include "hostpath.h"
#include "policy.h"
#include "work.h"

/* The process, and where in it the memory is; the ranges stay its user's. */
struct host_tracker_target {
	pid_t pid;
	const struct hmem_link_range *ranges;
	uint32_t num_ranges;
	/* Of a map with a bit for each frame. */
	uint64_t map_bytes;
};

/* What all host trackers share. */
struct host_trackers {
	struct loop *loop;
	struct work_queue *queue;
	struct host_paths paths;
	struct damon_admin damon;
};

/* To the user of a tracker, which may stop it from within any of these. */
struct host_tracker_ops {
	/* The window that ended: so many pages were accessed, the maps say which. */
	void (*found)(void *user, uint64_t accessed);
	/* All that was to be rearmed is; or it has only now begun to track. */
	void (*rearmed)(void *user);
	/*
	 * Nothing is tracked any more, for the reason given; the user is to stop it.
	 * -EBUSY: another one can be started in a while.
	 */
	void (*failed)(void *user, int error, const char *why);
};

struct host_tracker;

/*
 * Begin to track @target by @how, HMEM_TRACK_IDLE or HMEM_TRACK_DAMON, in windows of
 * @window_ms.  Processor time is added to @cpu_ns, in ns.  -errno, with what is missing
 * in @err; -EBUSY: try again in a while.
 */
int host_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
		       enum hmem_track how, uint32_t window_ms,
		       const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
		       struct host_tracker **to, struct hmem_err *err);

/* Leave the kernel as it was, and free it; no callback comes any more. */
void host_tracker_stop(struct host_tracker *t);

enum hmem_track host_tracker_how(const struct host_tracker *t);
struct hmem_tracker *host_tracker_maps(struct host_tracker *t);

/*
 * Window number @window has ended: see what was accessed in it, then call ops->found().
 * If tracking has not yet begun, call ops->rearmed().
 */
void host_tracker_tick(struct host_tracker *t, uint64_t window);

/* After found(), what is to be rearmed is in the map: do so, then call ops->rearmed(). */
void host_tracker_rearm(struct host_tracker *t);

/* The memory is elsewhere now. */
void host_tracker_ranges(struct host_tracker *t, const struct hmem_link_range *ranges,
			 uint32_t num_ranges);

#endif /* HMEMD_HOST_TRACKER_H */
