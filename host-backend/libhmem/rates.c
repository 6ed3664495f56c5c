/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <string.h>

#include "rates.h"

/*
 * Statistical: the variance of the natural logarithm of a rate before each look.  The most
 * informative look (in which 1.6 uses are expected) has a Fisher information of 0.65, so an
 * estimate remembers about 1.5 / variance looks: the recent estimate hardly more than the last
 * look, the long estimate 50.
 */
#define RECENT_VARIANCE	2.0
#define LONG_VARIANCE	(1.0 / 32)
/* The variance before the first look. */
#define FIRST_VARIANCE	0.5
/* A used page has at least an eighth of a use per look; an unused page at most eight uses. */
#define RECENT_OCTAVES	3
/* The same for the long estimate, which ignores what happens by chance in 1.5 % of looks. */
#define LONG_OCTAVES	6
/* The long estimate begins like the recent one, for so many looks. */
#define FIRST_LOOKS	8u

/* A class's earlier looks count half as much after each look, as programs' speeds change. */
#define KEEP		0.5
/* The rate of a level, which is that of the long run, remembers 20 looks. */
#define KEEP_LONG	0.95
/* The variance between the logarithms of the rates of a class and of its neighbours. */
#define NEIGHBOUR_VARIANCE	1.0
/* The same for one neighbour, by the half octave between both: (ln 2 / 2)^2. */
#define STEP_VARIANCE	0.12
#define NEIGHBOURS	3
/* The variance of a class without measurements: a factor of e^2. */
#define UNKNOWN_VARIANCE	4.0
/* No horizon is farther ahead than this, which is also the most that an operator can set. */
#define FARTHEST_S	3600
/* Statistical: two standard errors, so one estimate in 44 is beyond by chance. */
#define STANDARD_ERRORS	2.0

/* The rate in the middle of the class's level. */
static double rate_of_class(unsigned int class)
{
	return exp2((class / 8 + 0.5) / 2 + 8 + HMEM_RATE_LEAST);
}

/*
 * The most likely logarithm of a rate after a look of one second, which found the page used or
 * not.  Before the look, the logarithm has a normal distribution around @log.
 */
