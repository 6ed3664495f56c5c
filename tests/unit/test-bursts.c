/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy auto: its speed on known workloads, and the rules of its bursts. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loads.h"

static const struct model_load *const loads[] = {
	&hot_set, &zipf, &too_large, &seldom, &hot_sweep,
};

/* The first @num loads reach 0.95 of the speed of the best static placement. */
static void check_loads(unsigned int num, unsigned int window, enum hmem_track track)
{
	for (unsigned int i = 0; i < num; i++) {
		struct model m;
		double share;

		loads_begin(&m, loads[i], HMEM_POLICY_AUTO);
		m.policy.window = window;
		m.policy.track = track;
		model_run(&m, 20);
		share = loads_speed(&m, 4) / loads_best(loads[i]);
		if (share < 0.95)
			fail_msg("load %u, window %u ms: %.3f", i, window, share);
		model_free(&m);
	}
}

static void windows_make_no_difference(void **state)
{
	(void)state;
	check_loads(1, 100, HMEM_TRACK_SIM);
	check_loads(3, 1000, HMEM_TRACK_SIM);
}

static void trackers_make_no_difference(void **state)
{
	(void)state;
	check_loads(sizeof(loads) / sizeof(*loads), 1000, HMEM_TRACK_GPT);
}

/*
 * The dirty log sees the writes of one processor or of eight, and costs each of them at most a
 * hundredth of its time, besides the first burst.
 */
static void the_dirty_log_sees_writes(void **state)
{
	static const struct model_load *const written[] = { &hot_set, &too_large };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		const struct model_load *load = written[i % 2];
		double share, stalled, ns, best = loads_best(load);
		struct model m;

		loads_begin(&m, load, HMEM_POLICY_AUTO);
		m.policy.track = HMEM_TRACK_DIRTY;
		m.processors = i < 2 ? 1 : 8;
		model_run(&m, 20);
		stalled = m.stalled;
		ns = m.ns;
		share = loads_speed(&m, 8) / (best * m.processors);
		if (share < 0.95)
			fail_msg("load %u, %u processors: %.3f", i % 2, m.processors, share);
		stalled = (m.stalled - stalled) / ((m.ns - ns) * m.processors);
		assert_true(stalled > 0 && stalled < 0.015);
		model_free(&m);
	}
}

/*
 * A guest that has lent memory of tier 0 gets it back: its hot pages fill that memory at once, and
 * no page of tier 0 moves for them.
 */
static void memory_comes_back(void **state)
{
	const unsigned int lent = FAST - KERNEL - hot_set.hot / 4;
	struct model m;

	(void)state;
	loads_begin(&m, &hot_set, HMEM_POLICY_AUTO);
	m.policy.track = HMEM_TRACK_GPT;
	model_run(&m, 20);
	assert_true(model_fast_share(&m) > 0.85);
	model_resize(&m, FAST - lent);
	model_run(&m, 5);
	assert_true(model_fast_share(&m) < 0.5);
	m.moved = 0;
	model_resize(&m, FAST);
	model_run(&m, 1);
	assert_true(model_fast_share(&m) > 0.85);
	assert_in_range(m.moved, hot_set.hot / 2, lent);
	model_run(&m, 4);
	assert_true(model_fast_share(&m) > 0.85);
	model_free(&m);
}

/*
 * When a program begins, its pages get records that no look has measured, and hmemd looks until it
 * knows them.  Looks last for a second here, because each hot page is used eight times per second.
 */
static void programs_begin(void **state)
{
	static const struct model_load nothing = {
		.costs = &quarter_requests, .pages = 200 * MIB, .hot = 2 * MIB, .weight = 100,
	};

	(void)state;
	for (unsigned int idle = 5; idle <= 45; idle += 20) {
		struct model m;
		double share;

		loads_begin(&m, &nothing, HMEM_POLICY_AUTO);
		m.policy.track = HMEM_TRACK_GPT;
		m.policy.window = 1000;
		model_run(&m, idle);
		model_load(&m, &requests);
		model_run(&m, 10);
		share = loads_speed(&m, 4) / loads_best(&requests);
		if (share < 0.95)
			fail_msg("after %u s: %.3f", idle, share);
		model_free(&m);
	}
}

/* If no move gains anything, looking costs at most a known part of the speed. */
static void stays(const struct model_load *load, double least)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct model m;
		double share;

		loads_begin(&m, load, HMEM_POLICY_AUTO);
		m.policy.window = i ? 100 : 1000;
		m.policy.track = i ? HMEM_TRACK_GPT : HMEM_TRACK_SIM;
		model_run(&m, 10);
		share = loads_speed(&m, 10) / loads_first_touch(load, 10);
		if (share < least)
			fail_msg("case %u: %.3f of first touch", i, share);
		model_free(&m);
	}
}

/* A guest whose pages are in huge pages, observed by gpt. */
static void huge_begin(struct model *m, const struct model_load *load)
{
	loads_begin(m, load, HMEM_POLICY_AUTO);
	m->policy.track = HMEM_TRACK_GPT;
	m->huge = true;
}

/* The speed after @seconds must be at least this part of the best placement's. */
static void huge_reaches(struct model *m, double seconds, double least)
{
	double share;

	model_run(m, seconds);
	share = loads_speed(m, 4) / loads_best(m->load);
	if (share < least)
		fail_msg("%.3f", share);
}

/*
 * A sweep uses a huge page for a short time, again and again: short looks miss it, so looks at
 * huge pages must become long.
 */
static void huge_pages_are_swept(void **state)
{
	struct model m;

	(void)state;
	huge_begin(&m, &hot_sweep);
	huge_reaches(&m, 40, 0.95);
	model_free(&m);
}

