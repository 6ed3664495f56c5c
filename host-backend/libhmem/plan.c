/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "simd.h"
#include "plan.h"
#include "refusals.h"

#define PAGES_PER_MIB	256u

/*
 * Bucket sort: count the pages of each rank, decide how many to take of each rank, then pick
 * the pages.  Rank 0 is the coldest.
 */
struct side {
	uint8_t rank[HMEM_BUCKETS];	/* the rank of each bucket */
	/*
	 * By rank: the number of pages, and of pages still to take; by rates, a page's
	 * accesses.
	 */
	struct hmem_exchange_side ranks;
	/* The rank of idle pages. */
	unsigned int idle;
	uint32_t place[HMEM_BUCKETS];	/* by rank: the index of the next page in @moves */
	uint32_t taken;
	/* Pages still to take that are not idle. */
	uint32_t warm;
	/* See hmem_plan.stays. */
	uint64_t stays;
	/* The rank with most of the pages to take. */
	unsigned int most;
	/* The least and the greatest heat that a page to take can have. */
	uint16_t least, greatest;
	struct hmem_move *moves;
};

/* The steps in which a plan is made. */
enum phase {
	COUNTING,	/* count the pages of each rank that may be taken */
	PICKING,	/* pick pages, from where the last plan found cold pages to the end */
	PICKING_ON,	/* pick pages from the beginning to there */
};

struct hmem_sorter {
	enum phase phase;
	/* The next slot of this step. */
	uint64_t next;
	struct hmem_plan_limits limits;
	struct side hot;	/* pages of the slow tier */
	struct side cold;	/* pages of the fast tier */
	/* Pages still to pick; picking ends early when none is left. */
	uint32_t left;
	/* The slot of the last cold page that was picked of the rank cold.most. */
	uint64_t last_cold;
	/* The smallest difference, in buckets, between pages that change places. */
	unsigned int apart;
};

uint32_t hmem_plan_budget(uint32_t rate, uint64_t window_ns)
{
	/* This cannot overflow: a window is at most an hour, 2^42 ns, and a rate at most 2^16. */
	uint64_t ms = window_ns / 1000000;
	uint64_t pages;

	if (ms > 3600000)
		ms = 3600000;
	pages = (uint64_t)rate * PAGES_PER_MIB * ms / 1000;
	return pages < HMEM_PLAN_MAX ? pages : HMEM_PLAN_MAX;
}

/* NULL: the block's tier is neither of the plan's two. */
static struct side *side_of(struct hmem_sorter *s, const struct hmem_block *b)
{
	return b->tier == s->limits.pair.fast ? &s->cold :
	       b->tier == s->limits.pair.slow ? &s->hot : NULL;
}

static unsigned int rank_of(const struct side *side, const struct hmem_pages *p,
			    uint64_t slot)
{
	return side->rank[hmem_pages_bucket(p, slot)];
}

/* The idle pages of the block. */
static uint64_t idle_of(const struct hmem_pages *p, const struct side *side,
			const struct hmem_block *b)
{
	uint64_t idle = 0;

	if (!b->live)
		return UINT64_MAX;
	if (!p->by_class)
		return ~SIMD_WHERE(&p->heat[b->slot], l, l >= HMEM_HEAT_IN_USE);
	for (unsigned int i = 0; i < 64; i++)
		idle |= (uint64_t)(rank_of(side, p, b->slot + i) == side->idle) << i;
	return idle;
}

/*
 * The pages of the block that may be taken.  To demote a page that will not move costs a place
 * in the plan, so only willing pages are demoted.  All eligible hot pages are worth a try.
 */
static uint64_t may_take(const struct hmem_pages *p, const struct hmem_sorter *s,
			 const struct side *side, const struct hmem_block *b)
{
	return side == &s->cold ? hmem_pages_willing(p, b) : hmem_pages_eligible(p, b);
}

/* The number of idle pages of the block that may be taken. */
static unsigned int quota_of(const struct hmem_pages *p, const struct hmem_sorter *s,
			     const struct side *side, const struct hmem_block *b)
{
	return side == &s->cold ? hmem_pages_quota(p, b->slot) : 64;
}

/*
 * Counts the idle pages of a block of the fast tier that probably stay, because the guest has
 * refused pages of the block.  Returns 0 for a block without refusals: its pages may or may not
 * stay.
 */
static unsigned int count_stays(const struct hmem_pages *p, const struct side *side,
				const struct hmem_block *b, unsigned int quota)
{
	unsigned int idle;

	if (quota >= HMEM_QUOTA_FIRST)
		return 0;
	idle = __builtin_popcountll(b->mask & idle_of(p, side, b));
	return idle > quota ? idle - quota : 0;
}

