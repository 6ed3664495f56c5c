/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "simd.h"
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

/* Have all pages of the block the same record?  Those of a huge page have. */
static bool are_alike(const struct hmem_pages *p, const struct hmem_block *b)
{
	const uint16_t *heat = &p->heat[b->slot];
	const uint8_t *recent = &p->recent[b->slot];

	return !memcmp(heat, heat + 1, 63 * sizeof(*heat)) &&
	       !memcmp(recent, recent + 1, 63 * sizeof(*recent));
}

/* Updates the records of a block whose pages are alike, and were all @used, or all not. */
static void take_all(struct hmem_rates *r, uint64_t *hist, const struct hmem_pages *p,
		     const struct hmem_block *b, bool used)
{
	uint16_t heat = p->heat[b->slot];
	uint8_t recent = p->recent[b->slot];

	hist[hmem_rates_take(r, &heat, &recent, used, 64)] += 64;
	for (unsigned int i = 0; i < 64; i++)
		p->heat[b->slot + i] = heat;
	memset(&p->recent[b->slot], recent, 64);
}

/* The frames with a record: those that a look has found used at some time. */
static uint64_t known(const struct hmem_pages *p, const struct hmem_block *b)
{
	typedef uint8_t bytes __attribute__((vector_size(8)));
	u16x8 rows = { 0 };

	for (unsigned int g = 0; g < 8; g++) {
		u16x8 heat = simd_load(&p->heat[b->slot + 8 * g]);
		bytes recent;

		memcpy(&recent, &p->recent[b->slot + 8 * g], sizeof(recent));
		heat |= __builtin_convertvector(recent, u16x8);
		rows |= (u16x8)(heat != 0) & (uint16_t)(1u << g);
	}
	return simd_transpose(rows);
}

/*
 * Updates the records of the frames @looked, of which the look has found @used, and counts all
 * frames of the block in @hist by class.  Returns false if no frame was ever used.
 */
static bool take(struct hmem_rates *r, uint64_t *hist, const struct hmem_pages *p,
		 const struct hmem_block *b, uint64_t looked, uint64_t used)
{
	uint64_t idle;

	hmem_rates_go(r, b->gfn);
	if (looked == UINT64_MAX && (!used || used == UINT64_MAX) && are_alike(p, b)) {
		take_all(r, hist, p, b, used);
		return p->heat[b->slot] | p->recent[b->slot];
	}
	idle = b->mask & ~known(p, b) & ~used;
	hist[HMEM_CLASS_IDLE] += __builtin_popcountll(idle);
	if (idle & looked)
		hmem_rates_take_idle(r, __builtin_popcountll(idle & looked));
	for (uint64_t w = b->mask & ~idle; w; w &= w - 1) {
		unsigned int i = __builtin_ctzll(w);
		uint16_t *heat = &p->heat[b->slot + i];
		uint8_t *recent = &p->recent[b->slot + i];

		if (looked >> i & 1)
			hist[hmem_rates_take(r, heat, recent, used >> i & 1, 1)]++;
		else
			hist[hmem_rates_class(r, *heat, *recent)]++;
	}
	return idle != b->mask;
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
	bool in_part = hmem_window_part(b, h), live;

	if (h->within)
		hmem_mlq_forget(mlq, UINT64_MAX);
	except = copied | mlq->wait[HMEM_WAIT_SET];
	used = s.accessed & ~except;
	w->faults += __builtin_popcountll(used) + __builtin_popcountll(s.written & ~except);
	live = take(h->rates, w->hist[b->tier], p, b,
		    h->look && in_part ? b->mask & ~except : 0, used);
	if (b->has_state && used)
		hmem_refusals_forget_free(&p->state[b->slot], used);
	if (t->ops->rearm)
		clear = rearm(mlq, s.accessed, h->clear && in_part, t->ops->rearms_late) &
			b->mask;
	if (clear) {
		t->ops->rearm(t, b->gfn, clear);
		w->rearmed += __builtin_popcountll(clear);
	}
	hmem_window_keep(p, b, live);
}
