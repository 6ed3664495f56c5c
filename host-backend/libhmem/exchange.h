/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which classes of pages change places, by their access rates.
 *
 * A page of a slower tier and a page of tier 0 change places if that saves more time than the
 * two moves take.  There are two ways to save time:
 *
 * - While the present rates last.  Afterwards the two pages change places again, so the
 *   exchange must save the time of four moves.
 * - Until the horizon.  The exchange must then save the time of two moves.  While the present
 *   rates last, it must not lose that much: a later exchange would save more.
 *
 * Without the last condition, a hot set that is not in use for a while would at once drive
 * out the pages that are in use instead.
 *
 * In both ways, the first pages to leave tier 0 are those with the fewest accesses until the
 * horizon.  Often most pages of tier 0 are not in use now: some belong to a hot set that will be
 * in use again, others never will.  All look alike while the present rates last, but if the
 * former leave, they must come back, and programs wait for them until a look has found them in
 * use.  A page of tier 0 that is in use only now can leave first for this reason, if that saves
 * time all the same.
 */
#ifndef HMEM_EXCHANGE_H
#define HMEM_EXCHANGE_H

#include "rates.h"

/* One side of all exchanges, by rank.  Rank 0 is the coldest. */
struct hmem_exchange_side {
	/*
	 * The accesses of a page while its present rate lasts (@now), and until the horizon
	 * (@all).  @all rises with the rank.
	 */
	double now[HMEM_CLASSES], all[HMEM_CLASSES];
	/* The number of pages that may move, and the number that do. */
	uint64_t count[HMEM_CLASSES];
	uint32_t take[HMEM_CLASSES];
};

/* Sorts the indexes of @values by value, the least first; equal values keep their order. */
void hmem_exchange_order(const double values[HMEM_CLASSES], uint8_t order[HMEM_CLASSES]);

/*
 * Chooses up to @pairs pages of @hot and as many of @cold to change places, and sets @take of
 * both.  An access saves @access_ns in tier 0, and the move of a page takes @move_ns.
 * Returns the time, in ns, that all exchanges save.
 */
double hmem_exchange_choose(struct hmem_exchange_side *hot, struct hmem_exchange_side *cold,
			    uint32_t pairs, double access_ns, double move_ns);

#endif /* HMEM_EXCHANGE_H */
