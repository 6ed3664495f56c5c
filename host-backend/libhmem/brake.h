/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The brake: checks if moves keep their promise.
 *
 * If all pages are used alike, chance makes some of them look hotter than others for a while,
 * and exchanging these costs two page copies for nothing.  So some of the pages that were moved
 * in each window are checked when their heat has been measured anew.  If the promoted pages are
 * not hotter than the demoted ones by at least half of the former difference, half as many
 * pages may move from then on.  A few pages may always move, so that the brake notices when
 * moves pay again; then all pages may move at once.
 */
#ifndef HMEM_BRAKE_H
#define HMEM_BRAKE_H

#include "pages.h"

/* Checked pages of each kind per window. */
#define HMEM_BRAKE_TRIALS	32u
/* Largest number of windows until the check. */
#define HMEM_BRAKE_WINDOWS	32u
/* Bits of the filter; many more than there are trials. */
#define HMEM_BRAKE_FILTER	65536u
/* Each step halves the number of moves; this many steps at most. */
#define HMEM_BRAKE_MAX		8u
/* Pages that may always move: two pairs. */
#define HMEM_BRAKE_LEAST	4u

struct hmem_trial {
	uint64_t gfn;		/* the page's frame now */
	uint32_t message;	/* the message that last said so */
	uint16_t heat;		/* the page's heat when it was moved */
};

struct hmem_cohort {
	struct hmem_trial up[HMEM_BRAKE_TRIALS], down[HMEM_BRAKE_TRIALS];
	uint32_t num_up, num_down;
};

struct hmem_brake {
	/* By window, modulo the number of cohorts. */
	struct hmem_cohort cohorts[HMEM_BRAKE_WINDOWS];
	uint32_t window;
	/* A set bit for each frame with a trial, and by chance for some others. */
	uint64_t filter[HMEM_BRAKE_FILTER / 64];
	/* Pairs checked since the last decision, and their sums. */
	uint64_t pairs;
	int64_t promised, kept;
	/* 0 .. HMEM_BRAKE_MAX */
	uint32_t steps;
};

/* Reset the brake; all zero is a brake that is off. */
void hmem_brake_reset(struct hmem_brake *b);

/*
 * A page of @heat has moved, to tier 0 or from it.  The moves of one @message happen at the
 * same time, so pages may have changed places.
 */
void hmem_brake_moved(struct hmem_brake *b, uint64_t gfn, uint64_t new_gfn,
		      uint16_t heat, bool promoted, uint32_t message);

/* A window has ended, and @p has its heats. */
void hmem_brake_window(struct hmem_brake *b, const struct hmem_pages *p,
		       const struct hmem_heat *h);

/* The number of pages, of @budget, that may be moved. */
uint32_t hmem_brake_budget(const struct hmem_brake *b, uint32_t budget);

#endif /* HMEM_BRAKE_H */