/* The speed, over 20 s, of a machine of four times the size, after @seconds. */
static double large_speed(const struct model_load *load, enum hmem_policy_kind kind, double seconds)
{
	struct model m;
	double speed;

	model_init(&m, load, 4 * FAST, 4 * KERNEL, 4 * SLOW, 0);
	m.policy.kind = kind;
	m.policy.window = 1000;
	m.policy.track = HMEM_TRACK_GPT;
	m.huge = true;
	if (kind == HMEM_POLICY_OFF)
		model_place_best(&m);
	model_run(&m, seconds);
	speed = loads_speed(&m, 20);
	model_free(&m);
	return speed;
}

/*
 * A sweep uses all of each page, so a move pays soon, also if the sweep goes to and fro between two
 * places.
 */
static void moving_sweeps_gain(void **state)
{
	static const struct model_load load = {
		.costs = &model_pages, .pages = 4 * DATA, .hot = 4 * 51 * MIB, .sweep = true,
		.move = 5,
	};
	double share = large_speed(&load, HMEM_POLICY_AUTO, 60) /
		       large_speed(&load, HMEM_POLICY_OFF, 0);

	(void)state;
	if (share < 0.9)
		fail_msg("%.3f", share);
}

/*
 * All huge pages are used alike.  Few bits tell that, so chance moves some of them, but no more
 * than an eighth on average.
 */
static void huge_pages_stay(void **state)
{
	unsigned long moved = 0, runs = 0;

	(void)state;
	for (unsigned int window = 100; window <= 1000; window += 300, runs++) {
		struct model m;

		huge_begin(&m, &uniform);
		m.policy.window = window;
		model_run(&m, 20);
		moved += m.moved;
		model_free(&m);
	}
	if (moved > runs * DATA / 8)
		fail_msg("%lu pages moved in %lu runs", moved, runs);
}

/* Random accesses use all huge pages in each long look: only short looks tell them apart. */
static void huge_pages_are_used_at_random(void **state)
{
	struct model m;

	(void)state;
	huge_begin(&m, &hot_set);
	huge_reaches(&m, 20, 0.8);
	assert_false(m.placer.bursts.long_looks);
	model_free(&m);
}

/* Tiers 0 and 1 of the machine with three tiers have room for all of the hot pages. */
#define MIDDLE	(64 * MIB)
static const struct model_load warm = {
	.costs = &quarter_updates, .pages = DATA, .hot = FAST - KERNEL + MIDDLE, .weight = 90,
};

/* A machine whose data fills three tiers.  The pages are in the best places at first. */
static void three_begin(struct model *m, const struct model_load *load,
			enum hmem_policy_kind kind)
{
	model_init(m, load, FAST, KERNEL, MIDDLE, FAST + SLOW - MIDDLE);
	m->policy.kind = kind;
	model_place_best(m);
}

/* The pages of tier 1 change places with pages of tier 2. */
static void upset(struct model *m)
{
	for (unsigned int i = 0; i < MIDDLE; i++) {
		unsigned int a = FAST + i, b = FAST + MIDDLE + i;
		int page = m->page_of[a];

		m->page_of[a] = m->page_of[b];
		m->page_of[b] = page;
		m->frame_of[page] = b;
		if (m->page_of[a] >= 0)
			m->frame_of[m->page_of[a]] = a;
	}
}

/* Pages that are too cold for tier 0, but warmer than those of tier 1, move to tier 1. */
static void three_tiers_are_filled(void **state)
{
	struct model m;
	double best, share;

	(void)state;
	three_begin(&m, &warm, HMEM_POLICY_OFF);
	best = loads_speed(&m, 2);
	model_free(&m);
	for (unsigned int i = 0; i < 2; i++) {
		three_begin(&m, &warm, HMEM_POLICY_AUTO);
		m.policy.track = i ? HMEM_TRACK_GPT : HMEM_TRACK_SIM;
		upset(&m);
		model_run(&m, 40);
		share = loads_speed(&m, 4) / best;
		if (share < 0.95)
			fail_msg("case %u: %.3f", i, share);
		model_free(&m);
	}
}

static void uniform_stays(void **state)
{
	(void)state;
	stays(&uniform, 0.98);
}

/* A sweep uses a page again only after all others, so the page looks cold for a while. */
static void sweep_stays(void **state)
{
	(void)state;
	stays(&sweep, 0.93);
}

/* The placement follows a hot set that moves every 5 s. */
static void moving_gains(void **state)
{
	double still = loads_first_touch(&moving, 20);

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct model m;
		double share;

		loads_begin(&m, &moving, HMEM_POLICY_AUTO);
		m.policy.window = i ? 1000 : 100;
		m.policy.track = i ? HMEM_TRACK_GPT : HMEM_TRACK_SIM;
		share = loads_speed(&m, 20) / still;
		if (share < 1.6)
			fail_msg("case %u: %.2f of first touch", i, share);
		model_free(&m);
	}
}

/* Looking costs a hundredth of guest time, once the first bursts are paid for. */
static void looking_is_cheap(void **state)
{
	double ns, stalled;
	struct model m;

	(void)state;
	loads_begin(&m, &hot_set, HMEM_POLICY_AUTO);
	m.policy.track = HMEM_TRACK_GPT;
	model_run(&m, 10);
	ns = m.ns;
	stalled = m.stalled;
	model_run(&m, 10);
	assert_true((m.stalled - stalled) / (m.ns - ns) < 0.012);
	model_free(&m);
}

