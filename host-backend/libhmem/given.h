/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The frames that the guest has given up, by the device's map. */
#ifndef HMEM_GIVEN_H
#define HMEM_GIVEN_H

#include <stdint.h>

#include "hmem_link.h"

struct hmem_given {
	/*
	 * One bit for each of @frames frames, by GFN.  Shared with the device, which can write
	 * at any time.
	 */
	const uint64_t *map;
	uint64_t frames;
};

/* Returns the map in @maps, which are HMEM_LINK_MAPS maps of @map_bytes each. */
static inline struct hmem_given hmem_given_of(const uint64_t *maps, uint64_t map_bytes)
{
	return (struct hmem_given) { maps + 3 * (map_bytes / 8), map_bytes * 8 };
}

/* Returns the bits of frames @gfn .. @gfn + 63, where @gfn is a multiple of 64. */
static inline uint64_t hmem_given_word(const struct hmem_given *g, uint64_t gfn)
{
	return gfn < g->frames ? __atomic_load_n(&g->map[gfn / 64], __ATOMIC_RELAXED) : 0;
}

#endif /* HMEM_GIVEN_H */
