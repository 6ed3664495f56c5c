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

/* Merges moves of one side.  Returns their number; *@frames: their frames. */
static uint32_t merge(struct hmem_move *moves, uint32_t num, const struct hmem_pages *p,
		      uint32_t *frames)
{
	uint64_t seen = UINT64_MAX;
	bool whole = false;
	uint32_t n = 0;

	*frames = 0;
	for (uint32_t i = 0; i < num; i++) {
		struct hmem_move m = moves[i];

		if (first_gfn(m.gfn) == seen && whole)
			continue;
		if (first_gfn(m.gfn) != seen)
			whole = moves_whole(p, m.gfn);
		seen = first_gfn(m.gfn);
		if (whole) {
			m.gfn = seen;
			m.order = HMEM_WHOLE_ORDER;
		}
		moves[n++] = m;
		*frames += hmem_move_frames(&m);
	}
	return n;
}

/* Leaves out the last moves until the others have at most @most frames. */
static void drop_last(const struct hmem_move *moves, uint32_t *num, uint32_t *frames,
		      uint64_t most)
{
	while (*num && *frames > most)
		*frames -= hmem_move_frames(&moves[--*num]);
}

void hmem_whole_merge(struct hmem_plan *plan, struct hmem_pages *p, uint32_t spare)
{
	uint32_t up = plan->num_promote, down = plan->num_demote;
	uint32_t more = down > up ? down - up : 0;
	bool waits;

	up = plan->num_promote = merge(plan->promote, up, p, &plan->promote_frames);
	plan->num_demote = merge(plan->demote, down, p, &plan->demote_frames);
	drop_last(plan->promote, &plan->num_promote, &plan->promote_frames,
		  (uint64_t)plan->demote_frames - more + spare);
	/* If a huge page waits for room, then it needs all of the demotions. */
	waits = plan->num_promote < up;
	while (plan->num_demote && !waits) {
		uint32_t last = hmem_move_frames(&plan->demote[plan->num_demote - 1]);

		if (plan->demote_frames + spare < (uint64_t)plan->promote_frames + more + last)
			break;
		plan->demote_frames -= last;
		plan->num_demote--;
	}
	/* The next plan picks the pages of a huge page in a row. */
	p->cursor = first_slot(p, p->cursor);
}
