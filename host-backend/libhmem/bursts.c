/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bursts.h"
#include "sample.h"

/* The operator's limit: looks take at most one part in BUDGET of each processor's time. */
#define BUDGET		100
/*
 * Physical, an estimate: the time, in ns, until a cleared bit is set again.  That is a TLB
 * miss, a walk in two dimensions whose last entries come from memory, and a locked update.
 * Dirty bits stay set, because auto does not ask which pages were written.
 */
#define WALK_NS	200
/*
 * A look from scan to scan lasts at least this many scans, so that all pages are observed for about
 * the same time.  Shorter looks lie within a scan, if the driver can do that.
 */
#define SCANS		2
#define MIN_LOOK_NS	1500000u
/*
 * Statistical: the looks of a burst at all of memory.  The most informative look leaves a
 * standard error of 1.24 in the logarithm of a page's rate.  After four looks, a factor of 1.9
 * is left, which tells pages apart if one is used twice as often as the other.
 */
#define BURST		4u
/*
 * The looks of a burst at a part.  The first look tells how much is left of earlier
 * deviations.  The second look measures the pages that the first one found used, and the third
 * look measures those that both found used.
 */
#define PART_BURST	3u
/* Looks of a burst by scans: each costs a scan, so the third is left to the next burst. */
#define SCAN_BURST	2u
/* The looks of the first burst: both estimates of each page need so many, see rates.c. */
#define FIRST_BURST	8u
/*
 * A look lasts until the used pages are this share of the pages of tier 0.  With more used
 * pages, a look would not tell which of them belong into tier 0.  With fewer, most looks would
 * tell nothing.
 */
#define USED		3
/*
 * A burst waits for at most this many windows while pages move: the guest's programs run more
 * slowly then, so all rates would be lower than the rates that were measured before.
 */
#define PATIENCE	16u
/*
 * Statistical: if a look finds this part of the pages in use used, it tells half a bit about each
 * of them.  A look within a scan tells more, but costs two to three times as much, since it clears
 * the bits of all pages that were used since the last one.
 */
#define LITTLE		(8.0 / 9)
/* The length of looks changes by this factor at most, because one look can mislead. */
#define CHANGE		4
/* The debt of bursts ahead may be this many times the cost of one. */
#define AHEAD		4
/* After each failed attempt with long looks, twice as many bursts pass, up to 2^MAX_FAILED. */
#define MAX_FAILED	6u
/* When bursts lead to no move, rests become up to 2^MAX_IDLE times as long. */
#define MAX_IDLE	1u

void hmem_bursts_init(struct hmem_bursts *c, const struct hmem_policy *policy,
		      uint64_t min_ns, uint32_t num_cpus,
		      const struct hmem_link_tier *tiers, uint32_t num_tiers)
{
	memset(c, 0, sizeof(*c));
	hmem_rates_init(&c->rates, policy->horizon);
	c->min_ns = min_ns > MIN_LOOK_NS ? min_ns : MIN_LOOK_NS;
	c->num_cpus = num_cpus;
	c->busy_cpus = num_cpus;
	c->walks_per_page = 1;
	c->look_ns = c->min_ns;
	c->parts = 1;
	c->due_parts = 1;
	hmem_tier_pair_set(&c->first, tiers, num_tiers, 0, 1);
}

void hmem_bursts_set_tracker(struct hmem_bursts *c, const struct hmem_tracker *t)
{
	c->scans = t && t->ops->scans;
	c->logs = t && t->ops->faults;
	c->late = t && t->ops->rearms_late;
}

/* The length, in ns, of the shortest look from scan to scan. */
static uint64_t shortest_between(const struct hmem_bursts *c)
{
	return SCANS * c->scan_ns < c->min_ns ? c->min_ns : SCANS * c->scan_ns;
}

/* A restored debt is at most that of the longest window, see is_possible(). */
static int64_t debt_to_save(int64_t ns)
{
	const int64_t most = HMEM_LINK_MAX_WINDOW_NS;

	return ns > most ? most : ns < -most ? -most : ns;
}