/* The counts begin with all pages: subtract pages of the block that may not be taken. */
static bool count_fn(const struct hmem_pages *p, const struct hmem_block *b,
		     void *arg)
{
	struct hmem_sorter *s = arg;
	struct side *side = side_of(s, b);
	unsigned int quota, idle;
	uint64_t may = b->mask;

	if (!side)
		return true;
	quota = quota_of(p, s, side, b);
	if (side == &s->cold)
		side->stays += count_stays(p, side, b, quota);
	if (b->has_state) {
		may = may_take(p, s, side, b);
		for (uint64_t w = b->mask & ~may; w; w &= w - 1)
			side->ranks.count[rank_of(side, p, b->slot + __builtin_ctzll(w))]--;
	}
	if (quota >= 64)
		return true;
	idle = __builtin_popcountll(may & idle_of(p, side, b));
	if (idle > quota)
		side->ranks.count[side->idle] -= idle - quota;
	return true;
}

/*
 * Chooses up to @n pairs by heat: the hottest rank with the coldest rank, as many as possible,
 * then the next ranks.  Returns the sum of their differences, in buckets.
 */
static double choose_by_heat(struct hmem_sorter *s, uint32_t n)
{
	unsigned int hi = HMEM_BUCKETS - 1, lo = 0;
	uint64_t hot = s->hot.ranks.count[hi], cold = s->cold.ranks.count[lo];
	double gain = 0;

	while (n) {
		uint64_t m = n;

		while (!hot && hi > 0)
			hot = s->hot.ranks.count[--hi];
		while (!cold && lo < HMEM_BUCKETS - 1)
			cold = s->cold.ranks.count[++lo];
		if (!hot || !cold || hi < lo + s->apart)
			break;
		if (m > hot)
			m = hot;
		if (m > cold)
			m = cold;
		s->hot.ranks.take[hi] += m;
		s->cold.ranks.take[lo] += m;
		gain += (double)m * (hi - lo);
		hot -= m;
		cold -= m;
		n -= m;
	}
	return gain;
}

/* Is a page of the fast tier so cold that it can make room for new ones? */
static bool makes_room(const struct hmem_sorter *s, unsigned int rank)
{
	if (!s->limits.rates)
		return rank < s->apart;
	return s->cold.ranks.all[rank] * s->limits.pair.access_ns <
	       s->limits.pair.move_ns;
}

static uint64_t left_of(const struct side *side, unsigned int rank)
{
	return side->ranks.count[rank] - side->ranks.take[rank];
}

/* Chooses up to @room more of the coldest pages, to make room in the fast tier. */
static void make_room(struct hmem_sorter *s, uint32_t room)
{
	for (unsigned int i = 0; i < HMEM_BUCKETS && room; i++) {
		uint64_t m = left_of(&s->cold, i);

		/* Warm pages stay, however full the tier is. */
		if (m && !makes_room(s, i))
			break;
		if (m > room)
			m = room;
		s->cold.ranks.take[i] += m;
		room -= m;
	}
}

/*
 * What the promotion of a page of the rank into free memory gains: the page takes the place of
 * none, so there is one move, and nothing is lost but its time.
 */
static double gain_in_free(const struct hmem_sorter *s, unsigned int rank)
{
	const struct hmem_plan_limits *l = &s->limits;

	if (!l->rates)
		return rank < s->apart ? 0 : rank;
	return s->hot.ranks.all[rank] * l->pair.access_ns - l->pair.move_ns;
}

/*
 * Chooses up to @n of the hottest pages for free memory of the fast tier: @free of each rank.
 * Returns what they gain.
 */
static double choose_for_free(struct hmem_sorter *s, uint32_t n, uint32_t free[HMEM_BUCKETS])
{
	double sum = 0;

	for (unsigned int i = HMEM_BUCKETS; i-- && n; ) {
		uint64_t count = s->hot.ranks.count[i];
		double gain = gain_in_free(s, i);

		if (gain <= 0)
			break;
		free[i] = count < n ? count : n;
		n -= free[i];
		sum += free[i] * gain;
	}
	return sum;
}

/*
 * Chooses pages for up to @budget moves.  Returns what they gain, see hmem_plan_estimate().  Free
 * memory comes first, since its pages need no others that change places with them.
 */
