/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trackers of the host's kernel: hmemd runs them itself if it may, see local_tracker.h, and has
 * hmemd-trackers run them otherwise, see remote_tracker.h.
 */
#ifndef HMEMD_HOST_TRACKER_H
#define HMEMD_HOST_TRACKER_H

#include "local_tracker.h"

struct host_tracker;
struct hmem_tracker;

/* Like local_tracker_start(), except that @target needs no maps. */
int host_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
		       enum hmem_track how, uint32_t window_ms,
		       const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
		       struct host_tracker **to, struct hmem_err *err);

/* Restore the kernel's state and free the tracker.  No callback comes any more. */
void host_tracker_stop(struct host_tracker *t);

enum hmem_track host_tracker_how(const struct host_tracker *t);
struct hmem_tracker *host_tracker_maps(struct host_tracker *t);

/* The same as local_tracker_tick() and so on. */
void host_tracker_tick(struct host_tracker *t, uint64_t window);
void host_tracker_rearm(struct host_tracker *t);
void host_tracker_ranges(struct host_tracker *t, const struct hmem_link_range *ranges,
			 uint32_t num_ranges);

#endif /* HMEMD_HOST_TRACKER_H */
