/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which classes of pages change places, by their access rates.
 *
 * A page of a slower tier and one of tier 0 change places if that saves more time than it
 * takes.  There are two ways to save time:
 *
 * - While pages go on as they do now.  When that is over, the two change places again: so
 *   the exchange must save what two exchanges take.
 * - Until the horizon.  The exchange must then save what it takes itself.  It must not lose
 *   as much while pages go on as they do now: it could as well be made later, and save more.
 *
 * Without the second condition, a hot set that is not in use for a while would at once
 * drive out the pages that are in use instead.
 */
#ifndef HMEM_EXCHANGE_H
#define HMEM_EXCHANGE_H

#include "rates.h"

/* One side of all exchanges: by rank, which goes from cold to hot. */
struct hmem_exchange_side {
	/*
	 * Accesses of a page while pages go on as they do now, and until the horizon; the
	 * latter rise with the rank.
	 */
	double now[HMEM_CLASSES], all[HMEM_CLASSES];
	/* Pages that may move, and how many of them do. */
	uint64_t count[HMEM_CLASSES];
	uint32_t take[HMEM_CLASSES];
};

/* The indexes of @values, from the least value to the greatest; equal ones as they are. */
void hmem_exchange_order(const double values[HMEM_CLASSES], uint8_t order[HMEM_CLASSES]);

/*
 * Choose up to @pairs pages of @hot and as many of @cold: what they change places for.  An
 * access saves @access_ns in tier 0, and one page's move takes @move_ns.  Returns the time,
 * in ns, that all exchanges save.
 */
double hmem_exchange_choose(struct hmem_exchange_side *hot, struct hmem_exchange_side *cold,
			    uint32_t pairs, double access_ns, double move_ns);

#endif /* HMEM_EXCHANGE_H */
