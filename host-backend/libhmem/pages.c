/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

/*
 * What a page's state is made of.  UNTIL is the window, modulo 1023 and plus
 * one, up to which it is refused; 0: it is not.  The sweep clears past ones
 * before the clock comes round.
 */
#define STATE_IN_FLIGHT		0x8000u
#define STATE_FREE		0x4000u
#define STATE_LEVEL_SHIFT	10
#define STATE_LEVEL		(0xfu << STATE_LEVEL_SHIFT)
#define STATE_UNTIL		0x3ffu
#define CLOCK			1023u

/* A refusal at level n is for 2^n windows. */
static const struct {
	unsigned int first, last;
} levels[] = {
	[HMEM_REFUSED_BUSY] = { 1, 6 },
	[HMEM_REFUSED_FREE] = { 3, 8 },
	[HMEM_REFUSED_NACK] = { 6, 8 },
};
/* A page that has just moved stays for this many windows, as its level is 0. */
#define SETTLE		2u
/* Each window looks through one of this many parts; well below CLOCK - 2^8. */
#define SWEEP_PARTS	128u
/*
 * Frames that will not move are tried again after one of so many sweeps: never
 * all of them at once, for each takes the place of one that would.
 */
#define PROBE_PARTS	8u

/*
 * Frames that are free or the kernel's are idle, and next to each other: of a
 * block that nothing is known of, so many are asked for at a time.  One that
 * moves makes that four times as many, up to all; one that does not, half as
 * many; of blocks of which none does, one is asked for in so many windows.
 */
#define QUOTA_FIRST		4u
#define QUOTA_PROBE		64u

static unsigned int stamp(uint64_t window)
{
	return window % CLOCK + 1;
}

/* Windows until @state's refusal ends; 0: it has, or there is none. */
static unsigned int refused_for(const struct hmem_pages *p, uint16_t state)
{
	unsigned int until = state & STATE_UNTIL, left;

	if (!until)
		return 0;
	left = (until + CLOCK - stamp(p->clock)) % CLOCK;
	return left <= CLOCK / 2 ? left : 0;
}

static unsigned int level_of(uint16_t state)
{
	return (state & STATE_LEVEL) >> STATE_LEVEL_SHIFT;
}

/* It was not refused as one that will not move, or again and again. */
static bool may_move(uint16_t state)
{
	return level_of(state) < levels[HMEM_REFUSED_NACK].first;
}

static void mark_live(struct hmem_pages *p, uint64_t slot)
{
	p->live[slot / 64 / 64] |= UINT64_C(1) << (slot / 64 % 64);
}

static void set_live(struct hmem_pages *p, uint64_t slot, bool live)
{
	if (live)
		mark_live(p, slot);
	else
		p->live[slot / 64 / 64] &= ~(UINT64_C(1) << (slot / 64 % 64));
}

static bool is_live(const struct hmem_pages *p, uint64_t slot)
{
	return p->live[slot / 64 / 64] >> (slot / 64 % 64) & 1;
}

static uint64_t live_words(uint64_t num_slots)
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
	/* Large ones are mapped, so frames never used take no memory. */
	p->heat = calloc(slot + 64, sizeof(*p->heat));
	p->state = calloc(slot + 64, sizeof(*p->state));
	p->quota = malloc(slot / 64 + 1);
	p->mlq = calloc(slot / 64 + 1, sizeof(*p->mlq));
	p->live = calloc(live_words(slot) + 1, sizeof(*p->live));
	if (p->heat && p->state && p->quota && p->mlq && p->live) {
		memset(p->quota, QUOTA_FIRST, slot / 64 + 1);
		return 0;
	}
nomem:
	hmem_pages_free(p);
	return hmem_fail(err, ENOMEM, "no memory for a table of %" PRIu64
			 " frames: start hmemd with more, or fewer VMs", frames);
}

void hmem_pages_free(struct hmem_pages *p)
{
	free(p->ranges);
	free(p->heat);
	free(p->state);
	free(p->quota);
	free(p->mlq);
	free(p->live);
	memset(p, 0, sizeof(*p));
}