void hmem_bursts_save(const struct hmem_bursts *c, struct hmem_bursts_learned *l)
{
	*l = (struct hmem_bursts_learned) {
		.bursts = c->bursts,
		.look_ns = c->look_ns,
		.scan_ns = c->scan_ns,
		.debt_ns = debt_to_save(c->debt_ns),
		.whole_debt_ns = debt_to_save(c->whole_debt_ns),
		.whole_ns = debt_to_save(c->whole_ns),
		.begun_ns = c->begun_ns,
		.clock_ns = c->clock_ns,
		.elapsed_ns = c->elapsed_ns,
		.due_parts = c->due_parts,
		.turn = c->turn,
		.again = c->again,
		.idle = c->idle,
		.long_looks = c->long_looks,
		.long_looks_failed = c->long_looks_failed,
		.long_looks_from = c->long_looks_from,
	};
	hmem_rates_save(&c->rates, &l->rates);
	memcpy(l->part_ns, c->part_ns, sizeof(l->part_ns));
}

/* Could bursts have led to these numbers? */
static bool is_possible(const struct hmem_bursts_learned *l, uint64_t away_ns)
{
	/* A century, in ns: sums of several such times do not overflow. */
	const uint64_t most = UINT64_C(3155760000) * 1000000000;

	if (!l->due_parts || l->due_parts > HMEM_BURSTS_PARTS ||
	    l->due_parts & (l->due_parts - 1) || l->turn >= HMEM_BURSTS_PARTS ||
	    l->again > 1 || l->idle > MAX_IDLE ||
	    l->long_looks > 1 || l->long_looks_failed > MAX_FAILED ||
	    l->look_ns < HMEM_LINK_MIN_WINDOW_NS || l->look_ns > HMEM_LINK_MAX_WINDOW_NS ||
	    l->scan_ns > HMEM_LINK_MAX_WINDOW_NS || l->elapsed_ns > HMEM_LINK_MAX_WINDOW_NS ||
	    l->debt_ns < 0 || l->debt_ns > (int64_t)HMEM_LINK_MAX_WINDOW_NS ||
	    l->whole_debt_ns < -(int64_t)HMEM_LINK_MAX_WINDOW_NS ||
	    l->whole_debt_ns > (int64_t)HMEM_LINK_MAX_WINDOW_NS ||
	    l->whole_ns > HMEM_LINK_MAX_WINDOW_NS || l->clock_ns > most || away_ns > most ||
	    l->begun_ns > l->clock_ns)
		return false;
	for (unsigned int i = 0; i < HMEM_BURSTS_PARTS; i++) {
		if (l->part_ns[i] > l->clock_ns)
			return false;
	}
	return true;
}

bool hmem_bursts_restore(struct hmem_bursts *c, const struct hmem_bursts_learned *l,
			 uint64_t away_ns, bool stale)
{
	if (!is_possible(l, away_ns) || !hmem_rates_restore(&c->rates, &l->rates))
		return false;
	/*
	 * If the first burst was cut short, it has to begin anew.  A dear one can have ended with
	 * fewer looks, see end_dear_burst().
	 */
	c->bursts = stale && l->rates.looks < FIRST_BURST ? 0 : l->bursts;
	c->look_ns = l->look_ns;
	c->scan_ns = l->scan_ns;
	/* Looks from scan to scan are not as short as that. */
	c->short_looks = l->rates.looks && c->look_ns < shortest_between(c);
	c->debt_ns = l->debt_ns;
	/* The last burst has cost at least what is left of its debt, see is_overdue(). */
	c->spent_ns = l->debt_ns;
	c->whole_debt_ns = l->whole_debt_ns;
	c->whole_ns = l->whole_ns;
	c->begun_ns = l->begun_ns;
	c->clock_ns = l->clock_ns + away_ns;
	c->elapsed_ns = l->elapsed_ns + away_ns;
	if (c->elapsed_ns > HMEM_LINK_MAX_WINDOW_NS)
		c->elapsed_ns = HMEM_LINK_MAX_WINDOW_NS;
	memcpy(c->part_ns, l->part_ns, sizeof(c->part_ns));
	c->due_parts = l->due_parts;
	c->turn = l->turn;
	c->again = l->again;
	c->idle = l->idle;
	c->long_looks = l->long_looks;
	c->long_looks_failed = l->long_looks_failed;
	c->long_looks_from = l->long_looks_from;
	c->stale = stale || !c->bursts;
	c->urgent = c->stale;
	return true;
}

