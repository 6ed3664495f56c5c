/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pass over a table in steps has the same result as one in a single piece. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "plan.h"

#define FRAMES	8192u
/* Slots per step: two blocks. */
#define STEP	128u

static const struct hmem_link_range before[] = {
	{ .gfn = 10, .num = 1500, .tier = 0 },
	{ .gfn = 1510, .num = 500, .tier = 1 },
	{ .gfn = 3000, .num = 4001, .tier = 1 },
};

static const struct hmem_link_range after[] = {
	{ .gfn = 10, .num = 700, .tier = 0 },
	{ .gfn = 900, .num = 2500, .tier = 1 },
	{ .gfn = 3500, .num = 100, .tier = 0 },
	{ .gfn = 4000, .num = 4000, .tier = 1 },
};

struct side {
	uint64_t maps[3][FRAMES / 64];
	struct hmem_tracker_maps tracker;
	struct hmem_pages pages;
	struct hmem_plan plan;
	struct hmem_rates rates;
	/* Number of steps of the last pass. */
	unsigned int steps;
};

static void init(struct side *s, bool late)
{
	if (late)
		hmem_tracker_gpt_init(&s->tracker, s->maps[0], sizeof(s->maps[0]));
	else
		hmem_tracker_sim_init(&s->tracker, s->maps[0], sizeof(s->maps[0]));
	hmem_rates_init(&s->rates, 20);
	assert_int_equal(hmem_pages_init(&s->pages, before, 3, 2, FRAMES, NULL), 0);
}

static void end(struct side *s)
{
	hmem_pages_free(&s->pages);
	hmem_plan_free(&s->plan);
}

/* Some frames are used more than others, the same ones in both tables. */
static void use(struct side *s, uint64_t seed)
{
	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t x = unit_random(&seed);
		uint64_t gfn = x >> 40 & 1 ? x % FRAMES : x % (FRAMES / 8) * 5;

		s->maps[x >> 41 & 1][gfn / 64] |= UINT64_C(1) << gfn % 64;
	}
}

static void window(struct side *s, const struct hmem_heat *heat, uint64_t slots)
{
	struct hmem_window w;

	hmem_window_begin(&w, &s->pages, &s->tracker.tracker, heat);
	for (s->steps = 1; !hmem_window_step(&w, &s->pages, slots); s->steps++)
		assert_true(w.next <= s->steps * slots);
}

/* Plan by rates if the window was by rates. */
static void plan(struct side *s, uint64_t slots)
{
	const struct hmem_plan_limits limits = {
		.budget = 600,
		.room = 20,
		.rates = s->pages.by_class ? &s->rates : NULL,
		.pair = { .slow = 1, .access_ns = 1000000, .move_ns = 1000 },
	};
	int ret = hmem_plan_begin(&s->plan, &s->pages, &limits, NULL);

	for (s->steps = 0; !ret; s->steps++)
		ret = hmem_plan_step(&s->plan, &s->pages, slots, NULL);
	assert_int_equal(ret, 1);
}

static void resize(struct side *s, uint64_t slots)
{
	struct hmem_resize r;

	assert_int_equal(hmem_resize_begin(&r, &s->pages, after, 4, FRAMES, NULL), 0);
	for (s->steps = 1; !hmem_resize_step(&r, &s->pages, slots); s->steps++)
		;
}

/* Answer the plan's hints: some pages move, others do not. */
static void answer(struct side *s)
{
	struct hmem_hint hints[64];
	uint32_t n;

	while ((n = hmem_plan_batch(&s->plan, hints, 64))) {
		for (uint32_t i = 0; i < n; i++) {
			uint64_t gfn = hints[i].gfn;

			hmem_pages_sent(&s->pages, gfn, 0);
			if (gfn % 3)
				hmem_pages_refused(&s->pages, gfn, 0, gfn % 3);
			else
				hmem_pages_moved(&s->pages, gfn, FRAMES / 2 + gfn % 1000,
						 0, hmem_pages_record(&s->pages, gfn));
		}
	}
}