/* For tests of single rules: bursts, with windows whose results the test chooses. */
struct rules {
	struct hmem_policy policy;
	struct hmem_bursts bursts;
	struct hmem_pages pages;
	struct hmem_tracker_maps sim, gpt;
	uint64_t maps[HMEM_LINK_MAPS], next, scan_ns;
	unsigned int pages_per_walk;
	struct hmem_heat heat;
	bool scans;
	unsigned int can;	/* HMEM_CAN_* */
	double busy;	/* processors that run programs */
	uint64_t busy_ns;	/* time that processors ran in the last window */
};

#define TIER0	4096u
/* The frames of a huge page. */
#define HUGE_FRAMES	512u

static int setup(void **state)
{
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = TIER0, .tier = 0 },
		{ .gfn = TIER0, .num = TIER0, .tier = 1 },
	};
	struct rules *r = calloc(1, sizeof(*r));

	hmem_policy_init(&r->policy);
	r->policy.kind = HMEM_POLICY_AUTO;
	r->policy.window = 1000;
	r->busy = 1;
	r->pages_per_walk = 1;
	r->can = HMEM_CAN_LOOK_LONG;
	assert_int_equal(hmem_pages_init(&r->pages, ranges, 2, 2, 2 * TIER0, NULL), 0);
	hmem_tracker_sim_init(&r->sim, r->maps, 8);
	hmem_tracker_gpt_init(&r->gpt, r->maps, 8);
	hmem_bursts_init(&r->bursts, &r->policy, 0, 1, NULL, 0);
	r->next = 1000000000;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rules *r = *state;

	hmem_pages_free(&r->pages);
	free(r);
	return 0;
}

/* Ends a window in which @used of the observed pages were used, and @faults bits were set. */
static void window_while(struct rules *r, bool busy, uint64_t used, uint64_t faults)
{
	const struct hmem_tracker *t = r->scans ? &r->gpt.tracker : &r->sim.tracker;
	struct hmem_times times = {
		.window_ns = r->next,
		.scan_ns = r->scans && !hmem_bursts_rests(&r->bursts) ? r->scan_ns : 0,
	};
	struct hmem_heat heat = { .incomplete = r->heat.incomplete };
	uint32_t cpus = r->bursts.num_cpus;

	/* Programs run in the time that the scan leaves. */
	r->busy_ns = (times.window_ns * cpus - times.scan_ns) * (r->busy / cpus) + times.scan_ns;
	times.busy_ns = r->busy_ns;
	hmem_bursts_window(&r->bursts, &r->policy, t, r->can, &times, false, busy, &heat);
	r->heat = heat;
	if (heat.look) {
		r->bursts.rates.looked[100] = TIER0;
		r->bursts.rates.used[100] = used;
		if (r->pages_per_walk == HUGE_FRAMES)
			r->bursts.rates.clusters.in_whole = used;
	}
	r->pages.faults = faults;
	r->next = hmem_bursts_next(&r->bursts, &r->policy, &r->pages, &times,
				   faults / r->pages_per_walk);
}

static void window(struct rules *r, uint64_t used, uint64_t faults)
{
	window_while(r, false, used, faults);
}

static void plan(struct rules *r, uint32_t moves, double gain_ns)
{
	if (moves)
		hmem_bursts_moved(&r->bursts);
	hmem_bursts_planned(&r->bursts, &(struct hmem_plan) {
		.num_promote = moves, .gain_ns = gain_ns,
	});
}

static void until_burst(struct rules *r)
{
	while (!r->bursts.left)
		window(r, 0, 0);
}

/*
 * Looks at huge pages become long if the longest looks find too few used pages.  If long looks
 * find too many, then twice as many bursts pass before each further attempt.
 */
static void long_looks(void **state)
{
	struct rules *r = *state;
	uint64_t failed = 0, passed = 0;

	r->scans = true;
	r->pages_per_walk = HUGE_FRAMES;
	while (!r->bursts.long_looks)
		window(r, 1, 0);
	assert_int_equal(r->bursts.look_ns, 1000000000);
	for (unsigned int i = 0; i < 3; i++) {
		while (r->bursts.long_looks)
			window(r, TIER0, 0);
		failed = r->bursts.bursts;
		while (!r->bursts.long_looks)
			window(r, 1, 0);
		if (i)
			assert_int_equal(r->bursts.bursts - failed, 2 * passed);
		passed = r->bursts.bursts - failed;
	}
	/* After a success, the next attempt comes soon. */
	do
		window(r, TIER0 / 3, 0);
	while (!r->heat.look);
	for (failed = r->bursts.bursts; r->bursts.long_looks;)
		window(r, TIER0, 0);
	failed = r->bursts.bursts;
	while (!r->bursts.long_looks)
		window(r, 1, 0);
	assert_int_equal(r->bursts.bursts - failed, 1);
}

/* Base pages that are used here and there say nothing about how looks at huge pages are to be. */
static void base_pages_need_no_long_looks(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	/* As few as before, but more than a huge page has. */
	r->pages.hist[0][0] *= 16;
	for (unsigned int i = 0; i < 1000; i++)
		window(r, HUGE_FRAMES + 1, 0);
	assert_int_equal(r->bursts.look_ns, 1000000000);
	assert_false(r->bursts.long_looks);
	/* Looks become long, and then base pages are in use. */
	r->pages_per_walk = HUGE_FRAMES;
	while (!r->bursts.long_looks)
		window(r, HUGE_FRAMES + 1, 0);
	r->pages_per_walk = 1;
	for (unsigned int i = 0; i < 10; i++)
		window(r, HUGE_FRAMES, 0);
	assert_true(r->bursts.long_looks);
	while (r->bursts.long_looks)
		window(r, HUGE_FRAMES + 1, 0);
	/* That was no failed attempt, which would be followed by more bursts without one. */
	assert_int_equal(r->bursts.long_looks_failed, 0);
}

