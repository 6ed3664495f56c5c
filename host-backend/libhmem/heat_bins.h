/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The heat of a VM's memory, summed up in bins.
 *
 * All bins have the same size and are sorted by GFN; holes are left out.  No bin is in two
 * tiers, so the last bin of a tier's range may be smaller.  A pass over the page table fills
 * the bins, a part at a time.  If a window ends meanwhile, later parts contain the window.
 */
#ifndef HMEM_HEAT_BINS_H
#define HMEM_HEAT_BINS_H

#include "pages.h"

struct hmem_heat_bin {
	uint64_t gfn, last;	/* first and last frame */
	uint64_t pages;		/* frames in the bin; fewer than last - gfn + 1 with holes */
	uint64_t sum;		/* sum of their heats */
	/* Internal: the first slot, see pages.h. */
	uint64_t slot;
	uint32_t tier;
	uint16_t max;
};

struct hmem_heat_bins {
	struct hmem_heat_bin *bins;
	uint32_t num;
	/* Frames in a full bin, a multiple of 64. */
	uint64_t per;
	/* Position of the pass: slot and bin. */
	uint64_t next;
	uint32_t at;
};

/*
 * Lay out the bins for @p's current ranges: at most @max (at least 1) bins in all, or in each
 * tier with @per_tier; but at least one for each contiguous piece of a tier, however many
 * these are.  Returns 0; or -ENOMEM: @b is empty, and may be freed.
 */
int hmem_heat_bins_init(struct hmem_heat_bins *b, const struct hmem_pages *p,
			uint32_t max, bool per_tier, struct hmem_err *err);

void hmem_heat_bins_free(struct hmem_heat_bins *b);

/*
 * Continue the pass over the next @slots slots, a multiple of 64.  Returns true when the pass
 * has ended.  @p must have the ranges that it had in hmem_heat_bins_init().
 */
bool hmem_heat_bins_step(struct hmem_heat_bins *b, const struct hmem_pages *p,
			 uint64_t slots);

#endif /* HMEM_HEAT_BINS_H */
