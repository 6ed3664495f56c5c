/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policies on known access patterns, in a small model of a guest whose accessed and dirty bits
 * stay set until they are rearmed.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "placer.h"
#include "virtio_hmem.h"

#define FAST	1024u
#define SLOW	3072u
#define FRAMES	(FAST + SLOW)
#define WORDS	(FRAMES / 64)
/* At 1 MiB per second, 400 pages can move in a window. */
#define WINDOW_NS	UINT64_C(1563000000)

static const struct hmem_link_range ranges[] = {
	{ .gfn = 0, .num = FAST, .tier = 0 },
	{ .gfn = FAST, .num = SLOW, .tier = 1 },
};

static const struct hmem_link_tier tiers[] = {
	/* The latencies that HMvisor's authors assume for NVM, in ns. */
	{ .read_latency = 100, .write_latency = 200 },
	{ .read_latency = 400, .write_latency = 1800 },
};

struct guest {
	struct hmem_policy policy;
	struct hmem_placer placer;
	struct hmem_tracker_maps sim;
	uint64_t maps[HMEM_LINK_MAPS * WORDS];
	/* By frame: the page's bits, and which page is in the frame. */
	bool accessed[FRAMES], written[FRAMES];
	unsigned int page[FRAMES];
	unsigned int window;
	uint64_t rnd;
	/* Is the page read, or written, in this window? */
	bool (*reads)(struct guest *g, unsigned int page);
	bool (*writes)(struct guest *g, unsigned int page);
	uint64_t moved, rearmed;
	/* The first hot page, and the number of hot pages that follow each other. */
	unsigned int hot, num_hot;
};

static int setup(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));

	hmem_policy_init(&g->policy);
	g->policy.kind = HMEM_POLICY_HMMV;
	g->policy.rate = 1;
	hmem_placer_init(&g->placer, &g->policy, tiers, 2, 0, 1);
	assert_int_equal(hmem_placer_ranges(&g->placer, ranges, 2, FRAMES, NULL), 1);
	hmem_tracker_sim_init(&g->sim, g->maps, WORDS * 8);
	hmem_placer_set_tracker(&g->placer, &g->sim.tracker, HMEM_CAN_REST);
	for (unsigned int i = 0; i < FRAMES; i++)
		g->page[i] = i;
	g->rnd = 42;
	/* The hot pages begin in the middle of the slow tier. */
	g->hot = FAST + 1000;
	g->num_hot = 900;
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	hmem_placer_free(&g->placer);
	free(g);
	return 0;
}

static bool chance(struct guest *g, unsigned int percent)
{
	return unit_random(&g->rnd) % 100 < percent;
}

static bool is_hot(const struct guest *g, unsigned int page)
{
	return page >= g->hot && page < g->hot + g->num_hot;
}

static bool hot_and_cold(struct guest *g, unsigned int page)
{
	return chance(g, is_hot(g, page) ? 95 : 5);
}

static bool half_of_the_time(struct guest *g, unsigned int page)
{
	(void)page;
	return chance(g, 50);
}

static bool always(struct guest *g, unsigned int page)
{
	(void)g, (void)page;
	return true;
}

static void collect(struct guest *g)
{
	for (unsigned int i = 0; i < FRAMES; i++) {
		bool written = g->writes && g->writes(g, g->page[i]);

		g->written[i] |= written;
		g->accessed[i] |= written || (g->reads && g->reads(g, g->page[i]));
		g->sim.dirty[i / 64] |= (uint64_t)g->written[i] << (i % 64);
		g->sim.accessed[i / 64] |= (uint64_t)g->accessed[i] << (i % 64);
	}
}

static void rearm(struct guest *g)
{
	for (unsigned int i = 0; i < FRAMES; i++) {
		if (g->sim.rearm[i / 64] >> (i % 64) & 1) {
			g->accessed[i] = g->written[i] = false;
			g->rearmed++;
		}
	}
	memset(g->sim.rearm, 0, WORDS * 8);
}

