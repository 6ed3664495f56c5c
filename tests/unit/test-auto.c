/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy auto: what becomes of known workloads, and each rule of its pace. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loads.h"

/* Found within two seconds, left alone from then on, and looking costs 1 %. */
static void finds_hot_set(void **state)
{
	double want = loads_best(&hot_set), ns, stalled;
	uint64_t moved;
	struct model m;

	(void)state;
	loads_begin(&m, &hot_set, HMEM_POLICY_AUTO);
	model_run(&m, 2);
	assert_true(model_fast_share(&m) > 0.94);
	ns = m.ns;
	stalled = m.stalled;
	moved = m.moved;
	/* Hot pages, once, and hardly any others. */
	assert_in_range(moved, 2 * hot_set.hot * 95 / 100, 2 * hot_set.hot * 115 / 100);
	assert_true(loads_speed(&m, 4) > 0.97 * want);
	assert_in_range(m.moved - moved, 0, hot_set.hot / 4);
	/* What was spent ahead in the first second is paid back in this one. */
	assert_true((m.stalled - stalled) / (m.ns - ns) < 0.015);
	model_free(&m);
}

static void follows_hot_set(void **state)
{
	double want = loads_best(&hot_set);
	struct model m;

	(void)state;
	loads_begin(&m, &moving, HMEM_POLICY_AUTO);
	for (unsigned int i = 1; i <= 4; i++) {
		/* Half a second before it moves on, but for half a window. */
		model_run(&m, i * moving.move - 0.6 - m.ns / 1e9);
		assert_true(loads_speed(&m, 0.4) > 0.9 * want);
	}
	model_free(&m);
}

/* Two hot sets for both of which there is room are both kept in the end. */
static void hot_sets_come_back(void **state)
{
	static const struct model_load small = {
		.costs = &quarter_updates, .pages = DATA, .hot = 48 * MIB, .weight = 90,
		.move = 5,
	};
	uint64_t moved[4], all = 0;
	struct model m;

	(void)state;
	loads_begin(&m, &small, HMEM_POLICY_AUTO);
	for (unsigned int i = 0; i < 4; i++) {
		model_run(&m, (i + 1) * small.move - 0.1 - m.ns / 1e9);
		moved[i] = m.moved - all;
		all = m.moved;
	}
	assert_true(moved[1] > 48 * MIB);
	assert_true(moved[3] < moved[1] / 5);
	model_free(&m);
}

/* In the guest's page tables: a census looks longer, and rests for long. */
static void finds_hot_set_by_scans(void **state)
{
	double want = loads_best(&hot_set), ns, stalled;
	struct model m;

	(void)state;
	loads_begin(&m, &hot_set, HMEM_POLICY_AUTO);
	m.policy.track = HMEM_TRACK_GPT;
	model_run(&m, 3);
	assert_true(model_fast_share(&m) > 0.94);
	ns = m.ns;
	stalled = m.stalled;
	assert_true(loads_speed(&m, 8) > 0.95 * want);
	assert_true((m.stalled - stalled) / (m.ns - ns) < 0.015);
	model_free(&m);
}

static void all_degrees_of_heat(void **state)
{
	struct model m;

	(void)state;
	loads_begin(&m, &zipf, HMEM_POLICY_AUTO);
	model_run(&m, 4);
	assert_true(loads_speed(&m, 3) > 0.9 * loads_best(&zipf));
	model_free(&m);
}

/* Nothing to gain: nothing is lost but what looking costs, which is known. */
static void uniform_stays(void **state)
{
	double want = loads_first_touch(&uniform, 5);
	struct model m;

	(void)state;
	loads_begin(&m, &uniform, HMEM_POLICY_AUTO);
	model_run(&m, 1);
	assert_true(loads_speed(&m, 4) > 0.98 * want);
	assert_in_range(m.moved, 0, DATA / 50);
	model_free(&m);
}

static void too_large_gains(void **state)
{
	struct model m;

	(void)state;
	loads_begin(&m, &too_large, HMEM_POLICY_AUTO);
	model_run(&m, 4);
	assert_true(loads_speed(&m, 4) > 1.1 * loads_first_touch(&too_large, 4));
	model_free(&m);
}

/* However seldom it is used, it is better off in tier 0 than what is never used. */
static void idle_gives_way(void **state)
{
	struct model m;

	(void)state;
	loads_begin(&m, &seldom, HMEM_POLICY_AUTO);
	model_run(&m, 10);
	assert_true(loads_speed(&m, 3) > 0.95 * loads_best(&seldom));
	model_free(&m);
}

static void sweep_stays(void **state)
{
	double want = loads_first_touch(&sweep, 5);
	struct model m;

	(void)state;
	loads_begin(&m, &sweep, HMEM_POLICY_AUTO);
	assert_true(loads_speed(&m, 5) > 0.98 * want);
	assert_in_range(m.moved, 0, DATA / 50);
	model_free(&m);
}

static void finds_hot_sweep(void **state)
{
	struct model m;

	(void)state;
	loads_begin(&m, &hot_sweep, HMEM_POLICY_AUTO);
	model_run(&m, 5);
	assert_true(loads_speed(&m, 3) > 0.95 * loads_best(&hot_sweep));
	model_free(&m);
}

