/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "coldest.h"
#include "exchange.h"

void hmem_coldest_begin(struct hmem_coldest *c, const struct hmem_pages *p,
			const struct hmem_rates *rates, const struct hmem_given *given,
			uint32_t tier, uint64_t want, uint64_t from,
			bool (*pick)(void *arg, uint64_t gfn), void *arg)
{
	*c = (struct hmem_coldest) {
		.given = *given,
		.tier = tier,
		.want = want,
		.from = from < p->num_slots ? from / 64 * 64 : 0,
		.pick = pick,
		.arg = arg,
	};
	c->last = c->from;
	for (unsigned int i = 0; i < HMEM_BUCKETS; i++)
		c->order[i] = i;
	/* The number of a class does not tell its rate, so sort the classes by their rates. */
	if (p->by_class)
		hmem_exchange_order(rates->most, c->order);
}

/* The pages of the block that may be picked. */
static uint64_t may_pick(const struct hmem_coldest *c, const struct hmem_pages *p,
			 const struct hmem_block *b)
{
	if (b->tier != c->tier)
		return 0;
	return b->mask & hmem_pages_willing(p, b) & ~hmem_given_word(&c->given, b->gfn);
}

static bool count_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	struct hmem_coldest *c = arg;
	uint64_t may = may_pick(c, p, b);

	if (!b->live) {
		c->count[hmem_pages_bucket(p, b->slot)] += __builtin_popcountll(may);
		return true;
	}
	for (; may; may &= may - 1)
		c->count[hmem_pages_bucket(p, b->slot + __builtin_ctzll(may))]++;
	return true;
}

static bool pick_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	struct hmem_coldest *c = arg;

	for (uint64_t may = may_pick(c, p, b); may && c->want; may &= may - 1) {
		unsigned int i = __builtin_ctzll(may);
		uint64_t *take = &c->take[hmem_pages_bucket(p, b->slot + i)];

		if (!*take)
			continue;
		--*take;
		c->want--;
		c->last = b->slot + 64;
		if (!c->pick(c->arg, b->gfn + i))
			c->want = 0;
	}
	return c->want;
}

/* Decides after counting how many pages of each bucket to pick: the coldest buckets first. */
static void choose(struct hmem_coldest *c)
{
	uint64_t left = c->want;

	for (unsigned int i = 0; i < HMEM_BUCKETS; i++) {
		unsigned int bucket = c->order[i];

		c->take[bucket] = c->count[bucket] < left ? c->count[bucket] : left;
		left -= c->take[bucket];
	}
	c->want -= left;
}

/* Continues this phase, up to @end.  Returns true at the end of the phase. */
static bool continue_phase(struct hmem_coldest *c, const struct hmem_pages *p, uint64_t slots,
			   uint64_t end, bool (*fn)(const struct hmem_pages *p,
						    const struct hmem_block *b, void *arg))
{
	uint64_t to = slots < end - c->next ? c->next + slots : end;
	bool all = hmem_pages_walk(p, c->next, to, fn, c);

	c->next = to;
	return !all || to == end;
}

bool hmem_coldest_step(struct hmem_coldest *c, const struct hmem_pages *p, uint64_t slots)
{
	switch (c->phase) {
	case HMEM_COLDEST_COUNTS:
		if (!continue_phase(c, p, slots, p->num_slots, count_fn))
			return false;
		choose(c);
		c->phase = HMEM_COLDEST_PICKS;
		c->next = c->from;
		return !c->want;
	case HMEM_COLDEST_PICKS:
		if (!continue_phase(c, p, slots, p->num_slots, pick_fn))
			return false;
		c->phase = HMEM_COLDEST_PICKS_ON;
		c->next = 0;
		return !c->want;
	case HMEM_COLDEST_PICKS_ON:
		break;
	}
	return continue_phase(c, p, slots, c->from, pick_fn) || !c->want;
}