static void same(const struct side *a, const struct side *b)
{
	const struct hmem_pages *p = &a->pages, *q = &b->pages;

	assert_int_equal(p->num_slots, q->num_slots);
	assert_memory_equal(p->heat, q->heat, p->num_slots * sizeof(*p->heat));
	assert_memory_equal(p->recent, q->recent, p->num_slots);
	assert_memory_equal(p->state, q->state, p->num_slots * sizeof(*p->state));
	assert_memory_equal(p->quota, q->quota, p->num_slots / 64);
	assert_memory_equal(p->hist, q->hist, sizeof(p->hist));
	assert_memory_equal(p->mlq, q->mlq, p->num_slots / 64 * sizeof(*p->mlq));
	assert_int_equal(p->rearmed, q->rearmed);
	assert_int_equal(p->faults, q->faults);
	assert_memory_equal(a->rates.looked, b->rates.looked, sizeof(a->rates.looked));
	assert_memory_equal(a->rates.used, b->rates.used, sizeof(a->rates.used));
	assert_int_equal(p->windows, q->windows);
	assert_int_equal(p->clock, q->clock);
	assert_int_equal(p->cursor, q->cursor);
	assert_memory_equal(a->maps, b->maps, sizeof(a->maps));
	assert_int_equal(a->plan.num_promote, b->plan.num_promote);
	assert_int_equal(a->plan.num_demote, b->plan.num_demote);
	assert_true(a->plan.gain_ns == b->plan.gain_ns);
	if (a->plan.num_promote)
		assert_memory_equal(a->plan.promote, b->plan.promote,
				    a->plan.num_promote * sizeof(*a->plan.promote));
	if (a->plan.num_demote)
		assert_memory_equal(a->plan.demote, b->plan.demote,
				    a->plan.num_demote * sizeof(*a->plan.demote));
}

static void come_to_the_same(void **state)
{
	static const struct hmem_heat heat = {
		.decay = 2, .read = HMEM_HEAT_MAX / 2, .levels = 7,
	};
	struct side *whole = calloc(1, sizeof(*whole)), *parts = calloc(1, sizeof(*parts));
	unsigned int planned = 0;

	(void)state;
	init(whole, false);
	init(parts, false);
	for (unsigned int round = 0; round < 60; round++) {
		use(whole, round + 1);
		use(parts, round + 1);
		if (round % 7 == 6) {
			hmem_pages_rewatch(&whole->pages);
			hmem_pages_rewatch(&parts->pages);
		}
		window(whole, &heat, UINT64_MAX);
		window(parts, &heat, STEP);
		assert_int_equal(whole->steps, 1);
		assert_int_equal(parts->steps, (parts->pages.num_slots + STEP - 1) / STEP);
		same(whole, parts);
		plan(whole, UINT64_MAX);
		plan(parts, STEP);
		assert_true(parts->steps >= parts->pages.num_slots / STEP);
		same(whole, parts);
		planned += whole->plan.num_promote;
		answer(whole);
		answer(parts);
		if (round == 30) {
			resize(whole, UINT64_MAX / 64 * 64);
			resize(parts, STEP);
			assert_true(parts->steps > 5000 / STEP);
		}
		same(whole, parts);
	}
	assert_true(planned > 1000);
	end(whole);
	end(parts);
	free(whole);
	free(parts);
}

/* A look at a part, or a window of a second that is not a look. */
static void window_by_rates(struct side *s, unsigned int round, uint64_t slots)
{
	const struct hmem_heat heat = {
		.rates = &s->rates,
		.look = round % 5,
		.clear = round % 7 != 3,
		.parts = round % 3 ? 1 : 4,
		.part = round % 3 ? 0 : round / 3 % 4,
		.brief = round % 2,
	};

	uint64_t members[HMEM_BUCKETS];

	hmem_rates_begin(&s->rates, 1000000000, 1000000000, 0, true);
	window(s, &heat, slots);
	hmem_pages_members(&s->pages, members);
	if (heat.look)
		hmem_rates_end(&s->rates, members);
}

