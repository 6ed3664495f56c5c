/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "batches.h"
#include "coldest.h"
#include "log.h"
#include "pass.h"
#include "room.h"

/* Hints have up to 2 MiB, so that a guest that can move huge pages as a whole does so. */
#define ROOM_ORDER	9u
/* The largest number of runs in one job: to make and sort the job takes about a slice's time. */
#define ROOM_SPANS	(1u << 14)

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

void room_free(struct vm *vm)
{
	if (vm->room)
		free(vm->room->spans);
	free(vm->room);
	vm->room = NULL;
}

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
	batches_add_job(vm, job);
}

static void slice(struct vm *vm)
{
	struct room *r = vm->room;

	if (!hmem_coldest_step(&r->coldest, &vm->placer.pages, WORK_SLOTS))
		return;
	vm->room_slot = r->coldest.last;
	if (r->num)
		begin_job(vm, r);
	room_free(vm);
	pass_finish(vm);
}

/*
 * Begins to look for cold pages, for at most as many as the policy's rate allows in a second.
 * Frames that are free or belong to the kernel look cold, too.  Only the guest's results tell
 * them apart, so the next search continues where the last one ended.
 */
static void begin_search(struct vm *vm, uint32_t tier)
{
	const struct hmem_link_size *s = &vm->sizes.tiers[tier];
	uint64_t rate = (uint64_t)vm->placer.policy.rate << (20 - VIRTIO_HMEM_GFN_SHIFT);
	uint64_t want = (s->actual - s->requested) >> VIRTIO_HMEM_GFN_SHIFT;
	struct room *r = calloc(1, sizeof(*r));

	if (want > rate)
		want = rate;
	if (r) {
		r->max = want < ROOM_SPANS ? want : ROOM_SPANS;
		r->spans = calloc(r->max, sizeof(*r->spans));
	}
	vm->room = r;
	if (!r || !r->spans) {
		log_msg(LOG_ERR, "vm '%s': no memory to look for cold pages of tier %u",
			vm->name, (unsigned int)tier);
		room_free(vm);
		return;
	}
	hmem_coldest_begin(&r->coldest, &vm->placer.pages, &vm->placer.bursts.rates,
			   &vm->placer.given, tier, want, vm->room_slot, pick, r);
	pass_begin(vm, slice);
}

void room_second(struct vm *vm)
{
	if (vm->pass || vm_blocked(vm) || !TAILQ_EMPTY(&vm->jobs))
		return;
	for (uint32_t tier = 0; tier < vm->hello.num_tiers; tier++) {
		const struct hmem_link_size *s = &vm->sizes.tiers[tier];

		if (s->why != VIRTIO_HMEM_WHY_NODE_FULL || s->actual <= s->requested)
			continue;
		begin_search(vm, tier);
		return;
	}
}