uint64_t hmem_pages_bytes(const struct hmem_pages *p)
{
	return p->num_slots * (sizeof(*p->heat) + sizeof(*p->state)) +
	       p->num_slots / 64 * (sizeof(*p->quota) + sizeof(*p->mlq)) +
	       live_words(p->num_slots) * sizeof(*p->live) +
	       p->num_ranges * sizeof(*p->ranges);
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

static int64_t slot_of(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	return r ? (int64_t)(r->slot + (gfn - r->gfn)) : -1;
}

uint16_t hmem_pages_heat(const struct hmem_pages *p, uint64_t gfn)
{
	int64_t slot = slot_of(p, gfn);

	return slot < 0 ? 0 : p->heat[slot];
}

/* Copy what @old knows of frames that @p has too; equal blocks by memcpy. */
static void keep_history(struct hmem_pages *p, const struct hmem_pages *old)
{
	for (uint32_t i = 0, j = 0; i < p->num_ranges && j < old->num_ranges; ) {
		const struct hmem_pages_range *n = &p->ranges[i];
		const struct hmem_pages_range *o = &old->ranges[j];
		uint64_t n_end = n->gfn + n->num, o_end = o->gfn + o->num;
		uint64_t from = n->gfn > o->gfn ? n->gfn : o->gfn;
		uint64_t to = n_end < o_end ? n_end : o_end;

		for (uint64_t gfn = from; gfn < to; ) {
			uint64_t next = (gfn / 64 + 1) * 64;
			uint64_t ns = n->slot + (gfn - n->gfn);
			uint64_t os = o->slot + (gfn - o->gfn);

			if (next > to)
				next = to;
			/* Blocks never used stay unbacked on both sides. */
			if (is_live(old, os)) {
				memcpy(&p->heat[ns], &old->heat[os],
				       (next - gfn) * sizeof(*p->heat));
				memcpy(&p->state[ns], &old->state[os],
				       (next - gfn) * sizeof(*p->state));
				mark_live(p, ns);
			}
			p->quota[ns / 64] = old->quota[os / 64];
			gfn = next;
		}
		if (n_end < o_end)
			i++;
		else
			j++;
	}
}

int hmem_pages_resize(struct hmem_pages *p, const struct hmem_link_range *ranges,
		      uint32_t num_ranges, uint64_t max_frames,
		      struct hmem_err *err)
{
	struct hmem_pages fresh;
	int ret = hmem_pages_init(&fresh, ranges, num_ranges, p->num_tiers,
				  max_frames, err);

	if (ret < 0)
		return ret;
	keep_history(&fresh, p);
	fresh.windows = p->windows;
	fresh.clock = p->clock;
	hmem_pages_free(p);
	*p = fresh;
	return 0;
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
			b.mask = UINT64_MAX;
			if (block == first)
				b.mask &= UINT64_MAX << (r->slot % 64);
			if (block == last)
				b.mask &= UINT64_MAX >>
					  (63 - (r->slot + r->num - 1) % 64);
			b.live = is_live(p, b.slot);
			if (!fn(p, &b, arg))
				return false;
		}
	}
	return true;
}

/* Eight pages' heats, in one register of any machine. */
typedef uint16_t lanes __attribute__((vector_size(16)));

/* All ones in the lanes whose bit is set. */
static lanes spread(uint8_t bits)
{
	const lanes bit = { 1, 2, 4, 8, 16, 32, 64, 128 };

	return (lanes)((bit & bits) != 0);
}

/*
 * Heats move to what the window was worth, rounded towards that, so that a
 * page that is not used becomes quite cold one day.
 */
static void average(uint16_t *heat, struct hmem_sample s,
		    const struct hmem_heat *h)
{
	const uint16_t low = (1u << h->decay) - 1;

	for (unsigned int g = 0; g < 64; g += 8) {
		lanes accessed = spread(s.accessed >> g);
		lanes written = spread(s.written >> g);
		lanes was, to, up, down;

		/* HMEM_HEAT_MAX is all ones. */
		to = (accessed & h->read) | written;
		memcpy(&was, &heat[g], sizeof(was));
		up = (to - was) & (lanes)(to > was);
		down = (was - to) & (lanes)(was > to);
		was += (up >> h->decay) - (down >> h->decay);
		was -= (lanes)((down & low) != 0) & 1;
		memcpy(&heat[g], &was, sizeof(was));
	}
}

/* But not those of @except. */
static void average_except(uint16_t *heat, struct hmem_sample s,
			   const struct hmem_heat *h, uint64_t except)
{
	uint16_t keep[64];

	for (uint64_t w = except; w; w &= w - 1)
		keep[__builtin_ctzll(w)] = heat[__builtin_ctzll(w)];
	average(heat, s, h);
	for (uint64_t w = except; w; w &= w - 1)
		heat[__builtin_ctzll(w)] = keep[__builtin_ctzll(w)];
}

static bool any(const uint16_t *v)
{
	uint16_t all = 0;

	for (unsigned int i = 0; i < 64; i++)
		all |= v[i];
	return all;
}

