/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy auto: when to look at memory, and for how long.
 *
 * Vocabulary:
 * - A look is a window in which the tracker observes pages.  It ends with one bit per page:
 *   the page was used, or not.
 * - A burst is a number of looks, one after the other.
 * - A rest is the time between two bursts.  No bit is cleared in a rest, and nothing is found.
 *
 * A look can tell hot pages from cold ones only if most cold pages go unused in it.  So a look
 * lasts until the number of used pages is a third of the pages of tier 0.
 *
 * A look costs guest time: a bit that was cleared and is set again means a page walk, and some
 * trackers scan all page tables.  A hundredth of the time for which the guest's processors run
 * pays for looks, so each rest is as long as the burst before it requires.  If no page moves
 * between two bursts, the rest is twice as long.  But what was measured before the horizon tells
 * nothing any more, and an idle guest pays nothing off, though a look costs hardly anything there.
 * So a rest ends at the horizon all the same, if the last burst cost at most a hundredth of all
 * processors' time until then.
 *
 * A burst observes as much of memory as the time that it takes pays for: all of memory if the
 * pages in use are few or are used rarely, and otherwise a part, a sixteenth at the least.  If
 * a burst about a part finds pages to move, and as many moves in each of the other parts would
 * save more time than a hundred times the cost of observing them, the next burst observes all
 * of memory at once.  Such a burst is ahead of its budget.  Half of the budget then pays its
 * debt off.
 *
 * If a look is more than twice too long, it told little, and the burst begins anew with shorter
 * looks.  If these last at most half as long, they measure all classes anew.  If the burst is about
 * all of memory, the guest has begun to work, so the burst is ahead of its budget like the first
 * one.  Otherwise a burst of scans goes on as it is, because shorter scans cost as much.  A burst
 * about all of memory is also ahead of its budget if the rates that are known did not lead to
 * expect most of the used pages: then programs do something else than before.
 *
 * A huge page has one accessed bit for 512 base pages, so the driver looks at a huge page for a
 * 512th of the time.  The bit then says about each base page what a bit of its own would say, if
 * programs use the base pages of a huge page in no particular order.  A program that reads all
 * of them one after the other uses the huge page for one short time, which such a look misses.
 * So if even the longest looks find less than a quarter of the pages that they should, then looks
 * at huge pages last as long as those at base pages, until they find too many.  They do not if
 * looks find base pages in use, but no 2 MiB of neighbours all of which are used.
 *
 * A scan takes time, and a look from one scan to the next would be inexact if it lasted less than
 * a few scans.  A shorter look lies within a scan: the driver clears the bits of some pages, and
 * reads them again after the time that the look is to last, before it continues with others.  Each
 * such window is a look of its own, and nothing needs to be cleared before it.  Such looks cost
 * more, so they come only if the shortest look from scan to scan tells little.  A burst that is
 * ahead of its budget, and costs more than that horizon pays for, ends when two such looks in a row
 * have told enough for a plan, and the next burst waits until it is paid for.
 *
 * A dirty log costs a fault for each page that is written, and slows programs down, see sample.h.
 * So it is off in rests, and also after each look while the look is counted.  It finds the pages of
 * all memory.  The policy's faults tell how many faults per second the budget of a processor pays
 * for.
 *
 * A tracker that clears bits late, when the next window has ended, begins a burst with a window
 * that only clears bits.  A window whose scan was incomplete is no look.  For such a tracker,
 * the window after it is no look either.  A burst with too many of these windows is given up.
 */
#ifndef HMEM_BURSTS_H
#define HMEM_BURSTS_H

#include "pages.h"
#include "plan.h"
#include "policy.h"
#include "rates.h"
#include "worth.h"

/* The number of the narrowest parts of memory, a power of two. */
#define HMEM_BURSTS_PARTS	16u

