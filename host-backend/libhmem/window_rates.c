/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "window.h"

/*
 * Returns the frames of a block whose bits are to be cleared, if the bits of @accessed were
 * found set.  @late: the tracker clears bits later, so bits that are set until then count, too.
 */
static uint64_t rearm(struct hmem_mlq_block *mlq, uint64_t accessed, bool wanted, bool late)
{
	uint64_t set = mlq->wait[HMEM_WAIT_SET] | accessed;
	uint64_t clear = !wanted ? 0 : late ? UINT64_MAX : set;

	mlq->wait[HMEM_WAIT_SET] = set & ~(late ? mlq->wait[HMEM_WAIT_LATE] : clear);
	mlq->wait[HMEM_WAIT_LATE] = late ? clear : 0;
	return clear;
}

/* Updates the records of the frames @looked, of which the look has found @used. */
static void take(struct hmem_rates *r, const struct hmem_pages *p, const struct hmem_block *b,
		 uint64_t looked, uint64_t used)
{
	hmem_rates_go(r, b->gfn);
	for (; looked; looked &= looked - 1) {
		unsigned int i = __builtin_ctzll(looked);
		uint64_t slot = b->slot + i;

		hmem_rates_take(r, &p->heat[slot], &p->recent[slot], used >> i & 1);
	}
}

/* Counts the block's frames in @hist by class.  Returns false if no frame was ever used. */
static bool classify(uint64_t *hist, const struct hmem_pages *p, const struct hmem_block *b)
{
	uint16_t any = 0;

	for (uint64_t w = b->mask; w; w &= w - 1) {
		uint64_t slot = b->slot + __builtin_ctzll(w);

		hist[hmem_class(p->heat[slot], p->recent[slot])]++;
		any |= p->heat[slot] | p->recent[slot];
	}
	return any;
}

void hmem_window_idle(struct hmem_window *w, const struct hmem_block *b)
{
	unsigned int frames = hmem_block_frames(b);

	w->hist[b->tier][HMEM_CLASS_IDLE] += frames;
	if (w->heat.look && hmem_window_part(b, &w->heat))
		hmem_rates_idle(w->heat.rates, frames);
}

void hmem_window_rates(struct hmem_window *w, struct hmem_pages *p,
		       const struct hmem_block *b, struct hmem_sample s, uint64_t copied)
{
	const struct hmem_heat *h = &w->heat;
	struct hmem_tracker *t = w->t;
	struct hmem_mlq_block *mlq = &p->mlq[b->slot / 64];
	uint64_t except, used, clear = 0;
	bool in_part = hmem_window_part(b, h);

	if (h->within)
		hmem_mlq_forget(mlq, UINT64_MAX);
	except = copied | mlq->wait[HMEM_WAIT_SET];
	used = s.accessed & ~except;
	w->faults += __builtin_popcountll(used) + __builtin_popcountll(s.written & ~except);
	if (h->look && in_part)
		take(h->rates, p, b, b->mask & ~except, used);
	if (b->has_state && used)
		hmem_refusals_forget_free(&p->state[b->slot], used);
	if (t->ops->rearm)
		clear = rearm(mlq, s.accessed, h->clear && in_part, t->ops->rearms_late) &
			b->mask;
	if (clear) {
		t->ops->rearm(t, b->gfn, clear);
		w->rearmed += __builtin_popcountll(clear);
	}
	hmem_window_keep(p, b, classify(w->hist[b->tier], p, b));
}
