/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What DRAM is worth to a VM: curves of known rates. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worth.h"

#define ACCESS_NS	1760.0
#define MIB		256u

static void the_hottest_come_first(void **state)
{
	/* In no particular order. */
	const struct hmem_worth_class classes[] = {
		{ 1000, 1, 0.1 }, { 100, 100, 0.2 }, { 10, 0, 2 }, { 50, 10, 0.3 },
	};
	struct hmem_worth w;

	(void)state;
	hmem_worth_make(&w, classes, 4, 0, ACCESS_NS);
	assert_int_equal(w.num, 3);
	assert_int_equal(w.steps[0].pages, 100);
	assert_int_equal(w.steps[1].pages, 50);
	assert_int_equal(w.steps[2].pages, 1000);
	assert_float_equal(w.steps[0].ns, 100 * ACCESS_NS, 1e-6);
	assert_float_equal(w.steps[2].error, 0.1, 1e-9);
	/* A range can cover several steps.  Pages that are not used are worth nothing. */
	assert_float_equal(hmem_worth_between(&w, 90, 160), (10 * 100 + 50 * 10 + 10) * ACCESS_NS,
			   1e-3);
	assert_float_equal(hmem_worth_between(&w, 1150, 1 << 20), 0, 0);
	assert_float_equal(hmem_worth_between(&w, 1149, UINT64_MAX), ACCESS_NS, 1e-6);
	assert_float_equal(hmem_worth_error(&w, 101), 0.3, 1e-9);
	assert_float_equal(hmem_worth_error(&w, 5000), 0, 0);
}

/*
 * The base and the pages used most are one step and worth their average.  The base does not
 * change what all pages together are worth.
 */
static void the_base_comes_with_the_hottest(void **state)
{
	const struct hmem_worth_class classes[] = {
		{ 100, 100, 0.2 }, { 100, 40, 0.4 }, { 50, 10, 0.3 },
	};
	const double both = (100 * 100 + 100 * 40) * ACCESS_NS;
	struct hmem_worth w;

	(void)state;
	/* 100 pages of 500 are worth 20 each on average, 200 of 600 are worth 23, 250 less. */
	hmem_worth_make(&w, classes, 3, 400, ACCESS_NS);
	assert_int_equal(w.num, 2);
	assert_int_equal(w.steps[0].pages, 600);
	assert_float_equal(w.steps[0].ns, both / 600, 1e-6);
	assert_float_equal(w.steps[0].error, (100 * 0.2 + 40 * 0.4) / 140, 1e-9);
	assert_int_equal(w.steps[1].pages, 50);
	assert_float_equal(hmem_worth_between(&w, 600, 650), 500 * ACCESS_NS, 1e-3);
	assert_float_equal(hmem_worth_between(&w, 0, UINT64_MAX), both + 500 * ACCESS_NS, 1e-3);
	/* However large the base is, the guest does not gain by it. */
	hmem_worth_make(&w, classes, 3, UINT64_C(1) << 50, ACCESS_NS);
	assert_int_equal(w.num, 1);
	assert_float_equal(hmem_worth_between(&w, 0, UINT64_MAX), both + 500 * ACCESS_NS, 1e-3);
	hmem_worth_make(&w, classes, 0, 400, ACCESS_NS);
	assert_int_equal(w.num, 0);
}

/* Many classes are merged into the steps of the curve, and their sum stays the same. */
static void many_classes_keep_their_sum(void **state)
{
	struct hmem_worth_class classes[256];
	uint64_t rnd = 7, pages = 0;
	struct hmem_worth w;
	double sum = 0;

	(void)state;
	for (unsigned int i = 0; i < 256; i++) {
		classes[i].pages = unit_random(&rnd) % 1000 + 1;
		classes[i].rate = exp2(unit_random(&rnd) % 2600 / 100.0 - 13);
		classes[i].error = 0.1;
		pages += classes[i].pages;
		sum += classes[i].pages * classes[i].rate * ACCESS_NS;
	}
	hmem_worth_make(&w, classes, 256, 0, ACCESS_NS);
	assert_true(w.num <= HMEM_WORTH_STEPS);
	for (unsigned int i = 1; i < w.num; i++)
		assert_true(w.steps[i].ns < w.steps[i - 1].ns);
	assert_float_equal(hmem_worth_between(&w, 0, pages) / sum, 1, 1e-9);
	assert_float_equal(hmem_worth_error(&w, 1), 0.1, 1e-9);
}

/* Within a step the curve differs from the exact value by at most a fifth. */
static void steps_are_fine_enough(void **state)
{
	struct hmem_worth_class classes[256];
	struct hmem_worth w;
	double exact = 0;

	(void)state;
	for (unsigned int i = 0; i < 256; i++)
		classes[i] = (struct hmem_worth_class) { MIB, exp2(8 - i / 16.0), 0 };
	hmem_worth_make(&w, classes, 256, 0, ACCESS_NS);
	for (unsigned int i = 0; i < 256; i++) {
		exact += MIB * classes[i].rate * ACCESS_NS;
		assert_true(fabs(hmem_worth_between(&w, 0, (i + 1) * MIB) / exact - 1) < 0.2);
	}
}

static void the_least_loses_what_it_may(void **state)
{
	const struct hmem_worth_class classes[] = { { 100, 100, 0 }, { 1000, 1, 0 } };
	struct hmem_worth w;

	(void)state;
	hmem_worth_make(&w, classes, 2, 0, ACCESS_NS);
	assert_int_equal(hmem_worth_least(&w, 600, 0), 600);
	assert_int_equal(hmem_worth_least(&w, 600, 100 * ACCESS_NS), 500);
	assert_int_equal(hmem_worth_least(&w, 600, 1e12), 0);
	/* The VM has more pages than it uses. */
	assert_int_equal(hmem_worth_least(&w, 5000, 0), 1100);
	assert_int_equal(hmem_worth_least(&w, 0, 0), 0);
}

static void no_number_is_worth_nothing(void **state)
{
	const struct hmem_worth_class classes[] = {
		{ 10, NAN, NAN }, { 10, INFINITY, 1 }, { 10, -1, 1 }, { 0, 5, 1 },
		{ 10, 1, NAN }, { 10, 1e-300, -1 },
	};
	struct hmem_worth w;

	(void)state;
	hmem_worth_make(&w, classes, 6, 0, ACCESS_NS);
	/*
	 * The infinite rate is limited.  The rate 1e-300 still counts as use.  The others are
	 * left out.
	 */
	assert_int_equal(w.num, 2);
	assert_true(isfinite(hmem_worth_between(&w, 0, UINT64_MAX)));
	for (unsigned int i = 0; i < w.num; i++) {
		assert_true(isfinite(w.steps[i].ns) && w.steps[i].ns > 0);
		assert_true(w.steps[i].error >= 0);
	}
	/* If both tiers are equally fast, an access saves nothing. */
	hmem_worth_make(&w, classes, 6, 0, 0);
	assert_int_equal(w.num, 0);
	assert_float_equal(hmem_worth_between(&w, 0, 100), 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hottest_come_first),
		cmocka_unit_test(the_base_comes_with_the_hottest),
		cmocka_unit_test(many_classes_keep_their_sum),
		cmocka_unit_test(steps_are_fine_enough),
		cmocka_unit_test(the_least_loses_what_it_may),
		cmocka_unit_test(no_number_is_worth_nothing),
	};

	return cmocka_run_group_tests_name("worth", tests, NULL, NULL);
}
