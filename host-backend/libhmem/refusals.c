/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "refusals.h"
#include "simd.h"

/*
 * The parts of a page's state.  UNTIL is the window, modulo 1023 and plus one, up to which the
 * page is refused; 0: it is not refused.  The sweep clears past values before the clock comes
 * round.  A page that was refused as free has FREE and a level.  FREE without a level: a hint
 * has brought the page to this frame, SETTLE windows before UNTIL.
 */
#define STATE_IN_FLIGHT		0x8000u
#define STATE_FREE		0x4000u
#define STATE_LEVEL_SHIFT	10
#define STATE_LEVEL		(0xfu << STATE_LEVEL_SHIFT)
#define STATE_UNTIL		0x3ffu
#define CLOCK			1023u

/* A refusal at level n lasts 2^n windows. */
static const struct {
	unsigned int first, last;
} levels[] = {
	[HMEM_REFUSED_BUSY] = { 1, 6 },
	[HMEM_REFUSED_FREE] = { 3, 8 },
	[HMEM_REFUSED_NACK] = { 6, 8 },
};
/* A page that has just moved stays for this many windows, because its level is 0. */
#define SETTLE		2u
/* Each window sweeps one of this many parts, well below CLOCK - 2^8. */
#define SWEEP_PARTS	128u
/*
 * Frames that will not move are tried again after one of so many sweeps, but never all
 * together, because each takes the place of a page that would move.
 */
#define PROBE_PARTS	8u

/*
 * Frames that are free or belong to the kernel are idle, and close together.  In a block of
 * which nothing is known, HMEM_QUOTA_FIRST pages are hinted at a time.  Each page that moves
 * multiplies that by four, up to all; each page that does not move halves it; in a block
 * without any moves, one page is hinted in so many windows.
 */
#define QUOTA_PROBE		64u

static unsigned int stamp(uint64_t window)
{
	return window % CLOCK + 1;
}

/* Windows until @state's refusal ends; 0: it has ended, or there is none. */
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

/* Has a hint brought the page here? */
static bool has_come(uint16_t state)
{
	return (state & (STATE_FREE | STATE_LEVEL)) == STATE_FREE;
}

/* For a page that a hint has brought here: how many windows have begun since. */
static unsigned int came_ago(const struct hmem_pages *p, uint16_t state)
{
	return (stamp(p->clock + SETTLE) + CLOCK - (state & STATE_UNTIL)) % CLOCK;
}

/* From this level on, the page was refused for good, or repeatedly. */
#define UNWILLING	(levels[HMEM_REFUSED_NACK].first)

void hmem_refusals_set(struct hmem_pages *p, uint32_t tier, uint64_t slot, uint16_t state)
{
	p->in_flight[tier] -= (p->state[slot] & STATE_IN_FLIGHT) != 0;
	p->in_flight[tier] += (state & STATE_IN_FLIGHT) != 0;
	p->state[slot] = state;
}

static int64_t slot_of(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	return r ? (int64_t)(r->slot + (gfn - r->gfn)) : -1;
}

/* Notes that a page of the block has a state. */
static void mark(struct hmem_pages *p, uint64_t slot)
{
	hmem_block_set(p->has_state, slot, true);
	hmem_block_set(p->live, slot, true);
}

bool hmem_refusals_any(const uint16_t *state)
{
	u16x8 any = { 0 };

	for (unsigned int g = 0; g < 64; g += 8)
		any |= simd_load(&state[g]);
	return simd_or(any);
}

uint64_t hmem_refusals_in_flight(const uint16_t *state)
{
	return SIMD_WHERE(state, l, (l & STATE_IN_FLIGHT) != 0);
}

uint64_t hmem_refusals_refused(const uint16_t *state)
{
	return SIMD_WHERE(state, l, (l & STATE_LEVEL) != 0);
}

uint64_t hmem_refusals_unwilling(const uint16_t *state)
{
	const uint16_t least = UNWILLING << STATE_LEVEL_SHIFT;

	return SIMD_WHERE(state, l, (l & STATE_LEVEL) >= least);
}

uint64_t hmem_refusals_just_copied(const struct hmem_pages *p, const uint16_t *state)
{
	const uint16_t moved = stamp(p->clock + SETTLE - 1), rest = (uint16_t)~STATE_FREE;

	return SIMD_WHERE(state, l, (l & rest) == moved);
}

