/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <stdlib.h>

#include "accounts.h"
#include "batches.h"
#include "coldest.h"
#include "log.h"
#include "pass.h"
#include "room.h"

/* Hints have up to 2 MiB, so that a guest that can move huge pages as a whole does so. */
#define ROOM_ORDER	9u
/* The largest number of runs in one job: to make and sort the job takes about a slice's time. */
#define ROOM_SPANS	(1u << 14)
/* About so many frames are looked at in the time that it takes to move one. */
#define ROOM_LOOKS	(1u << 13)

/* A search for pages to move out of a tier, and the runs of frames found so far. */
struct room {
	struct hmem_coldest coldest;
	struct span *spans;
	size_t num, max;
};

static bool pick(void *arg, uint64_t gfn)
{
	struct room *r = arg;
	struct span *last = r->num ? &r->spans[r->num - 1] : NULL;

	if (last && last->gfn + last->num == gfn)
		last->num++;
	else
		r->spans[r->num++] = (struct span) { gfn, 1 };
	return r->num < r->max;
}

static void search_free(struct vm *vm)
{
	if (vm->rooms.search)
		free(vm->rooms.search->spans);
	free(vm->rooms.search);
	vm->rooms.search = NULL;
}

void room_free(struct vm *vm)
{
	loop_forget(&vm->rooms.soon);
	search_free(vm);
}

static bool never_full(const struct job *job)
{
	(void)job;
	return false;
}

static void no_progress(struct job *job)
{
	(void)job;
}

/*
 * The job has ended.  The guest's results have told which pages are worth no further try, so the
 * next search finds others.
 */
static void job_ended(struct job *job)
{
	if (job->failed || job->cancelled)
		return;
	job->vm->rooms.moved = job->reasons[VIRTIO_HMEM_R_MOVED];
	room_needed(job->vm);
}

static const struct job_ops ops = {
	.is_full = never_full,
	.progress = no_progress,
	.done = job_ended,
};

/* Begins a job that moves the pages that were found. */
static void begin_job(struct vm *vm, struct room *r)
{
	uint32_t tier = r->coldest.tier;
	uint32_t to = tier + 1 < vm->hello.num_tiers ? tier + 1 : tier - 1;
	struct hmem_err err;
	struct job *job;

	job = job_new(&vm->placer.pages, r->spans, r->num, false, to, ROOM_ORDER, &err);
	r->spans = NULL;
	if (!job) {
		log_msg(LOG_ERR, "vm '%s': no room can be made in tier %u: %s", vm->name,
			(unsigned int)tier, err.msg);
		return;
	}
	job->id = ++vm->d->jobs;
	job->vm = vm;
	job->makes_room = true;
	job->ops = &ops;
	vm->rooms.tier = tier;
	vm->rooms.actual = vm->sizes.tiers[tier].actual;
	vm->rooms.left -= job->total < vm->rooms.left ? job->total : vm->rooms.left;
	batches_add_job(vm, job);
}

static void slice(struct vm *vm)
{
	struct room *r = vm->rooms.search;

	if (!hmem_coldest_step(&r->coldest, &vm->placer.pages, WORK_SLOTS))
		return;
	vm->rooms.slot = r->coldest.last;
	if (r->num)
		begin_job(vm, r);
	search_free(vm);
	pass_finish(vm);
}

/*
 * Begins to look for @want cold pages.  Frames that are free or belong to the kernel look cold,
 * too.  Only the guest's results tell them apart, so the next search continues where the last one
 * ended.
 */
static void begin_search(struct vm *vm, uint32_t tier, uint64_t want)
{
	struct room *r = calloc(1, sizeof(*r));

	if (r) {
		r->max = want < ROOM_SPANS ? want : ROOM_SPANS;
		r->spans = calloc(r->max, sizeof(*r->spans));
	}
	vm->rooms.search = r;
	if (!r || !r->spans) {
		log_msg(LOG_ERR, "vm '%s': no memory to look for cold pages of tier %u",
			vm->name, (unsigned int)tier);
		search_free(vm);
		return;
	}
	hmem_coldest_begin(&r->coldest, &vm->placer.pages, &vm->placer.bursts.rates,
			   &vm->placer.given, tier, want, vm->rooms.slot, pick, r);
	pass_begin(vm, slice);
}