static double most_likely(double log, double variance, bool used)
{
	double low = log - 6, high = log + 6;

	for (unsigned int i = 0; i < 20; i++) {
		double middle = (low + high) / 2, x = exp(middle);
		double slope = !used ? -x : x < 1e-9 ? 1 : x > 50 ? 0 : x / expm1(x);

		if (log + variance * slope > middle)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

static double clamp(double v, double low, double high)
{
	return v < low ? low : v > high ? high : v;
}

/*
 * How far, in octaves, a look of one second moves an estimate.  The look is taken to say that a
 * used page is at most @apart octaves below one use per look, and that an unused page is at
 * most @apart octaves above that.
 */
static double step(double octaves, double variance, bool used, double apart)
{
	double from = used ? fmax(octaves, -apart) : fmin(octaves, apart);

	return most_likely(from * M_LN2, variance, used) / M_LN2 - octaves;
}

/* The base-2 logarithm of the rate for an index of the tables, if looks lasted one second. */
static double octaves_of(unsigned int index)
{
	return ((int)index + HMEM_RATE_SHIFT_LEAST + 0.5) / 8 + HMEM_RATE_LEAST;
}

static void make_long_steps(struct hmem_rates *r, double variance, double apart)
{
	r->variance = variance;
	r->apart = apart;
	for (unsigned int i = 0; i < HMEM_RATE_STEPS; i++) {
		for (unsigned int used = 0; used < 2; used++)
			r->long_steps[used][i] = clamp(
				lrint(step(octaves_of(i), variance, used, apart) *
				      HMEM_RATE_OCTAVE), INT16_MIN, INT16_MAX);
	}
}

static void make_recent_steps(struct hmem_rates *r)
{
	for (unsigned int i = 0; i < HMEM_RATE_STEPS; i++) {
		for (unsigned int used = 0; used < 2; used++)
			r->recent_steps[used][i] = lrint(8 * step(octaves_of(i),
				RECENT_VARIANCE, used, RECENT_OCTAVES));
	}
}

static void make_class_tables(struct hmem_rates *r)
{
	for (unsigned int i = 0; i < 256; i++)
		r->class_level[i] = hmem_class(i << 8, i) & ~7u;
	for (unsigned int i = 0; i < 511; i++) {
		/* The class depends on the difference alone, so any two estimates do. */
		unsigned int from = i < 255 ? 255 - i : 0;

		r->class_apart[i] = hmem_class(from << 8, from + i - 255) & 7;
	}
}

void hmem_rates_init(struct hmem_rates *r, double horizon_s)
{
	memset(r, 0, sizeof(*r));
	make_class_tables(r);
	r->nearest_s = horizon_s;
	r->horizon_s = horizon_s;
	hmem_clusters_init(&r->clusters);
	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		r->rate[c] = rate_of_class(c);
		r->error[c] = sqrt(UNKNOWN_VARIANCE);
	}
}

void hmem_rates_begin(struct hmem_rates *r, uint64_t now_ns, uint64_t look_ns, uint64_t lag_ns,
		      bool continues)
{
	/*
	 * Change the variance in steps of about a fifth, because to make the tables takes
	 * longer than some looks.
	 */
	double looks = exp2(floor(4 * log2(1 / FIRST_VARIANCE + r->looks / 2.0)) / 4);
	double variance = fmax(LONG_VARIANCE, 1 / looks);
	double apart = r->looks < FIRST_LOOKS ? RECENT_OCTAVES : LONG_OCTAVES;

	r->now_s = now_ns / 1e9;
	r->continues = continues;
	r->look_s = look_ns / 1e9;
	r->lag_s = lag_ns == HMEM_LAG_UNKNOWN ? -1 : lag_ns / 1e9;
	r->shift = clamp(lrint(8 * log2(r->look_s)), HMEM_RATE_SHIFT_LEAST,
			 (int)HMEM_RATE_STEPS - 256 + HMEM_RATE_SHIFT_LEAST) -
		   HMEM_RATE_SHIFT_LEAST;
	/* Most VMs have other policies, so these tables are made only for the first look. */
	if (!r->looks)
		make_recent_steps(r);
	for (unsigned int i = 0; i < 256; i++) {
		for (unsigned int used = 0; used < 2; used++)
			r->recent_next[used][i] =
				clamp((int)i + r->recent_steps[used][i + r->shift], 0,
				      UINT8_MAX);
	}
	if (variance != r->variance || apart != r->apart)
		make_long_steps(r, variance, apart);
	memset(r->looked, 0, sizeof(r->looked));
	memset(r->used, 0, sizeof(r->used));
	memset(r->became, 0, sizeof(r->became));
	hmem_clusters_begin(&r->clusters);
}

/* The mean of a rate whose uses were counted: half a use more, so that it is never 0. */
static double mean_of(const struct hmem_rate *m)
{
	return (m->uses + 0.5) / m->seconds;
}

/*
 * Add a look of @look_s to @m, in which @used of @looked independent pages were used; earlier
 * looks count @keep times as much as before.  A page may have been used more than once in the
 * look.  So the rate is that of a Poisson process, and the look counts as much as a count of all
 * uses in a shorter time, by Fisher's information.
 */
static void measure(struct hmem_rate *m, double looked, double used, double look_s,
		    double keep)
{
	double seconds = looked * look_s, uses = used, unused = looked - used, x;

	/*
	 * If all pages were used, the rate is a lower bound: half a page less gives its value.
	 * A bound below the known mean tells nothing.
	 */
	if (used == looked)
		unused = 0.5;
	if (used == looked && m->seconds > 0 && mean_of(m) * look_s > log(looked / unused))
		return;
	x = used ? log(looked / unused) : 0;
	if (x > 0) {
		seconds *= x / expm1(x);
		uses = seconds * x / look_s;
	}
	m->uses = m->uses * keep + uses;
	m->seconds = m->seconds * keep + seconds;
}

/* Add what the look has found of a class. */
static void measure_class(struct hmem_rate *m, const struct hmem_rates *r, unsigned int class,
			  double keep)
{
	double alike = r->clusters.alike[class];

	measure(m, r->looked[class] / alike, r->used[class] / alike, r->look_s, keep);
}

static void forget(struct hmem_rate *m, double look_s)
{
	m->uses *= KEEP;
	m->seconds *= KEEP;
	/* A sum smaller than that of one page in one look tells nothing. */
	if (m->seconds < look_s)
		*m = (struct hmem_rate) { 0 };
}

/* One over the variance of the rate's logarithm; 0: nothing is known. */
static double log_precision(const struct hmem_rate *m)
{
	return m->seconds > 0 ? m->uses + 0.5 : 0;
}

/*
 * Estimates the rate of a class: the mean of the rates that its neighbours suggest (in
 * proportion to their estimates) and of its own measurements, weighted by precision.
 */
static void smooth(struct hmem_rates *r, unsigned int class)
{
	const struct hmem_rate *all = r->measured;
	double own = log_precision(&all[class]), weights = 0, sum = 0, mean = 0, precision;

	for (int step = -NEIGHBOURS; step <= NEIGHBOURS; step++) {
		int c = (int)class + step * 8;
		double weight;

		if (!step || c < 0 || c >= (int)HMEM_CLASSES)
			continue;
		weight = log_precision(&all[c]);
		if (!weight)
			continue;
		weight = 1 / (1 / weight + STEP_VARIANCE * step * step);
		weights += weight;
		sum += weight * log(mean_of(&all[c]) / rate_of_class(c));
	}
	precision = 1 / UNKNOWN_VARIANCE;
	if (weights) {
		mean = sum / weights;
		precision = 1 / (1 / weights + NEIGHBOUR_VARIANCE);
	}
	if (own)
		mean = (mean * precision + log(mean_of(&all[class]) / rate_of_class(class)) * own) /
		       (precision + own);
	r->rate[class] = exp(mean) * rate_of_class(class);
	r->error[class] = 1 / sqrt(precision + own);
}

/*
 * Measures the rate of a level, which is that of the pages of all its classes, over a longer
 * time.
 */
static void measure_level(struct hmem_rates *r, unsigned int level)
{
	struct hmem_long_rate *l = &r->levels[level];
	struct hmem_rate now = { 0 };
	double looked = 0, used = 0;

	for (unsigned int c = level * 8; c < level * 8 + 8; c++) {
		looked += r->looked[c] / r->clusters.alike[c];
		used += r->used[c] / r->clusters.alike[c];
	}
	if (!looked)
		return;
	measure(&now, looked, used, r->look_s, 0);
	l->sum.uses = l->sum.uses * KEEP_LONG + now.uses;
	l->sum.seconds = l->sum.seconds * KEEP_LONG + now.seconds;
	l->uses2 = l->uses2 * KEEP_LONG + now.uses * now.uses;
	l->both = l->both * KEEP_LONG + now.uses * now.seconds;
	l->seconds2 = l->seconds2 * KEEP_LONG + now.seconds * now.seconds;
}

/*
 * The standard error of the logarithm of a level's rate.  Pages of a level become hot or cold
 * together, so that looks differ by more than chance.
 */
static double level_error(const struct hmem_long_rate *l)
{
	double mean = l->sum.uses / l->sum.seconds, uses = l->sum.uses + 0.5;
	double rest = l->uses2 - 2 * mean * l->both + mean * mean * l->seconds2;

	return sqrt(1 / uses + fmax(rest, 0) / (uses * uses));
}

double hmem_rates_long(const struct hmem_rates *r, unsigned int class)
{
	const struct hmem_long_rate *level = &r->levels[class / 8];

	return level->sum.seconds > 0 ? mean_of(&level->sum) : r->rate[class];
}

double hmem_rates_factor(const struct hmem_rates *r, unsigned int class)
{
	return exp(STANDARD_ERRORS * r->error[class]);
}

/* The least rate of the class that is not improbable. */
static double least_rate(const struct hmem_rates *r, unsigned int class)
{
	return r->rate[class] / hmem_rates_factor(r, class);
}

/* A class's members that the look has found used are at least as hot as the class, see rates.h. */
static void bound(struct hmem_rates *r, const uint64_t members[HMEM_CLASSES])
{
	memset(r->bound, 0, sizeof(r->bound));
	for (unsigned int from = 0; from < HMEM_CLASSES; from++) {
		if (!r->used[from])
			continue;
		for (unsigned int to = 0; to < HMEM_CLASSES; to++) {
			if (r->became[from][to] && r->error[from] < r->error[to])
				r->bound[to] += least_rate(r, from) * r->became[from][to] /
						fmax(members[to], r->became[from][to]);
		}
	}
}

/* Computes the accesses of a page of the class while its rate lasts, and until the horizon. */
static void foresee(struct hmem_rates *r, unsigned int class)
{
	const struct hmem_long_rate *level = &r->levels[class / 8];
	double least = fmax(least_rate(r, class), r->bound[class]);
	double most = fmax(r->rate[class] * hmem_rates_factor(r, class), least);
	double least_later = least, most_later = most;

	if (level->sum.seconds > 0) {
		double later = hmem_rates_long(r, class);
		double spread = exp(STANDARD_ERRORS * level_error(level));

		least_later = later / spread;
		most_later = later * spread;
	}
	r->least_now[class] = least * r->lasts_s;
	r->most_now[class] = most * r->lasts_s;
	r->least[class] = r->least_now[class] + least_later * (r->horizon_s - r->lasts_s);
	r->most[class] = r->most_now[class] + most_later * (r->horizon_s - r->lasts_s);
}

/*
 * The look has observed pages whose last look was @lag_s ago.  Measure how much is left of the
 * deviations that their classes had then.
 */
static void compare(struct hmem_rates *r)
{
	hmem_lasting_age(&r->lasting, r->lag_s, KEEP_LONG);
	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		double later = hmem_rates_long(r, c), was = r->rate[c];
		double factor = hmem_rates_factor(r, c);
		struct hmem_rate now = { 0 };

		/*
		 * Leave out deviations that can be chance, because these would be gone in any
		 * case.
		 */
		if (!r->looked[c] || (was < later * factor && was > later / factor))
			continue;
		measure_class(&now, r, c, 0);
		if (now.seconds > 0)
			hmem_lasting_add(&r->lasting, r->lag_s, was - later,
					 now.uses / now.seconds - later, now.seconds);
	}
}