/* What the pace's shift is when a look is as long as a window of the policy's. */
#define A_WINDOW	3u

/* The rules, one by one: a pace and what a look is said to have found. */
struct rules {
	struct hmem_policy policy;
	struct hmem_tracker_maps sim, gpt;
	bool scans;		/* gpt */
	struct hmem_pages pages;
	struct hmem_pace pace;
	struct hmem_heat heat;
	bool busy;
	/* Pages of tier 0 that a census finds cold, and a plan idle. */
	uint32_t cold, idle;
	uint64_t next, scan;	/* ns */
};

static int setup(void **state)
{
	struct rules *r = calloc(1, sizeof(*r));

	hmem_policy_init(&r->policy);
	r->policy.kind = HMEM_POLICY_AUTO;
	r->policy.window = 100;
	hmem_tracker_sim_init(&r->sim, NULL, 0);
	hmem_tracker_gpt_init(&r->gpt, NULL, 0);
	/* All that it looks at. */
	r->pages.frames[0] = 8000;
	hmem_pace_init(&r->pace, &r->policy, 0);
	/* As many as to change no length. */
	r->pace.used = 1500;
	r->cold = 100;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void window(struct rules *r, struct hmem_look look)
{
	uint64_t ns = r->next ? r->next : r->policy.window * UINT64_C(1000000);

	r->heat.decay = r->policy.decay;
	hmem_pace_window(&r->pace, r->scans ? &r->gpt.tracker : &r->sim.tracker,
			 r->busy, &r->heat);
	r->pages.look = look;
	r->next = hmem_pace_next(&r->pace, &r->policy, &r->pages, ns,
				 hmem_pace_rests(&r->pace) ? 0 : r->scan);
	if (hmem_pace_may_plan(&r->pace))
		hmem_pace_planned(&r->pace, &(struct hmem_plan) { .cold = 1234,
							   .idle = r->idle });
}

/* Windows until a census has begun that is about @parts. */
static void until_census(struct rules *r, uint32_t parts)
{
	for (unsigned int i = 0; i < 1000; i++) {
		bool was = r->pace.left;

		r->pace.share = parts;
		window(r, (struct hmem_look) { .used = 1500 / r->pace.parts });
		/* Whatever is found, it is no more than before. */
		r->pace.found = 1 << 20;
		if (!was && r->pace.left && r->pace.parts == parts)
			return;
	}
	fail();
}

/* All of one, each look of which finds @look. */
static void whole_census(struct rules *r, uint32_t parts, struct hmem_look look)
{
	until_census(r, parts);
	while (r->pace.left)
		window(r, look);
}

static void a_census(void **state)
{
	const enum hmem_rearm want[] = {
		HMEM_REARM_PART, HMEM_REARM_PART, HMEM_REARM_PART,
		HMEM_REARM_HOT, HMEM_REARM_HOT, HMEM_REARM_HOT, HMEM_REARM_HOT,
		HMEM_REARM_NONE,
	};
	struct rules *r = *state;
	uint32_t seen = 0;

	for (unsigned int i = 0; i < 17; i++) {
		/* The first one is about everything, then one part after another. */
		until_census(r, i ? 16 : 1);
		assert_true(r->heat.ignore);
		assert_int_equal(r->heat.parts, r->pace.parts);
		seen |= i ? 1u << r->heat.part : 0;
		for (unsigned int k = 0; k < 8; k++) {
			assert_int_equal(r->heat.rearm, want[k]);
			assert_int_equal(r->heat.ignore, !k);
			assert_int_equal(r->heat.candidates, k > 3);
			/* Looking at everything is to begin anew. */
			if (k)
				assert_int_equal(r->heat.decay,
						 i || k > 3 ? 2 : k - 1);
			assert_int_equal(hmem_pace_may_plan(&r->pace), k == 7);
			if (k < 7)
				window(r, (struct hmem_look) { .used = 1500 / r->pace.parts });
		}
		assert_int_equal(r->heat.cut, (i ? 1234 : 0) + r->pace.margin);
		/* A rest is as long as the policy's window. */
		assert_int_equal(r->next, 100000000);
	}
	assert_int_equal(seen, 0xffff);
}

/* Until a half to an eighth of tier 0 is used in a look. */
static void length_of_looks(void **state)
{
	struct rules *r = *state;
	uint64_t used = 0;

	/* 200 pages a ms, all different. */
	for (unsigned int i = 0; i < 20; i++) {
		window(r, (struct hmem_look) { .used = used });
		used = r->next / 1000000 * 200 / r->pace.parts;
	}
	until_census(r, 16);
	assert_in_range(r->next / 1000000 * 200, 1000, 4000);
	/* No more than 12: longer. */
	for (unsigned int i = 0; i < 400; i++)
		window(r, (struct hmem_look) { .used = 1 });
	until_census(r, 16);
	assert_int_equal(r->next, 100000000);
	/* However many: not shorter than 2 ms. */
	for (unsigned int i = 0; i < 400; i++) {
		window(r, (struct hmem_look) { .used = 8000 });
		assert_true(r->next >= 1562500);
	}
}

/* Faults that cost 20 ms: there is a rest of 0.5 s, as that much is forgiven. */
static void budget(void **state)
{
	struct rules *r = *state;
	uint64_t ns = 0;

	until_census(r, 16);
	while (r->pace.left)
		window(r, (struct hmem_look) { .used = 93, .faults = 100000 / 7 });
	for (; !r->pace.left; ns += 100000000)
		window(r, (struct hmem_look) { 0 });
	assert_in_range(ns, 500000000, 700000000);
	/* As long as bits that were not rearmed again cost more than that. */
	while (r->pace.left)
		window(r, (struct hmem_look) { .used = 93, .faults = 100000 / 7 });
	for (ns = 0; !r->pace.left && ns < 2000000000; ns += 100000000)
		window(r, (struct hmem_look) { .faults = 5001 });
	assert_int_equal(ns, 2000000000);
}

/* A window that a page is refused for is one of the policy's. */
static void looks_are_brief(void **state)
{
	struct rules *r = *state;
	unsigned int windows = 0;

	until_census(r, 16);
	r->pace.shift = A_WINDOW + 2;
	r->pace.used = 3200;
	for (unsigned int i = 0; i < 7; i++) {
		window(r, (struct hmem_look) { .used = 200 });
		assert_int_not_equal(r->pace.look, 0);
		assert_int_equal(r->pace.shift, A_WINDOW + 2);
		windows += !r->heat.brief;
	}
	assert_in_range(windows, 1, 2);
	window(r, (struct hmem_look) { 0 });
	assert_int_equal(r->pace.look, 0);
	assert_false(r->heat.brief);
	until_census(r, 1);
	r->pace.shift = A_WINDOW - 1;
	for (unsigned int i = 0; i < 7; i++) {
		window(r, (struct hmem_look) { .used = 1 });
		assert_false(r->heat.brief);
	}
}

/* One part may have many of the pages used: that alone changes no length. */
static void parts_differ(void **state)
{
	struct rules *r = *state;

	r->pace.used = 3000;
	r->pace.shift = A_WINDOW + 3;
	for (unsigned int i = 0; i < 10; i++) {
		until_census(r, 64);
		r->pace.used = 3000;
		while (r->pace.left)
			window(r, (struct hmem_look) { .used = i % 2 ? 8000 / 64 : 500 / 64 });
		assert_int_equal(r->pace.shift, A_WINDOW + 3);
	}
	/* All of them: it does. */
	for (unsigned int i = 0; i < 10; i++)
		whole_census(r, 64, (struct hmem_look) { .used = 8000 / 64 });
	assert_in_range(r->pace.shift, A_WINDOW + 4, A_WINDOW + 6);
}

/* Of the @candidates, @again are used in each look of its second half. */
static void census_that_finds(struct rules *r, uint64_t candidates, uint64_t again)
{
	until_census(r, 16);
	while (r->pace.left > 4)
		window(r, (struct hmem_look) {
			.used = 110,
			.hot = candidates,
			.cold = r->cold,
		});
	while (r->pace.left) {
		/* Nothing has been saved. */
		r->pace.credit = -5000000;
		window(r, (struct hmem_look) { .hot = again, .again = again });
	}
	assert_int_equal(r->pace.look, 1);
}

/* What has been saved, not more, is spent where some pages would gain. */
static void savings(void **state)
{
	static const struct {
		int64_t saved;
		uint64_t again, hot;
		uint32_t share;
	} cases[] = {
		/* Looks cost 3 ms in each of 4 parts; 4 ms accrue, one of them at once. */
		{ -2000000, 150, 32, 4 },
		{ 900000, 150, 32, 4 },
		{ 1000000, 150, 32, 2 },
		{ 7000000, 150, 32, 1 },
		/* It was chance. */
		{ 7000000, 10, 32, 4 },
		/* Less than a 64th of tier 0, were it like that in all parts. */
		{ 7000000, 150, 31, 4 },
	};
	struct rules *r = *state;

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		until_census(r, 4);
		r->pace.margin = HMEM_HEAT_MAX / 2;
		while (r->pace.left > 1)
			window(r, (struct hmem_look) { .used = 400 });
		r->pace.spent = 3000000;
		r->pace.credit = cases[i].saved;
		r->pace.candidates = 50;
		r->pace.again = cases[i].again;
		window(r, (struct hmem_look) { .hot = cases[i].hot });
		assert_int_equal(r->pace.share, cases[i].share);
		assert_int_equal(r->pace.margin == HMEM_HEAT_MAX * 30 / 100, i == 3);
		assert_true(hmem_pace_may_plan(&r->pace));
	}
}