void hmem_refusals_forget_free(uint16_t *state, uint64_t used)
{
	used &= SIMD_WHERE(state, l, ((l & STATE_FREE) > 0) & ((l & STATE_LEVEL) > 0));
	for (; used; used &= used - 1)
		state[__builtin_ctzll(used)] &= STATE_IN_FLIGHT;
}

void hmem_refusals_forget_came(uint16_t *state)
{
	for (unsigned int i = 0; i < 64; i++) {
		if (has_come(state[i]))
			state[i] &= ~STATE_FREE;
	}
}

void hmem_refusals_sweep(struct hmem_pages *p)
{
	uint64_t blocks = p->num_slots / 64;
	uint64_t num = (blocks + SWEEP_PARTS - 1) / SWEEP_PARTS;

	for (; num; num--, p->sweep++) {
		uint16_t *state;

		if (p->sweep >= blocks) {
			p->sweep = 0;
			p->sweeps++;
		}
		if (!hmem_block_get(p->has_state, p->sweep * 64))
			continue;
		state = &p->state[p->sweep * 64];
		for (unsigned int i = 0; i < 64; i++) {
			if (!state[i] || refused_for(p, state[i]) ||
			    (has_come(state[i]) &&
			     came_ago(p, state[i]) < HMEM_CAME_WINDOWS))
				continue;
			if (state[i] & STATE_UNTIL)
				state[i] &= ~(STATE_UNTIL | STATE_FREE);
			else if (level_of(state[i]) &&
				 (level_of(state[i]) < UNWILLING ||
				  (i + p->sweeps) % PROBE_PARTS == 0))
				state[i] -= 1u << STATE_LEVEL_SHIFT;
		}
	}
}

uint64_t hmem_pages_eligible(const struct hmem_pages *p, const struct hmem_block *b)
{
	const uint16_t *state = &p->state[b->slot];
	uint64_t with_state, mask = b->mask;

	if (!b->has_state)
		return mask;
	with_state = SIMD_WHERE(state, l, l != 0);
	for (; with_state; with_state &= with_state - 1) {
		unsigned int i = __builtin_ctzll(with_state);

		if (state[i] & STATE_IN_FLIGHT || refused_for(p, state[i]))
			mask &= ~(UINT64_C(1) << i);
	}
	return mask;
}

uint64_t hmem_pages_willing(const struct hmem_pages *p, const struct hmem_block *b)
{
	uint64_t mask = hmem_pages_eligible(p, b);

	return b->has_state ? mask & ~hmem_refusals_unwilling(&p->state[b->slot]) : mask;
}

unsigned int hmem_pages_quota(const struct hmem_pages *p, uint64_t slot)
{
	unsigned int quota = p->quota[slot / 64] ^ HMEM_QUOTA_FIRST;

	return quota ? quota : (slot / 64 + p->clock) % QUOTA_PROBE == 0;
}

/* A page in the block of @slot has moved, or was refused for good. */
static void learn(struct hmem_pages *p, uint64_t slot, bool moved)
{
	unsigned int quota = p->quota[slot / 64] ^ HMEM_QUOTA_FIRST;

	if (!moved)
		quota /= 2;
	else if (quota < HMEM_QUOTA_FIRST)
		quota = HMEM_QUOTA_FIRST;
	else
		quota = quota < 16 ? quota * 4 : 64;
	p->quota[slot / 64] = quota ^ HMEM_QUOTA_FIRST;
}

/*
 * The range of @gfn, whose slot becomes *@slot.  In *@run, how many of the @num frames from @gfn on
 * have consecutive slots.  NULL: @gfn has no slot.
 */
static const struct hmem_pages_range *run_of(const struct hmem_pages *p, uint64_t gfn,
					     uint64_t num, uint64_t *slot, uint64_t *run)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);

	*run = 1;
	if (!r)
		return NULL;
	*run = r->num - (gfn - r->gfn) < num ? r->num - (gfn - r->gfn) : num;
	*slot = r->slot + (gfn - r->gfn);
	return r;
}

void hmem_pages_sent(struct hmem_pages *p, uint64_t gfn, unsigned int order)
{
	uint64_t num = UINT64_C(1) << order, slot, run;

	for (; num; num -= run, gfn += run) {
		const struct hmem_pages_range *r = run_of(p, gfn, num, &slot, &run);

		if (!r)
			continue;
		for (uint64_t i = slot; i < slot + run; i++)
			hmem_refusals_set(p, r->tier, i, p->state[i] | STATE_IN_FLIGHT);
		for (uint64_t block = slot / 64; block <= (slot + run - 1) / 64; block++)
			mark(p, block * 64);
	}
}