struct hmem_bursts {
	struct hmem_rates rates;
	/* Looks of this burst that are still to come, 0 in a rest; and all of them. */
	uint32_t left, wanted;
	/*
	 * Bit i: the clearing of bits was requested at the end of the window i windows ago.  A
	 * window is a look if the bits were cleared when it began.  A late tracker clears
	 * them at the end of the window after the request.
	 */
	uint32_t requests;
	/* Windows of this burst that were no looks because they were incomplete. */
	uint32_t missed;
	bool given_up;
	/* Windows for which the next burst has waited because pages were moving. */
	uint32_t waited;
	/* The window that has ended was a look. */
	bool looked;
	/* The burst observes @part, one of @parts; all of memory if @parts is 1. */
	uint32_t part, parts;
	/* The number of parts that the next burst in its turn has. */
	uint32_t due_parts;
	/*
	 * The first of the narrowest parts in the part whose turn it is, and whether that part
	 * has had the first of its two bursts.
	 */
	uint32_t turn;
	bool again;
	/* Looks of this burst so far, and the last ones in a row that told enough for a plan. */
	uint32_t looks, told;
	/* The length of this burst's looks when it last began anew, ns; UINT64_MAX: it did not. */
	uint64_t anew_ns;
	/* The next burst is due at once, and observes all of memory. */
	bool urgent;
	/* This burst was urgent, or the first one, so it is paid for later. */
	bool ahead;
	/* Pages have moved without their records: there is no plan before the next burst. */
	bool stale;
	/* Guest time that this burst has cost; and since when it is ahead of its budget; in ns. */
	uint64_t spent_ns, ahead_ns;
	/* Bursts so far; and the last ones in a row that led to no move. */
	uint64_t bursts;
	uint32_t idle;
	/* A page has moved since the last burst. */
	bool moved;
	/* The length of the next look, and the least length that the device offers; ns. */
	uint64_t look_ns, min_ns;
	/*
	 * Looks at huge pages last as long as those at base pages, see above.  The first burst
	 * that may try that again, and the number of attempts that have failed in a row.
	 */
	bool long_looks, can_look_long;
	/*
	 * Looks lie within scans, see above.  @within: so do those of the next window, which is no
	 * rest.
	 */
	bool short_looks, within, can_look_within;
	uint64_t long_looks_from;
	unsigned int long_looks_failed;
	/* Does the tracker clear bits late, see above? */
	bool late;
	/*
	 * Does the tracker scan?  The time of the shorter of its last two scans without looks in
	 * them, and of the last one, in ns; 0: none yet.  The less memory the guest uses, the
	 * shorter a scan is.
	 */
	bool scans;
	/* Is the tracker a dirty log?  Rests cost nothing then. */
	bool logs;
	uint64_t scan_ns, last_scan_ns;
	/*
	 * Guest time, in ns, that bursts have cost and that is not paid for: of bursts in their
	 * turn, and of bursts ahead; and the cost of the last burst ahead.
	 */
	int64_t debt_ns, whole_debt_ns;
	uint64_t whole_ns;
	/* Guest time when the last burst began, in ns. */
	uint64_t begun_ns;
	/* Guest time so far; and the end of the last look at each of the narrowest parts; ns. */
	uint64_t clock_ns, part_ns[HMEM_BURSTS_PARTS];
	/* The time, in ns, since the last of the policy's windows ended. */
	uint64_t elapsed_ns;
	/* The VM's processors; and how many of them ran in the last window, on average. */
	uint32_t num_cpus;
	double busy_cpus;
	/* Page walks for each used page, at most 1: the pages of a huge page share one. */
	double walks_per_page;
	/*
	 * How many processors ran, on average, while the present rates were measured, without the
	 * scans; 0: unknown, or none.
	 */
	double rated_cpus;
	/* The two fastest tiers: DRAM is worth what it saves against the next tier. */
	struct hmem_tier_pair first;
};

/*
 * @min_ns: the shortest window of the device.  @num_cpus: the VM's processors, at least 1.  The
 * latencies in @tiers may be 0: unknown.
 */
void hmem_bursts_init(struct hmem_bursts *c, const struct hmem_policy *policy,
		      uint64_t min_ns, uint32_t num_cpus,
		      const struct hmem_link_tier *tiers, uint32_t num_tiers);

/* The bursts are looks of @t from now on; NULL: nothing is tracked. */
void hmem_bursts_set_tracker(struct hmem_bursts *c, const struct hmem_tracker *t);

/* What bursts have taught, and what they have cost; as in struct hmem_bursts. */
struct hmem_bursts_learned {
	struct hmem_rates_learned rates;
	uint64_t bursts, look_ns, scan_ns;
	int64_t debt_ns, whole_debt_ns;
	uint64_t whole_ns, begun_ns, clock_ns, elapsed_ns, part_ns[HMEM_BURSTS_PARTS];
	uint32_t due_parts, turn, again, idle, long_looks, long_looks_failed;
	uint64_t long_looks_from;
};

