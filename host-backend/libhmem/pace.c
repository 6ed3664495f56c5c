/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "pace.h"

/* Where no reason is given for a number, it did best in tests/unit/bench-policy. */

/* Of guest time, what looking may cost: one part in this many. */
#define BUDGET		100
/* What accrues in a ms; saved up, or spent ahead, at most: what does in so many. */
#define MS		(1000000 / BUDGET)
#define SAVED_MS	1000
#define AHEAD_MS	500
/*
 * What a rearmed page costs when it is used, in ns: a TLB miss, a walk in two
 * dimensions of which the last entries come from memory, a locked update.  A
 * page that is then written costs as much again, for its dirty bit.
 */
#define FAULT_NS	200
/* A look is at least so many scans long. */
#define SCANS		4
/* What scans cost a census, and as much again for the faults they cause. */
#define CENSUS_SCANS	(2 * (FIRST + SECOND + 1))
/* Looks in each half of a census. */
#define FIRST		3u
#define SECOND		4u
/* A census is about one part of at most so many. */
#define MAX_PARTS	64u
/* Pages used in a look: this share of tier 0 at most, and at least. */
#define MOST_USED	2
#define LEAST_USED	6
/* Of looks at parts, each counts for one in so many of the estimate. */
#define SMOOTH		16
#define SMOOTH_COLD	4
#define MIN_LOOK_NS	1500000u
#define MAX_SHIFT	(6u + LONG_SHIFT)
/* The longest look: 2^this windows. */
#define LONG_SHIFT	3u
/* The policy's window, in the shortest looks that there can be. */
#define WINDOW		(1u << (MAX_SHIFT - LONG_SHIFT))
/* Many hot pages are found: this share of tier 0, in the part of the census. */
#define MANY		16
/* Some: enough to spend what has been saved on. */
#define SOME		64
/* More than so many times the candidates that the last census left. */
#define JUMP		3
/* Rests that a census waits for moves to be over. */
#define PATIENCE	16u
/* One in so many of the cold pages may wake for other reasons. */
#define FEW		16
/* Fewer candidates than this say nothing. */
#define ENOUGH		16u
/* More than so many times what chance makes of the candidates is not chance. */
#define UNLIKELY	2
/* In which steps the margin rises (twice) and falls, and how far it rises. */
#define MARGIN_STEP	(HMEM_HEAT_MAX / 20)
#define MARGIN_MAX	(HMEM_HEAT_MAX / 2)

static uint32_t least_margin(const struct hmem_policy *policy)
{
	return HMEM_HEAT_MAX * policy->hysteresis / 100;
}

void hmem_pace_init(struct hmem_pace *c, const struct hmem_policy *policy,
		    uint64_t min_ns)
{
	memset(c, 0, sizeof(*c));
	c->min_ns = min_ns > MIN_LOOK_NS ? min_ns : MIN_LOOK_NS;
	c->parts = c->share = 1;
	c->shift = LONG_SHIFT;
	c->margin = least_margin(policy);
	c->cut = c->asked = c->margin;
}

static void begin_census(struct hmem_pace *c, bool late)
{
	c->left = FIRST + SECOND + late;
	c->blurred = false;
	c->waited = 0;
	c->spent = 0;
	c->blind = c->missed = 0;
	c->given_up = false;
	c->asked = c->margin;
	c->cut = c->cold + c->asked < HMEM_HEAT_MAX ? c->cold + c->asked : HMEM_HEAT_MAX;
	c->parts = c->urgent ? 1 : c->share;
	c->part = (c->part + 1) % c->parts;
	c->censuses += c->parts == 1;
	c->count++;
	/* Where hot pages have become slow, they are used less often. */
	if (c->urgent && c->shift > LONG_SHIFT)
		c->shift--;
	c->urgent = false;
}

/*
 * The window that has ended was to be a look, but is none.  What it was for is done
 * again, unless that would make the census cost more than twice as much.
 */