/*
 * Each part has two bursts in a row.  So the same pages are observed again after a short time
 * and after a long time, which tells how long rates last.
 */
static void next_part(struct hmem_bursts *c)
{
	uint32_t width = HMEM_BURSTS_PARTS / c->parts;

	/* The burst before this one can have had narrower parts. */
	c->turn -= c->turn % width;
	if (c->again)
		c->turn = (c->turn + width) % HMEM_BURSTS_PARTS;
	c->again = !c->again;
	c->part = c->turn / width;
}

/* A scan of a part costs as much as a scan of all memory, and the dirty log knows no parts. */
static bool looks_at_all(const struct hmem_bursts *c)
{
	return c->scans || c->logs;
}

static void begin_burst(struct hmem_bursts *c)
{
	c->ahead = c->urgent || !c->bursts;
	c->parts = c->ahead || looks_at_all(c) ? 1 : c->due_parts;
	c->part = 0;
	if (c->parts > 1)
		next_part(c);
	c->left = !c->bursts ? FIRST_BURST : looks_at_all(c) ? SCAN_BURST :
		  c->ahead ? BURST : PART_BURST;
	c->wanted = c->left;
	c->looks = 0;
	c->told = 0;
	c->anew_ns = UINT64_MAX;
	c->urgent = false;
	c->stale = false;
	c->spent_ns = 0;
	c->ahead_ns = 0;
	c->begun_ns = c->clock_ns;
	c->missed = 0;
	c->waited = 0;
	c->given_up = false;
	c->bursts++;
}

/* Has this burst, or the last one, cost at most what all processors pay for until the horizon? */
static bool is_cheap(const struct hmem_bursts *c)
{
	return c->spent_ns * (double)BUDGET <= c->rates.nearest_s * 1e9 * c->num_cpus;
}

/* Is what the last burst has measured too old, and is another such burst cheap? */
static bool is_overdue(const struct hmem_bursts *c)
{
	return c->bursts && c->clock_ns - c->begun_ns >= c->rates.nearest_s * 1e9 && is_cheap(c);
}

/* Was the window that has ended a look?  Decides what comes next. */
static void advance(struct hmem_bursts *c, bool rested, bool busy, bool incomplete)
{
	c->looked = false;
	if (!c->left) {
		if ((c->debt_ns <= 0 || c->urgent || is_overdue(c)) &&
		    (!busy || c->waited++ >= PATIENCE))
			begin_burst(c);
	} else if (rested) {
		/* Between two looks, while the first one was counted. */
		return;
	} else if (incomplete) {
		/* The scan of a late tracker has not cleared all of the bits. */
		c->requests &= ~1u;
		if (++c->missed > BURST) {
			c->left = 0;
			c->given_up = true;
		}
	} else if (c->within || c->requests >> c->late & 1) {
		c->looked = true;
		c->looks++;
		c->left--;
	}
}

/* Do the looks of the next window of a burst lie within its scan? */
static bool next_is_within(const struct hmem_bursts *c)
{
	return c->short_looks && c->scans && c->can_look_within;
}

/*
 * Are bits to be cleared?  Only if no earlier request serves the next look, and if that does not
 * clear them itself.
 */
static bool request(struct hmem_bursts *c)
{
	bool clear = !next_is_within(c) && c->left > (c->late && (c->requests & 1));

	c->requests = c->requests << 1 | clear;
	return clear;
}

/*
 * A look of @look_ns has ended: returns the time from the last look at the same pages to
 * the begin of this look.  It is unknown if that time differs between the parts.  Looks of a burst
 * follow each other at once, unless they lie within scans: then looks at all other pages come
 * between two looks at a page.
 */
static uint64_t lag_ns(const struct hmem_bursts *c, uint64_t look_ns)
{
	uint32_t width = HMEM_BURSTS_PARTS / c->parts;
	const uint64_t *last = &c->part_ns[c->part * width];

	if (c->looks > 1 && !c->within)
		return 0;
	for (uint32_t i = 0; i < width; i++) {
		if (!last[i] || last[i] != last[0])
			return HMEM_LAG_UNKNOWN;
	}
	return c->clock_ns - look_ns - last[0];
}

