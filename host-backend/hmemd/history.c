/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>

#include "history.h"

struct history_entry *history_entry(struct history *h, enum history_why why, uint64_t number,
				    bool *is_new)
{
	struct history_entry *e;

	/* Batches of a plan and of jobs are under way at the same time: so look further back. */
	for (uint64_t i = 0; i < h->num && i < HISTORY_MAX; i++) {
		e = &h->ring[(h->num - 1 - i) % HISTORY_MAX];
		if (e->why == why && e->number == number) {
			*is_new = false;
			return e;
		}
	}
	e = &h->ring[h->num++ % HISTORY_MAX];
	*e = (struct history_entry) { .why = why, .number = number };
	*is_new = true;
	return e;
}

const struct history_entry *history_get(const struct history *h, unsigned int i)
{
	uint64_t kept = h->num < HISTORY_MAX ? h->num : HISTORY_MAX;

	return i < kept ? &h->ring[(h->num - kept + i) % HISTORY_MAX] : NULL;
}
