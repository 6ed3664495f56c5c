/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why the policy auto places a VM's pages as it does: the measured access rates, and what they
 * are weighed against.  See exchange.h for the rule, and rates.h for the rates.
 *
 * All functions only read the placer.
 */
#ifndef HMEM_EXPLAIN_H
#define HMEM_EXPLAIN_H

#include "placer.h"

/* The rate of a class of pages: accesses per second, and the factor of two standard errors. */
struct hmem_known_rate {
	double rate, factor;
};

/* The pages of a tier. */
struct hmem_explained_tier {
	uint64_t pages;
	uint64_t idle;		/* no look has found them used */
	double accesses;	/* of all pages, per second */
	/* The used pages with the lowest and the highest rate; unset if there are none. */
	struct hmem_known_rate coldest, hottest;
};

struct hmem_explanation {
	/*
	 * False: rates are not measured, because the VM has another policy or tracker, or
	 * because no burst has ended.  All else is unset then.
	 */
	bool known;
	uint64_t bursts, looks, next_look_ns;
	/* Guest time, in ns, that bursts have cost and that is not paid for. */
	uint64_t owed_ns;
	double lasts_s, horizon_s;
	/* The time that an access saves in tier 0, and that the move of a page takes; ns. */
	double access_ns, move_ns;
	/* An exchange pays if its pages' rates differ by so much: until the horizon, or now. */
	double pays, pays_now;
	struct hmem_explained_tier tiers[HMEM_LINK_MAX_TIERS];
	/* The last plan: pages to promote and to demote, and the time that it saves. */
	uint32_t promote, demote;
	double gain_ns;
};

/* A page: why is it where it is? */
struct hmem_explained_page {
	uint32_t tier;
	bool idle;
	struct hmem_known_rate rate;
	double long_rate;	/* of all pages of its level, in the long run */
	bool may_move;		/* false: in flight, or refused a while ago */
};

void hmem_explain(const struct hmem_placer *p, struct hmem_explanation *e);

/* Returns false if rates are not known, or the VM has no such frame. */
bool hmem_explain_page(const struct hmem_placer *p, uint64_t gfn,
		       struct hmem_explained_page *page);

#endif /* HMEM_EXPLAIN_H */