/* The pages of a pair change places; copying sets the bits of both frames. */
static void move(struct guest *g)
{
	struct hmem_hint hints[510];
	uint32_t n;

	while ((n = hmem_placer_hints(&g->placer, hints, 510))) {
		uint32_t half = n / 2;

		assert_int_equal(n % 2, 0);
		for (uint32_t i = 0; i < half; i++) {
			uint64_t a = hints[i].gfn, b = hints[half + i].gfn;
			struct hmem_answer answers[] = {
				{ .gfn = a, .new_gfn = b, .hint = &hints[i],
				  .reason = VIRTIO_HMEM_R_MOVED },
				{ .gfn = b, .new_gfn = a, .hint = &hints[half + i],
				  .reason = VIRTIO_HMEM_R_MOVED },
			};
			unsigned int page = g->page[a];

			hmem_placer_sent(&g->placer, a, 0);
			hmem_placer_sent(&g->placer, b, 0);
			hmem_placer_results(&g->placer, answers, 2);
			g->page[a] = g->page[b];
			g->page[b] = page;
			g->accessed[a] = g->accessed[b] = true;
			g->written[a] = g->written[b] = true;
		}
		g->moved += n;
	}
}

static void run(struct guest *g, unsigned int windows)
{
	const struct hmem_tick tick = {
		.times.window_ns = WINDOW_NS,
		.tells_written = true,
		.may_move = true,
		.max_moves = UINT32_MAX,
	};
	struct hmem_err err;

	if (memcmp(&g->policy, &g->placer.policy, sizeof(g->policy)))
		hmem_placer_set_policy(&g->placer, &g->policy);
	for (; windows; windows--, g->window++) {
		collect(g);
		hmem_placer_window(&g->placer, &tick);
		while (hmem_placer_step(&g->placer, UINT64_MAX, &err) != HMEM_PLACER_DONE)
			;
		assert_string_equal(err.msg, "");
		rearm(g);
		move(g);
	}
}

/* The percentage of the @num pages from @from on that are in tier 0. */
static unsigned int fast_share(const struct guest *g, unsigned int from,
			       unsigned int num)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < FAST; i++)
		n += g->page[i] >= from && g->page[i] < from + num;
	return n * 100 / num;
}

static unsigned int hot_share(const struct guest *g)
{
	return fast_share(g, g->hot, g->num_hot);
}

static void finds(struct guest *g)
{
	uint64_t moved;

	run(g, 40);
	assert_in_range(hot_share(g), 97, 100);
	moved = g->moved;
	run(g, 100);
	assert_in_range(hot_share(g), 97, 100);
	/* The hot pages stay there. */
	assert_in_range(g->moved - moved, 0, 100 * HMEM_BRAKE_LEAST);
}

static void finds_hot_reads(void **state)
{
	struct guest *g = *state;

	g->reads = hot_and_cold;
	finds(g);
}

static void finds_hot_writes(void **state)
{
	struct guest *g = *state;

	g->writes = hot_and_cold;
	g->policy.kind = HMEM_POLICY_HMVISOR;
	finds(g);
}

/* The policy "writes" moves no page because of reads. */
static void writes_ignores_reads(void **state)
{
	struct guest *g = *state;

	g->reads = hot_and_cold;
	g->policy.kind = HMEM_POLICY_WRITES;
	run(g, 50);
	assert_int_equal(g->moved, 0);
}

/* With the queue, placement is as good as without, and far fewer bits are cleared. */
static void queue_saves_work(void **state)
{
	struct guest *g = *state;
	struct guest *plain;
	void *other;

	setup(&other);
	plain = other;
	plain->policy.levels = 0;
	plain->reads = g->reads = hot_and_cold;
	run(plain, 400);
	run(g, 400);
	assert_in_range(hot_share(plain), 97, 100);
	assert_in_range(hot_share(g), 97, 100);
	assert_true(g->rearmed * 2 < plain->rearmed);
	teardown(&other);
}