/* The time for which processors were busy with anything but the scan. */
static uint64_t without_scan(const struct hmem_times *t)
{
	return t->busy_ns > t->scan_ns ? t->busy_ns - t->scan_ns : 0;
}

/*
 * The time that the scan took from programs.  The scan took time from them only if a program would
 * have run instead.  That is as likely as a processor was busy in the time without the scan, whose
 * own time is part of busy_ns.
 */
static double taken_by_scan(const struct hmem_bursts *c, const struct hmem_times *t)
{
	double without = (double)t->window_ns * c->num_cpus - t->scan_ns;
	double busy = without_scan(t);

	return t->scan_ns * (busy < without ? busy / without : 1);
}

/*
 * The length of the window's look: the time between two visits of a scan to a page, without the
 * time in which programs could not use it, because a scan had their processor.
 */
static uint64_t length_of_look(const struct hmem_bursts *c, const struct hmem_times *t)
{
	double ns = t->window_ns - taken_by_scan(c, t) / c->num_cpus;

	if (c->within)
		return c->look_ns < t->window_ns ? c->look_ns : t->window_ns;
	/* The guest says how long its scan took, and can be wrong. */
	return ns < 1 ? 1 : ns;
}

static void begin_look(struct hmem_bursts *c, const struct hmem_times *t)
{
	uint32_t width = HMEM_BURSTS_PARTS / c->parts;
	uint64_t look_ns = length_of_look(c, t);

	hmem_rates_begin(&c->rates, c->clock_ns, look_ns, lag_ns(c, look_ns), c->looks > 1);
	for (uint32_t i = 0; i < width; i++)
		c->part_ns[c->part * width + i] = c->clock_ns;
}

void hmem_bursts_window(struct hmem_bursts *c, const struct hmem_policy *policy,
			const struct hmem_tracker *t, unsigned int can,
			const struct hmem_times *times, bool rested, bool busy,
			struct hmem_heat *h)
{
	const uint64_t window = hmem_policy_window_ns(policy);

	hmem_bursts_set_tracker(c, t);
	c->can_look_long = can & HMEM_CAN_LOOK_LONG;
	c->can_look_within = can & HMEM_CAN_LOOK_WITHIN;
	/* The driver has changed, so this window's look went from scan to scan. */
	if (!c->can_look_within)
		c->within = false;
	advance(c, rested, busy, h->incomplete);
	h->rates = &c->rates;
	h->look = c->looked;
	h->within = c->within;
	h->clear = request(c);
	c->clock_ns += times->window_ns;
	if (c->looked)
		begin_look(c, times);
	h->part = c->part;
	h->parts = c->parts;
	c->elapsed_ns += times->window_ns;
	h->brief = c->elapsed_ns < window;
	if (!h->brief)
		c->elapsed_ns = 0;
}

static double clamp(double v, double low, double high)
{
	return v < low ? low : v > high ? high : v;
}

/*
 * The longest window is the policy's, unless the device offers only longer ones.  The operator
 * has set it, and the longest look is the time until auto notices that a guest begins to work.
 */
static uint64_t longest(const struct hmem_bursts *c, const struct hmem_policy *policy)
{
	uint64_t ns = hmem_policy_window_ns(policy);

	return ns < c->min_ns ? c->min_ns : ns;
}

/*
 * The longest look.  With a dirty log, a window's part of the budget pays for the time that
 * programs lose in one look, because there are no huge pages.
 */
static uint64_t longest_look(const struct hmem_bursts *c, const struct hmem_policy *policy)
{
	uint64_t ns = longest(c, policy);

	if (!c->logs)
		return ns;
	ns = ns * HMEM_LOG_SLOWS / BUDGET;
	return ns < c->min_ns ? c->min_ns : ns;
}

/* The number of pages that the last look would have found used in all of memory. */
static double used_of_all(const struct hmem_bursts *c)
{
	double used = 0;

	for (unsigned int i = 0; i < HMEM_CLASSES; i++)
		used += c->rates.used[i];
	return used * c->parts;
}

/* The number of pages that a look at all of memory is to find used. */
static double wanted_of_all(const struct hmem_pages *p)
{
	return hmem_pages_present(p, 0) / (double)USED;
}

/* Has the last look found so many pages used that it told little? */
static bool found_too_many(const struct hmem_bursts *c, const struct hmem_pages *p)
{
	return used_of_all(c) > 2 * wanted_of_all(p);
}

