/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan of one window: which pages of a slow tier change places with which pages of a fast
 * one.  The hottest pages change places with the coldest ones, as long as the difference between
 * them is large enough.  So the size of the fast tier decides how hot a page must be, and there is
 * no threshold to tune.
 */
#ifndef HMEM_PLAN_H
#define HMEM_PLAN_H

#include "pages.h"
#include "tier_pair.h"

/* A plan has at most this many promotions and demotions: 4 GiB. */
#define HMEM_PLAN_MAX		(1u << 20)

struct hmem_move {
	uint64_t gfn;
	uint16_t heat;
	uint8_t tier;		/* the page's present tier */
	uint8_t to;		/* the tier to move to */
	uint8_t order;
};

static inline uint32_t hmem_move_frames(const struct hmem_move *m)
{
	return UINT32_C(1) << m->order;
}

/* A request to move the page at @gfn to @tier; in the host's byte order. */
struct hmem_hint {
	uint64_t gfn;
	uint32_t round;		/* internal to the placer, see placer.h */
	uint8_t order;
	uint8_t tier;
};

struct hmem_plan {
	/* The hottest bucket first. */
	struct hmem_move *promote;
	/*
	 * The coldest bucket first.  If there are more demotions than promotions, the first
	 * ones only make room; if there are fewer, the first promotions need no demotion.
	 */
	struct hmem_move *demote;
	uint32_t num_promote, num_demote;
	/* The frames of all these moves; of order 0 until huge pages are merged, see whole.h. */
	uint32_t promote_frames, demote_frames;
	/* The numbers of moves that hmem_plan_batch() has handed out, and their frames. */
	uint32_t next_promote, next_demote;
	uint32_t gone_promote, gone_demote;
	/* The number of moves for which the arrays have room. */
	uint32_t cap;
	/* Frames of the fast tier that are free for promotions without a demotion. */
	uint32_t spare;
	/* By rates: the time that the plan saves, less the time that its moves take, in ns. */
	double gain_ns;
	/*
	 * The number of idle pages of tier 0 that probably stay there, because the guest has
	 * refused pages of the same blocks.  Plans between slower tiers leave the number as it is.
	 */
	uint64_t stays;
	/* Internal: the state of a plan that is being made, see plan.c. */
	struct hmem_sorter *sorter;
};

/* The limits of a plan. */
struct hmem_plan_limits {
	/* The two tiers between which pages move. */
	struct hmem_tier_pair pair;
	/* The largest number of frames to move. */
	uint32_t budget;
	/*
	 * By heat: a page is promoted only if it is hotter by this than the page that makes
	 * room for it; in units of HMEM_HEAT_MAX.
	 */
	uint32_t hysteresis;
	/*
	 * If not NULL, the plan is by rates, and ignores @hysteresis.  Pages change places if
	 * that saves more time than it takes, by the times of @pair.
	 */
	const struct hmem_rates *rates;
	/* The number of additional pages to demote, because the guest found the fast tier full. */
	uint32_t room;
	/*
	 * Frames of the fast tier that are known to be free; and those of them for pages of the
	 * slow tier, also for pages that are under way, which the plan subtracts.  A page that goes
	 * there takes the place of none, so one move is all that the page must pay for.
	 */
	uint32_t free, spare;
};

/* Frees the plan; a plan that is all zero is empty. */
void hmem_plan_free(struct hmem_plan *plan);

/* Empties the plan, so that nothing more is handed out, but keeps its memory. */
void hmem_plan_clear(struct hmem_plan *plan);

/*
 * Makes @plan from the present table.  Leaves out pages in flight and refused pages, and takes
 * at most hmem_pages_quota() idle pages of each block.  -ENOMEM: the plan is empty.
 */
int hmem_plan_make(struct hmem_plan *plan, struct hmem_pages *p,
		   const struct hmem_plan_limits *limits, struct hmem_err *err);

/*
 * Estimates what a plan with these limits would gain, from the histograms alone: they also count
 * pages that may not move.  By rates the time saved, in ns; by heat the differences of heat
 * between the pages that would change places, in buckets.  0: no page would move.  -ENOMEM.
 */
int hmem_plan_estimate(struct hmem_plan *plan, const struct hmem_pages *p,
		       const struct hmem_plan_limits *limits, double *gain, struct hmem_err *err);

/*
 * The same as a pass in steps of @slots, a multiple of 64 (see pages.h).  The pass goes through
 * the table two or three times, and the plan is empty until its end.  hmem_plan_step() returns
 * 1 at the end, otherwise 0; -ENOMEM: the plan stays empty.
 */
int hmem_plan_begin(struct hmem_plan *plan, const struct hmem_pages *p,
		    const struct hmem_plan_limits *limits, struct hmem_err *err);
int hmem_plan_step(struct hmem_plan *plan, struct hmem_pages *p, uint64_t slots,
		   struct hmem_err *err);

/*
 * Takes up to @max of the next hints.  Demotions come before the promotions for which they make
 * room.  Returns the number of hints; 0: the plan has no more.
 */
uint32_t hmem_plan_batch(struct hmem_plan *plan, struct hmem_hint *hints, uint32_t max);

/* The number of pages that may move in a window of @window_ns at @rate MiB/s. */
uint32_t hmem_plan_budget(uint32_t rate, uint64_t window_ns);

#endif /* HMEM_PLAN_H */
