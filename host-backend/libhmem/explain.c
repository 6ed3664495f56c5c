/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "explain.h"

static bool is_known(const struct hmem_placer *p)
{
	return p->pages.by_class && p->bursts.rates.looks;
}

static struct hmem_known_rate rate_of(const struct hmem_rates *r, unsigned int class)
{
	return (struct hmem_known_rate) {
		.rate = r->rate[class],
		.factor = hmem_rates_factor(r, class),
	};
}

static void explain_tier(const struct hmem_placer *p, uint32_t tier,
			 struct hmem_explained_tier *t)
{
	const struct hmem_rates *r = &p->bursts.rates;

	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		uint64_t pages = p->pages.hist[tier][c];

		t->pages += pages;
		t->accesses += pages * r->rate[c];
		if (c == HMEM_CLASS_IDLE)
			t->idle = pages;
		if (c == HMEM_CLASS_IDLE || !pages)
			continue;
		if (!t->coldest.factor || r->rate[c] < t->coldest.rate)
			t->coldest = rate_of(r, c);
		if (!t->hottest.factor || r->rate[c] > t->hottest.rate)
			t->hottest = rate_of(r, c);
	}
}

void hmem_explain(const struct hmem_placer *p, struct hmem_explanation *e)
{
	const struct hmem_bursts *b = &p->bursts;
	const struct hmem_rates *r = &b->rates;

	memset(e, 0, sizeof(*e));
	if (!is_known(p))
		return;
	e->known = true;
	e->bursts = b->bursts;
	e->looks = r->looks;
	e->next_look_ns = b->look_ns;
	e->owed_ns = b->debt_ns + (b->whole_debt_ns > 0 ? b->whole_debt_ns : 0);
	e->lasts_s = r->lasts_s;
	e->horizon_s = r->horizon_s;
	e->access_ns = b->first.access_ns;
	e->move_ns = b->first.move_ns;
	if (e->access_ns > 0) {
		e->pays = 2 * e->move_ns / e->access_ns / r->horizon_s;
		e->pays_now = 4 * e->move_ns / e->access_ns / r->lasts_s;
	}
	for (uint32_t tier = 0; tier < p->num_tiers; tier++)
		explain_tier(p, tier, &e->tiers[tier]);
	e->promote = p->plan.promote_frames;
	e->demote = p->plan.demote_frames;
	e->gain_ns = p->plan.gain_ns;
}

struct look_up {
	uint64_t gfn;
	bool may_move;
};

static bool may_move_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	struct look_up *l = arg;

	if (l->gfn - b->gfn >= 64 || !(b->mask >> (l->gfn - b->gfn) & 1))
		return true;
	l->may_move = hmem_pages_eligible(p, b) >> (l->gfn - b->gfn) & 1;
	return false;
}

bool hmem_explain_page(const struct hmem_placer *p, uint64_t gfn,
		       struct hmem_explained_page *page)
{
	const struct hmem_pages_range *range = hmem_pages_find(&p->pages, gfn);
	const struct hmem_rates *r = &p->bursts.rates;
	struct look_up l = { .gfn = gfn };
	unsigned int class;
	uint64_t slot;

	if (!range || !is_known(p))
		return false;
	slot = range->slot + (gfn - range->gfn);
	class = hmem_pages_bucket(&p->pages, slot);
	hmem_pages_walk(&p->pages, slot / 64 * 64, slot / 64 * 64 + 64, may_move_fn, &l);
	*page = (struct hmem_explained_page) {
		.tier = range->tier,
		.idle = class == HMEM_CLASS_IDLE,
		.rate = rate_of(r, class),
		.long_rate = hmem_rates_long(r, class),
		.may_move = l.may_move,
	};
	return true;
}
