/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The brake: do moves keep what they promised?
 *
 * Where all pages are used alike, chance makes some of them look hotter than
 * others for a while, and exchanging these costs two page copies for nothing.
 * So a few of the pages that were moved in each window are looked at again when
 * their heat has been made anew: if those that were promoted are not hotter
 * than those that were demoted by half of what they were then, half as many
 * pages may move from now on.  A few always may, so that it shows when moving
 * is worth it again; then all may at once.
 */
#ifndef HMEM_BRAKE_H
#define HMEM_BRAKE_H

#include "pages.h"

/* Pages of each kind that are looked at again, of one window. */
#define HMEM_BRAKE_TRIALS	32u
/* Windows until they are, at most. */
#define HMEM_BRAKE_WINDOWS	32u
/* Bits; many more than trials. */
#define HMEM_BRAKE_FILTER	65536u
/* Each step halves what may move. */
#define HMEM_BRAKE_MAX		8u
/* Pages that always may: two pairs. */
#define HMEM_BRAKE_LEAST	4u

struct hmem_trial {
	uint64_t gfn;		/* where the page is now */
	uint32_t message;	/* that last said so */
	uint16_t heat;		/* what it had when it was moved */
};

struct hmem_cohort {
	struct hmem_trial up[HMEM_BRAKE_TRIALS], down[HMEM_BRAKE_TRIALS];
	uint32_t num_up, num_down;
};

struct hmem_brake {
	/* By window, modulo their number. */
	struct hmem_cohort cohorts[HMEM_BRAKE_WINDOWS];
	uint32_t window;
	/* A bit for each frame with a trial, and by chance for some others. */
	uint64_t filter[HMEM_BRAKE_FILTER / 64];
	/* Of the pairs looked at since the last decision. */
	uint64_t pairs;
	int64_t promised, kept;
	/* 0 .. HMEM_BRAKE_MAX */
	uint32_t steps;
};

/* Zero is a brake that is off. */
void hmem_brake_reset(struct hmem_brake *b);

/*
 * A page of @heat has moved, to tier 0 or from it.  The moves of one @message
 * happen at the same time: pages may have changed places.
 */
void hmem_brake_moved(struct hmem_brake *b, uint64_t gfn, uint64_t new_gfn,
		      uint16_t heat, bool promoted, uint32_t message);

/* A window has ended, and @p has its heats. */
void hmem_brake_window(struct hmem_brake *b, const struct hmem_pages *p,
		       const struct hmem_heat *h);

/* How many of @budget pages may be moved. */
uint32_t hmem_brake_budget(const struct hmem_brake *b, uint32_t budget);

#endif /* HMEM_BRAKE_H */