/* An idle guest pays nothing off, but its rates are measured again after the horizon of 20 s. */
static void old_rates_are_measured_again(void **state)
{
	struct rules *r = *state;
	uint64_t ns = 0;

	until_burst(r);
	while (r->bursts.left)
		window(r, 1, 0);
	until_burst(r);
	while (r->bursts.left)
		window(r, 1, 100000);
	assert_true(r->bursts.debt_ns > 10000000);
	r->busy = 0;
	while (!r->bursts.left) {
		ns += r->next;
		assert_in_range(ns, 0, UINT64_C(22000000000));
		window(r, 0, 0);
	}
	assert_in_range(ns, UINT64_C(10000000000), UINT64_MAX);
}

/* Bits are cleared at the beginning of a burst and between looks, but not at its end. */
static void a_burst(void **state)
{
	struct rules *r = *state;

	for (unsigned int looks = 8; looks; looks = looks == 8 ? 3 : 0) {
		until_burst(r);
		assert_int_equal(r->bursts.left, looks);
		assert_int_equal(r->bursts.parts, looks == 8 ? 1 : 16);
		assert_true(r->heat.clear && !r->heat.look);
		for (unsigned int i = 1; i <= looks; i++) {
			assert_false(hmem_bursts_may_plan(&r->bursts));
			window(r, TIER0 / r->bursts.parts, 0);
			assert_true(r->heat.look);
			assert_int_equal(r->heat.clear, i < looks);
		}
		assert_true(hmem_bursts_may_plan(&r->bursts));
		assert_false(hmem_bursts_rests(&r->bursts));
	}
}

/* Scans clear bits one window late: the first window is no look, and the last clears nothing. */
static void a_burst_of_scans(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	until_burst(r);
	for (unsigned int i = 0; i <= 8; i++) {
		assert_int_equal(r->bursts.left, i ? 9 - i : 8);
		assert_int_equal(r->heat.clear, i < 8);
		window(r, 1000, 0);
		assert_int_equal(r->heat.look, i > 0);
	}
	assert_false(r->heat.clear);
	assert_true(hmem_bursts_rests(&r->bursts));
}

/* A look is as long as it takes until a third of tier 0's number of pages is used. */
static void length_of_looks(void **state)
{
	struct rules *r = *state;
	const double rate = TIER0 / 3 / 0.03;		/* pages per second: 30 ms */

	for (unsigned int i = 0; i < 40; i++) {
		uint64_t used = r->next / 1e9 * rate / r->bursts.parts;

		window(r, used > TIER0 ? TIER0 : used, 0);
	}
	assert_in_range(r->bursts.look_ns, 27000000, 33000000);
	/* A look is at most as long as the policy's window, however few pages are used. */
	for (unsigned int i = 0; i < 100; i++)
		window(r, 0, 0);
	assert_int_equal(r->bursts.look_ns, 1000000000);
	/* A look is at least as long as the device's shortest window. */
	for (unsigned int i = 0; i < 200; i++)
		window(r, TIER0, 0);
	assert_int_equal(r->bursts.look_ns, 1500000);
}

/*
 * The shortest look depends on the scan, which must reach the page again.  A scan takes longer when
 * more memory is used.
 */
static void looks_outlast_scans(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	r->scan_ns = 1000;
	for (unsigned int i = 0; i < 100; i++)
		window(r, TIER0, 0);
	assert_int_equal(r->bursts.look_ns, 1500000);
	r->scan_ns = 40000000;
	for (unsigned int i = 0; i < 100; i++)
		window(r, TIER0, 0);
	assert_int_equal(r->bursts.look_ns, 80000000);
}

/*
 * If even the shortest look from scan to scan finds nearly all pages in use used, looks lie within
 * scans and get shorter, until such short looks are no longer needed.
 */
static void short_looks_lie_within_scans(void **state)
{
	struct rules *r = *state;
	const uint64_t scan = 50000000;

	r->scans = true;
	r->scan_ns = scan;
	r->can = HMEM_CAN_LOOK_LONG | HMEM_CAN_LOOK_WITHIN;
	/* All pages in use are in tier 0, and fill it. */
	r->pages.hist[0][0] = r->pages.hist[1][0] = 0;
	r->pages.hist[0][100] = r->pages.hist[1][HMEM_CLASS_IDLE] = TIER0;
	/* As many pages as this are too many, but a look still tells them from the others. */
	do
		window(r, TIER0 / 4 * 3, 0);
	while (r->bursts.bursts < 4);
	assert_false(r->bursts.within);
	assert_int_equal(r->bursts.look_ns, 2 * scan);
	until_burst(r);
	while (!r->bursts.within)
		window(r, TIER0, 0);
	/* The next look needs no clearing before it, and each window is one. */
	for (unsigned int left = r->bursts.left; left > 1; left--) {
		window(r, TIER0, 0);
		assert_true(r->heat.look && r->heat.within && !r->heat.clear);
		assert_true(r->bursts.look_ns < 2 * scan);
	}
	/* A driver that cannot do that looks from scan to scan again. */
	r->can = HMEM_CAN_LOOK_LONG;
	do
		window(r, TIER0, 0);
	while (!r->heat.look);
	assert_false(r->bursts.within);
	assert_int_equal(r->bursts.look_ns, 2 * scan);
	/* Such looks end when longer ones tell enough. */
	r->can = HMEM_CAN_LOOK_LONG | HMEM_CAN_LOOK_WITHIN;
	while (!r->bursts.within)
		window(r, TIER0, 0);
	while (r->bursts.short_looks)
		window(r, 1, 0);
	do
		window(r, 1, 0);
	while (!r->heat.look);
	assert_false(r->heat.within);
}