/* Hot pages that are used in each look: shorter ones.  Seldom: longer ones. */
static void length_by_candidates(void **state)
{
	struct rules *r = *state;

	r->cold = 31;
	census_that_finds(r, 40, 35);
	assert_int_equal(r->pace.shift, A_WINDOW);
	census_that_finds(r, 40, 36);
	assert_int_equal(r->pace.shift, A_WINDOW + 1);
	assert_true(hmem_pace_may_plan(&r->pace));
	/* A few that are always in use say nothing. */
	r->pace.used = 1500;
	census_that_finds(r, 31, 31);
	assert_int_equal(r->pace.shift, A_WINDOW + 1);
	/* Longer than the policy's window only if there are few used, too. */
	r->pace.shift = A_WINDOW;
	r->pace.used = 1500;
	census_that_finds(r, 40, 4);
	assert_int_equal(r->pace.shift, A_WINDOW);
	assert_true(hmem_pace_may_plan(&r->pace));
	/* A sixth of tier 0 at a time, and then all of memory at once. */
	r->pace.used = 500;
	r->pace.margin = HMEM_HEAT_MAX / 2;
	census_that_finds(r, 40, 12);
	assert_int_equal(r->pace.shift, A_WINDOW - 1);
	/* What was found hot for sure need not wait for it. */
	assert_true(hmem_pace_may_plan(&r->pace));
	assert_int_equal(hmem_pace_margin(&r->pace), HMEM_PACE_SURE);
	window(r, (struct hmem_look) { 0 });
	assert_int_equal(r->pace.parts, 1);
	assert_int_equal(r->next, 200000000);
	/* Eight times as long at most. */
	until_census(r, 16);
	r->pace.used = 0;
	while (r->pace.left)
		window(r, (struct hmem_look) { .hot = 40 });
	assert_int_equal(r->pace.shift, 0);
	until_census(r, 16);
	assert_int_equal(r->next, 800000000);
	/* The device knows no longer ones than an hour. */
	r->policy.window = 3600000;
	until_census(r, 16);
	assert_int_equal(r->next, UINT64_C(3600000000000));
}