/* Pages that were free and are not any more: worth asking for again. */
static void no_longer_free(uint16_t *state, uint64_t used)
{
	for (; used; used &= used - 1) {
		unsigned int i = __builtin_ctzll(used);

		if (state[i] & STATE_FREE)
			state[i] &= STATE_IN_FLIGHT;
	}
}

/*
 * The frames of the block that a page has moved to or from in this window.
 * Copying it used them, which would make every page look hot that is moved.
 */
static uint64_t just_copied(const struct hmem_pages *p, const uint16_t *state)
{
	const uint16_t moved = stamp(p->clock + SETTLE - 1);
	uint64_t mask = 0;

	for (unsigned int i = 0; i < 64; i++)
		mask |= (uint64_t)(state[i] == moved) << i;
	return mask;
}

/* These are in use, whatever was seen of them last. */
static void not_idle(uint16_t *heat, uint64_t pages)
{
	for (unsigned int g = 0; g < 64; g += 8) {
		lanes least = spread(pages >> g) & HMEM_HEAT_IN_USE, was;

		memcpy(&was, &heat[g], sizeof(was));
		was += (least - was) & (lanes)(was < least);
		memcpy(&heat[g], &was, sizeof(was));
	}
}

struct update {
	struct hmem_pages *p;
	struct hmem_tracker *t;
	const struct hmem_heat *h;
};

static uint64_t as_hot_as(const uint16_t *heat, uint16_t cut)
{
	uint64_t hot = 0;

	for (unsigned int i = 0; i < 64; i++)
		hot |= (uint64_t)(heat[i] >= cut) << i;
	return hot;
}

/* What the queue's words are for without it. */
enum {
	/* The bit is set since before the window: it was not looked at. */
	WAIT_SET,
	WAIT_CANDIDATE,
	/* Rearmed late, when the window that now begins has ended. */
	WAIT_LATE,
	/* Was used in the last census about it, or in the time before that. */
	WAIT_USED,
	/* Was, but not in a look that counts. */
	WAIT_COLD,
};

/* The frames to rearm; @late: also those that will be used in the next window. */
static uint64_t rearm_part(struct hmem_mlq_block *mlq, uint64_t accessed,
			   const struct hmem_heat *h, bool in_part, uint64_t hot,
			   bool late)
{
	uint64_t set = mlq->wait[WAIT_SET] | accessed;
	uint64_t rearm = late ? UINT64_MAX : set;

	if (!in_part || h->rearm == HMEM_REARM_NONE)
		rearm = 0;
	else if (h->rearm == HMEM_REARM_HOT)
		rearm &= h->candidates ? mlq->wait[WAIT_CANDIDATE] : hot;
	if (in_part && !h->candidates)
		mlq->wait[WAIT_CANDIDATE] = h->rearm == HMEM_REARM_HOT ? hot : 0;
	mlq->wait[WAIT_SET] = set & ~(late ? mlq->wait[WAIT_LATE] : rearm);
	mlq->wait[WAIT_LATE] = late ? rearm : 0;
	/* The census begins. */
	if (in_part && h->ignore && h->rearm == HMEM_REARM_PART)
		mlq->wait[WAIT_USED] = set;
	return rearm;
}

/* Frames whose pages will not move, for all that is known. */
static uint64_t unwilling(const uint16_t *state)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < 64; i++)
		mask |= (uint64_t)!may_move(state[i]) << i;
	return mask;
}

/* A look has found @accessed of a block of tier 0. */
static void count_cold(struct hmem_look *look, struct hmem_mlq_block *mlq,
		       uint64_t accessed, bool first, uint64_t unwilling)
{
	if (first)
		mlq->wait[WAIT_COLD] = mlq->wait[WAIT_USED] & ~unwilling;
	mlq->wait[WAIT_USED] |= accessed;
	look->woken += __builtin_popcountll(accessed & mlq->wait[WAIT_COLD]);
	mlq->wait[WAIT_COLD] &= ~accessed;
	look->cold += __builtin_popcountll(mlq->wait[WAIT_COLD]);
}

/*
 * Multiples of the golden ratio spread a run of blocks over all parts, evenly: what
 * guests use lies in runs, and one part is to be like another.
 */
static uint32_t part_of(const struct hmem_block *b, uint32_t parts)
{
	uint32_t hash = b->slot / 64 * UINT64_C(0x9E3779B97F4A7C15) >> 32;

	return (uint64_t)hash * parts >> 32;
}

