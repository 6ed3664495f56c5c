/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "damon.h"
#include "idle.h"
#include "vm.h"
#include "watch.h"

/* Frames in a slice: ten milliseconds of the kernel's time, or a few times that. */
#define SLICE		8192u

enum phase {
	WAITING,	/* for a window to end */
	BEGINNING,	/* all pages are being armed for the first window */
	COLLECTING,
	REARMING,
};

struct watch {
	struct vm *vm;
	enum hmem_track how;
	uint32_t window_ms;
	struct hmem_tracker_maps tracker;
	/* accessed and rearm, of our own. */
	uint64_t *maps;
	uint64_t map_bytes;

	enum phase phase;
	/* One came while BEGINNING. */
	bool tick;
	/* What was accessed in this window. */
	uint64_t accessed;
	/* The pass over the VM's ranges: which, and where in it. */
	uint32_t range;
	uint64_t at;

	struct idle idle;
	struct damon *damon;
};

static void begin_pass(struct watch *w, enum phase phase)
{
	w->phase = phase;
	w->range = 0;
	w->at = 0;
	hmemd_work(w->vm->d);
}

/* --- idle --- */

static int start_idle(struct watch *w, struct hmem_err *err)
{
	int ret = idle_open(&w->idle, &w->vm->d->host, w->vm->conn.pid, w->map_bytes, err);

	if (ret < 0)
		return ret;
	/* Bits that stand for no memory are never looked at. */
	memset(w->tracker.rearm, 0xff, w->map_bytes);
	begin_pass(w, BEGINNING);
	return 0;
}

/* 1: the pass is through. */
static int idle_slice(struct watch *w, struct hmem_err *err)
{
	const struct hmem_link_range *r;
	uint64_t num = SLICE, gfn, hva;
	int64_t ret;

	if (w->range == w->vm->num_ranges)
		return 1;
	r = &w->vm->ranges[w->range];
	gfn = r->gfn + w->at;
	hva = r->hva + w->at * HMEM_LINK_PAGE_SIZE;
	if (num > r->num - w->at)
		num = r->num - w->at;
	if (w->phase == COLLECTING)
		ret = idle_collect(&w->idle, gfn, num, hva, w->tracker.accessed, err);
	else
		ret = idle_rearm(&w->idle, gfn, num, hva, w->tracker.rearm, err);
	if (ret < 0)
		return ret;
	w->accessed += ret;
	w->at += num;
	if (w->at < r->num)
		return 0;
	/* At first, all that is there is to be armed, so that this tells. */
	if (w->phase == BEGINNING && idle_check(&w->idle, err) < 0)
		return -ENOTSUP;
	w->idle.present = w->idle.tracked = 0;
	w->range++;
	w->at = 0;
	return 0;
}

/* --- damon --- */