static bool misses(struct hmem_pace *c, bool incomplete, bool late)
{
	if (!c->left)
		return false;
	if (incomplete)
		c->blind = 1 + late;
	if (!c->blind)
		return false;
	c->blind--;
	if (c->missed++ == FIRST + SECOND + 1) {
		c->left = 0;
		c->blind = 0;
		c->given_up = true;
	}
	return true;
}

void hmem_pace_window(struct hmem_pace *c, const struct hmem_tracker *t, bool busy,
		      struct hmem_heat *h)
{
	bool late = t->ops->rearms_late, missed = misses(c, h->incomplete, late);
	/* What is rearmed now follows from the last look that was one. */
	uint32_t left, last = c->left + missed;

	c->scans = t->ops->scans;
	c->look = missed ? 0 : c->left;
	if (c->look)
		c->left--;
	else if (!missed && (c->urgent || (c->credit >= 0 &&
					   (!busy || ++c->waited > PATIENCE))))
		begin_census(c, late);
	/* What is rearmed late is so for the window after the next. */
	left = c->left - (late && c->left);
	h->begins = !last;
	h->ignore = missed || !last || last > FIRST + SECOND;
	/* Looks that make up a window count as one. */
	c->elapsed += last ? 1u << (MAX_SHIFT - c->shift) : WINDOW;
	h->brief = c->elapsed < WINDOW;
	c->elapsed %= WINDOW;
	/* Of all of memory: what was known before counts no more. */
	if (c->look && c->parts == 1 && h->decay > FIRST + SECOND - c->look)
		h->decay = FIRST + SECOND - c->look;
	h->rearm = !left ? HMEM_REARM_NONE :
		   left > SECOND ? HMEM_REARM_PART : HMEM_REARM_HOT;
	h->parts = c->parts;
	h->part = c->part % c->parts;
	h->cut = c->cut;
	h->first = c->look == FIRST + SECOND;
	/* Another page in 64 each time, whatever @parts is. */
	h->forget = UINT64_C(1) << (c->count * 0x9e3779b9u >> 26);
	h->last = c->look == SECOND + 1;
	h->sure = HMEM_PACE_SURE;
	h->candidates = last && last <= SECOND;
}

static uint64_t look_ns(const struct hmem_pace *c, const struct hmem_policy *policy)
{
	uint64_t ns = policy->window * UINT64_C(1000000) << LONG_SHIFT >> c->shift;

	return ns < HMEM_LINK_MAX_WINDOW_NS ? ns : HMEM_LINK_MAX_WINDOW_NS;
}

static uint64_t least_look_ns(const struct hmem_pace *c)
{
	return c->scan_ns * SCANS > c->min_ns ? c->scan_ns * SCANS : c->min_ns;
}

/* Returns false if looks are as short as they can be. */
static bool shorten(struct hmem_pace *c, const struct hmem_policy *policy)
{
	if (c->shift == MAX_SHIFT || look_ns(c, policy) / 2 < least_look_ns(c))
		return false;
	c->shift++;
	c->used /= 2;
	return true;
}

static void lengthen(struct hmem_pace *c)
{
	c->shift--;
	c->used *= 2;
}

/* One part's pages stand for all of memory, but one part is not like another. */
static void estimate(const struct hmem_pace *c, int64_t *all, uint64_t pages,
		     unsigned int smooth)
{
	int64_t more = (int64_t)(pages * c->parts) - *all;

	*all += c->parts == 1 ? more : more / smooth;
}

static void adapt_length(struct hmem_pace *c, const struct hmem_policy *policy,
			 const struct hmem_pages *p)
{
	int64_t frames = p->frames[0];

	if (c->shift && look_ns(c, policy) < least_look_ns(c))
		lengthen(c);
	estimate(c, &c->used, p->look.used, SMOOTH);
	if (c->used > frames / MOST_USED) {
		c->blurred = !shorten(c, policy);
		/* What was seen so far says little. */
		if (!c->blurred && c->parts == 1)
			c->left = FIRST + SECOND;
	} else if (c->used < frames / LEAST_USED && c->shift > LONG_SHIFT &&
		   c->look == SECOND + 1) {
		lengthen(c);
	}
}

