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

/*
 * Merges moves of the frames of a huge page.  @plan is complete, each rank of pages by rising
 * GFN, with moves of order 0, and takes no account of the @spare frames of tier 0 for which
 * there is room.  A promotion for which there is no room is left out; then the demotions of
 * this plan make room for a later one.  The plan can exceed its budget by less than a huge page
 * for each rank.
 */
void hmem_whole_merge(struct hmem_plan *plan, struct hmem_pages *p, uint32_t spare);

#endif /* HMEM_WHOLE_H */