/* Has the last look found so few pages used that looks should be as much longer as possible? */
static bool found_too_few(const struct hmem_bursts *c, const struct hmem_pages *p)
{
	return used_of_all(c) * CHANGE < wanted_of_all(p);
}

/*
 * Has the last look, which was about all of memory, found nearly all of the pages used that are in
 * use at all?
 */
static bool told_little(const struct hmem_bursts *c, const struct hmem_pages *p)
{
	uint64_t members[HMEM_CLASSES];
	double in_use = 0;

	hmem_pages_members(p, members);
	for (unsigned int i = 0; i < HMEM_CLASSES; i++)
		in_use += i == HMEM_CLASS_IDLE ? 0 : members[i];
	return used_of_all(c) > LITTLE * in_use;
}

/* Can looks lie within a scan?  Long looks at huge pages last from scan to scan. */
static bool may_look_within(const struct hmem_bursts *c)
{
	return c->scans && c->can_look_within && !c->long_looks &&
	       shortest_between(c) > MIN_LOOK_NS;
}

/* Sets the length of the next look. */
static void set_look(struct hmem_bursts *c, const struct hmem_policy *policy,
		     const struct hmem_pages *p)
{
	uint64_t most = longest_look(c, policy), between = shortest_between(c), least;
	double ns = c->look_ns *
		    clamp(wanted_of_all(p) / (used_of_all(c) + 1), 1.0 / CHANGE, CHANGE);

	c->short_looks = may_look_within(c) && (c->short_looks ? ns < between :
			 c->look_ns <= between && found_too_many(c, p) && told_little(c, p));
	least = c->short_looks ? MIN_LOOK_NS : between;
	if (most < least)
		most = least;
	c->look_ns = clamp(ns, least, most);
}

/*
 * Has the last look, which was about all of memory, found more pages used than a huge page has, but
 * no 2 MiB of neighbours all of which were used?
 */
static bool found_no_cluster(const struct hmem_bursts *c)
{
	return !c->rates.clusters.in_whole && used_of_all(c) > 1 << HMEM_CLUSTER_ORDER;
}

/*
 * Decides how long looks at huge pages last.  The last look was of @length, and all are at most
 * @most long.
 */
static void set_long_looks(struct hmem_bursts *c, const struct hmem_pages *p, uint64_t length,
			   uint64_t most)
{
	if (!c->long_looks) {
		c->long_looks = c->can_look_long && length >= most && found_too_few(c, p) &&
				!found_no_cluster(c) && c->bursts >= c->long_looks_from;
	} else if (found_no_cluster(c)) {
		c->long_looks = false;
	} else if (!found_too_many(c, p)) {
		c->long_looks_failed = 0;
	} else {
		c->long_looks = false;
		c->long_looks_from = c->bursts + (UINT64_C(1) << c->long_looks_failed);
		if (c->long_looks_failed < MAX_FAILED)
			c->long_looks_failed++;
	}
}

/* The guest time that a window has cost programs. */
static int64_t cost_ns(const struct hmem_bursts *c, const struct hmem_policy *policy,
		       uint64_t walks, const struct hmem_times *t)
{
	/*
	 * With a log, each of the walks is a fault; none: the log was off.  The operator's faults
	 * per second are those that the budget of one processor pays for.
	 */
	if (c->logs)
		return walks ? walks * (1e9 / BUDGET / policy->faults) +
			       (double)without_scan(t) / HMEM_LOG_SLOWS : 0;
	return walks * WALK_NS + taken_by_scan(c, t);
}

/* The guest time that looks may take, of the @ns for which processors were busy. */
static int64_t pays(const struct hmem_bursts *c, uint64_t ns)
{
	return ns / (BUDGET << c->idle);
}

/* Sets the parts of the next burst: as wide as the time that the burst takes pays for. */
static void set_parts(struct hmem_bursts *c)
{
	double cost = used_of_all(c) * c->walks_per_page * WALK_NS;

	c->due_parts = 1;
	while (c->due_parts < HMEM_BURSTS_PARTS &&
	       cost > c->due_parts * (double)c->look_ns * c->busy_cpus / BUDGET)
		c->due_parts *= 2;
}