static bool update_fn(const struct hmem_pages *cp, const struct hmem_block *b,
		      void *arg)
{
	struct update *u = arg;
	struct hmem_pages *p = u->p;
	struct hmem_tracker *t = u->t;
	uint64_t *hist = p->hist[b->tier];
	struct hmem_sample s = t->ops->take(t, b->gfn, b->mask);
	uint16_t *heat = &p->heat[b->slot], *state = &p->state[b->slot];
	struct hmem_mlq_block *mlq = &p->mlq[b->slot / 64];
	bool queue = u->h->rearm == HMEM_REARM_QUEUE || !t->ops->rearm;
	bool in_part = !queue && part_of(b, u->h->parts) == u->h->part;
	uint64_t all = s.accessed, except = 0, hot = 0, faults, rearm;
	bool has_state;

	(void)cp;
	if (!s.accessed && !b->live) {
		hist[0] += hmem_block_frames(b);
		return true;
	}
	has_state = any(state);
	if (has_state)
		except = just_copied(p, state) & s.accessed;
	if (!queue)
		except |= mlq->wait[WAIT_SET];
	faults = __builtin_popcountll(s.accessed & ~except) +
		 __builtin_popcountll(s.written & ~except);
	if (in_part && b->tier && u->h->candidates)
		except |= ~mlq->wait[WAIT_CANDIDATE];
	s.accessed &= ~except;
	s.written &= ~except;
	if (in_part && !u->h->ignore)
		p->look.used += __builtin_popcountll(s.accessed);
	if (in_part && b->tier && u->h->candidates)
		p->look.again += __builtin_popcountll(s.accessed);
	if (in_part && !u->h->ignore && !b->tier)
		count_cold(&p->look, mlq, s.accessed, u->h->first,
			   has_state ? unwilling(state) : 0);
	/* Slots outside the mask stand for no frame, and stay zero. */
	if (!u->h->ignore)
		average_except(heat, s, u->h, except);
	if (!queue && !b->tier && mlq->wait[WAIT_USED])
		not_idle(heat, mlq->wait[WAIT_USED]);
	if (has_state)
		no_longer_free(state, s.accessed);
	if (in_part && b->tier) {
		hot = as_hot_as(heat, u->h->cut);
		if (u->h->candidates)
			hot &= mlq->wait[WAIT_CANDIDATE];
		p->look.hot += __builtin_popcountll(hot);
	}
	if (t->ops->rearm) {
		if (queue) {
			rearm = except | hmem_mlq_step(mlq, s.accessed,
						      u->h->levels,
						      t->ops->rearms_late);
		} else {
			p->look.faults += faults;
			rearm = rearm_part(mlq, all, u->h, in_part, hot,
					   t->ops->rearms_late) & b->mask;
		}
		if (rearm) {
			t->ops->rearm(t, b->gfn, rearm);
			p->rearmed += __builtin_popcountll(rearm);
		}
	}
	set_live(p, b->slot, has_state || any(heat) || hmem_mlq_any(mlq));
	for (unsigned int i = 0; i < 64; i++)
		hist[HMEM_BUCKET(heat[i])]++;
	/* Slots that are no frames are cold. */
	hist[0] -= 64 - hmem_block_frames(b);
	return true;
}

/* Clear refusals that are over, and let old ones count for less. */
static void sweep(struct hmem_pages *p)
{
	uint64_t blocks = p->num_slots / 64;
	uint64_t num = (blocks + SWEEP_PARTS - 1) / SWEEP_PARTS;

	for (; num; num--, p->sweep++) {
		uint16_t *state;

		if (p->sweep >= blocks) {
			p->sweep = 0;
			p->sweeps++;
		}
		if (!is_live(p, p->sweep * 64))
			continue;
		state = &p->state[p->sweep * 64];
		for (unsigned int i = 0; i < 64; i++) {
			if (!state[i] || refused_for(p, state[i]))
				continue;
			if (state[i] & STATE_UNTIL)
				state[i] &= ~(STATE_UNTIL | STATE_FREE);
			else if (level_of(state[i]) &&
				 (may_move(state[i]) ||
				  (i + p->sweeps) % PROBE_PARTS == 0))
				state[i] -= 1u << STATE_LEVEL_SHIFT;
		}
	}
}

void hmem_pages_update(struct hmem_pages *p, struct hmem_tracker *t,
		       const struct hmem_heat *h)
{
	struct update u = { .p = p, .t = t, .h = h };

	p->windows++;
	p->clock += !h->brief;
	p->rearmed = 0;
	p->look = (struct hmem_look) { 0 };
	memset(p->hist, 0, sizeof(p->hist));
	hmem_pages_walk(p, 0, p->num_slots, update_fn, &u);
	if (!h->brief)
		sweep(p);
}