static double choose(struct hmem_sorter *s, uint32_t budget)
{
	const struct hmem_plan_limits *l = &s->limits;
	struct hmem_exchange_side *hot = &s->hot.ranks;
	uint64_t *idle = &s->cold.ranks.count[s->cold.idle];
	uint32_t free[HMEM_BUCKETS] = { 0 };
	double gain;

	/* Idle pages are not promoted, and free frames have no page that could make room. */
	hot->count[s->hot.idle] = 0;
	*idle -= *idle < l->free ? *idle : l->free;
	gain = choose_for_free(s, l->spare < budget ? l->spare : budget, free);
	for (unsigned int i = 0; i < HMEM_BUCKETS; i++) {
		hot->count[i] -= free[i];
		budget -= free[i];
	}
	if (l->rates)
		gain += hmem_exchange_choose(hot, &s->cold.ranks, budget / 2, l->pair.access_ns,
					     l->pair.move_ns);
	else
		gain += choose_by_heat(s, budget / 2);
	for (unsigned int i = 0; i < HMEM_BUCKETS; i++)
		hot->take[i] += free[i];
	return gain;
}

/* Computes where in @moves the pages of each rank go. */
static void place_from(struct side *side, bool hottest_first)
{
	uint32_t at = 0;

	for (unsigned int i = 0; i < HMEM_BUCKETS; i++) {
		unsigned int bucket = hottest_first ? HMEM_BUCKETS - 1 - i : i;

		side->place[bucket] = at;
		at += side->ranks.take[bucket];
		if (side->ranks.take[bucket] > side->ranks.take[side->most])
			side->most = bucket;
		if (!side->ranks.take[i])
			continue;
		if (!side->greatest)
			side->least = i << 8;
		side->greatest = i << 8 | 0xff;
	}
	side->taken = at;
	side->warm = at - side->ranks.take[side->idle];
}

static bool pick_fn(const struct hmem_pages *p, const struct hmem_block *b,
		    void *arg)
{
	struct hmem_sorter *s = arg;
	struct side *side = side_of(s, b);
	const uint16_t *heat = &p->heat[b->slot];
	uint64_t may = b->mask;
	unsigned int quota;

	if (!side)
		return true;
	quota = quota_of(p, s, side, b);
	if (!side->ranks.take[side->idle] && (!b->live || !side->warm))
		return true;
	if (b->live && !p->by_class)
		may &= SIMD_WHERE(heat, l, (l >= side->least) & (l <= side->greatest));
	if (may)
		may &= may_take(p, s, side, b);
	for (; may && (quota || side->warm); may &= may - 1) {
		unsigned int i = __builtin_ctzll(may);
		unsigned int rank = rank_of(side, p, b->slot + i);
		bool idle = rank == side->idle;

		if (!side->ranks.take[rank] || (idle && !quota))
			continue;
		quota -= idle;
		side->warm -= !idle;
		side->ranks.take[rank]--;
		side->moves[side->place[rank]++] = (struct hmem_move) {
			.gfn = b->gfn + i,
			.tier = b->tier,
			.to = side == &s->cold ? s->limits.pair.slow : s->limits.pair.fast,
			.heat = heat[i],
		};
		if (side == &s->cold && rank == side->most)
			s->last_cold = b->slot + i;
		if (!--s->left)
			return false;
	}
	return true;
}

void hmem_plan_free(struct hmem_plan *plan)
{
	free(plan->promote);
	free(plan->demote);
	free(plan->sorter);
	memset(plan, 0, sizeof(*plan));
}

static int grow(struct hmem_plan *plan, uint32_t need)
{
	struct hmem_move *p, *d;

	if (need <= plan->cap)
		return 0;
	p = calloc(need, sizeof(*p));
	d = calloc(need, sizeof(*d));
	if (!p || !d) {
		free(p);
		free(d);
		return -ENOMEM;
	}
	free(plan->promote);
	free(plan->demote);
	plan->promote = p;
	plan->demote = d;
	plan->cap = need;
	return 0;
}

void hmem_plan_clear(struct hmem_plan *plan)
{
	plan->num_promote = plan->num_demote = 0;
	plan->promote_frames = plan->demote_frames = 0;
	plan->next_promote = plan->next_demote = 0;
	plan->gone_promote = plan->gone_demote = 0;
}

/* At least 1, because pages of the same bucket can differ by less than @hysteresis. */
static unsigned int buckets_apart(uint32_t hysteresis)
{
	unsigned int apart = HMEM_BUCKET(hysteresis);

	return apart < 1 ? 1 : apart;
}