/* The share of the used pages beyond those that their classes' rates led to expect. */
static double unexpected(const struct hmem_rates *r)
{
	double beyond = 0, used = 0;

	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		beyond += fmax(0, r->used[c] + r->looked[c] * expm1(-r->rate[c] * r->look_s));
		used += r->used[c];
	}
	return used ? beyond / used : 0;
}

bool hmem_rates_surprised(const struct hmem_rates *r)
{
	return r->unexpected > 0.5;
}

/* Computes what the rates lead to expect until the horizon. */
static void look_ahead(struct hmem_rates *r)
{
	r->horizon_s = clamp(fmin(r->now_s - r->since_s, r->next_s), r->nearest_s, FARTHEST_S);
	r->lasts_s = hmem_lasting_s(&r->lasting, r->look_s, r->horizon_s);
	for (unsigned int c = 0; c < HMEM_CLASSES; c++)
		foresee(r, c);
}

/* Computes what follows from the measurements.  @members: NULL: after no look. */
static void conclude(struct hmem_rates *r, const uint64_t members[HMEM_CLASSES])
{
	for (unsigned int c = 0; c < HMEM_CLASSES; c++)
		smooth(r, c);
	if (members)
		bound(r, members);
	look_ahead(r);
}

void hmem_rates_forget(struct hmem_rates *r)
{
	memset(r->measured, 0, sizeof(r->measured));
}

