/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "local_tracker.h"
#include "idle.h"

/* Frames per slice: ten milliseconds of the kernel's time, or a few times that. */
#define SLICE		8192u

enum phase {
	WAITING,	/* waiting for the end of a window */
	BEGINNING,	/* arming all pages for the first window */
	COLLECTING,
	REARMING,
};

struct local_tracker {
	struct work work;
	struct host_trackers *all;
	struct host_tracker_target target;
	const struct host_tracker_ops *ops;
	void *user;
	enum hmem_track how;
	uint32_t window_ms;

	enum phase phase;
	/* A tick came while BEGINNING. */
	bool tick;
	/* The window that is being collected, and its accessed pages so far. */
	uint64_t window, accessed;
	/* Position of the pass: range, and offset in it. */
	uint32_t range;
	uint64_t at;

	struct idle idle;
	struct damon *damon;
};

static uint64_t *rearm_map(const struct local_tracker *t)
{
	return t->target.maps + t->target.map_bytes / sizeof(uint64_t);
}

/* Set bits @from .. @to - 1, quickly, since a region can be large. */
static void set_bits(uint64_t *map, uint64_t from, uint64_t to)
{
	for (uint64_t next; from < to; from = next) {
		next = (from / 64 + 1) * 64;
		if (next > to)
			next = to;
		map[from / 64] |= UINT64_MAX >> (64 - (next - from)) << from % 64;
	}
}

static void begin_pass(struct local_tracker *t, enum phase phase)
{
	t->phase = phase;
	t->range = 0;
	t->at = 0;
	work_add(t->all->queue, &t->work);
}

static void end_pass(struct local_tracker *t)
{
	t->phase = WAITING;
	work_remove(&t->work);
}

/* --- idle --- */

/*
 * Arm the pages of all ranges.  The map has bits for far more frames than the VM has memory, if it
 * leaves room for hotplug, so the other bits must not take memory.
 */
static void begin_arming(struct local_tracker *t)
{
	for (uint32_t i = 0; i < t->target.num_ranges; i++) {
		const struct hmem_link_range *r = &t->target.ranges[i];

		set_bits(rearm_map(t), r->gfn, r->gfn + r->num);
	}
	begin_pass(t, BEGINNING);
}

static int start_idle(struct local_tracker *t, struct hmem_err *err)
{
	int ret = idle_open(&t->idle, &t->all->paths, t->target.pid, t->target.map_bytes, err);

	if (ret < 0)
		return ret;
	begin_arming(t);
	return 0;
}

/* Returns 1 when the pass has ended. */
static int idle_slice(struct local_tracker *t, struct hmem_err *err)
{
	const struct hmem_link_range *r;
	uint64_t num = SLICE, gfn, hva;
	int64_t ret;

	if (t->range == t->target.num_ranges)
		return 1;
	r = &t->target.ranges[t->range];
	gfn = r->gfn + t->at;
	hva = r->hva + t->at * HMEM_LINK_PAGE_SIZE;
	if (num > r->num - t->at)
		num = r->num - t->at;
	if (t->phase == COLLECTING)
		ret = idle_collect(&t->idle, gfn, num, hva, t->target.maps, err);
	else
		ret = idle_rearm(&t->idle, gfn, num, hva, rearm_map(t), err);
	if (ret < 0)
		return ret;
	t->accessed += ret;
	t->at += num;
	if (t->at < r->num)
		return 0;
	/* The first pass arms all present pages, so afterwards this check is meaningful. */
	if (t->phase == BEGINNING && idle_check(&t->idle, err) < 0)
		return -ENOTSUP;
	t->idle.present = t->idle.tracked = 0;
	t->range++;
	t->at = 0;
	return 0;
}

/* --- damon --- */