/* If looks were too long, and the burst begins anew, the looks that follow measure classes anew. */
static void too_long_looks_are_forgotten(void **state)
{
	struct rules *r = *state;
	const struct hmem_rate *measured = &r->bursts.rates.measured[100];

	for (unsigned int i = 0; i < 4; i++)
		window(r, 1, 0);
	assert_true(measured->seconds > 0);
	/* Shorter looks are possible, so the burst begins anew with them. */
	window(r, TIER0, 0);
	assert_int_equal(r->bursts.left, r->bursts.wanted);
	assert_true(measured->seconds == 0);
	for (unsigned int i = 0; i < 4; i++)
		window(r, TIER0, 0);
	/* The looks are as short as possible, so it goes on as it is. */
	assert_in_range(r->bursts.left, 1, r->bursts.wanted - 1);
	assert_true(measured->seconds > 0);
}

/* Ends windows until the looks of the first burst lie within scans. */
static void begin_dear_burst(struct rules *r)
{
	r->scans = true;
	r->scan_ns = 500000000;
	r->can = HMEM_CAN_LOOK_LONG | HMEM_CAN_LOOK_WITHIN;
	/* All pages in use are in tier 0, and fill it. */
	r->pages.hist[0][0] = r->pages.hist[1][0] = 0;
	r->pages.hist[0][100] = r->pages.hist[1][HMEM_CLASS_IDLE] = TIER0;
	while (!r->bursts.within)
		window(r, TIER0, 0);
}

/*
 * A look within a scan is shorter than the window.  The rest of the window lies between two looks
 * at a page, which so tell how long rates last.
 */
static void looks_within_scans_are_apart(void **state)
{
	struct rules *r = *state;
	double look_s, apart_s;

	begin_dear_burst(r);
	window(r, TIER0 / 3, 0);
	for (unsigned int i = 0; i < 2; i++) {
		look_s = r->bursts.look_ns / 1e9;
		r->next = 1000000000;
		window(r, TIER0 / 3, 0);
		apart_s = r->bursts.rates.lag_s;
		assert_true(fabs(apart_s + look_s - 1) < 1e-6);
	}
	assert_true(r->bursts.rates.measured[100].seconds > 0);
}

/* hmemd is restarted: everything continues. */
static void restart(struct rules *r)
{
	struct hmem_bursts_learned l;

	hmem_bursts_save(&r->bursts, &l);
	hmem_bursts_init(&r->bursts, &r->policy, 0, 1, NULL, 0);
	hmem_bursts_set_tracker(&r->bursts, &r->gpt.tracker);
	assert_true(hmem_bursts_restore(&r->bursts, &l, 0, false));
}

/*
 * If looks within scans cost more than a horizon pays for, the first burst ends when two of them in
 * a row have told enough, and the next one waits until it is paid for.
 */
static void dear_looks_within_scans_are_few(void **state)
{
	struct rules *r = *state;
	unsigned int looks = 0;
	int64_t cost;

	begin_dear_burst(r);
	assert_in_range(r->bursts.left, 3, UINT32_MAX);
	assert_true(r->bursts.ahead);
	for (; r->bursts.left; looks++)
		window(r, TIER0 / 3, 0);
	/* The first one finds pages used sooner than looks that were too long led to expect. */
	assert_int_equal(looks, 3);
	assert_int_equal(r->bursts.bursts, 1);
	cost = r->bursts.debt_ns;
	assert_true(cost > 2 * (int64_t)r->scan_ns);
	assert_true(r->bursts.whole_debt_ns <= 0);
	restart(r);
	assert_int_equal(r->bursts.bursts, 1);
	assert_true(hmem_bursts_may_plan(&r->bursts));
	for (r->busy_ns = 0; !r->bursts.left; cost -= r->busy_ns / 100)
		window(r, 0, 0);
	assert_in_range(cost + (int64_t)r->scan_ns / 10, 0, r->scan_ns / 5);
}

/*
 * After a dear burst, the horizon is as far ahead as the next burst, but no farther than the known
 * rates have held.  A restart changes nothing.
 */
static void horizon_is_at_the_next_look(void **state)
{
	struct rules *r = *state;
	const struct hmem_rates *rates = &r->bursts.rates;
	double known_s, paid_s;

	begin_dear_burst(r);
	while (r->bursts.left) {
		assert_true(rates->horizon_s == 20);
		r->next = UINT64_C(30000000000);
		window(r, TIER0 / 3, 0);
	}
	paid_s = r->bursts.debt_ns * 100 / 1e9;
	known_s = rates->now_s - rates->since_s;
	if (known_s <= 20 || paid_s <= known_s)
		fail_msg("known for %f s, paid in %f s", known_s, paid_s);
	assert_true(rates->horizon_s == known_s);
	restart(r);
	assert_true(rates->horizon_s == known_s);
}

/* A dear burst that began in its turn, and became one ahead of its budget, is paid for once. */
static void dear_bursts_are_paid_once(void **state)
{
	struct rules *r = *state;

	begin_dear_burst(r);
	while (r->bursts.left)
		window(r, TIER0 / 3, 0);
	until_burst(r);
	assert_false(r->bursts.ahead);
	while (!r->bursts.looked)
		window(r, TIER0, 0);
	assert_true(r->bursts.ahead);
	while (r->bursts.left)
		window(r, TIER0 / 3, 0);
	assert_false(r->bursts.ahead);
	assert_in_range(r->bursts.debt_ns, r->bursts.spent_ns / 10 * 9, r->bursts.spent_ns);
	assert_in_range(-r->bursts.whole_debt_ns, 0, r->scan_ns / 10);
}

