/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan of one window: which pages of the slower tiers change places with which pages of
 * tier 0.  The hottest pages change places with the coldest ones, as long as the difference
 * between them is large enough.  So the size of tier 0 decides how hot a page must be, and there
 * is no threshold to tune.
 */
#ifndef HMEM_PLAN_H
#define HMEM_PLAN_H

#include "pages.h"

/* One plan never moves more pages than this: 4 GiB. */
#define HMEM_PLAN_MAX		(1u << 20)

struct hmem_move {
	uint64_t gfn;
	uint32_t tier;		/* where the page is now */
	uint16_t heat;
};

/* A request to move the page at @gfn to @tier; in the host's byte order. */
struct hmem_hint {
	uint64_t gfn;
	uint32_t round;		/* the placer's: see placer.h */
	uint8_t order;
	uint8_t tier;
};

struct hmem_plan {
	/* Hottest bucket first. */
	struct hmem_move *promote;
	/*
	 * Coldest bucket first; those beyond the promotions only make room, or
	 * there are fewer, as there is room.  So many go first.
	 */
	struct hmem_move *demote;
	uint32_t num_promote, num_demote;
	/* What hmem_plan_batch() has handed out. */
	uint32_t next_promote, next_demote;
	/* Room in the arrays. */
	uint32_t cap;
	/* By rates: time that the plan saves, less what it takes, in ns. */
	double gain_ns;
	/* Internal: of a plan that is being made, see plan.c. */
	struct hmem_sorter *sorter;
};

/* The limits of a plan. */
struct hmem_plan_limits {
	/* Moves in all. */
	uint32_t budget;
	/*
	 * A page is promoted only if hotter by this (of HMEM_HEAT_MAX) than the page
	 * that makes room for it.
	 */
	uint32_t hysteresis;
	/*
	 * Not NULL: by rates, and none of the above but @budget matters.  Pages change places
	 * if that saves more time than it takes: an access saves @access_ns, and a move of
	 * one page takes @move_ns.
	 */
	const struct hmem_rates *rates;
	double access_ns, move_ns;
	/* Pages to demote besides, because the guest found tier 0 full. */
	uint32_t room;
	/*
	 * Room that there is for so many promotions without a demotion, the first
	 * ones.
	 */
	uint32_t spare;
};

/* Zero is an empty plan. */
void hmem_plan_free(struct hmem_plan *plan);

/* Empty it, and keep its memory: nothing of it is to be handed out any more. */
void hmem_plan_clear(struct hmem_plan *plan);

/*
 * Make @plan, which is emptied first, from the table as it is.  Pages in flight
 * or refused are left out, and of those that are not used, what is more than
 * hmem_pages_quota() of a block.  -ENOMEM: the plan is empty.
 */
int hmem_plan_make(struct hmem_plan *plan, struct hmem_pages *p,
		   const struct hmem_plan_limits *limits, struct hmem_err *err);

/*
 * The same as a pass in steps of @slots, a multiple of 64, see pages.h: it takes two
 * or three times the table's slots.  Until it is through, the plan is empty.
 * hmem_plan_step() returns 1 when it is, else 0; -ENOMEM: the plan stays empty.
 */
int hmem_plan_begin(struct hmem_plan *plan, const struct hmem_pages *p,
		    const struct hmem_plan_limits *limits, struct hmem_err *err);
int hmem_plan_step(struct hmem_plan *plan, struct hmem_pages *p, uint64_t slots,
		   struct hmem_err *err);

/*
 * Take the next hints; of pairs, demotions first so that they make room for the
 * promotions beside them.  Returns how many; 0: the plan is done.
 */
uint32_t hmem_plan_batch(struct hmem_plan *plan, struct hmem_hint *hints, uint32_t max);

/* Pages that may be moved in a window of @window_ns at @rate MiB/s. */
uint32_t hmem_plan_budget(uint32_t rate, uint64_t window_ns);

#endif /* HMEM_PLAN_H */
