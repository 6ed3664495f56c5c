/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access rates by classes.  Pages are used at random, at known rates. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rates.h"

#define PAGES	4096u

struct world {
	struct hmem_rates rates;
	double rate[PAGES];
	/* So many neighbours share an accessed bit. */
	unsigned int shared;
	uint16_t heat[PAGES];
	uint8_t recent[PAGES];
	/* When the last look ended, and when the next one is expected, in seconds. */
	double now, next;
	uint64_t rnd;
};

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->rnd = 42;
	w->shared = 1;
	hmem_rates_init(&w->rates, 20);
	return w;
}

static unsigned int class_of(const struct world *w, unsigned int page)
{
	return hmem_class(w->heat[page], w->recent[page]);
}

/* Looks at all pages for @seconds, @lag seconds after the last look. */
static void look_after(struct world *w, double seconds, double lag)
{
	uint64_t members[HMEM_CLASSES] = { 0 };
	double chance = 0;

	w->now += lag + seconds;
	hmem_rates_begin(&w->rates, w->now * 1e9, seconds * 1e9, lag * 1e9, !lag);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (i % w->shared == 0)
			chance = (unit_random(&w->rnd) >> 11) * 0x1p-53;
		hmem_rates_go(&w->rates, i);
		hmem_rates_take(&w->rates, &w->heat[i], &w->recent[i],
				chance < 1 - exp(-w->rate[i] * seconds), 1);
	}
	for (unsigned int i = 0; i < PAGES; i++)
		members[class_of(w, i)]++;
	hmem_rates_end(&w->rates, members);
	hmem_rates_expect(&w->rates, w->next);
}

static void look(struct world *w, double seconds)
{
	look_after(w, seconds, 0);
}

/* The mean of the rates that are measured for the classes of pages @from ..  @to - 1. */
static double mean_rate(const struct world *w, unsigned int from, unsigned int to)
{
	double sum = 0;

	for (unsigned int i = from; i < to; i++)
		sum += w->rates.rate[class_of(w, i)];
	return sum / (to - from);
}

/* The measured rates do not depend on the length of the looks. */
static void rates_are_measured(void **state)
{
	static const double seconds[] = { 0.003, 0.01, 0.03 };

	(void)state;
	for (unsigned int k = 0; k < 3; k++) {
		struct world *w = world_new();

		for (unsigned int i = 0; i < PAGES; i++)
			w->rate[i] = i < PAGES / 4 ? 100 : 4;
		for (unsigned int i = 0; i < 60; i++)
			look(w, seconds[k]);
		assert_true(fabs(mean_rate(w, 0, PAGES / 4) / 100 - 1) < 0.4);
		assert_true(fabs(mean_rate(w, PAGES / 4, PAGES) / 4 - 1) < 1);
		free(w);
	}
}

/*
 * If all pages have the same rate, two standard errors hardly ever tell two classes apart, even if
 * neighbours are used together.
 */
static void chance_is_not_believed(void **state)
{
	(void)state;
	for (unsigned int shared = 1; shared <= 64; shared *= 64) {
		struct world *w = world_new();
		uint64_t pairs = 0, believed = 0;

		w->shared = shared;
		for (unsigned int i = 0; i < PAGES; i++)
			w->rate[i] = 50;
		for (unsigned int i = 0; i < 100; i++) {
			look(w, 0.01);
			for (unsigned int k = 0; i > 8 && k < PAGES - shared; k++, pairs++)
				believed += w->rates.least[class_of(w, k)] >
					    w->rates.most[class_of(w, k + shared)];
		}
		if (believed >= pairs / 100)
			fail_msg("%u pages share a bit: %.4f of the pairs", shared,
				 (double)believed / pairs);
		free(w);
	}
}

