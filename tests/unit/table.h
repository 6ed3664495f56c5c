/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes single frames of a page table, for tests. */
#ifndef HMEM_UNIT_TABLE_H
#define HMEM_UNIT_TABLE_H

#include "pages.h"

static inline uint64_t table_slot(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	return r->slot + gfn - r->gfn;
}

static inline bool table_take_block(const struct hmem_pages *p,
				    const struct hmem_block *b, void *arg)
{
	(void)p;
	*(struct hmem_block *)arg = *b;
	return false;
}

/* Does @which, a mask of the frame's block, contain the frame? */
static inline bool table_in(const struct hmem_pages *p, uint64_t gfn,
			    uint64_t (*which)(const struct hmem_pages *p,
					      const struct hmem_block *b))
{
	uint64_t slot = table_slot(p, gfn);
	struct hmem_block b;

	hmem_pages_walk(p, slot, slot + 1, table_take_block, &b);
	return which(p, &b) >> (slot % 64) & 1;
}

/* Set a page's heat as a move does: the block is live, and the histogram has the page. */
static inline void table_set_heat(struct hmem_pages *p, uint64_t gfn, uint16_t heat)
{
	uint64_t slot = table_slot(p, gfn), *hist = p->hist[hmem_pages_tier(p, gfn)];

	hist[HMEM_BUCKET(p->heat[slot])]--;
	hist[HMEM_BUCKET(heat)]++;
	p->heat[slot] = heat;
	p->live[slot / 64 / 64] |= UINT64_C(1) << (slot / 64 % 64);
}

#endif /* HMEM_UNIT_TABLE_H */