/* Returns the guest time for which processors ran, as a multiple of what looks cost programs. */
static double busy_per_cost(struct rules *r, bool idle, double scan_costs)
{
	double busy = 0, cost = 0;

	/* The burst before can have led to moves. */
	until_burst(r);
	while (r->bursts.left)
		window(r, 1000, 0);
	plan(r, !idle, 0);
	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t faults = r->bursts.left ? 5000 : 10;
		bool scan = r->scans && !hmem_bursts_rests(&r->bursts);

		/* More than a third of tier 0: looks become so short that rests must pay. */
		window(r, r->scans ? 2000 : 1000, faults);
		busy += r->busy_ns;
		cost += faults * 200 + (scan ? r->scan_ns * scan_costs : 0);
		if (hmem_bursts_may_plan(&r->bursts))
			plan(r, !idle, 0);
	}
	return busy / cost;
}

/*
 * All that looks cost is at most a hundredth of the time for which the processors run; half of
 * that if no page moves.  A quarter of one processor, or four of them, can be busy.
 */
static void budget(void **state)
{
	struct rules *r = *state;

	for (r->busy = 0.25; r->busy <= 4; r->busy *= 4) {
		for (unsigned int idle = 0; idle < 2; idle++)
			assert_in_range(busy_per_cost(r, idle, 0), idle ? 190 : 95,
					idle ? 210 : 105);
	}
}

/* A scan costs programs as much of its time as the processors are busy. */
static void scans_of_idle_guests(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	r->scan_ns = 5000000;
	r->bursts.num_cpus = 4;
	for (r->busy = 0.25; r->busy <= 4; r->busy *= 4)
		assert_in_range(busy_per_cost(r, false, r->busy / 4), 90, 110);
}

/* The time in which a scan has the processor of a program is no part of a look. */
static void looks_leave_out_scans(void **state)
{
	const struct {
		uint32_t cpus;
		double busy;	/* processors that run programs */
		double part;	/* of the scan's time is no part of the look */
	} cases[] = { { 1, 1, 1 }, { 1, 0.5, 0.5 }, { 1, 0, 0 }, { 4, 4, 0.25 }, { 4, 1, 0.0625 } };
	struct rules *r = *state;

	r->scans = true;
	r->scan_ns = 5000000;
	r->bursts.min_ns = 4 * r->scan_ns;
	r->bursts.look_ns = r->bursts.min_ns;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t ns;

		r->bursts.num_cpus = cases[i].cpus;
		r->busy = cases[i].busy;
		do {
			ns = r->next;
			window(r, 1000, 0);
		} while (!r->heat.look);
		ns -= cases[i].part * r->scan_ns;
		assert_in_range(r->bursts.rates.look_s * 1e9, ns - 10, ns + 10);
	}
}

/* A scan that claims all of the window leaves a look of some length. */
static void scans_as_long_as_windows(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	do {
		r->scan_ns = r->next;
		window(r, 1000, 0);
	} while (!r->heat.look);
	assert_true(r->bursts.rates.look_s > 0);
}

/* If a look at a part finds much to gain, a look at all memory follows at once. */
static void gains_are_looked_for(void **state)
{
	const struct {
		double gain_ns;
		bool urgent;
	} cases[] = { { 0, false }, { 100e3, false }, { 1e9, true } };
	struct rules *r = *state;

	until_burst(r);
	while (r->bursts.left)
		window(r, TIER0, 100);
	plan(r, 1, 0);
	for (unsigned int i = 0; i < 3; i++) {
		until_burst(r);
		assert_int_equal(r->bursts.parts, 16);
		while (r->bursts.left)
			window(r, TIER0 / 16, 100);
		plan(r, 1, cases[i].gain_ns);
		window(r, 0, 0);
		assert_int_equal(r->bursts.left && r->bursts.parts == 1, cases[i].urgent);
	}
	/* But the cost of such looks is limited. */
	for (unsigned int i = 0, whole = 0; i < 100; i++) {
		whole += r->bursts.parts == 1 && !r->bursts.left;
		window(r, 1000, 2000);
		if (hmem_bursts_may_plan(&r->bursts))
			plan(r, 1, 1e9);
		assert_true(whole < 60);
	}
}

/* A look that is due still comes after some windows in which pages move. */
static void moves_come_first(void **state)
{
	struct rules *r = *state;

	while (r->bursts.bursts < 2 || r->bursts.left) {
		window(r, 1000, 100);
		if (hmem_bursts_may_plan(&r->bursts))
			plan(r, 1, 0);
	}
	plan(r, 1, 1e9);
	for (unsigned int i = 0; i < 5; i++) {
		window_while(r, true, 0, 0);
		plan(r, 0, 0);
		assert_int_equal(r->bursts.left, 0);
	}
	window(r, 0, 0);
	assert_true(r->bursts.left);
	assert_int_equal(r->bursts.parts, 1);
}

/*
 * A burst observes as much of memory as its own time pays for: all of memory if few pages are
 * used in a long look, and a sixteenth, which is the least, if many are used in a short one.
 * All pages of a huge page cost one page walk.
 */
static void parts_follow_the_cost(void **state)
{
	/*
	 * The look is as long as it should be: a third of tier 0 is used.  Cost: 200 ns for
	 * each of these pages, 0.27 ms; income: a hundredth of the look.
	 */
	const struct {
		uint64_t look_ns;
		unsigned int pages_per_walk, parts;
	} cases[] = {
		{ 100000000, 1, 1 }, { 20000000, 1, 2 }, { 10000000, 1, 4 }, { 5000000, 1, 8 },
		{ 2000000, 1, 16 }, { 1500000, 512, 1 }, { 1500000, 1, 16 },
		{ 30000000, 1, 1 },
	};
	struct rules *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		until_burst(r);
		do {
			r->bursts.look_ns = cases[i].look_ns;
			r->pages_per_walk = cases[i].pages_per_walk;
			window(r, TIER0 / 3 / r->bursts.parts, TIER0);
		} while (r->bursts.left);
		assert_int_equal(r->bursts.due_parts, cases[i].parts);
	}
}

