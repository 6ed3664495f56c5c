/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracker.h"

static struct hmem_tracker_dirty *to_dirty(struct hmem_tracker *t)
{
	return (struct hmem_tracker_dirty *)t;
}

static uint64_t dirty_take(struct hmem_tracker *t, uint64_t gfn, uint64_t mask)
{
	struct hmem_tracker_dirty *d = to_dirty(t);
	uint64_t *word;

	if (gfn >= d->frames)
		return 0;
	word = &d->map[gfn / 64];
	/* Most words are zero: look before paying for an atomic. */
	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & mask))
		return 0;
	if (mask == UINT64_MAX)
		return __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);
	return __atomic_fetch_and(word, ~mask, __ATOMIC_ACQ_REL) & mask;
}

static const struct hmem_tracker_ops dirty_ops = {
	.name = "dirty",
	.take = dirty_take,
};

void hmem_tracker_dirty_init(struct hmem_tracker_dirty *d, uint64_t *map,
			     uint64_t map_bytes)
{
	d->tracker.ops = &dirty_ops;
	d->map = map;
	d->frames = map_bytes * 8;
}
