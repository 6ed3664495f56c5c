/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pace of the policy auto: when to look at which pages, for how long, and
 * whether what was seen is to be believed.
 *
 * Whether a page was used in a window tells hot from cold only if the window is
 * as short that cold pages are mostly not: else every page looks hot.  And to
 * look costs the guest: each accessed bit that was cleared means a TLB refill
 * and a page walk.  So pages are looked at in a census now and then, for a few
 * short windows one after the other, and are then left in peace: a page that is
 * not rearmed costs nothing and says nothing.
 *
 * - A look is as long as it takes for the pages used to be a sixth to a half of
 *   what tier 0 holds, but not longer than the policy's window; shorter if what
 *   seems hot is used in nearly each; and longer, up to eight windows, if it is
 *   used too seldom to be told from chance.
 * - A census is about all of memory, or where that would cost more than accrues
 *   until it is over, as the last one did, about one part of up to 64.  So one
 *   follows the other, and each would see that the hot set is another one.
 * - It has two halves.  In the first, all pages that it is about are looked at.
 *   Those that seem hot enough to be promoted are then looked at some more, alone:
 *   chance makes some pages look hot, and others cold, and does not do so twice.
 *   Where they are not used as often as a page must be to be promoted, or a look
 *   cannot be short enough, it was chance: only pages that were used in nearly every
 *   look are believed to be hotter than others in use, if they are more than chance
 *   makes so, and the policy asks for a larger difference from then on.  Where what
 *   seemed cold in tier 0 is used nearly as often as they are, only idle pages are
 *   believed to be cold: those not used since the census before.
 * - What was hot in tier 0, or has been promoted, is warmer than what never was, for
 *   some sixty censuses: a hot set that comes back finds its pages still there.
 * - Each census is paid for from a budget of guest time, a hundredth.  What a
 *   fault costs is an estimate.
 * - Where a census of a part finds many hot pages in the slower tiers, the hot
 *   set is another one, and all of memory is looked at, at once, even before its
 *   second half where the last census left far fewer; where it finds some, as much
 *   more of it as has been saved for.
 *
 * That is for trackers with which a window costs what is rearmed in it.  One that
 * scans all page tables for each window is paced, too, but always looks at all of
 * memory: a part would cost the same.  Its looks are long against a scan, and there
 * is one more, as it rearms late: it begins a census with bits that are set.  The
 * rest pays for all scans, however long that makes it.  A scan that was incomplete makes
 * no look, nor does the next one if bits are rearmed late, for it finds what was set
 * before; a census for which that happens too often is given up.  With other trackers
 * there is nothing to save: see hmem_paced().
 */
#ifndef HMEM_PACE_H
#define HMEM_PACE_H

#include "pages.h"
#include "plan.h"
#include "policy.h"

/* By how much a page must be hotter where most candidates were chance. */
#define HMEM_PACE_SURE	(HMEM_HEAT_MAX / 4 * 3)

struct hmem_pace {
	/* A look lasts eight of the policy's windows / 2^this. */
	uint32_t shift;
	/* Part of memory that this census is about, of how many; the next one. */
	uint32_t part, parts, share;
	/* Windows of this census that are left; 0: a rest is under way. */
	uint32_t left;
	/* What the window that has ended was: as @left was in it. */
	uint32_t look;
	/*
	 * Windows that are still no look; those that were none, in this census, which is
	 * given up if they are too many.
	 */
	uint32_t blind, missed;
	bool given_up;
	/* Of a window of the policy's, what has passed in looks; in 64ths. */
	uint32_t elapsed;
	/* The tracker scans, for so long: the shortest scan of the last census. */
	bool scans;
	uint64_t scan_ns;
	/* The shortest window that the device has. */
	uint64_t min_ns;
	/* The next census is about all of memory, and due at once. */
	bool urgent;
	/* Pages that are used in a look, in all of memory: an estimate. */
	int64_t used;
	/* Looks cannot be as short that cold pages are mostly not used. */
	bool blurred;
	/* The last one found hot what was so by chance; in tier 0, cold. */
	bool chance, woke;
	/* By chance there would be about as many that are hot for sure. */
	bool none;
	/* Rests that the next census has waited for. */
	uint32_t waited;
	/*
	 * How much hotter a page must be than the one it takes the place of; and
	 * what that was when the census began.
	 */
	uint32_t margin, asked;
	/* So hot must a page have been to be looked at in its second half. */
	uint16_t cut;
	/* How hot the coldest pages of tier 0 are, and how many idle: by the last plan. */
	uint32_t cold, idle;
	/*
	 * Pages hot enough for that when the first half of the census ended; and how
	 * often they were used in the second, in all.
	 */
	uint64_t candidates, again;
	/* Pages of tier 0 that seemed cold then, and that were used in the second. */
	uint64_t cold_ones, woken;
	/*
	 * Estimates for all of memory: candidates and how often they were used, cold
	 * ones and those of them that stayed so.
	 */
	int64_t hot_all, again_all, cold_all, asleep_all;
	/* Candidates of the last census, in all of memory, that have not been promoted. */
	uint64_t found;
	/* Guest time that may be spent on looking, in ns; negative: was, ahead. */
	int64_t credit;
	/* ... and that this census has cost. */
	int64_t spent;
	/* Censuses so far; and of all of memory, for people. */
	uint32_t count;
	uint64_t censuses;
};

