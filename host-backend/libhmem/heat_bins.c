/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "heat_bins.h"

/* Size in blocks of the consecutive ranges of one tier that begin with range @from. */
struct stretch {
	uint32_t from, to;
	uint64_t first, blocks;
};

static bool next_stretch(const struct hmem_pages *p, struct stretch *s)
{
	const struct hmem_pages_range *last;

	s->from = s->to;
	if (s->from == p->num_ranges)
		return false;
	while (s->to < p->num_ranges &&
	       p->ranges[s->to].tier == p->ranges[s->from].tier)
		s->to++;
	last = &p->ranges[s->to - 1];
	s->first = p->ranges[s->from].slot / 64;
	s->blocks = (last->slot + last->num - 1) / 64 + 1 - s->first;
	return true;
}

/* The number of bins of @per blocks each, and the largest number in one tier. */
static uint64_t count(const struct hmem_pages *p, uint64_t per, uint64_t *in_tier)
{
	uint64_t all = 0, num[HMEM_LINK_MAX_TIERS] = { 0 };

	*in_tier = 0;
	for (struct stretch s = { 0 }; next_stretch(p, &s); ) {
		uint64_t n = (s.blocks + per - 1) / per;
		uint64_t *t = &num[p->ranges[s.from].tier];

		all += n;
		*t += n;
		*in_tier = *t > *in_tier ? *t : *in_tier;
	}
	return all;
}

/* The smallest number of blocks per bin with which there are at most @max bins. */
static uint64_t blocks_per_bin(const struct hmem_pages *p, uint32_t max,
			       bool per_tier)
{
	uint64_t lo = 1, hi = 1;

	for (struct stretch s = { 0 }; next_stretch(p, &s); )
		hi = s.blocks > hi ? s.blocks : hi;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2, in_tier;
		uint64_t all = count(p, mid, &in_tier);

		if ((per_tier ? in_tier : all) <= max)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

int hmem_heat_bins_init(struct hmem_heat_bins *b, const struct hmem_pages *p,
			uint32_t max, bool per_tier, struct hmem_err *err)
{
	uint64_t per = blocks_per_bin(p, max, per_tier), in_tier;

	*b = (struct hmem_heat_bins) { .per = per * 64 };
	b->bins = calloc(count(p, per, &in_tier) + 1, sizeof(*b->bins));
	if (!b->bins)
		return hmem_fail(err, ENOMEM, "no memory for the bins: ask for fewer");
	for (struct stretch s = { 0 }; next_stretch(p, &s); ) {
		for (uint64_t at = 0; at < s.blocks; at += per)
			b->bins[b->num++] = (struct hmem_heat_bin) {
				.slot = (s.first + at) * 64,
				.tier = p->ranges[s.from].tier,
			};
	}
	return 0;
}

void hmem_heat_bins_free(struct hmem_heat_bins *b)
{
	free(b->bins);
	memset(b, 0, sizeof(*b));
}

static bool add(const struct hmem_pages *p, const struct hmem_block *block,
		void *arg)
{
	struct hmem_heat_bins *b = arg;
	const uint16_t *heat = &p->heat[block->slot];
	struct hmem_heat_bin *bin;
	uint32_t sum = 0;
	uint16_t max = 0;

	while (b->at + 1 < b->num && block->slot >= b->bins[b->at + 1].slot)
		b->at++;
	bin = &b->bins[b->at];
	if (!bin->pages)
		bin->gfn = block->gfn + __builtin_ctzll(block->all);
	bin->last = block->gfn + 63 - __builtin_clzll(block->all);
	bin->pages += __builtin_popcountll(block->all);
	if (!block->live)
		return true;
	/* Slots outside of the mask stand for no page, and are zero. */
	for (unsigned int i = 0; i < 64; i++) {
		sum += heat[i];
		max = heat[i] > max ? heat[i] : max;
	}
	bin->sum += sum;
	bin->max = max > bin->max ? max : bin->max;
	return true;
}

bool hmem_heat_bins_step(struct hmem_heat_bins *b, const struct hmem_pages *p,
			 uint64_t slots)
{
	uint64_t to = slots < p->num_slots - b->next ? b->next + slots : p->num_slots;

	hmem_pages_walk(p, b->next, to, add, b);
	b->next = to;
	return to == p->num_slots;
}
