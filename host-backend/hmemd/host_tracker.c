/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "host_tracker.h"
#include "remote_tracker.h"
#include "tracker.h"

/* Either @local or @remote is not NULL. */
struct host_tracker {
	struct local_tracker *local;
	struct remote_tracker *remote;
	enum hmem_track how;
	struct hmem_tracker_maps tracker;
	uint64_t *maps, map_bytes;
};

static int start_local(struct host_tracker *t, struct host_trackers *all,
		       const struct host_tracker_target *target, uint32_t window_ms,
		       const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
		       struct hmem_err *err)
{
	struct host_tracker_target with_maps = *target;
	int ret;

	/* The maps take memory only where they have contents. */
	t->maps = mmap(NULL, 2 * target->map_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->maps == MAP_FAILED)
		return hmem_fail(err, ENOMEM, "no memory for its maps");
	with_maps.maps = t->maps;
	ret = local_tracker_start(all, &with_maps, t->how, window_ms, ops, user, cpu_ns,
				  &t->local, err);
	if (ret < 0)
		munmap(t->maps, 2 * target->map_bytes);
	return ret;
}

int host_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
		       enum hmem_track how, uint32_t window_ms,
		       const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
		       struct host_tracker **to, struct hmem_err *err)
{
	struct host_tracker *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return hmem_fail(err, ENOMEM, "no memory to track with");
	t->how = how;
	t->map_bytes = target->map_bytes;
	ret = start_local(t, all, target, window_ms, ops, user, cpu_ns, err);
	if (ret == -EPERM)
		ret = remote_tracker_start(all, target, how, window_ms, ops, user, cpu_ns,
					   &t->remote, &t->maps, err);
	if (ret < 0) {
		free(t);
		return ret;
	}
	hmem_tracker_host_init(&t->tracker, how == HMEM_TRACK_IDLE, t->maps, t->map_bytes);
	*to = t;
	return 0;
}

void host_tracker_stop(struct host_tracker *t)
{
	if (t->local)
		local_tracker_stop(t->local);
	else
		remote_tracker_stop(t->remote);
	munmap(t->maps, 2 * t->map_bytes);
	free(t);
}

enum hmem_track host_tracker_how(const struct host_tracker *t)
{
	return t->how;
}

struct hmem_tracker *host_tracker_maps(struct host_tracker *t)
{
	return &t->tracker.tracker;
}

void host_tracker_tick(struct host_tracker *t, uint64_t window)
{
	if (t->local)
		local_tracker_tick(t->local, window);
	else
		remote_tracker_tick(t->remote, window);
}

void host_tracker_rearm(struct host_tracker *t)
{
	if (t->local)
		local_tracker_rearm(t->local);
	else
		remote_tracker_rearm(t->remote);
}

void host_tracker_ranges(struct host_tracker *t, const struct hmem_link_range *ranges,
			 uint32_t num_ranges)
{
	if (t->local)
		local_tracker_ranges(t->local, ranges, num_ranges);
	else
		remote_tracker_ranges(t->remote, ranges, num_ranges);
}
