/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "refusals.h"

/* Words of a map with one bit per block. */
static uint64_t map_words(uint64_t num_slots)
{
	return (num_slots / 64 + 63) / 64;
}

int hmem_pages_init(struct hmem_pages *p, const struct hmem_link_range *ranges,
		    uint32_t num_ranges, uint32_t num_tiers,
		    uint64_t max_frames, struct hmem_err *err)
{
	uint64_t slot = 0, frames = 0;

	memset(p, 0, sizeof(*p));
	for (uint32_t i = 0; i < num_ranges; i++) {
		/* No overflow: ranges do not overlap and are below 2^36. */
		frames += ranges[i].num;
	}
	if (frames > max_frames)
		return hmem_fail(err, E2BIG, "%" PRIu64 " MiB of guest memory, more "
				 "than the %" PRIu64 " MiB that hmemd tracks; "
				 "see --max-guest", frames >> 8, max_frames >> 8);

	p->ranges = calloc(num_ranges, sizeof(*p->ranges));
	if (!p->ranges)
		goto nomem;
	p->num_ranges = num_ranges;
	p->num_tiers = num_tiers;
	for (uint32_t i = 0; i < num_ranges; i++) {
		p->ranges[i].gfn = ranges[i].gfn;
		p->ranges[i].num = ranges[i].num;
		p->ranges[i].tier = ranges[i].tier;
		p->ranges[i].slot = slot + ranges[i].gfn % 64;
		slot = p->ranges[i].slot + ranges[i].num;
		slot = (slot + 63) / 64 * 64;
		p->frames[ranges[i].tier] += ranges[i].num;
		p->hist[ranges[i].tier][0] += ranges[i].num;
	}
	p->num_slots = slot;
	/* The kernel maps large arrays, so frames that were never used take no memory. */
	p->heat = calloc(slot + 64, sizeof(*p->heat));
	p->recent = calloc(slot + 64, sizeof(*p->recent));
	p->state = calloc(slot + 64, sizeof(*p->state));
	p->quota = calloc(slot / 64 + 1, sizeof(*p->quota));
	p->mlq = calloc(slot / 64 + 1, sizeof(*p->mlq));
	p->given = calloc(slot / 64 + 1, sizeof(*p->given));
	p->live = calloc(map_words(slot) + 1, sizeof(*p->live));
	p->has_state = calloc(map_words(slot) + 1, sizeof(*p->has_state));
	if (p->heat && p->recent && p->state && p->quota && p->mlq && p->given &&
	    p->live && p->has_state)
		return 0;
nomem:
	hmem_pages_free(p);
	return hmem_fail(err, ENOMEM, "no memory for a table of %" PRIu64
			 " frames: start hmemd with more, or fewer VMs", frames);
}

void hmem_pages_free(struct hmem_pages *p)
{
	free(p->ranges);
	free(p->heat);
	free(p->recent);
	free(p->state);
	free(p->quota);
	free(p->mlq);
	free(p->given);
	free(p->live);
	free(p->has_state);
	memset(p, 0, sizeof(*p));
}

void hmem_discard_begin(struct hmem_discard *d, struct hmem_pages *p)
{
	*d = (struct hmem_discard) { .pages = *p };
	memset(p, 0, sizeof(*p));
}

/* Free the whole pages of bytes @from .. @to - 1 of @array, which is not read again. */
static void discard(void *array, uint64_t from, uint64_t to)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE);
	uintptr_t first = ((uintptr_t)array + from + page - 1) & ~(page - 1);
	uintptr_t last = ((uintptr_t)array + to) & ~(page - 1);

	if (first < last)
		madvise((void *)first, last - first, MADV_DONTNEED);
}

bool hmem_discard_step(struct hmem_discard *d, uint64_t slots)
{
	struct hmem_pages *p = &d->pages;
	uint64_t from = d->next, left = p->num_slots - from;
	uint64_t to = slots < left ? from + slots : p->num_slots;

	d->next = to;
	/* Freeing the rest takes no longer than a step. */
	if (to == p->num_slots) {
		hmem_pages_free(p);
		return true;
	}
	discard(p->heat, from * sizeof(*p->heat), to * sizeof(*p->heat));
	discard(p->state, from * sizeof(*p->state), to * sizeof(*p->state));
	discard(p->recent, from, to);
	discard(p->mlq, from / 64 * sizeof(*p->mlq), to / 64 * sizeof(*p->mlq));
	return false;
}

