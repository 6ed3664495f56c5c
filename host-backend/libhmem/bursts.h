/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy rates: when to look at memory, and for how long.
 *
 * A look tells hot pages from cold ones only if cold ones are mostly not used in it.
 * So a look is as long as it takes until as many pages are used as make a third of tier 0.
 * Looking costs the guest time: each bit that was cleared and is set again means
 * a page walk, and some trackers scan all page tables.  So looks come in bursts, one
 * after the other, and each burst is followed by a rest that is long enough to pay for
 * it from a hundredth of guest time.  Nothing is cleared in a rest, and nothing is found.
 *
 * Bursts are about a part of memory, each time the next one.  If one finds pages to move,
 * and as many in each other part would save more time than it takes to look for them, a
 * burst about all of memory follows.  Half of the budget pays for such bursts afterwards,
 * as long as there is something to pay.  If a burst finds nothing to move, the next rest
 * is twice as long.
 *
 * A tracker that clears bits late, when the next window has ended, begins a burst with
 * a window that only clears them.  A scan that was incomplete makes no look, nor does the
 * next one of such a tracker; a burst in which that happens too often is given up.
 */
#ifndef HMEM_BURSTS_H
#define HMEM_BURSTS_H

#include "pages.h"
#include "plan.h"
#include "policy.h"
#include "rates.h"
#include "worth.h"

/* Bursts about a part, of so many, see whether rates have changed. */
#define HMEM_BURSTS_PARTS	16u

struct hmem_bursts {
	struct hmem_rates rates;
	/* Looks of this burst that are left; 0: a rest is under way. */
	uint32_t left;
	/* Windows until the next look, in which bits are cleared. */
	uint32_t blind;
	/* Windows of this burst that should have been looks, but were incomplete. */
	uint32_t missed;
	bool given_up;
	/* Windows that the next burst has waited for moves to be over. */
	uint32_t waited;
	/* The window that has ended was a look. */
	bool looked;
	/*
	 * The burst is about one part of so many: where a look costs what is cleared for it,
	 * most are about a part.
	 */
	uint32_t part, parts;
	/* The part whose turn it is, and whether it has had one of its two bursts. */
	uint32_t turn;
	bool again;
	/* Looks of this burst so far. */
	uint32_t looks;
	/* The next burst is about all of memory, and due at once.  It was: it is paid for later. */
	bool urgent, ahead;
	/* Guest time that this burst has cost, in ns. */
	uint64_t spent_ns;
	/* Bursts so far; and in a row, those that found nothing to move. */
	uint64_t bursts;
	uint32_t idle;
	/* The length of the next look, and the shortest that the device has, in ns. */
	uint64_t look_ns, min_ns;
	/* The tracker scans, for so long: the shortest scan so far; 0: none. */
	bool scans;
	uint64_t scan_ns;
	/*
	 * Guest time that has been spent on bursts in their turn, and on those ahead of it, and
	 * is not paid for, in ns; and what the last of the latter has cost.
	 */
	int64_t debt_ns, whole_debt_ns;
	uint64_t whole_ns;
	/* Guest time so far; and when the last look at each part, and at all, ended. */
	uint64_t clock_ns, part_ns[HMEM_BURSTS_PARTS], all_ns;
	/* Of a window of the policy's, what has passed, in ns. */
	uint64_t elapsed_ns;
	/* What an access saves in tier 0, and what a page's move costs, in ns. */
	double access_ns, move_ns;
};

/* @min_ns: the shortest window that the device has.  @tiers may be without figures. */
void hmem_bursts_init(struct hmem_bursts *c, const struct hmem_policy *policy,
		      uint64_t min_ns, const struct hmem_link_tier *tiers,
		      uint32_t num_tiers);

/*
 * A window of @t has ended, @window_ns long: add to @h, which says whether it was
 * incomplete, how hmem_pages_update() is to take it.  @busy: pages are being moved.
 */
void hmem_bursts_window(struct hmem_bursts *c, const struct hmem_policy *policy,
			const struct hmem_tracker *t, uint64_t window_ns, bool busy,
			struct hmem_heat *h);

/*
 * It has taken it, and the window had a scan of @scan_ns.  Returns how long, in ns of
 * guest time, the next one should be: from what the device has to eight of the policy's
 * windows, and an hour at most.
 */
uint64_t hmem_bursts_next(struct hmem_bursts *c, const struct hmem_policy *policy,
			  const struct hmem_pages *p, uint64_t window_ns,
			  uint64_t scan_ns);

/* Is the next window a rest, in which the tracker need not look? */
static inline bool hmem_bursts_rests(const struct hmem_bursts *c)
{
	return c->scans && !c->left;
}

/* Is it time for a plan?  Then hmem_bursts_planned() wants to know the plan. */
static inline bool hmem_bursts_may_plan(const struct hmem_bursts *c)
{
	return !c->left && c->rates.looks && !c->given_up;
}

/* What a plan may do, as far as the rates have a say in it. */
static inline void hmem_bursts_limit(const struct hmem_bursts *c,
				     struct hmem_plan_limits *limits)
{
	limits->rates = &c->rates;
	limits->access_ns = c->access_ns;
	limits->move_ns = c->move_ns;
}

/* The plan after a window: what it saves says whether more is worth looking for. */
void hmem_bursts_planned(struct hmem_bursts *c, const struct hmem_plan *plan);

/* For the log: what the last window was and what the plan after it saves, in one line. */
void hmem_bursts_describe(const struct hmem_bursts *c, const struct hmem_pages *p,
			  const struct hmem_plan *plan, char *buf, size_t size);

/*
 * What DRAM is worth to the VM, as far as the last burst has told; @p is its table, as the
 * last window has left it.  False if no burst has ended yet: nothing is known.
 */
bool hmem_bursts_worth(const struct hmem_bursts *c, const struct hmem_pages *p,
		       struct hmem_worth *worth);

#endif /* HMEM_BURSTS_H */