static int by_start(const void *a, const void *b)
{
	const struct damon_region *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int start_damon(struct local_tracker *t, struct hmem_err *err)
{
	const struct host_tracker_target *at = &t->target;
	struct damon_region *regions = calloc(at->num_ranges + 1, sizeof(*regions));
	uint32_t num = 0;
	int ret;

	if (!regions)
		return hmem_fail(err, ENOMEM, "no memory for its ranges");
	for (uint32_t i = 0; i < at->num_ranges; i++) {
		regions[i].start = at->ranges[i].hva;
		regions[i].end = regions[i].start +
				 at->ranges[i].num * HMEM_LINK_PAGE_SIZE;
	}
	qsort(regions, at->num_ranges, sizeof(*regions), by_start);
	/* Join touching regions; the same memory may be in two ranges. */
	for (uint32_t i = 0; i < at->num_ranges; i++) {
		if (num && regions[i].start <= regions[num - 1].end) {
			if (regions[num - 1].end < regions[i].end)
				regions[num - 1].end = regions[i].end;
		} else {
			regions[num++] = regions[i];
		}
	}
	ret = damon_start(&t->all->damon, t->all->loop, &t->all->paths, at->pid, regions,
			  num, t->window_ms, &t->damon, err);
	free(regions);
	return ret;
}

/*
 * A region tells how many samples found it accessed, but a window's bit is only yes or no.
 * So a region counts as accessed in that many of DAMON_SAMPLES windows, evenly spaced,
 * which makes its heat proportional.
 */
static bool counts(unsigned int accesses, uint64_t window)
{
	if (accesses >= DAMON_SAMPLES)
		return true;
	return window % DAMON_SAMPLES * accesses % DAMON_SAMPLES < accesses;
}

static void spread(const struct damon_region *region, unsigned int accesses,
		   void *opaque)
{
	struct local_tracker *t = opaque;
	const struct host_tracker_target *at = &t->target;

	if (!counts(accesses, t->window))
		return;
	for (uint32_t i = 0; i < at->num_ranges; i++) {
		const struct hmem_link_range *r = &at->ranges[i];
		uint64_t end = r->hva + r->num * HMEM_LINK_PAGE_SIZE;
		uint64_t from = region->start > r->hva ? region->start : r->hva;
		uint64_t to = region->end < end ? region->end : end;

		if (from >= to)
			continue;
		from = (from - r->hva) / HMEM_LINK_PAGE_SIZE;
		to = (to - r->hva + HMEM_LINK_PAGE_SIZE - 1) / HMEM_LINK_PAGE_SIZE;
		set_bits(t->target.maps, r->gfn + from, r->gfn + to);
		t->accessed += to - from;
	}
}

static void finish_collecting(struct local_tracker *t)
{
	t->phase = WAITING;
	t->ops->found(t->user, t->accessed);
}

static void snapshot_done(void *opaque, int res)
{
	struct local_tracker *t = opaque;
	uint64_t begun = work_cpu_ns();
	struct hmem_err err;

	if (t->phase != COLLECTING)
		return;
	if (res < 0)
		hmem_fail(&err, -res, "DAMON has stopped to monitor process %d, which may "
			  "have ended: %s", (int)t->target.pid, strerror(-res));
	else
		res = damon_read(t->damon, spread, t, &err);
	*t->work.cpu_ns += work_cpu_ns() - begun;
	if (res < 0)
		t->ops->failed(t->user, res, err.msg);
	else
		finish_collecting(t);
}

/* --- both --- */

static int can_track(const struct host_tracker_target *target, struct hmem_err *err)
{
	if (target->pid <= 0)
		return hmem_fail(err, ENOTSUP, "the VM's process is not visible from where "
				 "hmemd runs: run it in the host's pid namespace");
	for (uint32_t i = 0; i < target->num_ranges; i++) {
		if (!target->ranges[i].hva)
			return hmem_fail(err, ENOTSUP, "the VM does not tell where in its "
					 "process frame %#" PRIx64 " is",
					 target->ranges[i].gfn);
	}
	return 0;
}

static int start(struct local_tracker *t, struct hmem_err *err)
{
	int ret = can_track(&t->target, err);

	if (ret < 0)
		return ret;
	return t->how == HMEM_TRACK_IDLE ? start_idle(t, err) : start_damon(t, err);
}

static void stop(struct local_tracker *t)
{
	if (t->how == HMEM_TRACK_IDLE)
		idle_close(&t->idle);
	else if (t->damon)
		damon_stop(t->damon);
	t->damon = NULL;
}

static void slice(struct work *work);

int local_tracker_start(struct host_trackers *all, const struct host_tracker_target *target,
			enum hmem_track how, uint32_t window_ms,
			const struct host_tracker_ops *ops, void *user, uint64_t *cpu_ns,
			struct local_tracker **to, struct hmem_err *err)
{
	struct local_tracker *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return hmem_fail(err, ENOMEM, "no memory to track with");
	t->work.slice = slice;
	t->work.cpu_ns = cpu_ns;
	t->all = all;
	t->target = *target;
	t->ops = ops;
	t->user = user;
	t->how = how;
	t->window_ms = window_ms;
	ret = start(t, err);
	if (ret < 0) {
		free(t);
		return ret;
	}
	*to = t;
	return 0;
}

void local_tracker_stop(struct local_tracker *t)
{
	stop(t);
	work_remove(&t->work);
	free(t);
}

void local_tracker_tick(struct local_tracker *t, uint64_t window)
{
	if (t->phase == BEGINNING) {
		t->tick = true;
		return;
	}
	t->window = window;
	t->accessed = 0;
	if (t->how == HMEM_TRACK_IDLE) {
		begin_pass(t, COLLECTING);
	} else {
		t->phase = COLLECTING;
		damon_snapshot(t->damon, snapshot_done, t);
	}
}

void local_tracker_rearm(struct local_tracker *t)
{
	if (t->how == HMEM_TRACK_IDLE)
		begin_pass(t, REARMING);
	else
		t->ops->rearmed(t->user);
}

void local_tracker_ranges(struct local_tracker *t, const struct hmem_link_range *ranges,
			  uint32_t num_ranges)
{
	enum phase phase = t->phase;
	struct hmem_err err;
	int ret;

	t->target.ranges = ranges;
	t->target.num_ranges = num_ranges;
	ret = can_track(&t->target, &err);
	if (ret < 0) {
		t->ops->failed(t->user, ret, err.msg);
	} else if (t->how == HMEM_TRACK_IDLE) {
		/* Keep what was done; new pages count as accessed. */
		if (phase == BEGINNING)
			begin_arming(t);
		else if (phase != WAITING)
			begin_pass(t, phase);
	} else {
		stop(t);
		ret = start_damon(t, &err);
		if (ret < 0)
			t->ops->failed(t->user, ret, err.msg);
		else if (phase == COLLECTING)
			damon_snapshot(t->damon, snapshot_done, t);
	}
}

/* Runs for idle only, because DAMON works in the background. */
static void slice(struct work *work)
{
	struct local_tracker *t = (struct local_tracker *)work;
	enum phase phase = t->phase;
	struct hmem_err err;
	int ret = idle_slice(t, &err);

	if (ret < 0) {
		t->ops->failed(t->user, ret, err.msg);
		return;
	}
	if (!ret)
		return;
	end_pass(t);
	if (phase == COLLECTING) {
		finish_collecting(t);
	} else if (phase == REARMING || t->tick) {
		t->tick = false;
		t->ops->rearmed(t->user);
	}
}