/*
 * Runs windows until bursts are about all of memory, with looks as long as a window.  Then the
 * guest uses 4096 pages every 10 ms.  Returns the looks of the burst that notices it.
 */
static unsigned int begin_to_work(struct rules *r, int64_t debt_ns)
{
	unsigned int looks = 0;

	while (r->bursts.bursts < 3 || !r->bursts.left)
		window(r, 0, 0);
	assert_int_equal(r->bursts.parts, 1);
	r->bursts.whole_debt_ns = debt_ns;
	while (r->bursts.left) {
		uint64_t used = r->next / 10000000.0 * TIER0;

		window(r, (used > TIER0 ? TIER0 : used) / r->bursts.parts, 0);
		looks += r->bursts.looked;
	}
	return looks;
}

/*
 * After a time in which little was used, the first look is much too long: it does not count.
 * The burst goes on with shorter looks at all of memory, because nothing is known of it.
 */
static void long_looks_do_not_count(void **state)
{
	struct rules *r = *state;

	/* 1000, 250, 63, 16 and 5 ms, and then four looks of about 3 ms. */
	assert_int_equal(begin_to_work(r, 0), 5 + 4);
	assert_in_range(r->bursts.look_ns, 1500000, 8000000);
	assert_int_equal(r->bursts.parts, 1);
	assert_true(r->bursts.ahead);
}

/* The same, while earlier bursts at all of memory are not paid for. */
static void long_looks_do_not_count_in_debt(void **state)
{
	struct rules *r = *state;

	assert_int_equal(begin_to_work(r, 1000000000), 5 + 3);
	assert_in_range(r->bursts.look_ns, 1500000, 8000000);
	assert_int_equal(r->bursts.parts, 16);
	assert_false(r->bursts.ahead);
}

/* The same with scans. */
static void long_looks_do_not_count_with_scans(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	r->scan_ns = 1;
	assert_int_equal(begin_to_work(r, 0), 5 + 4);
	assert_in_range(r->bursts.look_ns, 1500000, 8000000);
	assert_true(r->bursts.ahead);
}

/*
 * A look is no shorter than two scans, however many pages it finds used.  The burst ends all
 * the same, and is not repeated at the same length.
 */
static void long_scans_end(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	r->scan_ns = 300000000;
	assert_int_equal(begin_to_work(r, 0), 1 + 4);
	assert_int_equal(r->bursts.look_ns, 600000000);
	assert_true(r->bursts.ahead);
}

/*
 * Scans do not all take the same time, so the shortest look changes a little from look to look.  A
 * burst ends nevertheless, if all of its looks find too many pages used.
 */
static void scans_vary(void **state)
{
	struct rules *r = *state;
	unsigned int windows = 0;

	r->scans = true;
	r->scan_ns = 6000000;
	until_burst(r);
	/* A scan that clears no bits takes half of the time. */
	while (r->bursts.left && windows++ < 100) {
		window(r, TIER0 * 3 / 4, 0);
		r->scan_ns = r->heat.clear ? 6000000 + windows * 1000 : 2500000;
	}
	assert_in_range(windows, 8, 40);
}

/* The last look of a burst can be too long, too: the burst does not end with it. */
static void last_looks_do_not_count(void **state)
{
	struct rules *r = *state;

	until_burst(r);
	while (r->bursts.left > 1)
		window(r, 0, 0);
	assert_int_equal(r->bursts.look_ns, 1000000000);
	window(r, TIER0, 0);
	assert_true(r->bursts.looked);
	assert_int_equal(r->bursts.left, 8);
	assert_in_range(r->bursts.look_ns, 333000000, 334000000);
}

/* Parts of different widths take turns, too, and none is left out. */
static void widths_change(void **state)
{
	struct rules *r = *state;
	unsigned int seen[HMEM_BURSTS_PARTS] = { 0 };

	until_burst(r);
	for (unsigned int i = 0; i < 400; i++) {
		unsigned int width;

		while (r->bursts.left)
			window(r, TIER0 / r->bursts.parts, 10);
		r->bursts.due_parts = 1u << i % 5;
		until_burst(r);
		assert_true(r->bursts.part < r->bursts.parts);
		width = HMEM_BURSTS_PARTS / r->bursts.parts;
		for (unsigned int k = 0; k < width; k++)
			seen[r->bursts.part * width + k]++;
	}
	for (unsigned int i = 0; i < HMEM_BURSTS_PARTS; i++)
		assert_true(seen[i] > 50);
}

/* The parts take turns, for two bursts each; scans always cover all memory. */
static void turns(void **state)
{
	struct rules *r = *state;

	until_burst(r);
	for (unsigned int i = 0; i < 64; i++) {
		while (r->bursts.left)
			window(r, TIER0 / r->bursts.parts, 10);
		until_burst(r);
		assert_int_equal(r->bursts.part, (i + 1) / 2 % HMEM_BURSTS_PARTS);
	}
	r->scans = true;
	for (unsigned int i = 0; i < 3; i++) {
		while (r->bursts.left)
			window(r, 1000, 10);
		until_burst(r);
	}
	assert_int_equal(r->bursts.parts, 1);
}

