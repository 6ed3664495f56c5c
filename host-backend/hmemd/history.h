/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has moved in a VM, when and why: an entry for each plan and each job that had a result.
 * The last entries are kept in a ring.
 */
#ifndef HMEMD_HISTORY_H
#define HMEMD_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio_hmem.h"

#define HISTORY_MAX	128u

enum history_why {
	HISTORY_PLAN,		/* the policy planned the moves after window @number */
	HISTORY_JOB,		/* job @number, which a client requested */
	HISTORY_ROOM,		/* job @number, which makes room in a tier that is to get smaller */
};

struct history_entry {
	uint64_t when_ms;		/* time of the first result, since 1970 */
	enum history_why why;
	uint64_t number;
	const char *policy;		/* its name */
	uint64_t promoted, demoted;	/* frames */
	uint32_t reasons[VIRTIO_HMEM_R_MAX];	/* frames by reason */
	/* Of a plan: the pages that it exchanges or moves, and what auto expects of that. */
	uint32_t promotions, demotions;
	double gain_ns;			/* of guest time; 0: not known */
};

/* All zero is an empty history. */
struct history {
	struct history_entry ring[HISTORY_MAX];
	uint64_t num;			/* of entries so far */
};

/*
 * The entry of this cause, the last one or a new one, whose other fields are zero then.  @is_new
 * tells which.
 */
struct history_entry *history_entry(struct history *h, enum history_why why, uint64_t number,
				    bool *is_new);

/* The entry @i, from 0 for the oldest that is kept; NULL: there are fewer. */
const struct history_entry *history_get(const struct history *h, unsigned int i);

#endif /* HMEMD_HISTORY_H */
