/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts of access pauses, which a guest reports: any numbers. */
#include "unit.h"

#include <stdlib.h>

#include "pauses.h"

#define BUCKETS	HMEM_LINK_PAUSE_BUCKETS

/* Percentiles are those of the frames one by one, sorted. */
static void percentiles(void **state)
{
	uint64_t rnd = 5;

	(void)state;
	for (unsigned int round = 0; round < 500; round++) {
		struct hmem_link_pauses p = { 0 };
		unsigned int frames[1000], num = 0, last = unit_random(&rnd) % BUCKETS;

		/* In order; many of the elements are 0. */
		for (unsigned int i = 0; i <= last; i++) {
			if (unit_random(&rnd) % 3 && i < last)
				continue;
			p.pauses[i] = 1 + unit_random(&rnd) % 30;
			for (unsigned int k = 0; k < p.pauses[i]; k++)
				frames[num++] = i;
		}
		assert_int_equal(hmem_pauses_all(&p), num);
		for (unsigned int percent = 1; percent <= 100; percent++) {
			unsigned int rank = (num * percent + 99) / 100;

			assert_int_equal(hmem_pauses_percentile(&p, percent),
					 UINT64_C(1) << frames[rank - 1]);
		}
	}
}

/* Sums of a guest's numbers do not wrap. */
static void any_numbers(void **state)
{
	struct hmem_link_pauses p = { 0 };

	(void)state;
	p.pauses[3] = UINT64_MAX - 1;
	p.pauses[7] = 1;
	assert_true(hmem_pauses_all(&p) == UINT64_MAX);
	assert_int_equal(hmem_pauses_percentile(&p, 99), 8);
	assert_int_equal(hmem_pauses_percentile(&p, 100), 128);
	p.pauses[31] = UINT64_MAX;
	assert_true(hmem_pauses_all(&p) == UINT64_MAX);
	assert_true(hmem_pauses_up_to(&p, 3) == UINT64_MAX - 1);
	assert_int_equal(hmem_pauses_percentile(&p, 100), 128);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		p.pauses[i] = UINT64_MAX;
		assert_true(hmem_pauses_up_to(&p, i) == UINT64_MAX);
	}
	assert_int_equal(hmem_pauses_percentile(&p, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles),
		cmocka_unit_test(any_numbers),
	};

	return cmocka_run_group_tests_name("pauses", tests, NULL, NULL);
}