static uint64_t bytes_for(uint64_t num_slots, uint32_t num_ranges)
{
	const struct hmem_pages *p = NULL;

	return num_slots * (sizeof(*p->heat) + sizeof(*p->recent) + sizeof(*p->state)) +
	       num_slots / 64 * (sizeof(*p->quota) + sizeof(*p->mlq) + sizeof(*p->given)) +
	       map_words(num_slots) * (sizeof(*p->live) + sizeof(*p->has_state)) +
	       num_ranges * sizeof(*p->ranges);
}

uint64_t hmem_pages_bytes(const struct hmem_pages *p)
{
	return bytes_for(p->num_slots, p->num_ranges);
}

uint64_t hmem_pages_bytes_for(const struct hmem_link_range *ranges,
			      uint32_t num_ranges)
{
	uint64_t slots = 0;

	for (uint32_t i = 0; i < num_ranges; i++)
		slots += (ranges[i].gfn % 64 + ranges[i].num + 63) / 64 * 64;
	return bytes_for(slots, num_ranges);
}

const struct hmem_pages_range *hmem_pages_find(const struct hmem_pages *p,
					       uint64_t gfn)
{
	uint32_t lo = 0, hi = p->num_ranges;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct hmem_pages_range *r = &p->ranges[mid];

		if (gfn < r->gfn)
			hi = mid;
		else if (gfn - r->gfn >= r->num)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

bool hmem_pages_has(const struct hmem_pages *p, uint64_t gfn, unsigned int order)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	return r && r->num - (gfn - r->gfn) >= UINT64_C(1) << order;
}

int hmem_pages_tier(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	return r ? (int)r->tier : -1;
}

struct hmem_record hmem_pages_record(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);
	uint64_t slot;

	if (!r)
		return (struct hmem_record) { 0 };
	slot = r->slot + (gfn - r->gfn);
	return (struct hmem_record) { .heat = p->heat[slot], .recent = p->recent[slot] };
}

uint16_t hmem_pages_heat(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	return r ? p->heat[r->slot + (gfn - r->gfn)] : 0;
}

/* The record of a page that was never used. */
static unsigned int idle_bucket(const struct hmem_pages *p)
{
	return p->by_class ? HMEM_CLASS_IDLE : 0;
}

static void keep_records(struct hmem_pages *p, const struct hmem_pages_range *r,
			 uint64_t slot, const struct hmem_pages *old, uint64_t old_slot,
			 uint64_t num)
{
	memcpy(&p->heat[slot], &old->heat[old_slot], num * sizeof(*p->heat));
	memcpy(&p->recent[slot], &old->recent[old_slot], num * sizeof(*p->recent));
	hmem_block_set(p->live, slot, true);
	p->hist[r->tier][idle_bucket(p)] -= num;
	for (uint64_t i = 0; i < num; i++)
		p->hist[r->tier][hmem_pages_bucket(p, slot + i)]++;
}

/* Copy the records of frames @gfn .. @gfn + @num - 1, which are in one block, from @old. */
static void keep_block(struct hmem_pages *p, const struct hmem_pages_range *n,
		       const struct hmem_pages *old, const struct hmem_pages_range *o,
		       uint64_t gfn, uint64_t num)
{
	uint64_t ns = n->slot + (gfn - n->gfn), os = o->slot + (gfn - o->gfn);

	/* Do not touch blocks that were never used, so that they take no memory. */
	if (hmem_block_get(old->live, os))
		keep_records(p, n, ns, old, os, num);
	if (hmem_block_get(old->has_state, os)) {
		for (uint64_t i = 0; i < num; i++)
			hmem_refusals_set(p, n->tier, ns + i, old->state[os + i]);
		hmem_block_set(p->has_state, ns, true);
	}
	if (old->quota[os / 64])
		p->quota[ns / 64] = old->quota[os / 64];
}

