/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Internal to window.c and window_rates.c: applies a window to one block. */
#ifndef HMEM_WINDOW_H
#define HMEM_WINDOW_H

#include "refusals.h"

/*
 * Is the block in the part of memory that the window observes?  The product with the golden
 * ratio spreads neighbouring blocks evenly over all parts, so that each part has its share of
 * a run of used memory.
 */
static inline bool hmem_window_part(const struct hmem_block *b, const struct hmem_heat *h)
{
	uint32_t hash = b->slot / 64 * UINT64_C(0x9E3779B97F4A7C15) >> 32;

	return (uint64_t)hash * h->parts >> 32 == h->part;
}

/* Finishes a block, which is live from now on if @live is true, or if a page has a state. */
static inline void hmem_window_keep(struct hmem_pages *p, const struct hmem_block *b,
				    bool live)
{
	if (b->has_state && !hmem_refusals_any(&p->state[b->slot]))
		hmem_block_set(p->has_state, b->slot, false);
	else
		live |= b->has_state;
	hmem_block_set(p->live, b->slot, live || hmem_mlq_any(&p->mlq[b->slot / 64]));
}

/* Applies the window to a block that is not live, and has no used page. */
void hmem_window_idle(struct hmem_window *w, const struct hmem_block *b);

/*
 * Applies the window to any other block, for rates.  The tracker found @s; pages in @copied
 * were only copied by a move.
 */
void hmem_window_rates(struct hmem_window *w, struct hmem_pages *p,
		       const struct hmem_block *b, struct hmem_sample s, uint64_t copied);

#endif /* HMEM_WINDOW_H */