void hmem_rates_end(struct hmem_rates *r, const uint64_t members[HMEM_CLASSES])
{
	hmem_clusters_end(&r->clusters, r->looked, r->used, KEEP_LONG);
	r->unexpected = unexpected(r);
	if (r->lag_s > 0)
		compare(r);
	for (unsigned int c = 0; c < HMEM_CLASSES && r->continues; c++) {
		if (r->looked[c])
			measure_class(&r->measured[c], r, c, KEEP);
		else
			forget(&r->measured[c], r->look_s);
	}
	for (unsigned int level = 0; level < HMEM_LEVELS; level++)
		measure_level(r, level);
	r->looks++;
	r->next_s = 0;
	if (hmem_rates_surprised(r))
		r->since_s = r->now_s;
	conclude(r, members);
}

void hmem_rates_expect(struct hmem_rates *r, double next_s)
{
	r->next_s = next_s;
	/* Most looks come soon. */
	if (next_s > r->nearest_s)
		look_ahead(r);
}

void hmem_rates_save(const struct hmem_rates *r, struct hmem_rates_learned *l)
{
	*l = (struct hmem_rates_learned) {
		.looks = r->looks,
		.look_s = r->look_s,
		.now_s = r->now_s,
		.since_s = r->since_s,
		.next_s = r->next_s,
		.lasting = r->lasting,
		.clusters = r->clusters.learned,
	};
	memcpy(l->measured, r->measured, sizeof(l->measured));
	memcpy(l->levels, r->levels, sizeof(l->levels));
}