/* Ranks classes by their accesses until the horizon, which are @all. */
static void rank_classes(struct side *side, const double all[HMEM_CLASSES],
			 const double now[HMEM_CLASSES])
{
	uint8_t order[HMEM_CLASSES];

	hmem_exchange_order(all, order);
	for (unsigned int i = 0; i < HMEM_CLASSES; i++) {
		side->rank[order[i]] = i;
		side->ranks.all[i] = all[order[i]];
		side->ranks.now[i] = now[order[i]];
	}
	side->idle = side->rank[HMEM_CLASS_IDLE];
}

static void rank_heats(struct side *side)
{
	for (unsigned int i = 0; i < HMEM_BUCKETS; i++)
		side->rank[i] = i;
}

/*
 * The part of the limits' spare frames that no page is under way to.  Where a page goes is not
 * known, so pages that leave any other tier count.
 */
static uint32_t spare_left(const struct hmem_pages *p, const struct hmem_plan_limits *limits)
{
	int64_t spare = limits->spare;

	for (uint32_t tier = 0; tier < p->num_tiers; tier++) {
		int64_t under_way = p->in_flight[tier];

		spare += tier == limits->pair.fast ? under_way : -under_way;
	}
	return spare < 0 ? 0 : spare < limits->spare ? spare : limits->spare;
}

/* Sorts the histograms of the two tiers. */
static int begin(struct hmem_plan *plan, const struct hmem_pages *p,
		 const struct hmem_plan_limits *limits, struct hmem_err *err)
{
	const struct hmem_tier_pair *pair = &limits->pair;
	struct hmem_sorter *s = plan->sorter;

	if (!s)
		s = plan->sorter = malloc(sizeof(*s));
	if (!s)
		return hmem_fail(err, ENOMEM, "no memory to make a plan in");
	*s = (struct hmem_sorter) {
		.limits = *limits,
		.apart = buckets_apart(limits->hysteresis),
	};
	s->limits.spare = spare_left(p, limits);
	if (limits->rates) {
		const struct hmem_rates *r = limits->rates;

		rank_classes(&s->hot, r->least, r->least_now);
		rank_classes(&s->cold, r->most, r->most_now);
	} else {
		rank_heats(&s->hot);
		rank_heats(&s->cold);
	}
	for (unsigned int i = 0; i < HMEM_BUCKETS; i++) {
		s->hot.ranks.count[s->hot.rank[i]] = p->hist[pair->slow][i];
		s->cold.ranks.count[s->cold.rank[i]] = p->hist[pair->fast][i];
	}
	return 0;
}

int hmem_plan_estimate(struct hmem_plan *plan, const struct hmem_pages *p,
		       const struct hmem_plan_limits *limits, double *gain, struct hmem_err *err)
{
	int ret = begin(plan, p, limits, err);

	if (!ret)
		*gain = choose(plan->sorter, limits->budget);
	return ret;
}

int hmem_plan_begin(struct hmem_plan *plan, const struct hmem_pages *p,
		    const struct hmem_plan_limits *limits, struct hmem_err *err)
{
	hmem_plan_clear(plan);
	return begin(plan, p, limits, err);
}

/* Decides at the end of counting what to take.  Returns 0, or 1 if the plan is empty. */
static int decide(struct hmem_plan *plan, struct hmem_pages *p, struct hmem_err *err)
{
	struct hmem_sorter *s = plan->sorter;
	const struct hmem_plan_limits *limits = &s->limits;
	uint32_t room = limits->room, most;

	if (!limits->pair.fast)
		plan->stays = s->cold.stays;
	if (room > limits->budget / 2)
		room = limits->budget / 2;
	plan->gain_ns = choose(s, limits->budget - room);
	if (!limits->rates)
		plan->gain_ns = 0;
	make_room(s, room);
	place_from(&s->hot, true);
	place_from(&s->cold, false);
	plan->spare = limits->spare;

	most = s->hot.taken > s->cold.taken ? s->hot.taken : s->cold.taken;
	if (!most)
		return 1;
	if (grow(plan, most) < 0)
		return hmem_fail(err, ENOMEM, "no memory for a plan of %u moves: "
				 "lower the policy's rate", most);
	s->hot.moves = plan->promote;
	s->cold.moves = plan->demote;
	s->left = s->hot.taken + s->cold.taken;
	if (p->cursor >= p->num_slots)
		p->cursor = 0;
	s->phase = PICKING;
	s->next = p->cursor;
	return 0;
}

/*
 * Continues this step by @slots, up to @end.  Returns true at the end of the step, or when @fn
 * has returned false.
 */