/* The next census is about as many parts as make it pay for itself. */
static void share(void **state)
{
	static const struct {
		uint32_t parts, shift;	/* from A_WINDOW on */
		uint64_t faults;	/* of 200 ns, in all */
		uint32_t share;
	} all[] = {
		/* 7 looks and a rest, of 100 ms each: 4 ms may be spent. */
		{ 1, 0, 0, 1 }, { 1, 0, 20000, 1 }, { 1, 0, 20001, 2 },
		{ 16, 0, 1250, 1 }, { 16, 0, 2500, 2 }, { 64, 0, 20001, 64 },
		{ 1, 0, 10000000, 64 },
		/* Looks of 12.5 ms: 0.9375 ms. */
		{ 1, 3, 4687, 1 }, { 1, 3, 4688, 2 }, { 32, 3, 4687, 32 },
	};
	struct rules *r = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		until_census(r, all[i].parts);
		r->pace.shift = A_WINDOW + all[i].shift;
		r->pace.left = 1;
		r->pace.spent = 0;
		/* As many as not to change the length. */
		window(r, (struct hmem_look) { .used = 2000 / all[i].parts,
					       .faults = all[i].faults });
		assert_int_equal(r->pace.look, 1);
		assert_int_equal(r->pace.shift, A_WINDOW + all[i].shift);
		assert_int_equal(r->pace.share, all[i].share);
		r->pace.credit = 0;
	}
}

static void chance(void **state)
{
	struct rules *r = *state;
	const uint32_t least = HMEM_HEAT_MAX * 30 / 100;

	/* Few say nothing. */
	census_that_finds(r, 15, 0);
	assert_int_equal(hmem_pace_warm_margin(&r->pace), 0);
	/* Less often than by the margin more than the coldest. */
	census_that_finds(r, 40, 12);
	assert_true(hmem_pace_warm_margin(&r->pace) >= HMEM_PACE_SURE);
	assert_int_equal(r->pace.margin, least + HMEM_HEAT_MAX / 20 * 2);
	/* What is idle is colder all the same. */
	assert_int_equal(hmem_pace_margin(&r->pace), r->pace.margin);
	/* Some: believed, and no easier than before. */
	census_that_finds(r, 40, 17);
	assert_int_equal(hmem_pace_warm_margin(&r->pace), 0);
	assert_int_equal(r->pace.margin, least + HMEM_HEAT_MAX / 20 * 2);
	census_that_finds(r, 30, 28);
	assert_int_equal(r->pace.margin, least + HMEM_HEAT_MAX / 20);
	for (unsigned int i = 0; i < 4; i++)
		census_that_finds(r, 30, 30);
	assert_int_equal(r->pace.margin, least);
	for (unsigned int i = 0; i < 9; i++)
		census_that_finds(r, 40, 0);
	assert_int_equal(r->pace.margin, HMEM_HEAT_MAX / 2);
}

/* Pages that are hot for sure are not believed if chance would find half as many. */
static void chance_of_the_sure(void **state)
{
	struct rules *r = *state;

	/* Used in one of four looks, of 400: 6, by its third power. */
	for (unsigned int sure = 11; sure <= 12; sure++) {
		whole_census(r, 1, (struct hmem_look) {
			.used = 1500,
			.hot = 400,
			.sure = sure,
			.again = 100,
		});
		assert_true(r->pace.chance);
		assert_int_equal(hmem_pace_warm_margin(&r->pace),
				 sure == 12 ? HMEM_PACE_SURE : HMEM_HEAT_MAX);
	}
}

/*
 * What seemed cold is used nearly as often as what seems hot: only idle pages are
 * cold.  The hot are used in half of the looks, and pages that are used in 0.5 - 0.3
 * of them stay out of four in 0.41 of all cases.
 */
