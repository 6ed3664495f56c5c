/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "brake.h"

/* With fewer pairs than this, do not decide. */
#define ENOUGH		16u

void hmem_brake_reset(struct hmem_brake *b)
{
	memset(b, 0, sizeof(*b));
}

static unsigned int hash(uint64_t gfn)
{
	return gfn * UINT64_C(0x9e3779b97f4a7c15) >> 48;
}

static void set_filter(struct hmem_brake *b, uint64_t gfn)
{
	b->filter[hash(gfn) / 64] |= UINT64_C(1) << (hash(gfn) % 64);
}

static struct hmem_trial *find_in(struct hmem_trial *trials, uint32_t num,
				  uint64_t gfn, uint32_t message)
{
	for (uint32_t i = 0; i < num; i++) {
		if (trials[i].gfn == gfn && trials[i].message != message)
			return &trials[i];
	}
	return NULL;
}

/* The trial whose page was at @gfn before @message, or NULL. */
static struct hmem_trial *find(struct hmem_brake *b, uint64_t gfn,
			       uint32_t message)
{
	struct hmem_trial *t = NULL;

	if (!(b->filter[hash(gfn) / 64] >> (hash(gfn) % 64) & 1))
		return NULL;
	for (uint32_t i = 0; i < HMEM_BRAKE_WINDOWS && !t; i++) {
		struct hmem_cohort *c = &b->cohorts[i];

		t = find_in(c->up, c->num_up, gfn, message);
		if (!t)
			t = find_in(c->down, c->num_down, gfn, message);
	}
	return t;
}

void hmem_brake_moved(struct hmem_brake *b, uint64_t gfn, uint64_t new_gfn,
		      uint16_t heat, bool promoted, uint32_t message)
{
	struct hmem_cohort *c = &b->cohorts[b->window % HMEM_BRAKE_WINDOWS];
	struct hmem_trial *t = find(b, gfn, message);
	uint32_t *num = promoted ? &c->num_up : &c->num_down;

	if (t) {
		t->gfn = new_gfn;
		t->message = message;
	} else if (*num < HMEM_BRAKE_TRIALS) {
		t = promoted ? &c->up[(*num)++] : &c->down[(*num)++];
		*t = (struct hmem_trial) { new_gfn, message, heat };
	} else {
		return;
	}
	set_filter(b, new_gfn);
}

/* Rebuild the filter without frames that have no trial any more. */
static void renew_filter(struct hmem_brake *b)
{
	memset(b->filter, 0, sizeof(b->filter));
	for (uint32_t i = 0; i < HMEM_BRAKE_WINDOWS; i++) {
		const struct hmem_cohort *c = &b->cohorts[i];

		for (uint32_t k = 0; k < c->num_up; k++)
			set_filter(b, c->up[k].gfn);
		for (uint32_t k = 0; k < c->num_down; k++)
			set_filter(b, c->down[k].gfn);
	}
}

static void decide(struct hmem_brake *b)
{
	if (b->pairs < ENOUGH)
		return;
	if (b->kept * 2 >= b->promised)
		b->steps = 0;
	else if (b->steps < HMEM_BRAKE_MAX)
		b->steps++;
	b->pairs = 0;
	b->promised = b->kept = 0;
}

void hmem_brake_window(struct hmem_brake *b, const struct hmem_pages *p,
		       const struct hmem_heat *h)
{
	/* After this many windows, a seventh of the old heat is left. */
	uint32_t age = 2u << h->decay;
	struct hmem_cohort *c;
	uint32_t n;

	if (age > HMEM_BRAKE_WINDOWS)
		age = HMEM_BRAKE_WINDOWS;
	b->window++;
	/* The oldest cohort makes room for this window's. */
	c = &b->cohorts[(b->window - age) % HMEM_BRAKE_WINDOWS];
	n = c->num_up < c->num_down ? c->num_up : c->num_down;
	for (uint32_t i = 0; i < n; i++) {
		b->promised += c->up[i].heat - c->down[i].heat;
		b->kept += hmem_pages_heat(p, c->up[i].gfn) -
			   hmem_pages_heat(p, c->down[i].gfn);
	}
	b->pairs += n;
	c->num_up = c->num_down = 0;
	decide(b);
	c = &b->cohorts[b->window % HMEM_BRAKE_WINDOWS];
	c->num_up = c->num_down = 0;
	renew_filter(b);
}

uint32_t hmem_brake_budget(const struct hmem_brake *b, uint32_t budget)
{
	uint32_t less = budget >> b->steps;

	if (less >= HMEM_BRAKE_LEAST)
		return less;
	return budget < HMEM_BRAKE_LEAST ? budget : HMEM_BRAKE_LEAST;
}