static void follows_hot_set(void **state)
{
	struct guest *g = *state;

	g->reads = hot_and_cold;
	g->policy.levels = 3;
	run(g, 40);
	for (unsigned int i = 0; i < 4; i++) {
		g->hot = (g->hot + 1000) % (FRAMES - g->num_hot);
		run(g, 40);
		assert_in_range(hot_share(g), 95, 100);
	}
	/* With all levels, a page can count as hot for 127 more windows. */
	g->policy.levels = HMEM_MLQ_MAX_LEVEL;
	run(g, 300);
	g->hot = (g->hot + 1000) % (FRAMES - g->num_hot);
	run(g, 170);
	assert_in_range(hot_share(g), 95, 100);
}

static void uniform_stops(void **state)
{
	struct guest *g = *state;
	uint64_t moved;

	g->reads = half_of_the_time;
	g->policy.levels = 0;
	/* This is so low that chance in one window makes pages move. */
	g->policy.hysteresis = 10;
	run(g, 60);
	moved = g->moved;
	assert_in_range(moved, 1, FRAMES);
	run(g, 200);
	/* A few pages move in each window, to find out if moves pay again. */
	assert_in_range(g->moved - moved, 1, 200 * HMEM_BRAKE_LEAST);
	assert_int_equal(g->placer.brake.steps, HMEM_BRAKE_MAX);
	/* Now moves pay. */
	g->reads = hot_and_cold;
	run(g, 80);
	assert_in_range(hot_share(g), 97, 100);
}

static void uniform_and_dense_never_starts(void **state)
{
	struct guest *g = *state;

	g->reads = g->writes = always;
	run(g, 100);
	assert_int_equal(g->moved, 0);
}

/* Pages that are always read, and pages that are only written, in two of five windows. */
static bool steady_reads(struct guest *g, unsigned int page)
{
	(void)g;
	return page >= 2 * FAST && page < 3 * FAST;
}

static bool some_writes(struct guest *g, unsigned int page)
{
	return page >= 3 * FAST && (g->window + page) % 5 < 2;
}

static void weight_of_writes(void **state)
{
	struct guest *g = *state;
	struct hmem_heat hmmv, hmvisor;

	g->reads = steady_reads;
	g->writes = some_writes;
	g->policy.levels = 0;
	g->policy.decay = 4;
	g->policy.hysteresis = 5;
	run(g, 100);
	assert_in_range(fast_share(g, 2 * FAST, FAST), 95, 100);
	hmmv = hmem_policy_heat(&g->policy, tiers, 2, true);
	g->policy.kind = HMEM_POLICY_HMVISOR;
	run(g, 100);
	assert_in_range(fast_share(g, 3 * FAST, FAST), 95, 100);
	hmvisor = hmem_policy_heat(&g->policy, tiers, 2, true);
	/*
	 * HMM-V weighs reads and writes alike.  HMvisor weighs them by the tiers' latencies: a
	 * write takes 9 times as long in the slow tier, and a read 4 times.
	 */
	assert_int_equal(hmmv.read, HMEM_HEAT_MAX / 2);
	assert_int_equal(hmvisor.read, HMEM_HEAT_MAX * 100 / 325);
	g->policy.weight = 900;
	assert_int_equal(hmem_policy_heat(&g->policy, tiers, 2, true).read,
			 HMEM_HEAT_MAX / 10);
	/* With a tracker that does not tell writes, each use counts in full. */
	assert_int_equal(hmem_policy_heat(&g->policy, tiers, 2, false).read, HMEM_HEAT_MAX);
}