/*
 * The frames by which the tier is too large.  Those that the last job has made free, and that the
 * guest is still about to give up, do not count.
 */
static uint64_t missing(const struct vm *vm, uint32_t tier)
{
	const struct hmem_link_size *s = &vm->sizes.tiers[tier];
	uint64_t frames = (s->actual - s->requested) >> VIRTIO_HMEM_GFN_SHIFT;
	uint64_t coming = tier == vm->rooms.tier ? vm_frames_to_give_up(vm) : 0;

	return frames > coming ? frames - coming : 0;
}

/*
 * The pages that the guest will read from swap in the next second, if it goes on as in the last
 * one, and if they all fit into the free memory of tier 1; otherwise 0.  Linux brings such pages
 * to its own node, so it evicts other pages of tier 0 to swap, although tier 1 has free memory.
 */
static uint64_t swapped_in(struct vm *vm)
{
	uint64_t last = vm->rooms.swapped_in, now = vm->sizes.paging.swapped_in;

	vm->rooms.swapped_in = now;
	/*
	 * The guest counts from its boot.  Its first count tells nothing of the last second, and
	 * when the driver or hmemd has started again, the count before is 0, which is none.
	 */
	if (!last || now < last || !hmem_policy_moves(&vm->placer.policy) ||
	    now - last >= frames_in(accounts_free_or_none(vm, 1)))
		return 0;
	return now - last;
}

/*
 * Begins a search if a tier needs room for at least @least pages, and nothing else is under way.
 */
static void search(struct vm *vm, uint64_t least)
{
	if (vm->conn.closing || vm->pass || vm_blocked(vm) || !TAILQ_EMPTY(&vm->jobs))
		return;
	for (uint32_t tier = 0; tier < vm->hello.num_tiers; tier++) {
		const struct hmem_link_size *s = &vm->sizes.tiers[tier];
		uint64_t want;

		if (s->why != VIRTIO_HMEM_WHY_NODE_FULL || s->actual <= s->requested)
			continue;
		want = missing(vm, tier);
		if (want > vm->rooms.left)
			want = vm->rooms.left;
		if (want < least)
			continue;
		begin_search(vm, tier, want);
		return;
	}
	if (vm->rooms.swapping && vm->rooms.left)
		begin_search(vm, 0, vm->rooms.swapping < vm->rooms.left ? vm->rooms.swapping :
			     vm->rooms.left);
	vm->rooms.swapping = 0;
}

/* The bytes by which tiers are too large. */
static uint64_t pending(const struct vm *vm)
{
	uint64_t sum = 0;

	for (uint32_t tier = 0; tier < vm->hello.num_tiers; tier++) {
		const struct hmem_link_size *s = &vm->sizes.tiers[tier];

		if (s->actual > s->requested)
			sum += s->actual - s->requested;
	}
	return sum;
}

void room_second(struct vm *vm)
{
	uint64_t left = pending(vm);

	vm->rooms.stuck = left && left >= vm->rooms.pending ? vm->rooms.stuck + 1 : 0;
	vm->rooms.pending = left;
	vm->rooms.left = (uint64_t)vm->placer.policy.rate << (20 - VIRTIO_HMEM_GFN_SHIFT);
	/* What the guest has not given up by now, it uses for something else. */
	vm->rooms.moved = 0;
	vm->rooms.needed = false;
	vm->rooms.swapping = swapped_in(vm);
	search(vm, 1);
}

/* A search looks at all frames, so one for less than what that costs waits for the next second. */
void room_now(struct vm *vm)
{
	if (!vm->rooms.needed)
		return;
	vm->rooms.needed = false;
	search(vm, 1 + vm_frames(vm) / ROOM_LOOKS);
}

static void soon(struct turn *turn)
{
	room_now((struct vm *)((char *)turn - offsetof(struct vm, rooms.soon)));
}

void room_needed(struct vm *vm)
{
	vm->rooms.needed = true;
	if (vm->d->lockstep.min)
		return;
	vm->rooms.soon.take = soon;
	loop_soon(&vm->d->loop, &vm->rooms.soon);
}