static void chance_of_the_cold(void **state)
{
	struct rules *r = *state;

	for (unsigned int woken = 7; woken <= 8; woken++) {
		until_census(r, 16);
		while (r->pace.left)
			window(r, (struct hmem_look) {
				.used = 93,
				.hot = 40,
				.again = 20,
				.cold = r->pace.left > 3 ? 50 : 10,
				.woken = woken,
			});
		assert_int_equal(r->pace.cold_ones, 50);
		assert_int_equal(r->pace.woken, 4 * woken);
		assert_int_equal(hmem_pace_warm_margin(&r->pace),
				 woken == 8 ? HMEM_PACE_SURE : 0);
		assert_true(hmem_pace_margin(&r->pace) < HMEM_PACE_SURE);
	}
	/* Candidates were used hardly ever; but one in 16 may wake for no reason. */
	for (unsigned int woken = 25; woken <= 26; woken++) {
		whole_census(r, 1, (struct hmem_look) {
			.used = 1500,
			.hot = 40,
			.again = 1,
			.cold = 1600,
			.woken = woken,
		});
		assert_int_equal(r->pace.woke, woken == 26);
	}
}

static void least_margin(void **state)
{
	struct rules *r = *state;

	r->policy.hysteresis = 1;
	hmem_pace_init(&r->pace, &r->policy, 0);
	census_that_finds(r, 30, 30);
	assert_int_equal(r->pace.margin, HMEM_HEAT_MAX / 100);
	/* Asked for by hand, it may be more than would be by itself. */
	r->policy.hysteresis = 70;
	census_that_finds(r, 30, 0);
	assert_int_equal(r->pace.margin, HMEM_HEAT_MAX * 70 / 100);
}

/* Where there are many hot pages, all of memory is looked at, at once. */
static void many_hot(void **state)
{
	struct rules *r = *state;

	/* A sixteenth of tier 0, were it like that in all parts. */
	r->pace.margin = HMEM_HEAT_MAX / 2;
	census_that_finds(r, 40, 31);
	assert_true(hmem_pace_may_plan(&r->pace));
	/* If it is no chance. */
	census_that_finds(r, 120, 32);
	assert_true(hmem_pace_may_plan(&r->pace));
	/* If there is room for them: a sixteenth that is cold, or idle. */
	r->cold = 31;
	census_that_finds(r, 120, 70);
	assert_true(hmem_pace_may_plan(&r->pace));
	/* Not one that is cold by chance. */
	for (unsigned int i = 0; i < 10; i++) {
		until_census(r, 16);
		while (r->pace.left)
			window(r, (struct hmem_look) {
				.used = 110,
				.hot = r->pace.left > 4 ? 120 : 70,
				.again = 70,
				.cold = 200,
				.woken = i < 9 ? 45 : 41,
			});
	}
	assert_int_equal(hmem_pace_warm_margin(&r->pace), HMEM_PACE_SURE);
	assert_true(hmem_pace_may_plan(&r->pace));
	r->cold = 0;
	census_that_finds(r, 120, 70);
	r->cold = 31;
	r->idle = 500;
	window(r, (struct hmem_look) { 0 });
	census_that_finds(r, 120, 70);
	assert_true(hmem_pace_may_plan(&r->pace));
	r->idle = 501;
	window(r, (struct hmem_look) { 0 });
	census_that_finds(r, 120, 70);
	assert_false(hmem_pace_may_plan(&r->pace));
	r->idle = 0;
	r->cold = 32;
	census_that_finds(r, 120, 70);
	/* It is about to know better, and asks no more than it did at first. */
	assert_false(hmem_pace_may_plan(&r->pace));
	assert_int_equal(r->pace.margin, HMEM_HEAT_MAX * 30 / 100);
	r->pace.credit = -1;
	r->busy = true;
	window(r, (struct hmem_look) { 0 });
	assert_int_equal(r->pace.parts, 1);
	assert_int_not_equal(r->pace.left, 0);
	/* What was found under a larger margin is not planned with a smaller. */
	assert_int_equal(hmem_pace_margin(&r->pace), r->pace.margin);
	r->pace.asked = r->pace.margin + 1000;
	assert_int_equal(hmem_pace_margin(&r->pace), r->pace.margin + 1000);
	/* Its looks are no shorter, however often the pages are used. */
	r->busy = false;
	r->pace.shift = A_WINDOW + 3;
	census_that_finds(r, 70, 70);
	assert_false(hmem_pace_may_plan(&r->pace));
	assert_int_equal(r->pace.shift, A_WINDOW + 3);
	/* Those of the census that follows were longer; from there, they are. */
	r->cold = 31;
	census_that_finds(r, 70, 70);
	assert_true(hmem_pace_may_plan(&r->pace));
	assert_int_equal(r->pace.shift, A_WINDOW + 3);
}