static bool continue_step(struct hmem_sorter *s, const struct hmem_pages *p, uint64_t slots,
			  uint64_t end, bool (*fn)(const struct hmem_pages *p,
						   const struct hmem_block *b, void *arg))
{
	uint64_t to = slots < end - s->next ? s->next + slots : end;
	bool all = hmem_pages_walk(p, s->next, to, fn, s);

	s->next = to;
	return !all || to == end;
}

int hmem_plan_step(struct hmem_plan *plan, struct hmem_pages *p, uint64_t slots,
		   struct hmem_err *err)
{
	struct hmem_sorter *s = plan->sorter;

	switch (s->phase) {
	case COUNTING:
		return continue_step(s, p, slots, p->num_slots, count_fn) ?
		       decide(plan, p, err) : 0;
	case PICKING:
		if (!continue_step(s, p, slots, p->num_slots, pick_fn))
			return 0;
		s->phase = PICKING_ON;
		s->next = 0;
		if (s->left)
			return 0;
		break;
	case PICKING_ON:
		if (!continue_step(s, p, slots, p->cursor, pick_fn))
			return 0;
		break;
	}
	p->cursor = s->last_cold / 64 * 64;
	plan->num_promote = plan->promote_frames = s->hot.taken;
	plan->num_demote = plan->demote_frames = s->cold.taken;
	return 1;
}

int hmem_plan_make(struct hmem_plan *plan, struct hmem_pages *p,
		   const struct hmem_plan_limits *limits, struct hmem_err *err)
{
	int ret = hmem_plan_begin(plan, p, limits, err);

	while (!ret)
		ret = hmem_plan_step(plan, p, UINT64_MAX, err);
	return ret < 0 ? ret : 0;
}

static struct hmem_hint hint_of(const struct hmem_move *m)
{
	return (struct hmem_hint) { .gfn = m->gfn, .tier = m->to, .order = m->order };
}

static struct hmem_hint next_promotion(struct hmem_plan *plan)
{
	const struct hmem_move *m = &plan->promote[plan->next_promote++];

	plan->gone_promote += hmem_move_frames(m);
	return hint_of(m);
}

static struct hmem_hint next_demotion(struct hmem_plan *plan)
{
	const struct hmem_move *m = &plan->demote[plan->next_demote++];

	plan->gone_demote += hmem_move_frames(m);
	return hint_of(m);
}

/*
 * The frames of promotions that are left, less those of demotions: so many frames of tier 0 are
 * free for promotions.
 */
static int64_t surplus(const struct hmem_plan *plan)
{
	return (int64_t)(plan->promote_frames - plan->gone_promote) -
	       (int64_t)(plan->demote_frames - plan->gone_demote);
}

/* Counts the next demotions and promotions that fit into @max hints, each of these with room. */
static void count_pairs(const struct hmem_plan *plan, uint32_t max, uint32_t *demotions,
			uint32_t *promotions)
{
	uint32_t d = plan->next_demote, u = plan->next_promote;
	int64_t room = surplus(plan);

	while (d < plan->num_demote || u < plan->num_promote) {
		bool down = d < plan->num_demote &&
			    (u == plan->num_promote ||
			     room < hmem_move_frames(&plan->promote[u]));
		uint32_t n = d - plan->next_demote + u - plan->next_promote;

		/* A demotion makes room for a promotion in the same batch. */
		if (n + 1 + (down && u < plan->num_promote) > max)
			break;
		room += down ? hmem_move_frames(&plan->demote[d++]) :
			       -(int64_t)hmem_move_frames(&plan->promote[u++]);
	}
	*demotions = d - plan->next_demote;
	*promotions = u - plan->next_promote;
}

uint32_t hmem_plan_batch(struct hmem_plan *plan, struct hmem_hint *hints, uint32_t max)
{
	uint32_t n = 0, demotions, promotions;

	/*
	 * First promotions for which there is room, or demotions that make room.  These are in
	 * batches of their own, because the driver takes demotions and promotions in turns.
	 */
	while (n < max && plan->next_promote < plan->num_promote &&
	       surplus(plan) >= hmem_move_frames(&plan->promote[plan->next_promote]))
		hints[n++] = next_promotion(plan);
	while (n < max && surplus(plan) < 0)
		hints[n++] = next_demotion(plan);
	if (n)
		return n;
	/* Now the demotions that are left make room for all promotions. */
	count_pairs(plan, max, &demotions, &promotions);
	while (demotions--)
		hints[n++] = next_demotion(plan);
	while (promotions--)
		hints[n++] = next_promotion(plan);
	return n;
}
