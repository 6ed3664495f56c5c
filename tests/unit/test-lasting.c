/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time for which deviations last, if the share that is left after each lag is known. */
#include "unit.h"

#include <math.h>

#include "lasting.h"

static void assert_near(double is, double should, double by)
{
	if (fabs(is - should) > by)
		fail_msg("%g is not %g", is, should);
}

/* If nothing was measured but the last look, each octave of time keeps half the share. */
static void nothing_measured(void **state)
{
	const struct hmem_lasting l = { 0 };

	(void)state;
	/* 1/4 s, then 1/2 * 1/4 s + 1/4 * 1/2 s + ... for each octave up to 16 s. */
	assert_near(hmem_lasting_s(&l, 0.25, 16), 0.25 + 6 * 0.125, 1e-9);
}

/* A deviation that decays exponentially lasts for its time constant. */
static void exponential_decay(void **state)
{
	(void)state;
	for (double tau = 0.25; tau <= 4; tau *= 4) {
		struct hmem_lasting l = { 0 };
		double lasts;

		/* A time in the middle of each octave. */
		for (double lag = 0x1.8p-7; lag < 512; lag *= 2)
			hmem_lasting_add(&l, lag, 100, 100 * exp(-lag / tau), 3);
		lasts = hmem_lasting_s(&l, 0x1p-7, 100);
		assert_near(lasts / tau, 1, 0.15);
	}
}

/* If all of a deviation is left after a long lag, it lasts until the horizon. */
static void stays_for_ever(void **state)
{
	struct hmem_lasting l = { 0 };

	(void)state;
	hmem_lasting_add(&l, 40, -5, -5, 1);
	assert_near(hmem_lasting_s(&l, 0.01, 20), 20, 1e-6);
	assert_near(hmem_lasting_s(&l, 0.01, 3), 3, 1e-6);
}

/* A deviation that turns into its opposite has gone; the opposite takes nothing back. */
static void turns_round(void **state)
{
	struct hmem_lasting l = { 0 };

	(void)state;
	for (double lag = 0.25; lag < 512; lag *= 2)
		hmem_lasting_add(&l, lag, 10, -10, 1);
	assert_near(hmem_lasting_s(&l, 0.25, 20), 0.25, 1e-9);
}

/* Measurements over more pages count more, and old ones count less. */
static void weights(void **state)
{
	struct hmem_lasting l = { 0 };

	(void)state;
	hmem_lasting_add(&l, 1, 10, 10, 1);
	hmem_lasting_add(&l, 1, 10, 0, 3);
	assert_near(l.lags[7].products / l.lags[7].squares, 0.25, 1e-9);
	hmem_lasting_age(&l, 1, 0.25);
	hmem_lasting_add(&l, 1, 10, 10, 1);
	assert_near(l.lags[7].products / l.lags[7].squares, 1.25 / 2, 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_measured),
		cmocka_unit_test(exponential_decay),
		cmocka_unit_test(stays_for_ever),
		cmocka_unit_test(turns_round),
		cmocka_unit_test(weights),
	};

	return cmocka_run_group_tests_name("lasting", tests, NULL, NULL);
}
