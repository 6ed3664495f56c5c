/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Huge pages of the guest that move as a whole.
 *
 * A tracker tells nothing of the size of the guest's pages.  But a huge page has one accessed
 * bit for all of its frames, so all of them have the same record.  If all frames of an aligned
 * range of 2 MiB have the same rank, then a plan that takes one of them takes the range, and
 * one hint names all of it.  The guest need not split a huge page for that.  If the range has
 * small pages, then each moves by itself, and it is worth as much as the others.
 */
#ifndef HMEM_WHOLE_H
#define HMEM_WHOLE_H

#include "plan.h"

/* The order of a huge page. */
#define HMEM_WHOLE_ORDER	9u

/* The merge of a plan's moves, in steps. */
struct hmem_whole {
	/* The promotions are merged; now it is the demotions' turn. */
	bool demotes;
	/* The next move, the number of moves that are merged so far, and their frames. */
	uint32_t next, num, frames;
	/* The last move's huge page, and whether the huge page moves as a whole. */
	uint64_t first;
	bool whole;
	/* The number of promotions and of demotions before the merge. */
	uint32_t promotions, demotions;
};

/*
 * Before a plan whose moves will be merged: the plan picks the frames of each huge page, of one
 * rank, in a row.
 */
void hmem_whole_prepare(struct hmem_pages *p);

/*
 * Merges moves of the frames of a huge page.  @plan is complete, with moves of order 0.  A
 * promotion for which there is no room is left out; then the demotions of this plan make room for a
 * later one.  The plan can exceed its budget by less than a huge page for each rank.
 *
 * The merge is a pass in steps (see pages.h), each of which reads about @slots slots.
 * hmem_whole_step() returns true at the end.
 */
void hmem_whole_begin(struct hmem_whole *w, const struct hmem_plan *plan);
bool hmem_whole_step(struct hmem_whole *w, struct hmem_plan *plan, const struct hmem_pages *p,
		     uint64_t slots);

#endif /* HMEM_WHOLE_H */