static int by_start(const void *a, const void *b)
{
	const struct damon_region *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int start_damon(struct watch *w, struct hmem_err *err)
{
	struct vm *vm = w->vm;
	struct damon_region *regions = calloc(vm->num_ranges + 1, sizeof(*regions));
	uint32_t num = 0;
	int ret;

	if (!regions)
		return hmem_fail(err, ENOMEM, "no memory for its ranges");
	for (uint32_t i = 0; i < vm->num_ranges; i++) {
		regions[i].start = vm->ranges[i].hva;
		regions[i].end = regions[i].start +
				 vm->ranges[i].num * HMEM_LINK_PAGE_SIZE;
	}
	qsort(regions, vm->num_ranges, sizeof(*regions), by_start);
	/* Those that touch are one; the same memory may be there twice. */
	for (uint32_t i = 0; i < vm->num_ranges; i++) {
		if (num && regions[i].start <= regions[num - 1].end) {
			if (regions[num - 1].end < regions[i].end)
				regions[num - 1].end = regions[i].end;
		} else {
			regions[num++] = regions[i];
		}
	}
	ret = damon_start(&vm->d->damon, &vm->d->loop, &vm->d->host, vm->conn.pid,
			  regions, num, w->window_ms, &w->damon, err);
	free(regions);
	return ret;
}

/*
 * A region tells how many samples found it accessed, a window's bits only yes
 * or no: it counts as accessed in as many windows out of DAMON_SAMPLES, evenly
 * spaced, so that temperatures come out in proportion.
 */
static bool counts(unsigned int accesses, uint64_t window)
{
	if (accesses >= DAMON_SAMPLES)
		return true;
	return window % DAMON_SAMPLES * accesses % DAMON_SAMPLES < accesses;
}

/* Bits @from .. @to - 1: a region can be large. */
static void set_bits(uint64_t *map, uint64_t from, uint64_t to)
{
	for (uint64_t next; from < to; from = next) {
		next = (from / 64 + 1) * 64;
		if (next > to)
			next = to;
		map[from / 64] |= UINT64_MAX >> (64 - (next - from)) << from % 64;
	}
}

static void spread(const struct damon_region *region, unsigned int accesses,
		   void *opaque)
{
	struct watch *w = opaque;
	struct vm *vm = w->vm;

	if (!counts(accesses, vm->pages.windows))
		return;
	for (uint32_t i = 0; i < vm->num_ranges; i++) {
		const struct hmem_link_range *r = &vm->ranges[i];
		uint64_t end = r->hva + r->num * HMEM_LINK_PAGE_SIZE;
		uint64_t from = region->start > r->hva ? region->start : r->hva;
		uint64_t to = region->end < end ? region->end : end;

		if (from >= to)
			continue;
		from = (from - r->hva) / HMEM_LINK_PAGE_SIZE;
		to = (to - r->hva + HMEM_LINK_PAGE_SIZE - 1) / HMEM_LINK_PAGE_SIZE;
		set_bits(w->tracker.accessed, r->gfn + from, r->gfn + to);
		w->accessed += to - from;
	}
}

static void finish_collecting(struct watch *w)
{
	w->phase = WAITING;
	vm_watched(w->vm, w->accessed);
}

static void snapshot_done(void *opaque, int res)
{
	struct watch *w = opaque;
	uint64_t begun = daemon_ns();
	struct hmem_err err;

	if (w->phase != COLLECTING)
		return;
	if (res < 0)
		hmem_fail(&err, -res, "DAMON has stopped to monitor process %d, which may "
			  "have ended: %s", (int)w->vm->conn.pid, strerror(-res));
	else
		res = damon_read(w->damon, spread, w, &err);
	w->vm->stats.daemon_ns += daemon_ns() - begun;
	if (res < 0)
		vm_unwatchable(w->vm, err.msg);
	else
		finish_collecting(w);
}

/* --- both --- */

static int can_watch(const struct vm *vm, struct hmem_err *err)
{
	if (vm->conn.pid <= 0)
		return hmem_fail(err, ENOTSUP, "the VM's process is not visible from where "
				 "hmemd runs: run it in the host's pid namespace");
	for (uint32_t i = 0; i < vm->num_ranges; i++) {
		if (!vm->ranges[i].hva)
			return hmem_fail(err, ENOTSUP, "the VM does not tell where in its "
					 "process frame %#" PRIx64 " is",
					 vm->ranges[i].gfn);
	}
	return 0;
}

static int start(struct watch *w, struct hmem_err *err)
{
	int ret = can_watch(w->vm, err);

	if (ret < 0)
		return ret;
	return w->how == HMEM_TRACK_IDLE ? start_idle(w, err) : start_damon(w, err);
}

static void stop(struct watch *w)
{
	if (w->how == HMEM_TRACK_IDLE)
		idle_close(&w->idle);
	else if (w->damon)
		damon_stop(w->damon);
	w->damon = NULL;
}

int watch_start(struct vm *vm, enum hmem_track how, uint32_t window_ms,
		struct watch **to, struct hmem_err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return hmem_fail(err, ENOMEM, "no memory to track with");
	w->vm = vm;
	w->how = how;
	w->window_ms = window_ms;
	w->map_bytes = vm->hello.map_bytes;
	/* Takes memory where there is something in it. */
	w->maps = mmap(NULL, 2 * w->map_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->maps == MAP_FAILED) {
		free(w);
		return hmem_fail(err, ENOMEM, "no memory for its maps");
	}
	hmem_tracker_host_init(&w->tracker, how == HMEM_TRACK_IDLE, w->maps,
			       w->map_bytes);
	ret = start(w, err);
	if (ret < 0) {
		munmap(w->maps, 2 * w->map_bytes);
		free(w);
		return ret;
	}
	*to = w;
	return 0;
}

void watch_stop(struct watch *w)
{
	stop(w);
	munmap(w->maps, 2 * w->map_bytes);
	free(w);
}

enum hmem_track watch_how(const struct watch *w)
{
	return w->how;
}

struct hmem_tracker *watch_tracker(struct watch *w)
{
	return &w->tracker.tracker;
}

void watch_tick(struct watch *w)
{
	if (w->phase == BEGINNING) {
		w->tick = true;
		return;
	}
	w->accessed = 0;
	if (w->how == HMEM_TRACK_IDLE) {
		begin_pass(w, COLLECTING);
	} else {
		w->phase = COLLECTING;
		damon_snapshot(w->damon, snapshot_done, w);
	}
}

void watch_rearm(struct watch *w)
{
	if (w->how == HMEM_TRACK_IDLE)
		begin_pass(w, REARMING);
	else
		vm_rearmed(w->vm);
}

void watch_ranges(struct watch *w)
{
	struct vm *vm = w->vm;
	struct hmem_err err;
	enum phase phase = w->phase;
	int ret;

	if (can_watch(w->vm, &err) < 0) {
		vm_unwatchable(w->vm, err.msg);
	} else if (w->how == HMEM_TRACK_IDLE) {
		/* What was done is done; what is new counts as accessed. */
		if (phase != WAITING)
			begin_pass(w, phase);
	} else {
		stop(w);
		ret = start_damon(w, &err);
		if (ret < 0) {
			vm_unwatchable(vm, err.msg);
			vm->again = ret == -EBUSY;
		} else if (phase == COLLECTING) {
			damon_snapshot(w->damon, snapshot_done, w);
		}
	}
}

static void step(struct watch *w)
{
	struct hmem_err err;
	uint64_t begun = daemon_ns();
	int ret = idle_slice(w, &err);
	enum phase phase = w->phase;

	w->vm->stats.daemon_ns += daemon_ns() - begun;
	if (ret < 0) {
		vm_unwatchable(w->vm, err.msg);
		return;
	}
	hmemd_work(w->vm->d);
	if (!ret)
		return;
	w->phase = WAITING;
	if (phase == COLLECTING) {
		finish_collecting(w);
	} else if (phase == REARMING || w->tick) {
		w->tick = false;
		vm_rearmed(w->vm);
	}
}

void watch_step(struct hmemd *d)
{
	struct vm *vm, *next;

	for (vm = TAILQ_FIRST(&d->vms); vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		if (vm->watch && vm->watch->how == HMEM_TRACK_IDLE &&
		    vm->watch->phase != WAITING)
			step(vm->watch);
	}
}