/* A window whose scan missed pages is no look, nor is the next window; the burst goes on. */
static void incomplete_scans_are_no_looks(void **state)
{
	struct rules *r = *state;

	r->scans = true;
	until_burst(r);
	window(r, 1000, 0);
	window(r, 1000, 0);
	assert_int_equal(r->bursts.left, 7);
	for (unsigned int i = 0; i < 2; i++) {
		r->heat.incomplete = !i;
		window(r, 1000, 0);
		assert_false(r->heat.look);
		assert_true(r->heat.clear);
		assert_int_equal(r->bursts.left, 7);
	}
	r->heat.incomplete = false;
	window(r, 1000, 0);
	assert_true(r->heat.look);
}

/* If all scans miss pages, the burst ends without a plan, and other bursts follow. */
static void all_scans_incomplete(void **state)
{
	struct rules *r = *state;
	unsigned int n = 0;

	r->scans = true;
	until_burst(r);
	while (r->bursts.left) {
		r->heat.incomplete = true;
		window(r, 1000, 0);
		n++;
	}
	assert_in_range(n, 4, 16);
	assert_false(hmem_bursts_may_plan(&r->bursts));
	r->heat.incomplete = false;
	until_burst(r);
	while (r->bursts.left)
		window(r, 1000, 0);
	assert_true(hmem_bursts_may_plan(&r->bursts));
}

#define BLOCKS	256u
#define PARTS	16u

/* The parts have equal numbers of used pages, if these are neighbours or regularly spaced. */
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
	struct hmem_rates rates;
	struct hmem_pages pages;

	(void)state;
	hmem_rates_init(&rates, 20);
	hmem_tracker_sim_init(&sim, maps, BLOCKS * 8);
	for (unsigned int i = 0; i < sizeof(used) / sizeof(*used); i++) {
		uint64_t sum = 0;

		for (unsigned int part = 0; part < PARTS; part++) {
			struct hmem_heat heat = {
				.rates = &rates, .clear = true, .parts = PARTS,
				.part = part,
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

static int by_share(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y) - (x > y);
}

/*
 * The worth of DRAM beyond any number of the most used pages is what the workload's accesses to
 * the other pages cost.  The hottest sixteenth is not compared, because the rates of pages that
 * are used in every look are not known.
 */
static void worth_is_what_accesses_say(void **state)
{
	static const struct model_load *const known[] = { &hot_set, &zipf, &uniform };

	(void)state;
	for (unsigned int i = 0; i < sizeof(known) / sizeof(*known); i++) {
		double shares[DATA], left = 1, ops;
		struct hmem_worth worth;
		struct model m;

		loads_begin(&m, known[i], HMEM_POLICY_AUTO);
		model_run(&m, 1e-3);
		assert_false(hmem_bursts_worth(&m.placer.bursts, &m.placer.pages, 0, &worth));
		/* Where no page moves, looks are half as frequent. */
		model_run(&m, 40);
		while (!hmem_bursts_worth(&m.placer.bursts, &m.placer.pages, 0, &worth))
			model_run(&m, 1e-3);
		ops = loads_speed(&m, 1) * 1e6;
		memcpy(shares, m.weight, sizeof(shares));
		qsort(shares, DATA, sizeof(*shares), by_share);
		for (unsigned int page = 0; page < DATA; left -= shares[page++]) {
			double share = hmem_worth_between(&worth, page, UINT64_MAX) /
				       (m.placer.bursts.first.access_ns * ops);

			if (page >= DATA / 16 && fabs(share - left) > 0.08)
				fail_msg("load %u: pages from %u are worth %.3f, not %.3f", i,
					 page, share, left);
		}
		model_free(&m);
	}
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_make_no_difference),
		cmocka_unit_test(trackers_make_no_difference),
		cmocka_unit_test(the_dirty_log_sees_writes),
		cmocka_unit_test(memory_comes_back),
		cmocka_unit_test(programs_begin),
		cmocka_unit_test(huge_pages_are_swept),
		cmocka_unit_test(moving_sweeps_gain),
		cmocka_unit_test(huge_pages_are_used_at_random),
		cmocka_unit_test(huge_pages_stay),
		cmocka_unit_test(three_tiers_are_filled),
		cmocka_unit_test(uniform_stays),
		cmocka_unit_test(sweep_stays),
		cmocka_unit_test(moving_gains),
		cmocka_unit_test(looking_is_cheap),
		cmocka_unit_test(worth_is_what_accesses_say),
		RULE(long_looks),
		RULE(base_pages_need_no_long_looks),
		RULE(old_rates_are_measured_again),
		RULE(a_burst),
		RULE(a_burst_of_scans),
		RULE(length_of_looks),
		RULE(looks_outlast_scans),
		RULE(short_looks_lie_within_scans),
		RULE(too_long_looks_are_forgotten),
		RULE(looks_within_scans_are_apart),
		RULE(dear_looks_within_scans_are_few),
		RULE(horizon_is_at_the_next_look),
		RULE(dear_bursts_are_paid_once),
		RULE(budget),
		RULE(scans_of_idle_guests),
		RULE(looks_leave_out_scans),
		RULE(scans_as_long_as_windows),
		RULE(gains_are_looked_for),
		RULE(moves_come_first),
		RULE(parts_follow_the_cost),
		RULE(widths_change),
		RULE(long_looks_do_not_count),
		RULE(long_looks_do_not_count_in_debt),
		RULE(long_looks_do_not_count_with_scans),
		RULE(long_scans_end),
		RULE(scans_vary),
		RULE(last_looks_do_not_count),
		RULE(turns),
		RULE(incomplete_scans_are_no_looks),
		RULE(all_scans_incomplete),
		cmocka_unit_test(parts_are_alike),
	};

	return cmocka_run_group_tests_name("bursts", tests, NULL, NULL);
}
