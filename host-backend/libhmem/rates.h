/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access rates, measured by classes of pages.
 *
 * A look tells one bit per page: the page was used in the look, or not.  Each page has a
 * record of these bits: two estimates of the logarithm of its access rate.  The recent estimate
 * remembers a few looks, the long estimate many.  A look moves an estimate to the most likely
 * rate, given its bit and a normal distribution around the former estimate.
 *
 * Pages with nearly the same record form a class; the 8 classes with the same long estimate form
 * a level.  Chance makes records, too, so a record alone proves nothing.  The rate of a class is
 * what its members do in the next look.  Records and measurement are independent of each other:
 * if all pages are used alike, all classes turn out to have the same rate.
 *
 * The look also gives each page a new record, so members of a class whose rate was measured become
 * members of classes that may be unknown yet.  Those that were found used are, on average, used at
 * least as often as their former class, whatever the rates in that class are: the more often a
 * page is used, the more probable is it that a look finds it used.  So the rate that was measured
 * for the former class is a lower bound for them.
 *
 * This file does not depend on tiers, plans or trackers.
 */
#ifndef HMEM_RATES_H
#define HMEM_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "clusters.h"
#include "lasting.h"

/* HMEM_CLASSES: 32 steps of the long estimate by 8 of the difference between both estimates. */
#define HMEM_LEVELS		32u
/* The class of a page that no look has found used. */
#define HMEM_CLASS_IDLE	4u

/*
 * The long estimate is the base-2 logarithm of accesses per second, with 2^11 units per octave;
 * zero is 2^-12 accesses per second.  The recent estimate has only the upper 8 bits of this.
 */
#define HMEM_RATE_OCTAVE	2048
#define HMEM_RATE_LEAST		(-12)

/* The largest difference between both estimates, in eighths of an octave: five octaves. */
#define HMEM_RATE_APART		40

/*
 * A measured rate: the uses of all pages in their seconds.  If pages may have been used more
 * than once in a look, or if neighbouring pages are alike (see clusters.h), both numbers are
 * smaller than the counts, because the look tells less.
 */
struct hmem_rate {
	double uses, seconds;
};

/* Indexes of tables: all estimates, for looks of 2^-11 s to 2^15 s. */
#define HMEM_RATE_STEPS		(256u + 26 * 8)
#define HMEM_RATE_SHIFT_LEAST	(-11 * 8)

/* The last look at the pages is unknown, or differs from page to page. */
#define HMEM_LAG_UNKNOWN	UINT64_MAX

/* A rate over many looks, and the sums of products of their uses and seconds. */
struct hmem_long_rate {
	struct hmem_rate sum;
	double uses2, both, seconds2;
};

struct hmem_rates {
	/* hmem_class() as tables: the level, by the upper bits of @heat; and the rest. */
	uint8_t class_level[256], class_apart[511];
	/*
	 * The step of an estimate, in its own units, after a look that found the page unused (0)
	 * or used (1).  The second index is the estimate's upper 8 bits plus @shift.
	 */
	int16_t long_steps[2][HMEM_RATE_STEPS], recent_steps[2][HMEM_RATE_STEPS];
	/* The recent estimate after the current look, by the estimate before it. */
	uint8_t recent_next[2][256];
	/* The arguments that @long_steps were computed for. */
	double variance, apart;
	/* The logarithm of the length of the current look. */
	int shift;
	/* Pages that the look observed, and found used, by their class before the look. */
	uint64_t looked[HMEM_CLASSES], used[HMEM_CLASSES];
	/* The used ones by their class before the look, and by their class after it. */
	uint32_t became[HMEM_CLASSES][HMEM_CLASSES];
	struct hmem_clusters clusters;
	/* The length of the current look, in seconds. */
	double look_s;
	/* The share of the used pages of the last look that known rates did not lead to expect. */
	double unexpected;
	/* Number of looks so far. */
	uint64_t looks;
	/* The measured rate of each class; and of each level, over a longer time. */
	struct hmem_rate measured[HMEM_CLASSES];
	struct hmem_long_rate levels[HMEM_LEVELS];
	/*
	 * The rate of each class, smoothed over its neighbours, in accesses per second; and
	 * the standard error of its logarithm.
	 */
	double rate[HMEM_CLASSES], error[HMEM_CLASSES];
	/* A lower bound of the rate of a class, by the classes that its members were in. */
	double bound[HMEM_CLASSES];
	/* Seconds between the last look at the same pages and this one; below 0: unknown. */
	double lag_s;
	/* The current look is not the first one of its burst. */
	bool continues;
	/* For how long a class deviates from its level; in seconds. */
	struct hmem_lasting lasting;
	double lasts_s;
	/*
	 * The expected accesses of a page of each class, two standard errors below (least) and
	 * above (most).  @least_now and @most_now: within @lasts_s, at the present rate of the
	 * class.  @least and @most: until the horizon, @horizon_s ahead, with the long-run rate of
	 * the class's level after @lasts_s.
	 */
	double least_now[HMEM_CLASSES], most_now[HMEM_CLASSES];
	double least[HMEM_CLASSES], most[HMEM_CLASSES];
	/*
	 * When the last look ended; and when the last look ended that found mostly pages used that
	 * the rates did not lead to expect.
	 */
	double now_s, since_s;
	/*
	 * How far ahead of the last look the horizon is.  That is at least @nearest_s, the policy's
	 * horizon.  If the next look comes later, in @next_s, the horizon is there, but no farther
	 * ahead than @since_s is ago: what has lasted is expected to last as long again.
	 */
	double horizon_s, nearest_s, next_s;
};

