/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of each page after its last hint: in flight, or refused until when.  For pages.c
 * and window.c; pages.h has the functions for others.
 */
#ifndef HMEM_REFUSALS_H
#define HMEM_REFUSALS_H

#include "pages.h"

/* Pages that may be hinted in a block of which nothing is known: see hmem_pages_quota(). */
#define HMEM_QUOTA_FIRST	4u

/* The use of the multi-level queue's words with rates. */
enum hmem_wait {
	HMEM_WAIT_SET,	/* the bit was set before the window, so it tells nothing */
	HMEM_WAIT_LATE,	/* the bit will be cleared at the end of the window that begins */
};

/* Is the @state of any frame of a block not zero? */
bool hmem_refusals_any(const uint16_t *state);

/* The frames of a block whose pages are in flight, by their @state. */
uint64_t hmem_refusals_in_flight(const uint16_t *state);

/* Sets the state of the frame in @slot, which is in @tier. */
void hmem_refusals_set(struct hmem_pages *p, uint32_t tier, uint64_t slot, uint16_t state);

/* The frames of a block whose pages were refused not long ago, by their @state. */
uint64_t hmem_refusals_refused(const uint16_t *state);

/* The frames of a block whose pages will probably never move, by their @state. */
uint64_t hmem_refusals_unwilling(const uint16_t *state);

/*
 * The frames from or to which a page has moved in this window.  Copying used the frames, which
 * would make every moved page look hot.
 */
uint64_t hmem_refusals_just_copied(const struct hmem_pages *p, const uint16_t *state);

/* Forget refusals as free of frames in @used: they are not free any more. */
void hmem_refusals_forget_free(uint16_t *state, uint64_t used);

/* Forget that hints have brought pages here, and only that. */
void hmem_refusals_forget_came(uint16_t *state);

/* Clear expired refusals, and lower the level of old ones. */
void hmem_refusals_sweep(struct hmem_pages *p);

#endif /* HMEM_REFUSALS_H */