/* Not all of the census need be over for that, if it finds more than the last one. */
static void many_more(void **state)
{
	static const struct {
		uint64_t last, found;
		bool chance, woke;
		uint32_t parts;
	} cases[] = {
		/* Of 16 parts; a sixteenth of tier 0, and three times as many. */
		{ 0, 31, false, false, 16 },
		{ 0, 32, false, false, 1 },
		{ 200, 37, false, false, 16 },
		{ 200, 38, false, false, 1 },
		/* Not where pages are hot, or cold, by chance. */
		{ 0, 32, true, false, 16 },
		{ 0, 32, false, true, 16 },
	};
	struct rules *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		until_census(r, 16);
		r->pace.found = cases[i].last;
		r->pace.chance = cases[i].chance;
		r->pace.woke = cases[i].woke;
		while (r->pace.look != 5)
			window(r, (struct hmem_look) {
				.used = 93,
				.hot = cases[i].found,
			});
		window(r, (struct hmem_look) { 0 });
		assert_int_equal(r->pace.parts, cases[i].parts);
	}
	/* What has been promoted is not found again. */
	r->pace.found = 300;
	hmem_pace_planned(&r->pace, &(struct hmem_plan) { .num_promote = 100 });
	assert_int_equal(r->pace.found, 200);
	hmem_pace_planned(&r->pace, &(struct hmem_plan) { .num_promote = 201 });
	assert_int_equal(r->pace.found, 0);
}

/* It waits for moves to be over, but not for ever. */
static void waits_for_moves(void **state)
{
	struct rules *r = *state;

	r->busy = true;
	for (unsigned int i = 0; i < 16; i++) {
		window(r, (struct hmem_look) { 0 });
		assert_int_equal(r->pace.left, 0);
	}
	window(r, (struct hmem_look) { 0 });
	assert_int_not_equal(r->pace.left, 0);
}

/* Dirty logging finds each window by itself: nothing to save. */
static void who_is_paced(void **state)
{
	struct rules *r = *state;
	struct hmem_tracker_maps dirty;
	uint64_t maps[HMEM_LINK_MAPS] = { 0 };

	hmem_tracker_dirty_init(&dirty, maps, 8);
	assert_false(hmem_paced(&r->policy, &dirty.tracker));
	assert_true(hmem_paced(&r->policy, &r->gpt.tracker));
	assert_true(hmem_paced(&r->policy, &r->sim.tracker));
	r->policy.kind = HMEM_POLICY_HMMV;
	assert_false(hmem_paced(&r->policy, &r->gpt.tracker));
	assert_false(hmem_paced(&r->policy, &r->sim.tracker));
}

/* Rearmed one window late, so the first look is none, and the last asks nothing. */
static void a_census_of_scans(void **state)
{
	const enum hmem_rearm want[] = {
		HMEM_REARM_PART, HMEM_REARM_PART, HMEM_REARM_PART,
		HMEM_REARM_HOT, HMEM_REARM_HOT, HMEM_REARM_HOT, HMEM_REARM_HOT,
		HMEM_REARM_NONE, HMEM_REARM_NONE,
	};
	struct rules *r = *state;

	r->scans = true;
	until_census(r, 1);
	for (unsigned int k = 0; k < 9; k++) {
		assert_int_equal(r->heat.rearm, want[k]);
		assert_int_equal(r->heat.ignore, k < 2);
		assert_int_equal(r->heat.candidates, k > 4);
		assert_int_equal(hmem_pace_rests(&r->pace), k == 8);
		if (k < 8)
			window(r, (struct hmem_look) { .used = 1500 });
	}
}

/* A scan that has missed pages is no look, nor is the next: both are made again. */
static void incomplete_scans_are_no_looks(void **state)
{
	const struct hmem_look some = { .used = 1500 };
	struct rules *r = *state;

	r->scans = true;
	for (uint32_t at = 1; at <= 8; at++) {
		enum hmem_rearm rearm;
		bool candidates;

		until_census(r, 1);
		while (r->pace.left > at)
			window(r, some);
		rearm = r->heat.rearm;
		candidates = r->heat.candidates;
		for (unsigned int i = 0; i < 2; i++) {
			r->heat.incomplete = !i;
			window(r, some);
			assert_true(r->heat.ignore);
			assert_false(r->heat.begins);
			assert_int_equal(r->pace.left, at);
			assert_int_equal(r->pace.look, 0);
			/* What was to be rearmed may not have been. */
			assert_int_equal(r->heat.rearm, rearm);
			assert_int_equal(r->heat.candidates, candidates);
			assert_false(hmem_pace_may_plan(&r->pace));
		}
		window(r, some);
		assert_int_equal(r->pace.look, at);
		assert_int_equal(r->heat.ignore, at == 8);
		while (r->pace.left)
			window(r, some);
		assert_true(hmem_pace_may_plan(&r->pace));
	}
}

/* If all are, the census is given up, and nothing is made of it; others follow. */
static void all_scans_incomplete(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	for (unsigned int i = 0; i < 3; i++) {
		unsigned int n = 0;

		until_census(r, 1);
		while (r->pace.left) {
			r->heat.incomplete = true;
			window(r, (struct hmem_look) { .used = 1500 });
			n++;
		}
		assert_in_range(n, 8, 16);
		assert_false(hmem_pace_may_plan(&r->pace));
		r->heat.incomplete = false;
	}
	whole_census(r, 1, (struct hmem_look) { .used = 1500 });
	assert_true(hmem_pace_may_plan(&r->pace));
}

