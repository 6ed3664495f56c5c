/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two tiers between which pages change places, and the times that decide if that pays. */
#ifndef HMEM_TIER_PAIR_H
#define HMEM_TIER_PAIR_H

#include <stdint.h>

#include "hmem_link.h"

/* With the largest number of tiers, 8 * 7 / 2: so a set of pairs fits into 32 bits. */
#define HMEM_TIER_PAIRS	(HMEM_LINK_MAX_TIERS * (HMEM_LINK_MAX_TIERS - 1) / 2)

struct hmem_tier_pair {
	/* Tiers are numbered by speed, so @fast is less than @slow. */
	uint8_t fast, slow;
	/*
	 * The time, in ns, that an access saves in the tier @fast, at least 0: one of unknown
	 * size (@access_ns), or one of a program that uses all of each page (@whole_ns).  And the
	 * time that the move of a page of one frame takes, of which @copy_ns for the copy.
	 */
	double access_ns, whole_ns, move_ns, copy_ns;
};

/* Sets a pair of the VM's @num tiers; a tier whose latency is 0 does not tell its latency. */
void hmem_tier_pair_set(struct hmem_tier_pair *pair, const struct hmem_link_tier *tiers,
			uint32_t num, uint8_t fast, uint8_t slow);

/* Numbers the pairs, from 0 to HMEM_TIER_PAIRS - 1. */
static inline unsigned int hmem_tier_pair_index(const struct hmem_tier_pair *pair)
{
	return pair->slow * (pair->slow - 1u) / 2 + pair->fast;
}

#endif /* HMEM_TIER_PAIR_H */