static bool is_rate(const struct hmem_rate *m)
{
	return m->uses >= 0 && m->seconds >= 0;
}

/* Are all rates and expectations numbers?  False for infinities, too. */
static bool are_finite(const struct hmem_rates *r)
{
	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		if (!isfinite(r->rate[c]) || !isfinite(r->error[c]) ||
		    !isfinite(hmem_rates_long(r, c)) ||
		    !isfinite(r->least_now[c]) || !isfinite(r->most_now[c]) ||
		    !isfinite(r->least[c]) || !isfinite(r->most[c]))
			return false;
	}
	return isfinite(r->lasts_s);
}

bool hmem_rates_restore(struct hmem_rates *r, const struct hmem_rates_learned *l)
{
	/* A look lasts at most as long as a window. */
	if (!(l->look_s >= 0 && l->look_s <= 3600) ||
	    !(l->since_s >= 0 && l->since_s <= l->now_s && isfinite(l->now_s)) ||
	    !(l->next_s >= 0))
		return false;
	if (!(l->clusters.found >= 0 && isfinite(l->clusters.found) &&
	      l->clusters.chance >= 0 && isfinite(l->clusters.chance)))
		return false;
	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		if (!is_rate(&l->measured[c]))
			return false;
	}
	for (unsigned int level = 0; level < HMEM_LEVELS; level++) {
		if (!is_rate(&l->levels[level].sum))
			return false;
	}
	r->looks = l->looks;
	r->look_s = l->look_s;
	r->now_s = l->now_s;
	r->since_s = l->since_s;
	r->next_s = l->next_s;
	r->lasting = l->lasting;
	r->clusters.learned = l->clusters;
	memcpy(r->measured, l->measured, sizeof(r->measured));
	memcpy(r->levels, l->levels, sizeof(r->levels));
	if (!r->looks)
		return true;
	make_recent_steps(r);
	conclude(r, NULL);
	return are_finite(r);
}
