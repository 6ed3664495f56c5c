/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the dirty log is on: faults are counted, and never exceed the budget. */
#include "unit.h"

#include <stdlib.h>

#include "sample.h"

#define SECOND		UINT64_C(1000000000)
#define MS		UINT64_C(1000000)

struct log {
	struct hmem_policy policy;
	struct hmem_sampler s;
	uint64_t min_ns, frames;
	/* Pages that are written per second of a sample, and in one sample at most. */
	uint64_t rate, most;
	uint64_t next, now;
	/* Guest time with the log on; faults so far. */
	uint64_t on, faults;
	/* The faults of the most expensive sample; the length of the longest one. */
	uint64_t dearest, longest;
};

static int setup(void **state)
{
	struct log *l = calloc(1, sizeof(*l));

	hmem_policy_init(&l->policy);
	l->policy.window = 1000;
	l->min_ns = HMEM_LINK_MIN_WINDOW_NS;
	l->frames = 1 << 20;
	l->most = l->frames;
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void run(struct log *l, uint64_t seconds)
{
	uint64_t end = l->now + seconds * SECOND;

	if (!l->next)
		l->next = hmem_sampler_begin(&l->s, &l->policy, l->min_ns);
	while (l->now < end) {
		bool on = !l->s.rests;
		uint64_t written = on ? l->rate * (l->next / 1000) / 1000000 : 0;
		uint64_t ns = l->next;

		assert_true(ns >= l->min_ns);
		if (written > l->most)
			written = l->most;
		l->now += ns;
		if (on) {
			uint64_t cost = written + l->frames / 512;

			l->on += ns;
			l->faults += cost;
			l->dearest = cost > l->dearest ? cost : l->dearest;
			l->longest = ns > l->longest ? ns : l->longest;
		}
		l->next = hmem_sampler_next(&l->s, &l->policy, l->min_ns, ns,
					    l->frames, written);
	}
	assert_int_equal(l->s.faults, l->faults);
}

static void obeys(const struct log *l)
{
	/* At most one window's budget can be saved up, and one sample can be on credit. */
	uint64_t budget = l->policy.faults * (l->now / 1000) / 1000000;

	assert_true(l->faults <= budget + l->policy.faults + l->dearest);
	assert_true(l->on <= l->now / 16 + l->longest);
}

/* Tracking begins with a rest, and most windows are rests. */
static void begins_with_a_rest(void **state)
{
	struct log *l = *state;

	assert_int_equal(hmem_sampler_begin(&l->s, &l->policy, l->min_ns), SECOND);
	assert_true(l->s.rests);
	assert_int_equal(hmem_sampler_next(&l->s, &l->policy, l->min_ns, SECOND,
					   l->frames, 0), MS);
	assert_false(l->s.rests);
	/* The rest takes the remaining time of the window. */
	assert_int_equal(hmem_sampler_next(&l->s, &l->policy, l->min_ns, MS, l->frames,
					   10), 998 * MS);
	assert_true(l->s.rests);
	assert_int_equal(l->s.faults, 10 + 2048);
}

static void obeys_budget(void **state)
{
	struct log *l = *state;
	uint64_t rnd = 7;

	for (unsigned int i = 0; i < 200; i++) {
		l->rate = unit_random(&rnd) % 3000000;
		l->policy.faults = 1 + unit_random(&rnd) % 20000;
		l->policy.window = 1 + unit_random(&rnd) % 3000;
		l->min_ns = HMEM_LINK_MIN_WINDOW_NS * (1 + unit_random(&rnd) % 20);
		l->now = l->on = l->faults = l->dearest = l->longest = l->next = 0;
		l->s = (struct hmem_sampler) { 0 };
		run(l, 600);
		obeys(l);
		/* The budget never keeps the sampler from sampling. */
		assert_true(l->s.samples >= 600 / (2 * (l->policy.window / 1000 + 2 +
					    l->dearest / l->policy.faults)));
	}
}

/* Samples are long if the guest writes few pages, and short if it writes many. */
static void suits_the_guest(void **state)
{
	struct log *l = *state;

	l->rate = 100;
	run(l, 60);
	assert_int_equal(l->s.sample_ns, SECOND / 16);
	assert_in_range(l->s.samples, 58, 60);
	obeys(l);
	l->rate = 500000;
	run(l, 60);
	/*
	 * Huge pages cost 2048 of 4000 faults; the rest pays for 1952 pages in a sample per
	 * window.
	 */
	assert_in_range(l->s.sample_ns, MS, 4 * MS);
	assert_in_range(l->s.samples, 100, 120);
	obeys(l);
	/* At least half of the budget is used. */
	assert_in_range(l->s.per_second, 2000, 4000);
}

/* If huge pages alone cost more than a window's budget, samples come less often. */
static void waits_for_huge_pages(void **state)
{
	struct log *l = *state;

	l->frames = UINT64_C(1) << 28;
	l->rate = 10;
	run(l, 3600);
	obeys(l);
	/* There are 524288 huge pages, at 4000 faults per second. */
	assert_in_range(l->s.samples, 3600 / 132 - 1, 3600 / 131 + 1);
	assert_in_range(l->s.per_second, 3900, 4000 + 4000 / 131 + 1);
}

/* A client gets no more samples by setting the policy again and again. */
static void debts_stay(void **state)
{
	struct log *l = *state;

	l->rate = 10000000;
	for (unsigned int i = 0; i < 100; i++) {
		l->next = 0;
		run(l, 2);
	}
	obeys(l);
}

/* The sampler copes with impossible figures from the device. */
static void odd_ticks(void **state)
{
	struct log *l = *state;

	l->next = hmem_sampler_begin(&l->s, &l->policy, l->min_ns);
	for (unsigned int i = 0; i < 100; i++) {
		hmem_sampler_next(&l->s, &l->policy, l->min_ns, UINT64_MAX - i,
				  l->frames, UINT64_MAX);
		assert_true(l->s.credit <= l->policy.faults);
		assert_in_range(l->s.last_faults, 0, l->frames + l->frames / 512);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(begins_with_a_rest),
		TEST(obeys_budget),
		TEST(suits_the_guest),
		TEST(waits_for_huge_pages),
		TEST(debts_stay),
		TEST(odd_ticks),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