static void check_by_rates(bool late)
{
	struct side *whole = calloc(1, sizeof(*whole)), *parts = calloc(1, sizeof(*parts));
	uint64_t planned = 0, rearmed = 0, faults = 0, used = 0;

	init(whole, late);
	init(parts, late);
	for (unsigned int round = 0; round < 60; round++) {
		use(whole, round + 1);
		use(parts, round + 1);
		if (round % 11 == 10) {
			hmem_pages_rewatch(&whole->pages);
			hmem_pages_rewatch(&parts->pages);
		}
		window_by_rates(whole, round, UINT64_MAX);
		window_by_rates(parts, round, STEP);
		assert_int_equal(parts->steps, (parts->pages.num_slots + STEP - 1) / STEP);
		same(whole, parts);
		rearmed += whole->pages.rearmed;
		faults += whole->pages.faults;
		for (unsigned int i = 0; i < HMEM_CLASSES; i++)
			used += whole->rates.used[i];
		plan(whole, UINT64_MAX);
		plan(parts, STEP);
		same(whole, parts);
		planned += whole->plan.num_promote;
		answer(whole);
		answer(parts);
		if (round == 30) {
			resize(whole, UINT64_MAX / 64 * 64);
			resize(parts, STEP);
		}
		same(whole, parts);
	}
	assert_true(planned > 1000);
	assert_true(rearmed > 1000);
	assert_true(faults > 1000);
	assert_true(used > 1000);
	end(whole);
	end(parts);
	free(whole);
	free(parts);
}

static void come_to_the_same_by_rates(void **state)
{
	(void)state;
	check_by_rates(false);
	check_by_rates(true);
}

/* During a pass the table shows the last window, and the pass can be abandoned. */
static void shows_the_last_until_it_is_through(void **state)
{
	static const struct hmem_heat heat = { .decay = 1, .read = HMEM_HEAT_MAX };
	struct side *s = calloc(1, sizeof(*s));
	uint64_t hist[HMEM_LINK_MAX_TIERS][HMEM_BUCKETS];
	struct hmem_window w;
	struct hmem_resize r;

	(void)state;
	init(s, false);
	use(s, 5);
	window(s, &heat, UINT64_MAX);
	memcpy(hist, s->pages.hist, sizeof(hist));
	use(s, 6);
	hmem_window_begin(&w, &s->pages, &s->tracker.tracker, &heat);
	assert_false(hmem_window_step(&w, &s->pages, STEP));
	assert_memory_equal(s->pages.hist, hist, sizeof(hist));
	assert_int_equal(s->pages.windows, 1);
	assert_int_equal(hmem_resize_begin(&r, &s->pages, after, 4, FRAMES, NULL), 0);
	assert_false(hmem_resize_step(&r, &s->pages, STEP));
	hmem_resize_free(&r);
	assert_int_equal(s->pages.frames[0], 1500);
	end(s);
	free(s);
}

/* A table takes memory only for frames that are used. */
static void a_claim_alone_costs_nothing(void **state)
{
	const struct hmem_link_range huge[] = {
		{ .gfn = 0, .num = 1 << 20, .tier = 0 },
		{ .gfn = 1 << 20, .num = 1 << 20, .tier = 1 },
	};
	struct hmem_pages p;

	(void)state;
	assert_int_equal(hmem_pages_init(&p, huge, 2, 2, 1 << 21, NULL), 0);
	assert_int_equal(hmem_pages_bytes(&p), hmem_pages_bytes_for(huge, 2));
	for (uint64_t block = 0; block < p.num_slots / 64; block++)
		assert_int_equal(p.quota[block], 0);
	assert_int_equal(hmem_pages_quota(&p, 77), 4);
	hmem_pages_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(come_to_the_same),
		cmocka_unit_test(come_to_the_same_by_rates),
		cmocka_unit_test(shows_the_last_until_it_is_through),
		cmocka_unit_test(a_claim_alone_costs_nothing),
	};

	return cmocka_run_group_tests_name("slices", tests, NULL, NULL);
}
