/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "brake.h"

/* Fewer pairs than this say nothing. */
#define ENOUGH		16u

void hmem_brake_reset(struct hmem_brake *b)
{
	memset(b, 0, sizeof(*b));
}

void hmem_brake_moved(struct hmem_brake *b, uint64_t gfn, uint16_t heat,
		      bool promoted)
{
	struct hmem_cohort *c = &b->cohorts[b->window % HMEM_BRAKE_WINDOWS];
	struct hmem_trial *trials = promoted ? c->up : c->down;
	uint32_t *num = promoted ? &c->num_up : &c->num_down;

	if (*num < HMEM_BRAKE_TRIALS)
		trials[(*num)++] = (struct hmem_trial) { gfn, heat };
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
	/* Of a heat of so long ago, a seventh is left. */
	uint32_t age = 2u << h->decay;
	struct hmem_cohort *c;
	uint32_t n;

	if (age > HMEM_BRAKE_WINDOWS)
		age = HMEM_BRAKE_WINDOWS;
	b->window++;
	/* The oldest one's place is this window's from now on. */
	c = &b->cohorts[(b->window - age) % HMEM_BRAKE_WINDOWS];
	n = c->num_up < c->num_down ? c->num_up : c->num_down;
	for (uint32_t i = 0; i < n; i++) {
		b->promised += c->up[i].heat - c->down[i].heat;
		b->kept += hmem_pages_heat(p, c->up[i].gfn) -
			   hmem_pages_heat(p, c->down[i].gfn);
	}
	b->pairs += n;
	decide(b);
	c = &b->cohorts[b->window % HMEM_BRAKE_WINDOWS];
	c->num_up = c->num_down = 0;
}

uint32_t hmem_brake_budget(const struct hmem_brake *b, uint32_t budget)
{
	uint32_t less = budget >> b->steps;

	/* One pair at least. */
	return less < 2 && budget >= 2 ? 2 : less;
}
