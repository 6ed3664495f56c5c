/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coldest pages of a tier, for a tier that is to get smaller.
 *
 * A pass over the page table in steps, see pages.h: it takes twice the table's slots.  First
 * it counts the pages of each bucket, then it picks pages of the coldest buckets.  Pages that
 * are given up, in flight or known to stay where they are do not count.
 */
#ifndef HMEM_COLDEST_H
#define HMEM_COLDEST_H

#include "pages.h"

struct hmem_coldest {
	/* Internal. */
	struct hmem_given given;
	uint32_t tier;
	enum { HMEM_COLDEST_COUNTS, HMEM_COLDEST_PICKS, HMEM_COLDEST_PICKS_ON } phase;
	/* The first slot that this phase has not reached; where picking begins. */
	uint64_t next, from;
	/* The buckets, from the coldest. */
	uint8_t order[HMEM_BUCKETS];
	/* By bucket: pages that may move, and of these, pages still to be picked. */
	uint64_t count[HMEM_BUCKETS], take[HMEM_BUCKETS];
	/* Pages still to be picked; then the slot at which the next search should begin. */
	uint64_t want, last;
	/* Adds a page to what was picked.  Returns false if there is no room for others. */
	bool (*pick)(void *arg, uint64_t gfn);
	void *arg;
};

/*
 * Find @want pages of @tier, and call @pick with each.  If the table has buckets of access
 * rates, @rates has their rates; otherwise it is not used.  @given: what the guest has given
 * up by now, which can be more than the table knows.  Of equally cold pages, those from slot
 * @from on are picked first, so that a search goes on where the last one ended (@last).
 */
void hmem_coldest_begin(struct hmem_coldest *c, const struct hmem_pages *p,
			const struct hmem_rates *rates, const struct hmem_given *given,
			uint32_t tier, uint64_t want, uint64_t from,
			bool (*pick)(void *arg, uint64_t gfn), void *arg);

/* A step of @slots, a multiple of 64.  Returns true if the pass is through. */
bool hmem_coldest_step(struct hmem_coldest *c, const struct hmem_pages *p, uint64_t slots);

#endif /* HMEM_COLDEST_H */