/* How often candidates were used in the second half: 0 .. HMEM_HEAT_MAX. */
static uint64_t hot_use(uint64_t candidates, uint64_t again)
{
	return again * HMEM_HEAT_MAX / (candidates * SECOND);
}

/* Pages of tier 0 that stayed cold. */
static uint64_t asleep(const struct hmem_pace *c)
{
	return c->cold_ones - (c->woken < c->cold_ones ? c->woken : c->cold_ones);
}

/*
 * Of pages that are used in each look with the probability p, (1 - p)^4 are not in
 * four.  Of the cold ones it were fewer: these are used about as often as the
 * candidates, which were hot by chance, or they cold.  Candidates of which a few are
 * always used, and most never, have no such p: then a few that wake would do.
 */
static bool cold_by_chance(const struct hmem_pace *c)
{
	uint64_t use = hot_use(c->hot_all, c->again_all), none;

	_Static_assert(SECOND == 4, "the exponent");
	none = HMEM_HEAT_MAX - (use > c->asked ? use - c->asked : 0);
	none = none * none >> 16;
	none = none * none >> 16;
	return c->cold_all - c->asleep_all > c->cold_all / FEW &&
	       c->asleep_all * HMEM_HEAT_MAX < (int64_t)none * c->cold_all;
}

/*
 * Candidates that are used in each look with the same probability p are hot for sure by
 * chance, too: about p^3 of them, for the last three looks make up most of the heat.
 */
static bool sure_by_chance(const struct hmem_pace *c, uint64_t sure)
{
	uint64_t use = hot_use(c->candidates, c->again), expected;

	expected = (use * use >> 16) * use >> 16;
	expected = expected * c->candidates >> 16;
	return sure < UNLIKELY * expected;
}

/* Are so many pages of the part more than one in @share of tier 0? */
static bool many(const struct hmem_pace *c, const struct hmem_pages *p,
		 uint64_t pages, uint32_t share)
{
	return pages >= ENOUGH && pages > p->frames[0] / share / c->parts;
}

/*
 * The first half is over.  Has it found so many more than the last census left that
 * the hot set is another one?  Chance would find about as many in each.
 */
static bool is_another(const struct hmem_pace *c, const struct hmem_pages *p)
{
	return !c->chance && !c->woke && c->parts > 1 && many(c, p, c->candidates, MANY) &&
	       c->candidates * c->parts > JUMP * c->found;
}

/* Was it chance?  Then chance must be kept out better. */
static void judge(struct hmem_pace *c, const struct hmem_policy *policy,
		  const struct hmem_pages *p)
{
	uint64_t confirmed = p->look.hot;

	c->chance = c->blurred ||
		    (c->candidates >= ENOUGH &&
		     hot_use(c->candidates, c->again) < c->cold + c->asked);
	/* All by the same: where much is rearmed, the guest is slow, and uses less. */
	estimate(c, &c->hot_all, c->candidates, SMOOTH_COLD);
	estimate(c, &c->again_all, c->again, SMOOTH_COLD);
	estimate(c, &c->cold_all, c->cold_ones, SMOOTH_COLD);
	estimate(c, &c->asleep_all, asleep(c), SMOOTH_COLD);
	c->woke = c->candidates >= ENOUGH && cold_by_chance(c);
	c->none = c->chance && c->candidates && sure_by_chance(c, p->look.sure);
	c->found = c->candidates * c->parts;
	if (c->chance) {
		c->margin += 2 * MARGIN_STEP;
	} else if (many(c, p, confirmed, MANY)) {
		/* The hot set is another one: no time to lose. */
		c->urgent = c->parts > 1 &&
			    ((!c->woke && many(c, p, asleep(c), MANY)) ||
			     c->idle > p->frames[0] / MANY);
		c->margin = least_margin(policy);
	} else if (c->candidates >= ENOUGH && confirmed > c->candidates / 4 * 3) {
		c->margin -= c->margin < MARGIN_STEP ? c->margin : MARGIN_STEP;
	}
	if (c->margin > MARGIN_MAX)
		c->margin = MARGIN_MAX;
	if (c->margin < least_margin(policy))
		c->margin = least_margin(policy);
}