void hmem_pages_unsent(struct hmem_pages *p, uint64_t gfn, unsigned int order)
{
	uint64_t num = UINT64_C(1) << order, slot, run;

	for (; num; num -= run, gfn += run) {
		const struct hmem_pages_range *r = run_of(p, gfn, num, &slot, &run);

		for (uint64_t i = slot; r && i < slot + run; i++)
			hmem_refusals_set(p, r->tier, i, p->state[i] & ~STATE_IN_FLIGHT);
	}
}

void hmem_pages_refused(struct hmem_pages *p, uint64_t gfn, unsigned int order,
			enum hmem_refusal how)
{
	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++) {
		const struct hmem_pages_range *r = hmem_pages_find(p, gfn);
		unsigned int level;
		uint64_t slot;

		if (!r)
			continue;
		slot = r->slot + (gfn - r->gfn);
		/* Another page has come to the frame meanwhile, and was not refused. */
		if (!(p->state[slot] & STATE_IN_FLIGHT))
			continue;
		level = level_of(p->state[slot]);
		if (level < levels[how].first)
			level = levels[how].first;
		else if (level < levels[how].last)
			level++;
		hmem_refusals_set(p, r->tier, slot,
				  level << STATE_LEVEL_SHIFT |
				  stamp(p->clock + (1u << level)) |
				  (how == HMEM_REFUSED_FREE ? STATE_FREE : 0));
		mark(p, slot);
		if (how != HMEM_REFUSED_BUSY)
			learn(p, slot, false);
	}
}

static void set_record(struct hmem_pages *p, const struct hmem_pages_range *r,
		       uint64_t slot, struct hmem_record record)
{
	p->hist[r->tier][hmem_pages_bucket(p, slot)]--;
	p->heat[slot] = record.heat;
	p->recent[slot] = record.recent;
	p->hist[r->tier][hmem_pages_bucket(p, slot)]++;
}

/* A page with @record has come to @gfn; or a page @leaves @gfn empty. */
static void settle(struct hmem_pages *p, uint64_t gfn, struct hmem_record record,
		   bool leaves)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);
	uint64_t slot, bit;

	if (!r)
		return;
	slot = r->slot + (gfn - r->gfn);
	bit = UINT64_C(1) << (slot % 64);
	if (p->given[slot / 64] & bit) {
		if (leaves)
			return;
		/* The guest has taken the frame back since the last window. */
		p->given[slot / 64] &= ~bit;
		p->hist[r->tier][hmem_pages_bucket(p, slot)]++;
	}
	hmem_mlq_forget(&p->mlq[slot / 64], bit);
	/* Copying has set the bit; remember that even if the next window is brief. */
	if (p->by_class)
		p->mlq[slot / 64].wait[HMEM_WAIT_SET] |= bit;
	/* The frame is not in flight any more: it has another page now. */
	if (leaves && !(p->state[slot] & STATE_IN_FLIGHT))
		return;
	set_record(p, r, slot, record);
	hmem_refusals_set(p, r->tier, slot, stamp(p->clock + SETTLE) | (leaves ? 0 : STATE_FREE));
	learn(p, slot, true);
	mark(p, slot);
}

static void move_one(struct hmem_pages *p, uint64_t gfn, uint64_t new_gfn,
		     struct hmem_record record)
{
	settle(p, gfn, (struct hmem_record) { 0 }, true);
	settle(p, new_gfn, record, false);
}

uint64_t hmem_pages_came(const struct hmem_pages *p, uint64_t gfn, unsigned int order,
			 unsigned int windows)
{
	uint64_t frames = 0;

	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++) {
		int64_t slot = slot_of(p, gfn);

		/* Otherwise another page has come to the frame after the hint. */
		if (slot < 0 || !(p->state[slot] & STATE_IN_FLIGHT))
			continue;
		frames += has_come(p->state[slot]) && came_ago(p, p->state[slot]) < windows;
	}
	return frames;
}

void hmem_pages_moved(struct hmem_pages *p, uint64_t gfn, uint64_t new_gfn,
		      unsigned int order, struct hmem_record record)
{
	if (!order) {
		move_one(p, gfn, new_gfn, record);
		return;
	}
	for (uint64_t n = UINT64_C(1) << order; n; n--, gfn++, new_gfn++)
		move_one(p, gfn, new_gfn, hmem_pages_record(p, gfn));
}
