/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the coldest pages of a tier that is to get smaller.
 *
 * This is a pass over the page table in steps (see pages.h), which goes through the table twice.
 * First it counts the pages of each bucket, and then it picks pages of the coldest buckets.  It
 * leaves out pages that are given up or in flight, and pages that probably will not move.
 */
#ifndef HMEM_COLDEST_H
#define HMEM_COLDEST_H

#include "pages.h"

struct hmem_coldest {
	/* All fields are internal, except @last. */
	struct hmem_given given;
	uint32_t tier;
	enum { HMEM_COLDEST_COUNTS, HMEM_COLDEST_PICKS, HMEM_COLDEST_PICKS_ON } phase;
	/* The first slot that this phase has not reached; the slot where picking begins. */
	uint64_t next, from;
	/* The buckets, the coldest first. */
	uint8_t order[HMEM_BUCKETS];
	/* By bucket: the number of pages that may move, and of pages still to pick. */
	uint64_t count[HMEM_BUCKETS], take[HMEM_BUCKETS];
	/* The number of pages still to pick; the slot at which the next search should begin. */
	uint64_t want, last;
	/* Takes a picked page.  Returns false if the caller has no room for more pages. */
	bool (*pick)(void *arg, uint64_t gfn);
	void *arg;
};

/*
 * Begins to look for @want pages of @tier, and calls @pick for each.  @rates are used only if
 * the table's buckets are classes of rates.  @given: the frames that the guest has given up by
 * now, which can be more than the table knows.  Of equally cold pages, those from slot @from
 * on are picked first, so that a search continues where the last one ended (@last).
 */
void hmem_coldest_begin(struct hmem_coldest *c, const struct hmem_pages *p,
			const struct hmem_rates *rates, const struct hmem_given *given,
			uint32_t tier, uint64_t want, uint64_t from,
			bool (*pick)(void *arg, uint64_t gfn), void *arg);

/* Makes a step of @slots, a multiple of 64.  Returns true when the pass has ended. */
bool hmem_coldest_step(struct hmem_coldest *c, const struct hmem_pages *p, uint64_t slots);

#endif /* HMEM_COLDEST_H */