/*
 * Pages that are hot by any measure are seen to be so in less time, others in more;
 * not in less before all of memory is looked at: there, it is to find each.
 */
static void suit_candidates(struct hmem_pace *c, const struct hmem_policy *policy,
			    const struct hmem_pages *p)
{
	if (!many(c, p, c->candidates, MANY))
		return;
	if (!c->urgent && c->again > c->candidates * SECOND / 8 * 7)
		shorten(c, policy);
	while (c->chance && c->shift && c->shift <= LONG_SHIFT &&
	       c->used < (int64_t)p->frames[0] / LEAST_USED) {
		lengthen(c);
		c->urgent = true;
	}
}

/*
 * The next census is about as much of memory as costs half of what accrues until it
 * is over: the other half is saved for when the hot set is another one, or not all
 * of it has found its place.
 */
static void choose_share(struct hmem_pace *c, const struct hmem_policy *policy,
			 const struct hmem_pages *p)
{
	uint64_t ns = (FIRST + SECOND) * look_ns(c, policy) +
		      policy->window * UINT64_C(1000000);
	int64_t accrues = ns / (2 * BUDGET), all = c->spent * c->parts;

	c->share = 1;
	if (!c->chance && many(c, p, p->look.hot, SOME) && c->credit > 0) {
		accrues += c->credit;
		if (all <= accrues)
			c->margin = least_margin(policy);
	}
	while (!c->scans && c->share < MAX_PARTS && all > c->share * accrues)
		c->share *= 2;
}

static void account(struct hmem_pace *c, const struct hmem_pages *p,
		    uint64_t window_ns, uint64_t scan_ns)
{
	int64_t cost = p->look.faults * FAULT_NS, most = AHEAD_MS * MS;

	/* No scan takes so long. */
	if (scan_ns > HMEM_LINK_MAX_WINDOW_NS)
		scan_ns = HMEM_LINK_MAX_WINDOW_NS;
	/* What one takes longer than another, the driver was not running. */
	if (scan_ns && (c->look > FIRST + SECOND || scan_ns < c->scan_ns))
		c->scan_ns = scan_ns;
	if (scan_ns)
		cost += c->scan_ns;
	most += CENSUS_SCANS * c->scan_ns;
	c->credit += window_ns / BUDGET;
	c->credit -= cost;
	if (c->look)
		c->spent += cost;
	if (c->credit > SAVED_MS * MS)
		c->credit = SAVED_MS * MS;
	if (c->credit < -most)
		c->credit = -most;
}

uint64_t hmem_pace_next(struct hmem_pace *c, const struct hmem_policy *policy,
			const struct hmem_pages *p, uint64_t window_ns,
			uint64_t scan_ns)
{
	account(c, p, window_ns, scan_ns);
	/* Not by a window that has found what was set before. */
	if (c->look <= FIRST + SECOND &&
	    (c->look > SECOND || (c->look && c->parts == 1)))
		adapt_length(c, policy, p);
	if (c->look > SECOND) {
		c->candidates = p->look.hot;
		c->cold_ones = p->look.cold;
		c->again = 0;
		c->woken = 0;
		if (c->look == SECOND + 1 && is_another(c, p)) {
			c->urgent = true;
			c->left = 0;
		}
	} else if (c->look) {
		c->again += p->look.again;
		c->woken += p->look.woken;
	}
	if (c->look == 1 && !c->left) {
		judge(c, policy, p);
		suit_candidates(c, policy, p);
		choose_share(c, policy, p);
	}
	return c->left ? look_ns(c, policy) : policy->window * UINT64_C(1000000);
}