/* May the next burst observe all of memory, and be paid for later? */
static bool may_be_ahead(const struct hmem_bursts *c)
{
	return c->whole_debt_ns <= AHEAD * (int64_t)c->whole_ns;
}

/*
 * The guest has begun to work, or to do something else, so what is known of its pages is of no use:
 * make the burst like the first one.  Returns false if the burst is not about all of memory, or
 * cannot be paid for later.
 */
static bool begin_anew(struct hmem_bursts *c)
{
	if (c->parts > 1 || c->ahead || !may_be_ahead(c))
		return false;
	c->ahead = true;
	c->wanted = BURST;
	c->left = c->wanted;
	return true;
}

/*
 * The look of @length was more than twice too long: most pages in use were used in it, so it told
 * little.  So the burst begins anew, at fewer pages if it cannot be like the first one, and if its
 * looks can be half as long as when it last began.  The length of scans varies, and so does that
 * of the shortest looks, so lesser differences say nothing, and no burst begins anew for ever.
 * Shorter scans cost as much, so they wait for the next burst.
 */
static void restart_burst(struct hmem_bursts *c, uint64_t length)
{
	if (length < c->anew_ns)
		c->anew_ns = length;
	if (begin_anew(c) || 2 * c->look_ns > c->anew_ns || (c->scans && !c->ahead))
		return;
	c->anew_ns = c->look_ns;
	if (!c->ahead && !looks_at_all(c) && c->due_parts > c->parts) {
		c->part *= c->due_parts / c->parts;
		c->parts = c->due_parts;
		c->turn = c->part * (HMEM_BURSTS_PARTS / c->parts);
	}
	c->left = c->wanted;
}

/*
 * Looks lie within scans, and this burst is ahead of its budget and has cost more than a horizon
 * pays for.  So it ends as soon as two looks in a row have told enough for a plan: they found
 * about as many used pages as they should, and most of these were expected.  It ends as a burst
 * in its turn, so that the next one waits until it is paid for.  In a guest with much memory for
 * each processor, the looks that are left would cost minutes of the budget.
 */
static void end_dear_burst(struct hmem_bursts *c, const struct hmem_pages *p)
{
	if (!c->ahead || !c->within || is_cheap(c))
		return;
	if (found_too_many(c, p) || found_too_few(c, p) || hmem_rates_surprised(&c->rates))
		c->told = 0;
	else
		c->told++;
	if (c->told < SCAN_BURST)
		return;
	c->left = 0;
	c->ahead = false;
	c->debt_ns += c->ahead_ns;
	c->whole_debt_ns -= c->ahead_ns;
}

/* Accounts for a window that has cost @cost and allows looks to take @income. */
static void account(struct hmem_bursts *c, int64_t cost, int64_t income)
{
	int64_t half = c->whole_debt_ns > 0 ? income / 2 : 0;

	c->spent_ns += cost;
	if (!c->ahead) {
		c->debt_ns += cost;
	} else {
		c->whole_debt_ns += cost;
		c->ahead_ns += cost;
		c->whole_ns = c->spent_ns;
	}
	c->whole_debt_ns -= half;
	c->debt_ns -= income - half;
	if (c->debt_ns < 0)
		c->debt_ns = 0;
}

/* The time, in ns, until the next burst is paid for, if the guest stays as busy. */
static double paid_in_ns(const struct hmem_bursts *c)
{
	double debt = c->debt_ns * (1 + (c->whole_debt_ns > 0));

	return debt > 0 ? debt * (BUDGET << c->idle) / c->busy_cpus : 0;
}

/* The time, in seconds, until the next look. */
static double next_look_s(const struct hmem_bursts *c)
{
	/* A cheap burst does not wait for longer than the policy's horizon, see is_overdue(). */
	return c->left || is_cheap(c) ? 0 : paid_in_ns(c) / 1e9;
}

uint64_t hmem_bursts_rest(const struct hmem_bursts *c, const struct hmem_policy *policy)
{
	/* Plans are also made in rests, so a rest is at most a window of the policy. */
	uint64_t rest = longest(c, policy);
	double paid_ns = paid_in_ns(c);

	if (paid_ns < rest)
		rest = paid_ns + 1;
	return rest < c->min_ns ? c->min_ns : rest;
}