/* 8 scans of 0.75 ms and as much for their faults: 12 ms, and 5 for any others. */
static void scans_are_paid_for(void **state)
{
	struct rules *r = *state;
	uint64_t ns = 0;

	r->scans = true;
	r->scan = 750000;
	until_census(r, 1);
	r->pace.credit = 0;
	do {
		/* More than half of tier 0, but a look is at least 4 scans long. */
		window(r, (struct hmem_look) { .used = 8000 });
		assert_true(r->next >= 4 * r->scan);
	} while (r->pace.left);
	assert_true(r->pace.chance);
	assert_int_equal(r->pace.share, 1);
	r->pace.credit = -40000000;
	for (; !r->pace.left; ns += r->next)
		window(r, (struct hmem_look) { 0 });
	assert_in_range(ns, 1700000000, 1900000000);
	/* The shortest of a census is what they take; the first one's is not known. */
	for (unsigned int i = 0; i < 4; i++) {
		const uint64_t scan[] = { 900000, 800000, 850000, 2000000 };

		r->scan = scan[i];
		window(r, (struct hmem_look) { .used = 1500 });
		assert_int_equal(r->pace.scan_ns, i ? 800000 : 900000);
	}
	/* Memory has grown: longer scans, and so longer looks. */
	r->scan = 20000000;
	assert_in_range(r->pace.shift, A_WINDOW + 1, A_WINDOW + 6);
	for (unsigned int i = 0; i < 2; i++) {
		until_census(r, 1);
		while (r->pace.left)
			window(r, (struct hmem_look) { .used = 1500 });
	}
	assert_int_equal(r->pace.shift, A_WINDOW);
}

/* A table of 256 frames, half of them fast, in a tracker that stays set. */
struct looks {
	struct hmem_pages pages;
	struct hmem_tracker_maps sim;
	uint64_t maps[HMEM_LINK_MAPS * 4];
	uint64_t bits[4];
};

/* Frame @gfn, and what is set already, is used; returns the words to rearm. */
static const uint64_t *look(struct looks *l, uint64_t gfn, struct hmem_heat heat)
{
	uint64_t *rearm = &l->maps[8];

	heat.decay = 2;
	heat.read = HMEM_HEAT_MAX;
	l->bits[gfn / 64] |= UINT64_C(1) << (gfn % 64);
	memcpy(&l->maps[4], l->bits, sizeof(l->bits));
	memset(rearm, 0, sizeof(l->bits));
	hmem_pages_update(&l->pages, &l->sim.tracker, &heat);
	for (unsigned int i = 0; i < 4; i++)
		l->bits[i] &= ~rearm[i];
	return rearm;
}

#define BLOCKS	256u
#define PARTS	16u

/* Each part has its share of what is used, be it in a run or at regular distances. */
static void parts_are_alike(void **state)
{
	static const struct {
		unsigned int first, step, num, most;
	} used[] = {
		{ 37, 1, 64, 5 },
		{ 100, 1, 128, 9 },
		{ 5, 2, 64, 5 },
		{ 5, 16, 16, 2 },
	};
	const struct hmem_link_range range = { .num = BLOCKS * 64, .tier = 1 };
	uint64_t maps[HMEM_LINK_MAPS * BLOCKS];
	struct hmem_tracker_maps sim;
	struct hmem_pages pages;

	(void)state;
	hmem_tracker_sim_init(&sim, maps, BLOCKS * 8);
	for (unsigned int i = 0; i < sizeof(used) / sizeof(*used); i++) {
		uint64_t sum = 0;

		for (unsigned int part = 0; part < PARTS; part++) {
			struct hmem_heat heat = {
				.rearm = HMEM_REARM_PART, .parts = PARTS, .part = part,
			};

			assert_int_equal(hmem_pages_init(&pages, &range, 1, 2,
							 BLOCKS * 64, NULL), 0);
			memset(maps, 0, sizeof(maps));
			for (unsigned int k = 0; k < used[i].num; k++)
				maps[BLOCKS + used[i].first + k * used[i].step] =
					UINT64_MAX;
			hmem_pages_update(&pages, &sim.tracker, &heat);
			assert_in_range(pages.rearmed, 0, used[i].most * 64);
			sum += pages.rearmed;
			hmem_pages_free(&pages);
		}
		assert_int_equal(sum, used[i].num * 64);
	}
}

