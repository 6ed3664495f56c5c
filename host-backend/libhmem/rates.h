/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access rates, measured by classes of pages.
 *
 * A look tells one bit of each page: whether the page was used within the look's length.
 * Each page keeps a record of these bits, two estimates of the logarithm of its access
 * rate: a recent one, which remembers a few looks, and a long one, which remembers many.
 * A bit moves an estimate to where the rate is most likely, given the bit and a normal
 * distribution around the estimate.
 *
 * Pages with nearly the same record form a class.  A record is not believed, for chance
 * made it, too.  The rate of a class is what its members do in the next look.  The records
 * and the measurement are independent of each other, so that where all pages are used
 * alike, all classes turn out to have the same rate.
 *
 * Nothing here knows of tiers, plans or trackers.
 */
#ifndef HMEM_RATES_H
#define HMEM_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "lasting.h"

/* Classes are 32 steps of the long estimate by 8 of the recent one beside it. */
#define HMEM_CLASSES	256u
#define HMEM_LEVELS		32u
/* The class of a page that was never found used. */
#define HMEM_CLASS_IDLE	4u

/*
 * The long estimate: base-2 logarithm of accesses per second, 2^11 units per
 * octave, zero for 2^-12 per second.  The recent one has its upper 8 bits only.
 */
#define HMEM_RATE_OCTAVE	2048
#define HMEM_RATE_LEAST		(-12)

/* How far the estimates may be apart: five octaves, in eighths. */
#define HMEM_RATE_APART		40

/*
 * A rate as it was measured: so many uses in so many seconds, of all pages together.  Both
 * are less than what was counted, where pages may have been used more than once in a look.
 */
struct hmem_rate {
	double uses, seconds;
};

/* Looks of 2^-11 s to 2^15 s, and all estimates. */
#define HMEM_RATE_STEPS		(256u + 26 * 8)
#define HMEM_RATE_SHIFT_LEAST	(-11 * 8)

/* It is not known when pages were looked at last, or differs. */
#define HMEM_LAG_UNKNOWN	UINT64_MAX

/* The same over many looks; and sums of products of what each of them counted. */
struct hmem_long_rate {
	struct hmem_rate sum;
	double uses2, both, seconds2;
};

struct hmem_rates {
	/*
	 * By use (0, 1): how far a look moves an estimate, in its own units; by the
	 * estimate's upper 8 bits plus @shift.
	 */
	int16_t long_steps[2][HMEM_RATE_STEPS], recent_steps[2][HMEM_RATE_STEPS];
	/* What the long ones were made for. */
	double variance, apart;
	/* The logarithm of the length of the look under way. */
	int shift;
	/* Pages looked at and used in it, by their class before the look. */
	uint64_t looked[HMEM_CLASSES], used[HMEM_CLASSES];
	/* The look's length in seconds. */
	double look_s;
	/* Looks so far. */
	uint64_t looks;
	/* What was measured of each class; and of all of a level, over a longer time. */
	struct hmem_rate measured[HMEM_CLASSES];
	struct hmem_long_rate levels[HMEM_LEVELS];
	/*
	 * The rate of each class, smoothed over its neighbours, in accesses per second; and
	 * the standard error of its logarithm.
	 */
	double rate[HMEM_CLASSES], error[HMEM_CLASSES];
	/* Since the pages were looked at last, in seconds; 0: just now; below: not known. */
	double lag_s;
	/* How long the deviations of classes from their levels last; in seconds. */
	struct hmem_lasting lasting;
	double lasts_s;
	/*
	 * Accesses of a page that are nearly sure, and that are possible: while pages go on
	 * as they do now, for @lasts_s; and in all of @horizon_s, in the rest of which they
	 * do what pages of their level do in the long run.
	 */
	double least_now[HMEM_CLASSES], most_now[HMEM_CLASSES];
	double least[HMEM_CLASSES], most[HMEM_CLASSES];
	double horizon_s;
};

/* The class of a page with the long estimate @heat and the recent one: level * 8 + 0 .. 7. */
static inline unsigned int hmem_class(uint16_t heat, uint8_t recent)
{
	/* From 2^-4 to 2^12 accesses per second, half an octave each. */
	int level = ((int)heat - 8 * HMEM_RATE_OCTAVE) / (HMEM_RATE_OCTAVE / 2);
	/* 12 eighths of an octave for each distance of the estimates; 4 is around none. */
	int apart = ((int)recent - (heat >> 8) + 4 * 12 + 6) / 12;

	level = level < 0 ? 0 : level > 31 ? 31 : level;
	return level * 8 + (apart < 0 ? 0 : apart > 7 ? 7 : apart);
}

void hmem_rates_init(struct hmem_rates *r, double horizon_s);

/*
 * A look of @look_ns has ended: prepare to take its bits.  @lag_ns before it, the last look
 * at the same pages ended; 0: it came just before.
 */
void hmem_rates_begin(struct hmem_rates *r, uint64_t look_ns, uint64_t lag_ns);

/* Whether a page was @used in it. */
static inline void hmem_rates_take(struct hmem_rates *r, uint16_t *heat,
				   uint8_t *recent, bool used)
{
	unsigned int class = hmem_class(*heat, *recent);
	int to = *heat + r->long_steps[used][(*heat >> 8) + r->shift];
	int recently = *recent + r->recent_steps[used][*recent + r->shift];

	r->looked[class]++;
	r->used[class] += used;
	*recent = recently < 0 ? 0 : recently > UINT8_MAX ? UINT8_MAX : recently;
	/* So far away is no chance: the page is used in another way than before. */
	if (to < (*recent - HMEM_RATE_APART) * 256)
		to = (*recent - HMEM_RATE_APART) * 256;
	else if (to > (*recent + HMEM_RATE_APART) * 256)
		to = (*recent + HMEM_RATE_APART) * 256;
	*heat = to < 0 ? 0 : to > UINT16_MAX ? UINT16_MAX : to;
}

/* @frames that have never been used were not in this look either. */
static inline void hmem_rates_idle(struct hmem_rates *r, unsigned int frames)
{
	r->looked[HMEM_CLASS_IDLE] += frames;
}

/* All bits of the look are taken: measure the classes. */
void hmem_rates_end(struct hmem_rates *r);

#endif /* HMEM_RATES_H */