/* Is a VM with @policy and @t paced?  If not, nothing here applies to it. */
static inline bool hmem_paced(const struct hmem_policy *policy,
			      const struct hmem_tracker *t)
{
	return policy->kind == HMEM_POLICY_AUTO &&
	       (t->ops->pay_by_page || t->ops->scans);
}

/* @min_ns: the shortest window that the device has. */
void hmem_pace_init(struct hmem_pace *c, const struct hmem_policy *policy,
		    uint64_t min_ns);

/*
 * A window of @t has ended: add to @h, which says whether it was incomplete, how
 * hmem_pages_update() is to take it.
 * @busy: pages are being moved, or have not found room.
 */
void hmem_pace_window(struct hmem_pace *c, const struct hmem_tracker *t, bool busy,
		      struct hmem_heat *h);

/*
 * It has taken it, and the window was @window_ns long, with a scan of @scan_ns.
 * Returns how long, in ns of guest time, the next one should be: from 1.5 ms, and what
 * the device has, to eight of the policy's windows, and an hour at most.
 */
uint64_t hmem_pace_next(struct hmem_pace *c, const struct hmem_policy *policy,
			const struct hmem_pages *p, uint64_t window_ns,
			uint64_t scan_ns);

/* Is the next window a rest, in which the tracker need not look? */
static inline bool hmem_pace_rests(const struct hmem_pace *c)
{
	return c->scans && !c->left;
}

/*
 * Is it time for a plan?  Not within a census, after one that was given up, or before one that
 * is urgent since the hot set is another one: it is about to know better.  Then
 * hmem_pace_planned() wants to know the plan.
 */
static inline bool hmem_pace_may_plan(const struct hmem_pace *c)
{
	return !c->left && !c->given_up && (!c->urgent || c->chance);
}

/* With what hysteresis over idle pages: what the pages in question were asked for. */
static inline uint32_t hmem_pace_margin(const struct hmem_pace *c)
{
	uint32_t margin = c->margin > c->asked ? c->margin : c->asked;

	/* Those that are not hot for sure wait for longer looks. */
	return c->chance && c->urgent ? HMEM_PACE_SURE : margin;
}

/* ... and over pages of tier 0 that are in use at all. */
static inline uint32_t hmem_pace_warm_margin(const struct hmem_pace *c)
{
	return c->none ? HMEM_HEAT_MAX : c->chance || c->woke ? HMEM_PACE_SURE : 0;
}

/* What a plan may do, as far as the pace has a say in it. */
static inline void hmem_pace_limit(const struct hmem_pace *c,
				   struct hmem_plan_limits *limits)
{
	limits->hysteresis = hmem_pace_margin(c);
	limits->warm = hmem_pace_warm_margin(c);
	limits->least = c->cut;
}

static inline void hmem_pace_planned(struct hmem_pace *c,
				     const struct hmem_plan *plan)
{
	c->cold = plan->cold;
	c->idle = plan->idle;
	c->found -= plan->num_promote < c->found ? plan->num_promote : c->found;
}

#endif /* HMEM_PACE_H */