void hmem_pages_all_idle(struct hmem_pages *p, bool by_class)
{
	p->by_class = by_class;
	for (uint32_t tier = 0; tier < p->num_tiers; tier++) {
		p->hist[tier][0] = 0;
		p->hist[tier][idle_bucket(p)] = p->frames[tier];
	}
}

int hmem_resize_begin(struct hmem_resize *r, const struct hmem_pages *p,
		      const struct hmem_link_range *ranges, uint32_t num_ranges,
		      uint64_t max_frames, struct hmem_err *err)
{
	struct hmem_pages *fresh = &r->fresh;
	int ret;

	*r = (struct hmem_resize) { 0 };
	ret = hmem_pages_init(fresh, ranges, num_ranges, p->num_tiers, max_frames, err);
	if (ret < 0)
		return ret;
	hmem_pages_all_idle(fresh, p->by_class);
	return 0;
}

bool hmem_resize_step(struct hmem_resize *r, struct hmem_pages *p, uint64_t slots)
{
	struct hmem_pages *fresh = &r->fresh;

	if (r->kept)
		return hmem_discard_step(&r->discard, slots);
	while (r->i < fresh->num_ranges && r->j < p->num_ranges) {
		const struct hmem_pages_range *n = &fresh->ranges[r->i];
		const struct hmem_pages_range *o = &p->ranges[r->j];
		uint64_t n_end = n->gfn + n->num, o_end = o->gfn + o->num;
		uint64_t to = n_end < o_end ? n_end : o_end;

		if (r->gfn < n->gfn)
			r->gfn = n->gfn;
		if (r->gfn < o->gfn)
			r->gfn = o->gfn;
		while (r->gfn < to) {
			uint64_t next = (r->gfn / 64 + 1) * 64;

			if (!slots)
				return false;
			slots -= 64;
			if (next > to)
				next = to;
			keep_block(fresh, n, p, o, r->gfn, next - r->gfn);
			r->gfn = next;
		}
		if (n_end < o_end)
			r->i++;
		else
			r->j++;
	}
	fresh->windows = p->windows;
	fresh->clock = p->clock;
	hmem_discard_begin(&r->discard, p);
	*p = *fresh;
	memset(fresh, 0, sizeof(*fresh));
	r->kept = true;
	return hmem_discard_step(&r->discard, slots);
}

void hmem_resize_free(struct hmem_resize *r)
{
	hmem_pages_free(&r->fresh);
	hmem_pages_free(&r->discard.pages);
}

int hmem_pages_resize(struct hmem_pages *p, const struct hmem_link_range *ranges,
		      uint32_t num_ranges, uint64_t max_frames,
		      struct hmem_err *err)
{
	struct hmem_resize r;
	int ret = hmem_resize_begin(&r, p, ranges, num_ranges, max_frames, err);

	if (!ret)
		hmem_resize_step(&r, p, UINT64_MAX / 64 * 64);
	return ret;
}

bool hmem_pages_walk(const struct hmem_pages *p, uint64_t from, uint64_t to,
		     bool (*fn)(const struct hmem_pages *p,
				const struct hmem_block *b, void *arg),
		     void *arg)
{
	for (uint32_t i = 0; i < p->num_ranges; i++) {
		const struct hmem_pages_range *r = &p->ranges[i];
		uint64_t first = r->slot / 64, last = (r->slot + r->num - 1) / 64;
		struct hmem_block b = { .tier = r->tier };

		for (uint64_t block = first > from / 64 ? first : from / 64;
		     block <= last && block * 64 < to; block++) {
			b.slot = block * 64;
			b.gfn = r->gfn - r->slot % 64 + (block - first) * 64;
			b.all = UINT64_MAX;
			if (block == first)
				b.all &= UINT64_MAX << (r->slot % 64);
			if (block == last)
				b.all &= UINT64_MAX >>
					 (63 - (r->slot + r->num - 1) % 64);
			b.mask = b.all & ~p->given[block];
			b.live = hmem_block_get(p->live, b.slot);
			b.has_state = hmem_block_get(p->has_state, b.slot);
			if (!fn(p, &b, arg))
				return false;
		}
	}
	return true;
}