void hmem_pages_rewatch(struct hmem_pages *p)
{
	/* What was never used stays unbacked. */
	for (uint64_t block = 0; block < p->num_slots / 64; block++) {
		if (is_live(p, block * 64))
			hmem_mlq_forget(&p->mlq[block], UINT64_MAX);
	}
}

bool hmem_pages_all_eligible(const struct hmem_pages *p,
			     const struct hmem_block *b)
{
	return b->mask == UINT64_MAX && !any(&p->state[b->slot]);
}

bool hmem_pages_eligible(const struct hmem_pages *p, uint64_t slot)
{
	uint16_t state = p->state[slot];

	return !(state & STATE_IN_FLIGHT) && !refused_for(p, state);
}

bool hmem_pages_willing(const struct hmem_pages *p, uint64_t slot)
{
	return may_move(p->state[slot]) && hmem_pages_eligible(p, slot);
}

unsigned int hmem_pages_quota(const struct hmem_pages *p, uint64_t slot)
{
	unsigned int quota = p->quota[slot / 64];

	return quota ? quota : (slot / 64 + p->clock) % QUOTA_PROBE == 0;
}

/* A page in the block of @slot has moved, or was asked for and will not. */
static void learn(struct hmem_pages *p, uint64_t slot, bool moved)
{
	uint8_t *quota = &p->quota[slot / 64];

	if (!moved)
		*quota /= 2;
	else if (*quota < QUOTA_FIRST)
		*quota = QUOTA_FIRST;
	else
		*quota = *quota < 16 ? *quota * 4 : 64;
}

void hmem_pages_sent(struct hmem_pages *p, uint64_t gfn, unsigned int order)
{
	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++) {
		int64_t slot = slot_of(p, gfn);

		if (slot >= 0) {
			p->state[slot] |= STATE_IN_FLIGHT;
			mark_live(p, slot);
		}
	}
}

void hmem_pages_unsent(struct hmem_pages *p, uint64_t gfn, unsigned int order)
{
	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++) {
		int64_t slot = slot_of(p, gfn);

		if (slot >= 0)
			p->state[slot] &= ~STATE_IN_FLIGHT;
	}
}

void hmem_pages_refused(struct hmem_pages *p, uint64_t gfn, unsigned int order,
			enum hmem_refusal how)
{
	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++) {
		int64_t slot = slot_of(p, gfn);
		unsigned int level;

		/* Another page has moved in meanwhile: it refused nothing. */
		if (slot < 0 || !(p->state[slot] & STATE_IN_FLIGHT))
			continue;
		level = level_of(p->state[slot]);
		if (level < levels[how].first)
			level = levels[how].first;
		else if (level < levels[how].last)
			level++;
		p->state[slot] = level << STATE_LEVEL_SHIFT |
				 stamp(p->clock + (1u << level)) |
				 (how == HMEM_REFUSED_FREE ? STATE_FREE : 0);
		mark_live(p, slot);
		if (how != HMEM_REFUSED_BUSY)
			learn(p, slot, false);
	}
}

static void move_one(struct hmem_pages *p, uint64_t gfn, uint64_t new_gfn,
		     uint16_t heat)
{
	int64_t from = slot_of(p, gfn), to = slot_of(p, new_gfn);

	/* Still in flight: no other page has moved in, so nothing is here. */
	if (from >= 0 && p->state[from] & STATE_IN_FLIGHT) {
		p->heat[from] = 0;
		p->state[from] = stamp(p->clock + SETTLE);
		learn(p, from, true);
	}
	if (from >= 0)
		hmem_mlq_forget(&p->mlq[from / 64], UINT64_C(1) << (from % 64));
	if (to >= 0) {
		hmem_mlq_forget(&p->mlq[to / 64], UINT64_C(1) << (to % 64));
		p->heat[to] = heat;
		p->state[to] = stamp(p->clock + SETTLE);
		learn(p, to, true);
		mark_live(p, to);
	}
}

void hmem_pages_moved(struct hmem_pages *p, uint64_t gfn, uint64_t new_gfn,
		      unsigned int order, uint16_t heat)
{
	if (!order) {
		move_one(p, gfn, new_gfn, heat);
		return;
	}
	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++, new_gfn++)
		move_one(p, gfn, new_gfn, hmem_pages_heat(p, gfn));
}