static void chooses_tracker(void **state)
{
	const uint32_t dirty = HMEM_LINK_TRACKER_DIRTY, sim = HMEM_LINK_TRACKER_SIM;
	const uint32_t gpt = HMEM_LINK_TRACKER_GPT;
	const uint32_t host = HMEM_LINK_TRACKER_HOST;
	struct hmem_policy p;
	struct hmem_err err;

	(void)state;
	hmem_policy_init(&p);
	assert_int_equal(hmem_policy_tracker(&p, dirty, dirty | sim, &err), dirty);
	assert_int_equal(hmem_policy_tracker(&p, dirty | sim, dirty | sim, &err), sim);
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt, dirty | sim, &err), gpt);
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt | sim, dirty | sim, &err), sim);
	p.kind = HMEM_POLICY_WRITES;
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt, dirty | sim, &err), dirty);
	/* The dirty log is not needed if the driver finds written pages. */
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt, dirty | gpt, &err), gpt);
	assert_int_equal(hmem_policy_set(&p, "track", "gpt", &err), 0);
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt, dirty | gpt, &err), gpt);
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt, dirty, &err), 0);
	assert_non_null(strstr(err.msg, "does not tell which pages were written"));
	assert_int_equal(hmem_policy_set(&p, "track", "damon", &err), 0);
	assert_int_equal(hmem_policy_tracker(&p, dirty | host, dirty, &err), 0);
	assert_non_null(strstr(err.msg, "does not tell which pages were written"));
	p.kind = HMEM_POLICY_HMMV;
	assert_int_equal(hmem_policy_tracker(&p, dirty | host, dirty, &err), host);
	assert_int_equal(hmem_policy_set(&p, "track", "gpt", &err), 0);
	assert_int_equal(hmem_policy_tracker(&p, dirty | gpt | sim, dirty | sim, &err), gpt);
	assert_int_equal(hmem_policy_tracker(&p, dirty | sim, dirty | sim, &err), 0);
	assert_non_null(strstr(err.msg, "offers sim, dirty: "));
	assert_non_null(strstr(err.msg, "load a driver"));
	assert_int_equal(hmem_policy_set(&p, "track", "dirty", &err), 0);
	assert_int_equal(hmem_policy_tracker(&p, dirty | sim, dirty | sim, &err), dirty);
	assert_int_equal(hmem_policy_set(&p, "track", "sim", &err), 0);
	assert_int_equal(hmem_policy_tracker(&p, dirty | sim, dirty | sim, &err), sim);
	assert_int_equal(hmem_policy_tracker(&p, dirty, dirty | sim, &err), 0);
	assert_non_null(strstr(err.msg, "sim"));
	assert_non_null(strstr(err.msg, "dirty"));
	assert_int_equal(hmem_policy_tracker(&p, host, 0, &err), 0);
	assert_non_null(strstr(err.msg, "offers only the host's trackers"));
	assert_int_equal(hmem_policy_tracker(&p, 0, 0, &err), 0);
	assert_non_null(strstr(err.msg, "offers no tracker"));
}

/* Auto has short windows by default, because windows without looks cost next to nothing. */
static void default_windows(void **state)
{
	struct hmem_policy p;
	struct hmem_err err;

	(void)state;
	hmem_policy_init(&p);
	assert_int_equal(hmem_policy_window_ms(&p), 100);
	assert_int_equal(hmem_policy_set(&p, "track", "damon", &err), 0);
	assert_int_equal(hmem_policy_window_ms(&p), 1000);
	assert_int_equal(hmem_policy_set(&p, "track", "gpt", &err), 0);
	assert_int_equal(hmem_policy_set(&p, "name", "hmmv", &err), 0);
	assert_int_equal(hmem_policy_window_ms(&p), 1000);
	assert_int_equal(hmem_policy_set(&p, "window", "250", &err), 0);
	assert_int_equal(hmem_policy_set(&p, "name", "auto", &err), 0);
	assert_int_equal(hmem_policy_window_ms(&p), 250);
	assert_int_equal(hmem_policy_set(&p, "window", "0", &err), 0);
	assert_int_equal(hmem_policy_window_ms(&p), 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(finds_hot_reads),
		TEST(finds_hot_writes),
		TEST(writes_ignores_reads),
		TEST(queue_saves_work),
		TEST(follows_hot_set),
		TEST(uniform_stops),
		TEST(uniform_and_dense_never_starts),
		TEST(weight_of_writes),
		cmocka_unit_test(chooses_tracker),
		cmocka_unit_test(default_windows),
	};

	return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