/* So many neighbours tell as much as one page, whatever their rates are. */
static void neighbours_are_alike(void **state)
{
	(void)state;
	for (unsigned int shared = 1; shared <= 64; shared *= 8) {
		struct world *w = world_new();
		double found = 0, chance = 0;

		w->shared = shared;
		for (unsigned int i = 0; i < PAGES; i++)
			w->rate[i] = i < PAGES / 2 ? 100 : 10;
		for (unsigned int i = 0; i < 200; i++) {
			look(w, 0.01);
			/* At first, pages of both rates are in one class. */
			if (i < 100)
				continue;
			found += w->rates.clusters.learned.found;
			chance += w->rates.clusters.learned.chance;
		}
		if (fabs(log(found / chance / shared)) > log(1.25))
			fail_msg("%u pages share a bit: alike are %.2f", shared, found / chance);
		free(w);
	}
}

/* A few looks find pages whose rates have changed. */
static void changes_are_seen(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = i < PAGES / 8 ? 500 : 20;
	for (unsigned int i = 0; i < 40; i++)
		look(w, 0.005);
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = i >= PAGES / 8 * 7 ? 500 : 20;
	for (unsigned int i = 0; i < 4; i++)
		look(w, 0.005);
	assert_true(mean_rate(w, PAGES / 8 * 7, PAGES) > 200);
	assert_true(mean_rate(w, 0, PAGES / 8 * 7) < 60);
	free(w);
}

/* If all members of a class are used in a look, the look was too long: rates stay. */
static void long_looks_tell_nothing(void **state)
{
	struct world *w = world_new();
	double before;

	(void)state;
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = 1000;
	for (unsigned int i = 0; i < 40; i++)
		look(w, 0.001);
	before = mean_rate(w, 0, PAGES);
	for (unsigned int i = 0; i < 4; i++)
		look(w, 1);
	assert_true(mean_rate(w, 0, PAGES) > before / 2);
	free(w);
}

/* The record of a page that was never used stays 0. */
static void idle_pages(void **state)
{
	struct world *w = world_new();

	(void)state;
	assert_int_equal(hmem_class(0, 0), HMEM_CLASS_IDLE);
	for (unsigned int i = 0; i < 10; i++)
		look(w, 0.1);
	/* The longest windows last an hour. */
	look(w, 3600);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(w->heat[i] | w->recent[i], 0);
	/* A record that is nearly 0 does not rise in such a look. */
	w->recent[0] = 2;
	look(w, 3600);
	assert_in_range(w->recent[0], 0, 2);
	assert_true(w->rates.most[HMEM_CLASS_IDLE] < 1);
	free(w);
}

/* How long rates last, if two hot sets take turns for @bursts bursts each, one burst per 2 s. */
static double lasts(unsigned int bursts)
{
	struct world *w = world_new();
	double seconds;

	for (unsigned int burst = 0; burst < 40; burst++) {
		unsigned int hot = burst / bursts % 2;

		for (unsigned int i = 0; i < PAGES; i++)
			w->rate[i] = i / (PAGES / 8) == hot ? 400 : 10;
		for (unsigned int i = 0; i < 4; i++)
			look_after(w, 0.005, i ? 0 : 2);
	}
	seconds = w->rates.lasts_s;
	free(w);
	return seconds;
}

/* Pages that are hot now are expected to stay hot as long as hot pages did before. */
static void how_long_rates_last(void **state)
{
	(void)state;
	assert_true(lasts(1) < 1);
	assert_true(lasts(8) > 3);
}

/* Checks the lower bounds of all classes with so many members by the true rates of these. */
static void check_bounds(const struct world *w, unsigned int least, unsigned int *bounds,
			 unsigned int *wrong)
{
	double sums[HMEM_CLASSES] = { 0 };
	unsigned int members[HMEM_CLASSES] = { 0 };

	for (unsigned int i = 0; i < PAGES; i++) {
		sums[class_of(w, i)] += w->rate[i];
		members[class_of(w, i)]++;
	}
	for (unsigned int c = 0; c < HMEM_CLASSES; c++) {
		assert_true(w->rates.least_now[c] <= w->rates.most_now[c]);
		assert_true(w->rates.least[c] <= w->rates.most[c]);
		if (members[c] < least || !w->rates.bound[c])
			continue;
		*bounds += 1;
		*wrong += w->rates.bound[c] > sums[c] / members[c];
	}
}

/*
 * A class that no look has measured yet is at least as hot as the classes that its members come
 * from, if these were found used.  One bound in 44 may be wrong by chance.
 */
