/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access pauses: for how long a guest's programs could not use the frames that moved.  The guest
 * reports any numbers, so no sum wraps: a sum that is too large is UINT64_MAX.
 */
#ifndef HMEM_PAUSES_H
#define HMEM_PAUSES_H

#include <stdint.h>

#include "hmem_link.h"

/*
 * The longest pause, in ns, that element @i of hmem_link_pauses.pauses counts.  The last element
 * counts longer ones, too.
 */
static inline uint64_t hmem_pause_bound(unsigned int i)
{
	return UINT64_C(1) << i;
}

/* The number of frames in the elements up to @last. */
uint64_t hmem_pauses_up_to(const struct hmem_link_pauses *p, unsigned int last);

/* The number of all frames. */
uint64_t hmem_pauses_all(const struct hmem_link_pauses *p);

/*
 * The smallest of the bounds that hold for at least @percent (1 .. 100) of all frames, of which
 * there must be some.
 */
uint64_t hmem_pauses_percentile(const struct hmem_link_pauses *p, unsigned int percent);

#endif /* HMEM_PAUSES_H */