/* The class of a page with the long estimate @heat and the recent one: level * 8 + 0 .. 7. */
static inline unsigned int hmem_class(uint16_t heat, uint8_t recent)
{
	/* From 2^-4 to 2^12 accesses per second, half an octave each. */
	int level = ((int)heat - 8 * HMEM_RATE_OCTAVE) / (HMEM_RATE_OCTAVE / 2);
	/* Steps of 12 eighths of an octave; the estimates are about equal in the middle, 4. */
	int apart = ((int)recent - (heat >> 8) + 4 * 12 + 6) / 12;

	level = level < 0 ? 0 : level > 31 ? 31 : level;
	return level * 8 + (apart < 0 ? 0 : apart > 7 ? 7 : apart);
}

/* What looks have taught; everything else follows from this and from the horizon. */
struct hmem_rates_learned {
	uint64_t looks;
	double look_s, now_s, since_s, next_s;
	struct hmem_rate measured[HMEM_CLASSES];
	struct hmem_long_rate levels[HMEM_LEVELS];
	struct hmem_lasting lasting;
	struct hmem_clusters_learned clusters;
};

void hmem_rates_init(struct hmem_rates *r, double horizon_s);

/* Between two looks: copies what @r has learned. */
void hmem_rates_save(const struct hmem_rates *r, struct hmem_rates_learned *l);

/*
 * Continues with @l in @r, which has been initialized and has had no look.  Returns false if @l,
 * which can contain anything, leads to no finite rates; @r must then be initialized again.
 */
bool hmem_rates_restore(struct hmem_rates *r, const struct hmem_rates_learned *l);

/*
 * A look of @look_ns has ended at @now_ns: prepare to take its bits.  The last look at the same
 * pages ended @lag_ns before this look began; 0: there was nothing in between; or HMEM_LAG_UNKNOWN.
 * @continues: that was a look of the same burst, so this look measures the classes' present rates.
 */
void hmem_rates_begin(struct hmem_rates *r, uint64_t now_ns, uint64_t look_ns, uint64_t lag_ns,
		      bool continues);

/* What looks have measured of classes is of no use: the next look measures all of them anew. */
void hmem_rates_forget(struct hmem_rates *r);

/* The pages that are taken from now on are neighbours of @gfn.  Take pages by rising addresses. */
static inline void hmem_rates_go(struct hmem_rates *r, uint64_t gfn)
{
	hmem_clusters_go(&r->clusters, gfn);
}

/* The same as hmem_class(). */
static inline unsigned int hmem_rates_class(const struct hmem_rates *r, uint16_t heat,
					    uint8_t recent)
{
	return r->class_level[heat >> 8] + r->class_apart[255 + recent - (heat >> 8)];
}

/*
 * Take the bit of @n pages with the same record in the look: were they @used?  Returns their new
 * class.
 */
static inline unsigned int hmem_rates_take(struct hmem_rates *r, uint16_t *heat, uint8_t *recent,
					   bool used, unsigned int n)
{
	unsigned int from = hmem_rates_class(r, *heat, *recent), to;
	int next = *heat + r->long_steps[used][(*heat >> 8) + r->shift];
	int recently = r->recent_next[used][*recent];
	/* So far away is no chance: the page is used in another way than before. */
	int least = (recently - HMEM_RATE_APART) * 256;
	int most = (recently + HMEM_RATE_APART) * 256;

	next = next < least ? least : next > most ? most : next;
	*heat = next < 0 ? 0 : next > UINT16_MAX ? UINT16_MAX : next;
	*recent = recently;
	to = hmem_rates_class(r, *heat, *recent);
	r->looked[from] += n;
	hmem_clusters_take(&r->clusters, from, used ? n : 0, n);
	if (used) {
		r->used[from] += n;
		r->became[from][to] += n;
	}
	return to;
}

/* Take @n pages that have never been used, not in this look either: their records stay 0. */
static inline void hmem_rates_take_idle(struct hmem_rates *r, unsigned int n)
{
	r->looked[HMEM_CLASS_IDLE] += n;
	hmem_clusters_take(&r->clusters, HMEM_CLASS_IDLE, 0, n);
}

/* The same for @frames that are a cluster by themselves. */
static inline void hmem_rates_idle(struct hmem_rates *r, unsigned int frames)
{
	r->looked[HMEM_CLASS_IDLE] += frames;
	hmem_clusters_unused(&r->clusters, HMEM_CLASS_IDLE, frames);
}

/* All bits of the look are taken: measure the classes, which have so many @members now. */
void hmem_rates_end(struct hmem_rates *r, const uint64_t members[HMEM_CLASSES]);

/* The next look will come in @next_s seconds; until this is told, it is taken to come at once. */
void hmem_rates_expect(struct hmem_rates *r, double next_s);

/* Did the known rates lead to expect less than half of the pages that the last look found used? */
bool hmem_rates_surprised(const struct hmem_rates *r);

/* The rate of the class's level in the long run, in accesses per second. */
double hmem_rates_long(const struct hmem_rates *r, unsigned int class);

/* The factor by which two standard errors change the rate of a class. */
double hmem_rates_factor(const struct hmem_rates *r, unsigned int class);

#endif /* HMEM_RATES_H */
