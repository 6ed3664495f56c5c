/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracker.h"

static struct hmem_tracker_maps *to_maps(struct hmem_tracker *t)
{
	return (struct hmem_tracker_maps *)t;
}

static uint64_t take_word(uint64_t *word, uint64_t mask)
{
	/* Most words are zero: test before the more expensive atomic operation. */
	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & mask))
		return 0;
	if (mask == UINT64_MAX)
		return __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);
	return __atomic_fetch_and(word, ~mask, __ATOMIC_ACQ_REL) & mask;
}

static struct hmem_sample dirty_take(struct hmem_tracker *t, uint64_t gfn,
				     uint64_t mask)
{
	struct hmem_tracker_maps *m = to_maps(t);
	struct hmem_sample s = { 0 };

	if (gfn < m->frames)
		s.accessed = s.written = take_word(&m->dirty[gfn / 64], mask);
	return s;
}

/* Takes accessed and dirty bits, which stay set until they are rearmed. */
static struct hmem_sample bits_take(struct hmem_tracker *t, uint64_t gfn, uint64_t mask)
{
	struct hmem_tracker_maps *m = to_maps(t);
	struct hmem_sample s = { 0 };

	if (gfn < m->frames) {
		s.written = take_word(&m->dirty[gfn / 64], mask);
		s.accessed = take_word(&m->accessed[gfn / 64], mask) | s.written;
	}
	return s;
}

/* Takes accessed bits only. */
static struct hmem_sample accessed_take(struct hmem_tracker *t, uint64_t gfn,
					uint64_t mask)
{
	struct hmem_tracker_maps *m = to_maps(t);
	struct hmem_sample s = { 0 };

	if (gfn < m->frames)
		s.accessed = take_word(&m->accessed[gfn / 64], mask);
	return s;
}

static void bits_rearm(struct hmem_tracker *t, uint64_t gfn, uint64_t bits)
{
	struct hmem_tracker_maps *m = to_maps(t);

	if (gfn < m->frames)
		__atomic_fetch_or(&m->rearm[gfn / 64], bits, __ATOMIC_ACQ_REL);
}

static const struct hmem_tracker_ops dirty_ops = {
	.name = "dirty",
	.take = dirty_take,
	.faults = true,
};

static const struct hmem_tracker_ops sim_ops = {
	.name = "sim",
	.take = bits_take,
	.rearm = bits_rearm,
	.pay_by_page = true,
};

static const struct hmem_tracker_ops gpt_ops = {
	.name = "gpt",
	.take = bits_take,
	.rearm = bits_rearm,
	.rearms_late = true,
	.scans = true,
};

static const struct hmem_tracker_ops idle_ops = {
	.name = "idle",
	.take = accessed_take,
	.rearm = bits_rearm,
};

static const struct hmem_tracker_ops damon_ops = {
	.name = "damon",
	.take = accessed_take,
};

void hmem_tracker_dirty_init(struct hmem_tracker_maps *m, uint64_t *maps,
			     uint64_t map_bytes)
{
	*m = (struct hmem_tracker_maps) {
		.tracker.ops = &dirty_ops,
		.dirty = maps,
		.frames = map_bytes * 8,
	};
}

static void bits_init(struct hmem_tracker_maps *m, uint64_t *maps,
		      uint64_t map_bytes, const struct hmem_tracker_ops *ops)
{
	*m = (struct hmem_tracker_maps) {
		.tracker.ops = ops,
		.dirty = maps,
		.accessed = maps + map_bytes / 8,
		.rearm = maps + 2 * (map_bytes / 8),
		.frames = map_bytes * 8,
	};
}

void hmem_tracker_sim_init(struct hmem_tracker_maps *m, uint64_t *maps,
			   uint64_t map_bytes)
{
	bits_init(m, maps, map_bytes, &sim_ops);
}

void hmem_tracker_gpt_init(struct hmem_tracker_maps *m, uint64_t *maps,
			   uint64_t map_bytes)
{
	bits_init(m, maps, map_bytes, &gpt_ops);
}

void hmem_tracker_host_init(struct hmem_tracker_maps *m, bool rearms, uint64_t *maps,
			    uint64_t map_bytes)
{
	*m = (struct hmem_tracker_maps) {
		.tracker.ops = rearms ? &idle_ops : &damon_ops,
		.accessed = maps,
		.rearm = maps + map_bytes / 8,
		.frames = map_bytes * 8,
	};
}