static void used_pages_are_at_least_as_hot(void **state)
{
	unsigned int bounds = 0, wrong = 0;

	(void)state;
	for (unsigned int round = 0; round < 20; round++) {
		struct world *w = world_new();
		double bound = 0;

		w->rnd = round + 1;
		for (unsigned int i = 0; i < 40; i++)
			look(w, 1);
		for (unsigned int i = 0; i < PAGES; i++)
			w->rate[i] = i < PAGES / 4 ? 8 : 0.25;
		for (unsigned int i = 0; i < 8; i++) {
			look(w, 0.5);
			check_bounds(w, PAGES / 32, &bounds, &wrong);
			if (i != 3)
				continue;
			/* Most of the hot pages are in classes that did not exist before. */
			for (unsigned int k = 0; k < PAGES / 4; k++)
				bound += w->rates.bound[class_of(w, k)];
			assert_true(bound / (PAGES / 4) > 8 / 4);
		}
		free(w);
	}
	assert_true(bounds > 200);
	if (wrong > bounds / 44)
		fail_msg("%u of %u bounds are too high", wrong, bounds);
}

/* Whatever pages do, no class gets more accesses in the worst case than in the best one. */
static void bounds_are_in_order(void **state)
{
	unsigned int bounds = 0, wrong = 0;

	(void)state;
	for (unsigned int round = 0; round < 20; round++) {
		struct world *w = world_new();

		w->rnd = round + 1;
		for (unsigned int i = 0; i < 40; i++) {
			if (i % 5 == 0) {
				double rate = exp2(unit_random(&w->rnd) % 10);

				for (unsigned int k = 0; k < PAGES; k++)
					w->rate[k] = k / 512 % 3 ? rate / 32 : rate;
			}
			look(w, 0.05);
			check_bounds(w, PAGES, &bounds, &wrong);
		}
		free(w);
	}
}

/* Most of the pages that begin to be used are a surprise; those that go on to be used are none. */
static void news_are_unexpected(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = i < PAGES / 4 ? 8 : 0.25;
	for (unsigned int i = 0; i < 40; i++)
		look(w, 0.2);
	assert_true(w->rates.unexpected < 0.2);
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = i >= PAGES / 4 * 3 ? 8 : 0.25;
	look_after(w, 0.2, 1);
	assert_true(w->rates.unexpected > 0.6);
	free(w);
}

/*
 * If no look is expected for longer than the policy's horizon, the horizon is as far ahead as looks
 * have found what the rates led to expect.  News bring it back to the policy's.
 */
static void what_lasts_is_expected_to_last(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = i < PAGES / 4 ? 8 : 0.25;
	for (unsigned int i = 0; i < 80; i++) {
		look_after(w, 0.2, 0.3);
		look(w, 0.2);
	}
	assert_true(w->rates.horizon_s == 20);
	w->next = 40;
	look(w, 0.2);
	assert_true(w->rates.horizon_s == 40);
	/* Only the first looks were surprised. */
	w->next = 1000;
	look(w, 0.2);
	assert_true(w->rates.horizon_s > 50 && w->rates.horizon_s < 57);
	w->next = INFINITY;
	look_after(w, 0.2, 36000);
	assert_true(w->rates.horizon_s == 3600);
	for (unsigned int i = 0; i < PAGES; i++)
		w->rate[i] = i >= PAGES / 4 * 3 ? 8 : 0.25;
	look_after(w, 0.2, 1);
	assert_true(hmem_rates_surprised(&w->rates));
	assert_true(w->rates.horizon_s == 20);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_measured),
		cmocka_unit_test(chance_is_not_believed),
		cmocka_unit_test(neighbours_are_alike),
		cmocka_unit_test(changes_are_seen),
		cmocka_unit_test(long_looks_tell_nothing),
		cmocka_unit_test(idle_pages),
		cmocka_unit_test(how_long_rates_last),
		cmocka_unit_test(used_pages_are_at_least_as_hot),
		cmocka_unit_test(bounds_are_in_order),
		cmocka_unit_test(news_are_unexpected),
		cmocka_unit_test(what_lasts_is_expected_to_last),
	};

	return cmocka_run_group_tests_name("rates", tests, NULL, NULL);
}
