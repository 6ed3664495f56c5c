/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each page's state says of how it answered when it was asked to move: for
 * pages.c and window.c; what others may do is in pages.h.
 */
#ifndef HMEM_ASKED_H
#define HMEM_ASKED_H

#include "pages.h"

/* Of a block that nothing is known of: see hmem_pages_quota(). */
#define HMEM_QUOTA_FIRST	4u

/* What the words of the multi-level queue are for with rates. */
enum hmem_wait {
	HMEM_WAIT_SET,	/* the bit is set since before the window: it tells nothing */
	HMEM_WAIT_LATE,	/* it will be cleared when the window that now begins has ended */
};

/* Does the @state of any frame of a block say something? */
bool hmem_asked_any(const uint16_t *state);

/* Frames of a block, by their @state, whose pages will not move, for all that is known. */
uint64_t hmem_asked_unwilling(const uint16_t *state);

/*
 * Those that a page has moved to or from in this window.  Copying it used them,
 * which would make every page look hot that is moved.
 */
uint64_t hmem_asked_just_copied(const struct hmem_pages *p, const uint16_t *state);

/* Of those @used, the ones that were free are worth asking for again. */
void hmem_asked_no_longer_free(uint16_t *state, uint64_t used);

/* Clear refusals that are over, and let old ones count for less. */
void hmem_asked_sweep(struct hmem_pages *p);

#endif /* HMEM_ASKED_H */