void hmem_bursts_save(const struct hmem_bursts *c, struct hmem_bursts_learned *l);

/*
 * Continues with @l in @c, which has been initialized.  @away_ns of guest time have passed since
 * hmem_bursts_save().  @stale: meanwhile pages may have moved without their records.  Then a burst
 * about all of memory comes first.  Returns false if @l, which can contain anything, is not
 * possible; @c must then be initialized again.
 */
bool hmem_bursts_restore(struct hmem_bursts *c, const struct hmem_bursts_learned *l,
			 uint64_t away_ns, bool stale);

/* The times of a window that has ended, in ns. */
struct hmem_times {
	/* How long the window lasted, with the scan at its end. */
	uint64_t window_ns;
	/* For which processors were busy in it, summed over all of them. */
	uint64_t busy_ns;
	/* For which the scan had a processor. */
	uint64_t scan_ns;
};

/*
 * A window of the tracker @t has ended.  Add to @h, which tells if the window was incomplete, how
 * hmem_pages_update() shall apply the window.  @can: the kinds of windows that the device offers,
 * HMEM_CAN_*.  @rested: the tracker was off, as in a rest.  @busy: pages are being moved.
 */
void hmem_bursts_window(struct hmem_bursts *c, const struct hmem_policy *policy,
			const struct hmem_tracker *t, unsigned int can,
			const struct hmem_times *times, bool rested, bool busy,
			struct hmem_heat *h);

/*
 * hmem_pages_update() has applied the window, whose scan costs programs @walks page walks.  Returns
 * the length of the next window, in ns of guest time: from the least that the device offers to the
 * policy's window; if c->within, the length of the looks in it, which can be less.
 */
uint64_t hmem_bursts_next(struct hmem_bursts *c, const struct hmem_policy *policy,
			  const struct hmem_pages *p, const struct hmem_times *times,
			  uint64_t walks);

/* Returns the length of the next window, in ns of guest time, if it is part of a rest. */
uint64_t hmem_bursts_rest(const struct hmem_bursts *c, const struct hmem_policy *policy);

/* Is the next window part of a rest, so that the tracker need not scan? */
static inline bool hmem_bursts_rests(const struct hmem_bursts *c)
{
	return (c->scans || c->logs) && !c->left;
}

/*
 * The time, in ns, that an access saves in the pair's faster tier.  Where only long looks find huge
 * pages in use, programs pass over all of each page.  That is for plans only: the pool compares
 * VMs, and counts an access of any VM alike.
 */
static inline double hmem_bursts_access_ns(const struct hmem_bursts *c,
					   const struct hmem_tier_pair *pair)
{
	return c->long_looks ? pair->whole_ns : pair->access_ns;
}

/* Has a burst begun that has not observed all of its pages yet? */
static inline bool hmem_bursts_under_way(const struct hmem_bursts *c)
{
	return c->left || c->given_up;
}

/* Is it time for a plan?  If so, call hmem_bursts_planned() afterwards. */
static inline bool hmem_bursts_may_plan(const struct hmem_bursts *c)
{
	return !hmem_bursts_under_way(c) && c->rates.looks && !c->stale;
}

/* Tells the plan after a window: if moves save much, the next burst comes at once. */
void hmem_bursts_planned(struct hmem_bursts *c, const struct hmem_plan *plan);

/*
 * A page has moved to a faster tier, as planned.  A plan alone is not enough: the guest can refuse
 * all of its moves.
 */
static inline void hmem_bursts_moved(struct hmem_bursts *c)
{
	c->moved = true;
	c->idle = 0;
}

/* For the log: describes the last window, and what the plan after it saves, in one line. */
void hmem_bursts_describe(const struct hmem_bursts *c, const struct hmem_pages *p,
			  const struct hmem_plan *plan, char *buf, size_t size);

/*
 * Computes what DRAM is worth to the VM by the last burst.  @p is the VM's table after the last
 * window, and @stays is hmem_plan.stays of the last plan.  Returns false if no burst has ended
 * yet.
 */
bool hmem_bursts_worth(const struct hmem_bursts *c, const struct hmem_pages *p,
		       uint64_t stays, struct hmem_worth *worth);

#endif /* HMEM_BURSTS_H */
