/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "refusals.h"
#include "whole.h"

#define FRAMES	(UINT64_C(1) << HMEM_WHOLE_ORDER)

static uint64_t first_gfn(uint64_t gfn)
{
	return gfn & ~(FRAMES - 1);
}

/* The block of @slot in a walk. */
static bool find_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	uint64_t *gfn = arg;

	(void)p;
	*gfn = b->gfn;
	return false;
}

/* The slot of the first frame of the huge page of @slot, or of the part that has slots. */
static uint64_t first_slot(const struct hmem_pages *p, uint64_t slot)
{
	const struct hmem_pages_range *r;
	uint64_t gfn = UINT64_MAX;

	hmem_pages_walk(p, slot, slot + 64, find_fn, &gfn);
	r = hmem_pages_find(p, gfn);
	if (!r)
		return slot;
	gfn = first_gfn(gfn) < r->gfn ? r->gfn : first_gfn(gfn);
	return (r->slot + (gfn - r->gfn)) / 64 * 64;
}

/*
 * May the frames of the block all move, was none refused not long ago, and have they the rank
 * @bucket?  Idle frames can be free, or the kernel's.
 */
static bool is_alike(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	const unsigned int *bucket = arg;

	if (b->mask != UINT64_MAX || hmem_pages_eligible(p, b) != UINT64_MAX ||
	    hmem_pages_quota(p, b->slot) < HMEM_QUOTA_FIRST ||
	    (b->has_state && hmem_refusals_refused(&p->state[b->slot])))
		return false;
	for (unsigned int i = 0; i < 64; i++) {
		if (hmem_pages_bucket(p, b->slot + i) != *bucket)
			return false;
	}
	return true;
}

/* Can the frame move together with the other frames of its huge page? */
static bool moves_whole(const struct hmem_pages *p, uint64_t gfn)
{
	uint64_t first = first_gfn(gfn), slot;
	const struct hmem_pages_range *r = hmem_pages_find(p, first);
	unsigned int bucket;

	if (!hmem_pages_has(p, first, HMEM_WHOLE_ORDER))
		return false;
	slot = r->slot + (first - r->gfn);
	bucket = hmem_pages_bucket(p, slot);
	return hmem_pages_walk(p, slot, slot + FRAMES, is_alike, &bucket);
}

static void begin_side(struct hmem_whole *w, bool demotes)
{
	w->demotes = demotes;
	w->next = w->num = w->frames = 0;
	w->first = UINT64_MAX;
}

/*
 * Merges the next moves of one side, of @num.  Looks at about *@slots slots, which it counts
 * down.  Returns true at the end of the moves.
 */
static bool merge(struct hmem_whole *w, struct hmem_move *moves, uint32_t num,
		  const struct hmem_pages *p, uint64_t *slots)
{
	for (; w->next < num && *slots; w->next++) {
		struct hmem_move m = moves[w->next];
		bool again = first_gfn(m.gfn) == w->first;
		uint64_t cost = again ? 1 : FRAMES;

		*slots -= *slots < cost ? *slots : cost;
		if (again && w->whole)
			continue;
		if (!again) {
			w->first = first_gfn(m.gfn);
			w->whole = moves_whole(p, m.gfn);
		}
		if (w->whole) {
			m.gfn = w->first;
			m.order = HMEM_WHOLE_ORDER;
		}
		moves[w->num++] = m;
		w->frames += hmem_move_frames(&m);
	}
	return w->next == num;
}

/* Leaves out the last moves until the others have at most @most frames. */
static void drop_last(const struct hmem_move *moves, uint32_t *num, uint32_t *frames,
		      uint64_t most)
{
	while (*num && *frames > most)
		*frames -= hmem_move_frames(&moves[--*num]);
}

/* All moves are merged: leaves out those for which there is no room, or no need. */
static void fit(const struct hmem_whole *w, struct hmem_plan *plan)
{
	uint32_t all = plan->num_promote;
	uint32_t more = w->demotions > w->promotions ? w->demotions - w->promotions : 0;

	drop_last(plan->promote, &plan->num_promote, &plan->promote_frames,
		  (uint64_t)plan->demote_frames - more + plan->spare);
	/* If a huge page waits for room, then it needs all of the demotions. */
	if (plan->num_promote < all)
		return;
	while (plan->num_demote) {
		uint32_t last = hmem_move_frames(&plan->demote[plan->num_demote - 1]);

		if (plan->demote_frames + plan->spare <
		    (uint64_t)plan->promote_frames + more + last)
			break;
		plan->demote_frames -= last;
		plan->num_demote--;
	}
}

void hmem_whole_prepare(struct hmem_pages *p)
{
	p->cursor = p->cursor < p->num_slots ? first_slot(p, p->cursor) : 0;
}

void hmem_whole_begin(struct hmem_whole *w, const struct hmem_plan *plan)
{
	w->promotions = plan->num_promote;
	w->demotions = plan->num_demote;
	begin_side(w, false);
}

bool hmem_whole_step(struct hmem_whole *w, struct hmem_plan *plan, const struct hmem_pages *p,
		     uint64_t slots)
{
	if (!w->demotes) {
		if (!merge(w, plan->promote, w->promotions, p, &slots))
			return false;
		plan->num_promote = w->num;
		plan->promote_frames = w->frames;
		begin_side(w, true);
	}
	if (!merge(w, plan->demote, w->demotions, p, &slots))
		return false;
	plan->num_demote = w->num;
	plan->demote_frames = w->frames;
	fit(w, plan);
	return true;
}