static void looks(void **state)
{
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = 128, .tier = 0 },
		{ .gfn = 128, .num = 128, .tier = 1 },
	};
	struct hmem_heat none = { .rearm = HMEM_REARM_NONE, .parts = 2, .part = 0 };
	struct hmem_heat part = { .rearm = HMEM_REARM_PART, .parts = 2, .part = 0 };
	struct hmem_heat first = { .rearm = HMEM_REARM_PART, .parts = 2, .part = 0,
				   .first = true };
	struct hmem_heat hot = { .rearm = HMEM_REARM_HOT, .parts = 2, .part = 0,
				 .cut = 25000 };
	struct looks l = { 0 };
	const uint64_t *rearm;
	uint16_t heat;

	(void)state;
	assert_int_equal(hmem_pages_init(&l.pages, ranges, 2, 2, 256, NULL), 0);
	hmem_tracker_sim_init(&l.sim, l.maps, 32);
	/* Found once; then its bit is set, which says nothing. */
	look(&l, 130, none);
	heat = hmem_pages_heat(&l.pages, 130);
	assert_int_equal(heat, HMEM_HEAT_MAX / 4);
	assert_int_equal(l.pages.look.faults, 1);
	assert_int_equal(l.pages.look.used, 1);
	look(&l, 131, none);
	assert_int_equal(hmem_pages_heat(&l.pages, 130), heat);
	assert_int_equal(l.pages.look.faults, 1);
	/* The other part, and the fast tier, count for costs only. */
	look(&l, 200, none);
	assert_int_equal(l.pages.look.faults, 1);
	assert_int_equal(l.pages.look.used, 0);
	look(&l, 5, none);
	assert_int_equal(l.pages.look.used, 1);
	/* Blocks 0 and 2 are the part; what was set before is rearmed, too. */
	rearm = look(&l, 130, part);
	assert_int_equal(rearm[0], UINT64_C(1) << 5);
	assert_int_equal(rearm[1], 0);
	assert_int_equal(rearm[2], 3 << 2);
	assert_int_equal(rearm[3], 0);
	/* A window that says nothing: no heat changes. */
	heat = hmem_pages_heat(&l.pages, 130);
	look(&l, 130, (struct hmem_heat) { .rearm = HMEM_REARM_PART, .parts = 2,
					   .ignore = true });
	assert_int_equal(hmem_pages_heat(&l.pages, 130), heat);
	assert_int_equal(l.pages.look.used, 0);
	/* Twice in a row is as hot as the cut; the page next to it is not. */
	look(&l, 130, part);
	rearm = look(&l, 130, hot);
	assert_in_range(hmem_pages_heat(&l.pages, 130), 25000, HMEM_HEAT_MAX);
	assert_int_equal(rearm[2], 1 << 2);
	assert_int_equal(l.pages.look.hot, 1);
	/* What is no candidate stays as it is, used or not. */
	hot.candidates = true;
	heat = hmem_pages_heat(&l.pages, 131);
	for (unsigned int i = 0; i < 4; i++) {
		look(&l, 131, hot);
		assert_int_equal(l.pages.look.again, 0);
	}
	assert_int_equal(hmem_pages_heat(&l.pages, 131), heat);
	assert_in_range(hmem_pages_heat(&l.pages, 130), 1, 24999);
	assert_int_equal(l.pages.look.hot, 0);
	/* One that is used again is counted, however cold it seems by now. */
	for (unsigned int i = 0; i < 2; i++) {
		look(&l, 130, hot);
		assert_int_equal(l.pages.look.again, 1);
	}
	/* Of tier 0: used before the census, and not in it, until then. */
	look(&l, 5, none);
	look(&l, 130, (struct hmem_heat) { .rearm = HMEM_REARM_PART, .parts = 2,
					   .ignore = true });
	look(&l, 130, first);
	assert_int_equal(l.pages.look.cold, 1);
	assert_int_equal(l.pages.look.woken, 0);
	/* It is not idle, however long it is not used, until the census after. */
	for (unsigned int i = 0; i < 40; i++)
		look(&l, 130, i < 20 ? hot : none);
	assert_in_range(hmem_pages_heat(&l.pages, 5), HMEM_HEAT_IN_USE,
			2 * HMEM_HEAT_IN_USE);
	look(&l, 5, part);
	assert_int_equal(l.pages.look.cold, 0);
	assert_int_equal(l.pages.look.woken, 1);
	look(&l, 5, part);
	assert_int_equal(l.pages.look.woken, 0);
	/* The census begins anew: what was used in the one given up counts. */
	look(&l, 130, first);
	assert_int_equal(l.pages.look.cold, 1);
	look(&l, 5, part);
	assert_int_equal(l.pages.look.woken, 1);
	hmem_pages_free(&l.pages);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_hot_set),
		cmocka_unit_test(follows_hot_set),
		cmocka_unit_test(hot_sets_come_back),
		cmocka_unit_test(finds_hot_set_by_scans),
		cmocka_unit_test(all_degrees_of_heat),
		cmocka_unit_test(uniform_stays),
		cmocka_unit_test(too_large_gains),
		cmocka_unit_test(idle_gives_way),
		cmocka_unit_test(sweep_stays),
		cmocka_unit_test(finds_hot_sweep),
		RULE(a_census),
		RULE(length_of_looks),
		RULE(budget),
		RULE(looks_are_brief),
		RULE(parts_differ),
		RULE(share),
		RULE(savings),
		RULE(length_by_candidates),
		RULE(chance),
		RULE(chance_of_the_sure),
		RULE(chance_of_the_cold),
		RULE(least_margin),
		RULE(many_hot),
		RULE(many_more),
		RULE(waits_for_moves),
		RULE(who_is_paced),
		RULE(a_census_of_scans),
		RULE(incomplete_scans_are_no_looks),
		RULE(all_scans_incomplete),
		RULE(scans_are_paid_for),
		cmocka_unit_test(parts_are_alike),
		cmocka_unit_test(looks),
	};

	return cmocka_run_group_tests_name("auto", tests, NULL, NULL);
}
