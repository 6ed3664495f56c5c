/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "batches.h"
#include "log.h"
#include "room.h"

/* Pages that the guest has as one, 2 MiB, move as one where the guest can do that. */
#define HMEM_ROOM_ORDER		9u

/* The coldest pages of a tier, as runs of frames. */
struct cold {
	uint32_t tier;
	/* Pages of this bucket, and of colder ones. */
	unsigned int bucket;
	/* Frames that are still wanted. */
	uint64_t want;
	struct span *spans;
	size_t num;
	/* The slot to go on with the next time. */
	uint64_t next;
};

static void add_frame(struct cold *c, uint64_t gfn)
{
	struct span *last = c->num ? &c->spans[c->num - 1] : NULL;

	if (last && last->gfn + last->num == gfn)
		last->num++;
	else
		c->spans[c->num++] = (struct span) { gfn, 1 };
	c->want--;
}

static bool pick_block(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	struct cold *c = arg;
	uint64_t mask = b->mask & hmem_pages_eligible(p, b) & hmem_pages_willing(p, b);

	for (; b->tier == c->tier && mask && c->want && c->num < JOB_MAX_SPANS;
	     mask &= mask - 1) {
		unsigned int i = __builtin_ctzll(mask);

		if (!b->live || hmem_pages_bucket(p, b->slot + i) <= c->bucket)
			add_frame(c, b->gfn + i);
	}
	c->next = b->slot + 64;
	return c->want && c->num < JOB_MAX_SPANS;
}

/* The first bucket that has, together with the colder ones, so many frames of the tier. */
static unsigned int coldest(const struct hmem_pages *p, uint32_t tier, uint64_t frames)
{
	uint64_t sum = 0;
	unsigned int b = 0;

	for (; b < HMEM_BUCKETS - 1; b++) {
		sum += p->hist[tier][b];
		if (sum >= frames)
			break;
	}
	return b;
}

/*
 * Not more than the policy's rate allows for a second.  The frames to leave out, which are
 * free, given up or the kernel's, are as cold as any: the guest's results tell them apart,
 * and the walk goes on where the last one ended.
 */
static void make_room(struct vm *vm, uint32_t tier)
{
	const struct hmem_pages *p = &vm->placer.pages;
	const struct hmem_link_size *s = &vm->sizes.tiers[tier];
	uint64_t rate = (uint64_t)vm->placer.policy.rate << (20 - VIRTIO_HMEM_GFN_SHIFT);
	uint64_t frames = (s->actual - s->requested) >> VIRTIO_HMEM_GFN_SHIFT;
	uint32_t to = tier + 1 < vm->hello.num_tiers ? tier + 1 : tier - 1;
	struct cold c = { .tier = tier };
	struct hmem_err err;
	struct job *job;

	c.want = rate && frames > rate ? rate : frames;
	c.bucket = coldest(p, tier, c.want);
	c.spans = calloc(c.want < JOB_MAX_SPANS ? c.want : JOB_MAX_SPANS, sizeof(*c.spans));
	if (!c.spans)
		return;
	if (hmem_pages_walk(p, vm->room_slot, p->num_slots, pick_block, &c))
		hmem_pages_walk(p, 0, vm->room_slot, pick_block, &c);
	vm->room_slot = c.next < p->num_slots ? c.next : 0;
	if (!c.num) {
		free(c.spans);
		return;
	}
	job = job_new(p, c.spans, c.num, false, to, HMEM_ROOM_ORDER, &err);
	if (!job) {
		log_msg(LOG_ERR, "vm '%s': no room can be made in tier %u: %s", vm->name,
			(unsigned int)tier, err.msg);
		return;
	}
	job->id = ++vm->d->jobs;
	job->vm = vm;
	batches_add_job(vm, job);
	batches_feed(vm);
}

void room_second(struct vm *vm)
{
	if (vm->pass || vm_blocked(vm) || !TAILQ_EMPTY(&vm->jobs))
		return;
	for (uint32_t tier = 0; tier < vm->hello.num_tiers; tier++) {
		const struct hmem_link_size *s = &vm->sizes.tiers[tier];

		if (s->why != VIRTIO_HMEM_WHY_NODE_FULL || s->actual <= s->requested)
			continue;
		make_room(vm, tier);
		return;
	}
}
