/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simd.h"
#include "window.h"

/*
 * Heats move towards the window's target, rounded towards it, so that the heat of an unused
 * page gets close to zero.
 */
static void average(uint16_t *heat, struct hmem_sample s,
		    const struct hmem_heat *h)
{
	const uint16_t low = (1u << h->decay) - 1;

	for (unsigned int g = 0; g < 64; g += 8) {
		u16x8 accessed = simd_mask(s.accessed >> g);
		u16x8 written = simd_mask(s.written >> g);
		u16x8 was = simd_load(&heat[g]), to, up, down;

		/* HMEM_HEAT_MAX has all bits set. */
		to = (accessed & h->read) | written;
		up = (to - was) & (u16x8)(to > was);
		down = (was - to) & (u16x8)(was > to);
		was += (up >> h->decay) - (down >> h->decay);
		was -= (u16x8)((down & low) != 0) & 1;
		simd_store(&heat[g], was);
	}
}

/* Does the same with the target HMEM_HEAT_MAX for pages in @used, and 0 for others. */
static void average_all(uint16_t *heat, uint64_t used, unsigned int decay)
{
	const uint16_t low = (1u << decay) - 1;

	for (unsigned int g = 0; g < 64; g += 8) {
		u16x8 up = simd_mask(used >> g);
		/* The distance to the target. */
		u16x8 far = simd_load(&heat[g]) ^ up;

		far -= (far >> decay) + (~up & 1 & (u16x8)((far & low) != 0));
		simd_store(&heat[g], far ^ up);
	}
}

/* Does the same, but leaves out the pages in @except. */
static void average_except(uint16_t *heat, struct hmem_sample s,
			   const struct hmem_heat *h, uint64_t except)
{
	uint16_t keep[64];

	for (uint64_t w = except; w; w &= w - 1)
		keep[__builtin_ctzll(w)] = heat[__builtin_ctzll(w)];
	if (!h->read || !s.accessed)
		average_all(heat, s.written, h->decay);
	else if (h->read == HMEM_HEAT_MAX)
		average_all(heat, s.accessed, h->decay);
	else
		average(heat, s, h);
	for (uint64_t w = except; w; w &= w - 1)
		heat[__builtin_ctzll(w)] = keep[__builtin_ctzll(w)];
}

struct update {
	struct hmem_pages *p;
	struct hmem_window *w;
	const struct hmem_heat *h;
};

/*
 * Updates the frames that are given up.  A frame that the guest has given up since the last
 * window has no page any more, so its record is cleared.  A frame that the guest has taken back
 * is free, and has no record yet.
 */
static bool given_fn(const struct hmem_pages *cp, const struct hmem_block *b, void *arg)
{
	struct update *u = arg;
	struct hmem_pages *p = u->p;
	uint64_t was = p->given[b->slot / 64];
	uint64_t is = hmem_given_word(&u->h->given, b->gfn) & b->all;

	(void)cp;
	if (is == was)
		return true;
	p->given[b->slot / 64] = is;
	hmem_mlq_forget(&p->mlq[b->slot / 64], is & ~was);
	for (uint64_t w = is & ~was; w; w &= w - 1) {
		uint64_t slot = b->slot + __builtin_ctzll(w);

		p->heat[slot] = 0;
		p->recent[slot] = 0;
		hmem_refusals_set(p, b->tier, slot, 0);
	}
	return true;
}

/* Counts the block's frames in @hist by heat.  Returns false if all heats are 0. */
static bool count(uint64_t *hist, const uint16_t *heat)
{
	u16x8 any = { 0 }, differ = { 0 };
	const uint16_t first = heat[0];

	for (unsigned int g = 0; g < 64; g += 8) {
		u16x8 l = simd_load(&heat[g]);

		any |= l;
		differ |= l ^ first;
	}
	if (!HMEM_BUCKET(simd_or(differ))) {
		hist[HMEM_BUCKET(first)] += 64;
	} else {
		for (unsigned int g = 0; g < 64; g += 4) {
			uint64_t four;

			memcpy(&four, &heat[g], sizeof(four));
			hist[HMEM_BUCKET(four & 0xffff)]++;
			hist[HMEM_BUCKET(four >> 16 & 0xffff)]++;
			hist[HMEM_BUCKET(four >> 32 & 0xffff)]++;
			hist[HMEM_BUCKET(four >> 48)]++;
		}
	}
	return simd_or(any);
}