/* A look has ended.  As in the rates, each earlier look counts half as much. */
static void rate_cpus(struct hmem_bursts *c, const struct hmem_times *t)
{
	double cpus = t->window_ns ? (double)without_scan(t) / t->window_ns : 0;

	c->rated_cpus = c->rated_cpus ? (c->rated_cpus + cpus) / 2 : cpus;
}

uint64_t hmem_bursts_next(struct hmem_bursts *c, const struct hmem_policy *policy,
			  const struct hmem_pages *p, const struct hmem_times *times,
			  uint64_t walks)
{
	const uint64_t length = c->look_ns;
	uint64_t members[HMEM_CLASSES];

	if (times->scan_ns && !c->within) {
		c->scan_ns = c->last_scan_ns && c->last_scan_ns < times->scan_ns ?
			     c->last_scan_ns : times->scan_ns;
		c->last_scan_ns = times->scan_ns;
	}
	if (times->window_ns)
		c->busy_cpus = (double)times->busy_ns / times->window_ns;
	account(c, cost_ns(c, policy, walks, times), pays(c, times->busy_ns));
	if (c->looked && walks && p->faults)
		c->walks_per_page = walks < p->faults ? (double)walks / p->faults : 1;
	if (c->looked) {
		hmem_pages_members(p, members);
		hmem_rates_end(&c->rates, members);
		rate_cpus(c, times);
		set_long_looks(c, p, length, longest_look(c, policy));
		set_look(c, policy, p);
		set_parts(c);
		if ((c->left || c->ahead) && found_too_many(c, p)) {
			restart_burst(c, length);
			/* The looks that follow are not too long, so they measure better. */
			if (c->left && 2 * c->look_ns <= length)
				hmem_rates_forget(&c->rates);
		} else if (c->left && hmem_rates_surprised(&c->rates)) {
			begin_anew(c);
		}
		end_dear_burst(c, p);
		hmem_rates_expect(&c->rates, next_look_s(c));
	}
	c->within = next_is_within(c) && c->left;
	/* The first plan may require another burst, so do not rest yet. */
	if (c->left || c->looked)
		return c->look_ns;
	return hmem_bursts_rest(c, policy);
}

void hmem_bursts_planned(struct hmem_bursts *c, const struct hmem_plan *plan)
{
	if (!c->looked)
		return;
	if (!c->moved && c->idle < MAX_IDLE)
		c->idle++;
	c->moved = false;
	/* Expect to gain as much from each other part. */
	c->urgent = c->parts > 1 && may_be_ahead(c) &&
		    plan->gain_ns * (c->parts - 1) > (double)BUDGET * c->spent_ns * c->parts;
}

void hmem_bursts_describe(const struct hmem_bursts *c, const struct hmem_pages *p,
			  const struct hmem_plan *plan, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s at part %" PRIu32 " of %" PRIu32 ", %" PRIu64
		 " bits set anew, %" PRIu64 " bursts, next look %" PRIu64
		 " us, rates last %.2f s, moves save %.3f s", c->looked ? "look" : "no look",
		 c->long_looks ? " (long)" : c->short_looks ? " (within scans)" : "",
		 c->part + 1, c->parts, p->faults, c->bursts, c->look_ns / 1000,
		 c->rates.lasts_s, plan->gain_ns / 1e9);
}

bool hmem_bursts_worth(const struct hmem_bursts *c, const struct hmem_pages *p,
		       uint64_t stays, struct hmem_worth *worth)
{
	struct hmem_worth_class classes[HMEM_CLASSES];
	uint64_t members[HMEM_CLASSES], *idle = &classes[HMEM_CLASS_IDLE].pages;

	if (!hmem_bursts_may_plan(c) || !p->by_class)
		return false;
	hmem_pages_members(p, members);
	for (unsigned int i = 0; i < HMEM_CLASSES; i++) {
		classes[i] = (struct hmem_worth_class) {
			.pages = members[i],
			.rate = c->rates.rate[i],
			.error = c->rates.error[i],
		};
	}
	/* Pages can have moved since the plan. */
	if (stays > *idle)
		stays = *idle;
	*idle -= stays;
	hmem_worth_make(worth, classes, HMEM_CLASSES, stays, c->first.access_ns);
	return true;
}
