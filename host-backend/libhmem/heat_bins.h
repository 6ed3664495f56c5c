/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How hot the memory of a VM is, in as many pieces as someone wants to see.
 *
 * The pieces (bins) are of one size, by rising GFN, holes left out, and none
 * lies in two tiers: the last one before another tier may be smaller.  They are
 * filled in by a pass over the page table, which can be made a little at a
 * time: windows that end meanwhile show in what is still to come.
 */
#ifndef HMEM_HEAT_BINS_H
#define HMEM_HEAT_BINS_H

#include "pages.h"

struct hmem_heat_bin {
	uint64_t gfn, last;	/* first and last frame */
	uint64_t pages;		/* frames in it; less than that if it has holes */
	uint64_t sum;		/* of their heats */
	/* Internal: the first slot, see pages.h. */
	uint64_t slot;
	uint32_t tier;
	uint16_t max;
};

struct hmem_heat_bins {
	struct hmem_heat_bin *bins;
	uint32_t num;
	/* Frames in a bin that is full, a multiple of 64. */
	uint64_t per;
	/* Where the pass is: slot and bin. */
	uint64_t next;
	uint32_t at;
};

/*
 * Lay out the bins for @p as it is: at most @max (at least 1), in all or, if
 * @per_tier, in each tier; but at least one for every stretch of memory of one
 * tier, however many these are.  -ENOMEM: @b is empty, and may be freed.
 */
int hmem_heat_bins_init(struct hmem_heat_bins *b, const struct hmem_pages *p,
			uint32_t max, bool per_tier, struct hmem_err *err);

void hmem_heat_bins_free(struct hmem_heat_bins *b);

/*
 * Go on with the pass, over the next @slots slots, a multiple of 64.  True: it
 * is through.  The ranges of @p must be those of hmem_heat_bins_init().
 */
bool hmem_heat_bins_step(struct hmem_heat_bins *b, const struct hmem_pages *p,
			 uint64_t slots);

#endif /* HMEM_HEAT_BINS_H */