static bool update_fn(const struct hmem_pages *cp, const struct hmem_block *b,
		      void *arg)
{
	struct update *u = arg;
	struct hmem_window *w = u->w;
	struct hmem_pages *p = u->p;
	struct hmem_tracker *t = w->t;
	struct hmem_sample s = t->ops->take(t, b->gfn, b->all);
	uint16_t *heat = &p->heat[b->slot], *state = &p->state[b->slot];
	struct hmem_mlq_block *mlq = &p->mlq[b->slot / 64];
	uint64_t all, except = 0, rearm = 0;
	bool live;

	(void)cp;
	/* Ignore the use of frames that the guest has given up since. */
	s.accessed &= b->mask;
	s.written &= b->mask;
	all = s.accessed;
	/* A late tracker clears the bits that it finds, if they were requested before. */
	if (!all && !b->live && !(u->h->clear && t->ops->rearms_late)) {
		if (u->h->rates)
			hmem_window_idle(w, b);
		else
			w->hist[b->tier][0] += hmem_block_frames(b);
		return true;
	}
	if (w->rewatch && b->live)
		hmem_mlq_forget(mlq, UINT64_MAX);
	if (b->has_state && all)
		except = hmem_refusals_just_copied(p, state) & all;
	if (u->h->rates) {
		hmem_window_rates(w, p, b, s, except);
		return true;
	}
	s.accessed &= ~except;
	s.written &= ~except;
	/* Slots outside of the mask stand for no page, and stay zero. */
	average_except(heat, s, u->h, u->h->incomplete ? except | ~all : except);
	if (b->has_state && s.accessed)
		hmem_refusals_forget_free(state, s.accessed);
	if (t->ops->rearm && !u->h->incomplete)
		rearm = except | hmem_mlq_step(mlq, s.accessed, u->h->levels,
					       t->ops->rearms_late);
	if (rearm) {
		t->ops->rearm(t, b->gfn, rearm);
		w->rearmed += __builtin_popcountll(rearm);
	}
	live = count(w->hist[b->tier], heat);
	/* Slots that stand for no page are cold. */
	w->hist[b->tier][0] -= 64 - hmem_block_frames(b);
	hmem_window_keep(p, b, live);
	return true;
}

void hmem_window_begin(struct hmem_window *w, struct hmem_pages *p,
		       struct hmem_tracker *t, const struct hmem_heat *h)
{
	*w = (struct hmem_window) {
		.t = t,
		.heat = *h,
		.rewatch = p->rewatch,
	};
	p->rewatch = false;
	p->clock += !h->brief;
	p->by_class = h->rates;
}

bool hmem_window_step(struct hmem_window *w, struct hmem_pages *p, uint64_t slots)
{
	uint64_t to = slots < p->num_slots - w->next ? w->next + slots : p->num_slots;
	struct update u = { .p = p, .w = w, .h = &w->heat };

	hmem_pages_walk(p, w->next, to, given_fn, &u);
	hmem_pages_walk(p, w->next, to, update_fn, &u);
	w->next = to;
	if (to < p->num_slots)
		return false;
	p->windows++;
	p->rearmed = w->rearmed;
	p->faults = w->faults;
	memcpy(p->hist, w->hist, sizeof(p->hist));
	if (!w->heat.brief)
		hmem_refusals_sweep(p);
	return true;
}

void hmem_pages_update(struct hmem_pages *p, struct hmem_tracker *t,
		       const struct hmem_heat *h)
{
	struct hmem_window w;

	hmem_window_begin(&w, p, t, h);
	hmem_window_step(&w, p, UINT64_MAX);
}

void hmem_pages_rewatch(struct hmem_pages *p)
{
	p->rewatch = true;
}
