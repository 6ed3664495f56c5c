/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracker of the host's kernel that hmemd-trackers runs for this hmemd, which may not; see
 * hmem_trackers.h for what the two say to each other.
 */
#ifndef HMEMD_REMOTE_TRACKER_H
#define HMEMD_REMOTE_TRACKER_H

#include "local_tracker.h"

struct remote_tracker;

/*
 * Like local_tracker_start(); but @target needs its connection instead of maps.  The maps that are
 * shared with hmemd-trackers are put into *@maps; the user unmaps them.  Waits for hmemd-trackers,
 * some seconds at most.  Returns -EBUSY if it ends before it answers or does not answer in time,
 * and -ENOTCONN if it does not listen: it may be started or enabled later.
 */
int remote_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
			 enum hmem_track how, uint32_t window_ms,
			 const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
			 struct remote_tracker **to, uint64_t **maps, struct hmem_err *err);

/* The same as local_tracker_stop() and so on. */
void remote_tracker_stop(struct remote_tracker *t);
void remote_tracker_tick(struct remote_tracker *t, uint64_t window);
void remote_tracker_rearm(struct remote_tracker *t);
void remote_tracker_ranges(struct remote_tracker *t, const struct hmem_link_range *ranges,
			   uint32_t num_ranges);

#endif /* HMEMD_REMOTE_TRACKER_H */
