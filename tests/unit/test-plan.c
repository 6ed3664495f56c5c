/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan of a window, compared with a plan made by sorting all pages; and policies. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "refusals.h"
#include "plan.h"
#include "policy.h"
#include "numbers.h"
#include "table.h"

#define FAST	1000u
#define SLOW	3000u
#define FRAMES	(FAST + SLOW)
/* Behind them are frames of a third tier. */
#define OTHER	500u
#define MAP_WORDS	((FRAMES + OTHER) / 64 + 1)

static const struct hmem_link_range ranges[] = {
	{ .gfn = 0, .num = FAST, .tier = 0 },
	{ .gfn = FAST, .num = SLOW, .tier = 1 },
	{ .gfn = FRAMES, .num = OTHER, .tier = 2 },
};

struct fixture {
	struct hmem_pages pages;
	struct hmem_plan plan;
	uint64_t map[MAP_WORDS];
	struct hmem_tracker_maps dirty;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(hmem_pages_init(&f->pages, ranges, 3, 3,
					 FRAMES + OTHER, NULL), 0);
	/* All blocks are known to have pages that move. */
	memset(f->pages.quota, 64 ^ HMEM_QUOTA_FIRST, f->pages.num_slots / 64);
	hmem_tracker_dirty_init(&f->dirty, f->map, sizeof(f->map));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hmem_plan_free(&f->plan);
	hmem_pages_free(&f->pages);
	free(f);
	return 0;
}

static void make(struct fixture *f, uint32_t budget, uint32_t hysteresis,
		 uint32_t room, uint32_t spare)
{
	const struct hmem_plan_limits limits = {
		.pair = { .fast = 0, .slow = 1 },
		.budget = budget,
		.hysteresis = hysteresis,
		.room = room,
		.free = spare,
		.spare = spare,
	};

	assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
}

static int rising(const void *a, const void *b)
{
	return *(const unsigned int *)a - *(const unsigned int *)b;
}

static int falling(const void *a, const void *b)
{
	return rising(b, a);
}

/* Makes the plan by sorting: returns the buckets of the pages to promote and to demote. */
static unsigned int plan_by_sorting(struct fixture *f, uint32_t pairs, unsigned int apart,
				    unsigned int *up, unsigned int *down)
{
	unsigned int hot[SLOW], cold[FAST], num_hot = 0, num_cold = 0, n;

	for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
		unsigned int bucket = HMEM_BUCKET(hmem_pages_heat(&f->pages, gfn));

		if (gfn < FAST ? !table_in(&f->pages, gfn, hmem_pages_willing) :
		    !table_in(&f->pages, gfn, hmem_pages_eligible))
			continue;
		if (gfn < FAST)
			cold[num_cold++] = bucket;
		else
			hot[num_hot++] = bucket;
	}
	qsort(hot, num_hot, sizeof(*hot), falling);
	qsort(cold, num_cold, sizeof(*cold), rising);
	for (n = 0; n < pairs && n < num_hot && n < num_cold; n++) {
		if (hot[n] < cold[n] + apart)
			break;
		up[n] = hot[n];
		down[n] = cold[n];
	}
	return n;
}

static void check_moves(struct fixture *f, const struct hmem_move *moves,
			uint32_t num, const unsigned int *want)
{
	bool seen[FRAMES] = { false };

	for (uint32_t i = 0; i < num; i++) {
		const struct hmem_move *m = &moves[i];

		assert_int_equal(HMEM_BUCKET(m->heat), want[i]);
		assert_int_equal(m->heat, hmem_pages_heat(&f->pages, m->gfn));
		assert_int_equal((int)m->tier, hmem_pages_tier(&f->pages, m->gfn));
		assert_true(table_in(&f->pages, m->gfn, hmem_pages_eligible));
		assert_false(seen[m->gfn]);
		seen[m->gfn] = true;
	}
}

static void same_as_sorting(void **state)
{
	struct fixture *f = *state;
	uint64_t rnd = 42;

	for (unsigned int round = 0; round < 300; round++) {
		unsigned int up[FRAMES], down[FRAMES], n;
		unsigned int apart = 1 + unit_random(&rnd) % 100;
		uint32_t pairs = unit_random(&rnd) % 1500;
		/*
		 * Few different heats, many, or only cold pages, so that all kinds of ties
		 * occur.
		 */
		unsigned int spread = 1u << unit_random(&rnd) % 17;
		unsigned int refused = unit_random(&rnd) % 4;

		memset(f->pages.state, 0, f->pages.num_slots * 2);
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
			uint64_t r = unit_random(&rnd);

			table_set_heat(&f->pages, gfn, r % 5 < 3 ? r / 16 % spread : 0);
			if (refused && r / 7 % 10 < refused) {
				hmem_pages_sent(&f->pages, gfn, 0);
				if (r & 1024)
					hmem_pages_refused(&f->pages, gfn, 0,
							   HMEM_REFUSED_BUSY);
			}
		}
		n = plan_by_sorting(f, pairs, apart, up, down);
		make(f, 2 * pairs, apart << 8, 0, 0);
		assert_int_equal(f->plan.num_promote, n);
		assert_int_equal(f->plan.num_demote, n);
		check_moves(f, f->plan.promote, n, up);
		check_moves(f, f->plan.demote, n, down);
	}
}

/* Frames that are given up look cold, and make room for nothing. */
static void given_frames_stay_out(void **state)
{
	const struct hmem_heat heat = { .decay = 8, .given = { (uint64_t[MAP_WORDS]) {
		[0 ... FAST / 64 - 2] = UINT64_MAX,
	}, FRAMES + OTHER } };
	struct fixture *f = *state;
	/* The last block and a half of tier 0; the other half belongs to tier 1. */
	const uint64_t first = (FAST / 64 - 1) * 64;

	hmem_pages_update(&f->pages, &f->dirty.tracker, &heat);
	for (uint64_t gfn = FAST; gfn < FRAMES; gfn++)
		table_set_heat(&f->pages, gfn, 60000);
	make(f, FRAMES, 1000, 0, 0);
	assert_int_equal(f->plan.num_demote, FAST - first);
	assert_int_equal(f->plan.num_promote, FAST - first);
	for (uint32_t i = 0; i < f->plan.num_demote; i++)
		assert_true(f->plan.demote[i].gfn >= first);
}

/*
 * In blocks with refused pages, idle pages are taken to stay.  Used pages, and blocks about
 * which nothing is known, do not count.
 */
static void knows_what_stays(void **state)
{
	struct fixture *f = *state;

	memset(f->pages.quota, 0, f->pages.num_slots / 64);
	make(f, FRAMES, 1000, 0, 0);
	assert_int_equal(f->plan.stays, 0);
	table_set_heat(&f->pages, 127, 20000);
	for (uint64_t gfn = 64; gfn < 67; gfn++) {
		hmem_pages_sent(&f->pages, gfn, 0);
		hmem_pages_refused(&f->pages, gfn, 0, HMEM_REFUSED_NACK);
		/* Pages of a slower tier do not count. */
		hmem_pages_sent(&f->pages, FAST + 200 + gfn, 0);
		hmem_pages_refused(&f->pages, FAST + 200 + gfn, 0, HMEM_REFUSED_NACK);
	}
	make(f, FRAMES, 1000, 0, 0);
	assert_int_equal(f->plan.stays, 63);
	/* One page moves after all. */
	hmem_pages_sent(&f->pages, 70, 0);
	hmem_pages_moved(&f->pages, 70, FAST + 7, 0, hmem_pages_record(&f->pages, 70));
	make(f, FRAMES, 1000, 0, 0);
	assert_int_equal(f->plan.stays, 0);
}

/* A plan is for two tiers: it neither takes nor counts pages of other tiers. */
static void other_tiers_stay_out(void **state)
{
	struct hmem_plan_limits limits = { .pair = { .slow = 1 }, .budget = FRAMES };
	struct fixture *f = *state;
	double gain;

	for (uint64_t gfn = FRAMES; gfn < FRAMES + OTHER; gfn++)
		table_set_heat(&f->pages, gfn, 60000);
	assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
	assert_int_equal(f->plan.num_promote + f->plan.num_demote, 0);
	assert_int_equal(hmem_plan_estimate(&f->plan, &f->pages, &limits, &gain, NULL), 0);
	assert_true(gain == 0);
	for (limits.pair.fast = 0; limits.pair.fast < 2; limits.pair.fast++) {
		limits.pair.slow = 2;
		assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
		assert_int_equal(f->plan.num_promote, OTHER);
		assert_int_equal(f->plan.num_demote, OTHER);
		for (uint32_t i = 0; i < OTHER; i++) {
			assert_int_equal(f->plan.promote[i].tier, 2);
			assert_int_equal(f->plan.promote[i].to, limits.pair.fast);
			assert_int_equal(f->plan.demote[i].tier, limits.pair.fast);
			assert_int_equal(f->plan.demote[i].to, 2);
		}
		assert_int_equal(hmem_plan_estimate(&f->plan, &f->pages, &limits, &gain, NULL),
				 0);
		assert_true(gain == (double)OTHER * HMEM_BUCKET(60000));
	}
}

static void equal_pages_stay(void **state)
{
	struct fixture *f = *state;

	for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
		table_set_heat(&f->pages, gfn, 40000);
	make(f, FRAMES, 0, 0, 0);
	assert_int_equal(f->plan.num_promote, 0);
	assert_int_equal(f->plan.num_demote, 0);
}

static void hysteresis_holds_back(void **state)
{
	struct fixture *f = *state;

	for (uint64_t gfn = 0; gfn < FAST; gfn++)
		table_set_heat(&f->pages, gfn, 20000);
	table_set_heat(&f->pages, FAST + 5, 20000 + 9000);
	table_set_heat(&f->pages, FAST + 6, 20000 + 12000);
	make(f, FRAMES, 10000, 0, 0);
	assert_int_equal(f->plan.num_promote, 1);
	assert_int_equal(f->plan.promote[0].gfn, FAST + 6);
}

/* Room to which pages of any tier are under way is spare no more, wherever others come from. */
static void spare_room_is_given_once(void **state)
{
	struct hmem_plan_limits limits = {
		.pair = { .slow = 1 }, .budget = FRAMES, .hysteresis = 1000, .spare = 4,
	};
	struct fixture *f = *state;
	double gain, first = 0;

	for (uint64_t gfn = 0; gfn < FRAMES + OTHER; gfn++)
		table_set_heat(&f->pages, gfn, gfn < FAST ? 60000 : 40000);
	for (unsigned int under_way = 0; under_way <= 4; under_way++) {
		for (limits.pair.slow = 1; limits.pair.slow <= 2; limits.pair.slow++) {
			assert_int_equal(hmem_plan_estimate(&f->plan, &f->pages, &limits, &gain,
							    NULL), 0);
			if (!first)
				first = gain;
			assert_true(gain == first / 4 * (4 - under_way));
			assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
			assert_int_equal(f->plan.num_promote, 4 - under_way);
		}
		hmem_pages_sent(&f->pages, FRAMES + under_way, 0);
	}
	/* What has come or was refused is not under way any more. */
	hmem_pages_moved(&f->pages, FRAMES, 0, 0, hmem_pages_record(&f->pages, FRAMES));
	hmem_pages_refused(&f->pages, FRAMES + 1, 0, HMEM_REFUSED_BUSY);
	hmem_pages_unsent(&f->pages, FRAMES + 2, 0);
	assert_int_equal(f->pages.in_flight[2], 2);
}

/* Pages that fit into spare room go first, and no page has to make room for them. */
static void spare_room(void **state)
{
	struct hmem_hint hints[64];
	struct fixture *f = *state;

	for (uint64_t gfn = FAST; gfn < FAST + 10; gfn++)
		table_set_heat(&f->pages, gfn, 60000);
	/* Four of the seven others are the spare room. */
	for (uint64_t gfn = 0; gfn < FAST - 7; gfn++)
		table_set_heat(&f->pages, gfn, 20000);
	make(f, 1000, 1000, 0, 4);
	assert_int_equal(f->plan.num_promote, 10);
	assert_int_equal(f->plan.num_demote, 6);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(f->plan.demote[i].heat, 0);
	assert_int_equal(hmem_plan_batch(&f->plan, hints, 64), 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(hints[i].tier, 0);
	assert_int_equal(hmem_plan_batch(&f->plan, hints, 64), 12);
	assert_int_equal(hmem_plan_batch(&f->plan, hints, 64), 0);
	make(f, 1000, 1000, 0, 100);
	assert_int_equal(f->plan.num_promote, 10);
	assert_int_equal(f->plan.num_demote, 0);
	assert_int_equal(hmem_plan_batch(&f->plan, hints, 7), 7);
	assert_int_equal(hmem_plan_batch(&f->plan, hints, 7), 3);
}

/* Free memory is filled even if no page of the fast tier is cold, or none would move. */
static void spare_room_among_hot_pages(void **state)
{
	struct fixture *f = *state;

	for (uint64_t gfn = 0; gfn < FAST + 10; gfn++)
		table_set_heat(&f->pages, gfn, gfn < FAST ? 60000 : 40000);
	make(f, 1000, 1000, 0, 4);
	assert_int_equal(f->plan.num_promote, 4);
	assert_int_equal(f->plan.num_demote, 0);
	/* Each of these is one move, not half of an exchange. */
	make(f, 3, 1000, 0, 4);
	assert_int_equal(f->plan.num_promote, 3);
	/* Three pages are under way to that memory already. */
	for (uint64_t gfn = FAST; gfn < FAST + 3; gfn++)
		hmem_pages_sent(&f->pages, gfn, 0);
	make(f, 1000, 1000, 0, 4);
	assert_int_equal(f->plan.num_promote, 1);
	/* A page that leaves makes room for one of them. */
	hmem_pages_sent(&f->pages, 0, 0);
	make(f, 1000, 1000, 0, 4);
	assert_int_equal(f->plan.num_promote, 2);
	/* A page that is not hotter than an empty frame stays. */
	make(f, 1000, 50000, 0, 4);
	assert_int_equal(f->plan.num_promote, 0);
}

static void budget_and_room(void **state)
{
	struct fixture *f = *state;

	for (uint64_t gfn = FAST; gfn < FRAMES; gfn++)
		table_set_heat(&f->pages, gfn, 60000);
	make(f, 100, 1000, 0, 0);
	assert_int_equal(f->plan.num_promote, 50);
	assert_int_equal(f->plan.num_demote, 50);
	make(f, 100, 1000, 20, 0);
	assert_int_equal(f->plan.num_promote, 40);
	assert_int_equal(f->plan.num_demote, 60);
	/* Making room takes at most half of the moves, so that pages are promoted in any case. */
	make(f, 100, 1000, 100000, 0);
	assert_int_equal(f->plan.num_promote, 25);
	assert_int_equal(f->plan.num_demote, 75);
	make(f, 0, 1000, 0, 0);
	assert_int_equal(f->plan.num_promote + f->plan.num_demote, 0);

	assert_int_equal(hmem_plan_budget(200, 1000000000), 200 * 256);
	assert_int_equal(hmem_plan_budget(200, 10000000), 512);
	assert_int_equal(hmem_plan_budget(1, 1000000), 0);
	assert_int_equal(hmem_plan_budget(65536, UINT64_MAX), HMEM_PLAN_MAX);
}

/* Plans choose different cold pages in turn. */
static void picks_go_round(void **state)
{
	struct fixture *f = *state;
	bool seen[FAST] = { false };
	unsigned int num = 0;

	table_set_heat(&f->pages, FAST, 60000);
	for (unsigned int i = 0; i < 40; i++) {
		make(f, 200, 1000, 100, 0);
		assert_true(f->plan.num_demote >= 100);
		for (uint32_t k = 0; k < f->plan.num_demote; k++)
			seen[f->plan.demote[k].gfn] = true;
	}
	for (unsigned int i = 0; i < FAST; i++)
		num += seen[i];
	assert_int_equal(num, FAST);
}

/* All batches together have each hint once, and no promotion precedes its demotion. */
static void batches_pair_up(void **state)
{
	struct fixture *f = *state;
	static const uint32_t sizes[] = { 2, 3, 7, 64, 511 };

	for (uint64_t gfn = FAST; gfn < FRAMES; gfn++)
		table_set_heat(&f->pages, gfn, 60000);
	for (unsigned int s = 0; s < 5; s++) {
		bool seen[FRAMES] = { false };
		int room = 0;
		uint32_t n, total = 0;

		make(f, 1100, 1000, 100, 0);
		assert_int_equal(f->plan.num_promote, 500);
		assert_int_equal(f->plan.num_demote, 600);
		for (;;) {
			struct hmem_hint hints[511];
			bool promoting = false;

			n = hmem_plan_batch(&f->plan, hints, sizes[s]);
			if (!n)
				break;
			assert_true(n <= sizes[s]);
			/* Demotions that only make room come first, in batches of their own. */
			if (total < 100)
				assert_int_equal(n, sizes[s] < 100 - total ? sizes[s] :
						 100 - total);
			for (uint32_t i = 0; i < n; i++) {
				uint64_t gfn = hints[i].gfn;

				assert_false(seen[gfn]);
				seen[gfn] = true;
				assert_int_equal(hints[i].order, 0);
				if (gfn < FAST) {
					assert_false(promoting);
					assert_int_equal(hints[i].tier, 1);
					room++;
				} else {
					assert_true(total >= 100);
					assert_int_equal(hints[i].tier, 0);
					promoting = true;
					room--;
				}
				assert_true(room >= 0);
			}
			total += n;
		}
		assert_int_equal(total, 1100);
	}
}

/* Of a block about which nothing is known, a few idle pages at a time are demoted. */
static void unknown_blocks(void **state)
{
	struct fixture *f = *state;

	memset(f->pages.quota, 0, f->pages.num_slots / 64);
	for (uint64_t gfn = FAST; gfn < FRAMES; gfn++)
		table_set_heat(&f->pages, gfn, 60000);
	make(f, 10000, 1000, 0, 0);
	assert_int_equal(f->plan.num_demote, 16 * 4);
	/* If one page of block 0 moves, more of its pages are tried; after two, all of them. */
	for (unsigned int i = 0; i < 2; i++) {
		hmem_pages_sent(&f->pages, i, 0);
		hmem_pages_moved(&f->pages, i, FAST + i, 0, (struct hmem_record) { 0 });
		/* The two frames of a move get no hint soon, so they are not in the plan. */
		make(f, 10000, 1000, 0, 0);
		assert_int_equal(f->plan.num_demote, 15 * 4 + (i ? 62 : 16));
	}
	/* Pages that are in use do not count for this limit. */
	for (uint64_t gfn = 64; gfn < 128; gfn++)
		table_set_heat(&f->pages, gfn, HMEM_HEAT_IN_USE);
	make(f, 10000, 1000, 0, 0);
	assert_int_equal(f->plan.num_demote, 14 * 4 + 62 + 64);
	/* A busy or a free page tells nothing about block 2; a page that refused to move does. */
	for (unsigned int i = 0; i < 4; i++) {
		hmem_pages_sent(&f->pages, 128 + i, 0);
		hmem_pages_refused(&f->pages, 128 + i, 0, i == 0 ? HMEM_REFUSED_BUSY :
				   i == 1 ? HMEM_REFUSED_FREE : HMEM_REFUSED_NACK);
		assert_int_equal(hmem_pages_quota(&f->pages, table_slot(&f->pages, 128)),
				 i < 3 ? 4 >> i : 0);
	}
	/* From time to time a page of the block is tried again. */
	assert_int_equal(hmem_pages_quota(&f->pages, table_slot(&f->pages, 128)), 0);
	f->pages.clock = 62;
	assert_int_equal(hmem_pages_quota(&f->pages, table_slot(&f->pages, 128)), 1);
	make(f, 10000, 1000, 0, 0);
	assert_int_equal(f->plan.num_demote, 13 * 4 + 1 + 62 + 2 + 64);
	hmem_pages_sent(&f->pages, 140, 0);
	hmem_pages_moved(&f->pages, 140, FAST + 140, 0, (struct hmem_record) { 0 });
	assert_int_equal(hmem_pages_quota(&f->pages, table_slot(&f->pages, 128)), 4);
}

/*
 * Most of tier 0 belongs to the kernel, and is colder than pages that could be demoted.  A few
 * pages of each block show that; the others get no hint for a long time.
 */
static void unwilling_pages_rest(void **state)
{
	struct fixture *f = *state;
	unsigned int first = 0, later = 0, found = 0;

	memset(f->pages.quota, 0, f->pages.num_slots / 64);
	for (unsigned int w = 0; w < 110; w++) {
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
			table_set_heat(&f->pages, gfn,
				       gfn >= FAST ? 50000 : gfn < 900 ? 0 : 1000);
		make(f, 40, 20000, 0, 0);
		for (uint32_t i = 0; i < f->plan.num_demote; i++) {
			uint64_t gfn = f->plan.demote[i].gfn;

			hmem_pages_sent(&f->pages, gfn, 0);
			if (gfn >= 900) {
				hmem_pages_unsent(&f->pages, gfn, 0);
				found++;
				continue;
			}
			hmem_pages_refused(&f->pages, gfn, 0, HMEM_REFUSED_NACK);
			if (w < 10)
				first++;
			else
				later++;
		}
		hmem_pages_update(&f->pages, &f->dirty.tracker,
				  &(struct hmem_heat) { .decay = 8 });
	}
	/* 15 blocks have only pages that refuse to move. */
	assert_in_range(first, 15 * 3, 15 * 5);
	assert_in_range(later, 14, 15 * 2);
	assert_int_equal(found, 110 * 20 - first - later);
}

/* With a guest that follows all hints, the plans find the hot set. */
static void loop_converges(void **state)
{
	struct fixture *f = *state;
	uint32_t moved = 0, late = 0;

	for (unsigned int w = 0; w < 60; w++) {
		struct hmem_hint hints[511];
		uint32_t n;

		/* The pages that are in frames 1500 to 1999 at first are hot. */
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
			bool hot = w == 0 ? gfn >= 1500 && gfn < 2000 :
				   hmem_pages_heat(&f->pages, gfn) > 0;

			if (hot)
				f->map[gfn / 64] |= UINT64_C(1) << (gfn % 64);
		}
		hmem_pages_update(&f->pages, &f->dirty.tracker,
				  &(struct hmem_heat) { .decay = 2 });
		make(f, 200, 20000, 0, 0);
		while ((n = hmem_plan_batch(&f->plan, hints, 511))) {
			uint32_t half = n / 2;
			struct hmem_record was[511];

			for (uint32_t i = 0; i < n; i++) {
				hmem_pages_sent(&f->pages, hints[i].gfn, 0);
				was[i] = hmem_pages_record(&f->pages,
							   hints[i].gfn);
			}
			/* The pages of a pair change places. */
			for (uint32_t i = 0; i < half; i++) {
				uint64_t a = hints[i].gfn;
				uint64_t b = hints[half + i].gfn;

				hmem_pages_moved(&f->pages, a, b, 0, was[i]);
				hmem_pages_moved(&f->pages, b, a, 0, was[half + i]);
			}
			moved += n;
			if (w > 30)
				late += n;
		}
	}
	for (uint64_t gfn = FAST; gfn < FRAMES; gfn++)
		assert_int_equal(hmem_pages_heat(&f->pages, gfn), 0);
	/* Each page has moved once, and no page moves any more. */
	assert_int_equal(moved, 1000);
	assert_int_equal(late, 0);
}

/* Sorts all frames as idle by class.  @rates is empty; tests set what they need. */
static void begin_rates(struct fixture *f, struct hmem_rates *rates)
{
	struct hmem_pages *p = &f->pages;

	*rates = (struct hmem_rates) { 0 };
	p->by_class = true;
	memset(p->hist, 0, sizeof(p->hist));
	for (uint32_t tier = 0; tier < p->num_tiers; tier++)
		p->hist[tier][HMEM_CLASS_IDLE] = p->frames[tier];
}

/* Sets a page's class as a move does: the block is live, and the histogram has the page. */
static void set_class(struct fixture *f, uint64_t gfn, unsigned int class)
{
	struct hmem_pages *p = &f->pages;
	uint64_t slot = table_slot(p, gfn), *hist = p->hist[hmem_pages_tier(p, gfn)];

	hist[hmem_pages_bucket(p, slot)]--;
	/* The middle of the class. */
	p->heat[slot] = 8 * HMEM_RATE_OCTAVE + (2 * (class / 8) + 1) * HMEM_RATE_OCTAVE / 4;
	p->recent[slot] = (p->heat[slot] >> 8) + 12 * (class % 8) - 48;
	assert_int_equal(hmem_pages_bucket(p, slot), class);
	hist[class]++;
	hmem_block_set(p->live, slot, true);
}

static unsigned int class_of(struct fixture *f, uint64_t gfn)
{
	return hmem_pages_bucket(&f->pages, table_slot(&f->pages, gfn));
}

static void make_by_rates(struct fixture *f, const struct hmem_rates *rates,
			  uint32_t budget, double access_ns, double move_ns, uint32_t room)
{
	const struct hmem_plan_limits limits = {
		.budget = budget,
		.rates = rates,
		.pair = { .slow = 1, .access_ns = access_ns, .move_ns = move_ns },
		.room = room,
	};

	assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
}

static int slower(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int faster(const void *a, const void *b)
{
	return slower(b, a);
}

/* Makes the plan by sorting: returns the rates of the pages that change places, and the gain. */
static unsigned int plan_by_sorting_rates(struct fixture *f, const struct hmem_rates *rates,
					  uint32_t pairs, double access_ns,
					  double move_ns, double *up, double *down,
					  double *gain_ns)
{
	unsigned int num_up = 0, num_down = 0, n;

	for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
		unsigned int class = class_of(f, gfn);

		if (gfn < FAST && table_in(&f->pages, gfn, hmem_pages_willing))
			down[num_down++] = rates->most[class];
		else if (gfn >= FAST && class != HMEM_CLASS_IDLE &&
			 table_in(&f->pages, gfn, hmem_pages_eligible))
			up[num_up++] = rates->least[class];
	}
	qsort(up, num_up, sizeof(*up), faster);
	qsort(down, num_down, sizeof(*down), slower);
	*gain_ns = 0;
	for (n = 0; n < pairs && n < num_up && n < num_down; n++) {
		double saved = (up[n] - down[n]) * access_ns;

		if (saved <= 2 * move_ns)
			break;
		*gain_ns += saved - 2 * move_ns;
	}
	return n;
}

static void check_rates(struct fixture *f, const struct hmem_move *moves, uint32_t num,
			const double *rates, const double *want)
{
	bool seen[FRAMES] = { false };

	for (uint32_t i = 0; i < num; i++) {
		const struct hmem_move *m = &moves[i];

		assert_true(rates[class_of(f, m->gfn)] == want[i]);
		assert_int_equal((int)m->tier, hmem_pages_tier(&f->pages, m->gfn));
		assert_true(table_in(&f->pages, m->gfn, hmem_pages_eligible));
		assert_false(seen[m->gfn]);
		seen[m->gfn] = true;
	}
}

/* The plan does not need rates that rise with the class. */
static void same_as_sorting_by_rates(void **state)
{
	struct fixture *f = *state;
	unsigned int planned = 0, limited = 0;
	struct hmem_rates rates;
	uint64_t rnd = 43;

	for (unsigned int round = 0; round < 200; round++) {
		double up[FRAMES], down[FRAMES], gain_ns;
		uint32_t pairs = unit_random(&rnd) % 1500, n;
		double access_ns = 1 + unit_random(&rnd) % 1000;
		double move_ns = unit_random(&rnd) % 300000;
		unsigned int classes = 1 + unit_random(&rnd) % HMEM_CLASSES;

		memset(f->pages.heat, 0, f->pages.num_slots * sizeof(*f->pages.heat));
		memset(f->pages.recent, 0, f->pages.num_slots);
		memset(f->pages.state, 0, f->pages.num_slots * sizeof(*f->pages.state));
		begin_rates(f, &rates);
		for (unsigned int i = 0; i < HMEM_CLASSES; i++) {
			rates.least[i] = unit_random(&rnd) % 1000000 / 1000.0;
			rates.most[i] = rates.least[i] + unit_random(&rnd) % 1000 / 10.0;
		}
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
			uint64_t r = unit_random(&rnd);

			if (r % 5)
				set_class(f, gfn, r / 8 % classes);
			if (r / 4096 % 10 == 0) {
				hmem_pages_sent(&f->pages, gfn, 0);
				if (r & 1 << 20)
					hmem_pages_refused(&f->pages, gfn, 0,
							   HMEM_REFUSED_BUSY);
			}
		}
		n = plan_by_sorting_rates(f, &rates, pairs, access_ns, move_ns, up, down,
					  &gain_ns);
		make_by_rates(f, &rates, 2 * pairs, access_ns, move_ns, 0);
		assert_int_equal(f->plan.num_promote, n);
		assert_int_equal(f->plan.num_demote, n);
		check_rates(f, f->plan.promote, n, rates.least, up);
		check_rates(f, f->plan.demote, n, rates.most, down);
		assert_true(f->plan.gain_ns >= gain_ns * (1 - 1e-9) &&
			    f->plan.gain_ns <= gain_ns * (1 + 1e-9));
		planned += n > 0;
		limited += n == pairs;
	}
	/* Most plans have moves.  Some are limited by the budget, others by what pays. */
	assert_true(planned > 100);
	assert_in_range(limited, 10, 190);
}

/* An exchange must save more than two moves take. */
static void moves_pay(void **state)
{
	struct fixture *f = *state;
	struct hmem_rates rates;

	begin_rates(f, &rates);
	rates.least[100] = 11;
	rates.least[108] = 12;
	rates.most[60] = 1;
	for (uint64_t gfn = 0; gfn < FAST; gfn++)
		set_class(f, gfn, 60);
	set_class(f, FAST + 5, 100);
	set_class(f, FAST + 6, 108);
	make_by_rates(f, &rates, FRAMES, 100, 500, 0);
	assert_int_equal(f->plan.num_promote, 1);
	assert_int_equal(f->plan.num_demote, 1);
	assert_int_equal(f->plan.promote[0].gfn, FAST + 6);
	assert_true(f->plan.gain_ns == 11 * 100 - 2 * 500);
	make_by_rates(f, &rates, FRAMES, 100, 499, 0);
	assert_int_equal(f->plan.num_promote, 2);
	assert_int_equal(f->plan.promote[0].gfn, FAST + 6);
	assert_true(f->plan.gain_ns == (10 + 11) * 100 - 4 * 499);
	/* If an access in tier 0 is not faster, no page moves. */
	make_by_rates(f, &rates, FRAMES, 0, 0, 0);
	assert_int_equal(f->plan.num_promote, 0);
	assert_true(f->plan.gain_ns == 0);
}

/* A page that goes to free memory must save more than its own move takes. */
static void free_memory_by_rates(void **state)
{
	struct fixture *f = *state;
	struct hmem_rates rates;
	struct hmem_plan_limits limits = {
		.budget = FRAMES, .rates = &rates, .free = 10, .spare = 10,
		.pair = { .slow = 1, .access_ns = 100, .move_ns = 1100 },
	};

	begin_rates(f, &rates);
	rates.least[100] = 11;
	rates.least[108] = 12;
	rates.most[60] = 1;
	for (uint64_t gfn = 0; gfn < FAST; gfn++)
		set_class(f, gfn, 60);
	set_class(f, FAST + 5, 100);
	set_class(f, FAST + 6, 108);
	assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
	assert_int_equal(f->plan.num_promote, 1);
	assert_int_equal(f->plan.num_demote, 0);
	assert_int_equal(f->plan.promote[0].gfn, FAST + 6);
	assert_true(f->plan.gain_ns == 12 * 100 - 1100);
	limits.pair.move_ns = 500;
	limits.free = limits.spare = 1;
	assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
	/* The other page has to take the place of a page that is used. */
	assert_int_equal(f->plan.num_promote, 1);
	limits.pair.move_ns = 499;
	assert_int_equal(hmem_plan_make(&f->plan, &f->pages, &limits, NULL), 0);
	assert_int_equal(f->plan.num_promote, 2);
	assert_int_equal(f->plan.num_demote, 1);
	assert_true(f->plan.gain_ns == 12 * 100 - 499 + 10 * 100 - 2 * 499);
}

/* A page that was never found used is not promoted, whatever rate its class has. */
static void idle_are_never_promoted(void **state)
{
	struct fixture *f = *state;
	struct hmem_rates rates;

	begin_rates(f, &rates);
	rates.least[HMEM_CLASS_IDLE] = 1000;
	rates.least[100] = 10;
	for (uint64_t gfn = FAST; gfn < FAST + 3; gfn++)
		set_class(f, gfn, 100);
	make_by_rates(f, &rates, FRAMES, 100, 1, 0);
	assert_int_equal(f->plan.num_promote, 3);
	assert_int_equal(f->plan.num_demote, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(class_of(f, f->plan.promote[i].gfn), 100);
}

/* Blocks about which nothing is known give few idle pages, wherever the idle class ranks. */
static void unknown_blocks_by_rates(void **state)
{
	static const double idle[] = { 0, 2, 7 };
	struct fixture *f = *state;
	struct hmem_rates rates;

	memset(f->pages.quota, 0, f->pages.num_slots / 64);
	begin_rates(f, &rates);
	rates.least[200] = 1000;
	rates.most[100] = 1;
	rates.most[50] = 5;
	for (uint64_t gfn = 0; gfn < 10; gfn++)
		set_class(f, gfn, 100);
	for (uint64_t gfn = 10; gfn < 15; gfn++)
		set_class(f, gfn, 50);
	for (uint64_t gfn = FAST; gfn < FRAMES; gfn++)
		set_class(f, gfn, 200);
	for (unsigned int i = 0; i < 3; i++) {
		unsigned int in_block[FAST / 64 + 1] = { 0 };
		double last = 0;

		rates.most[HMEM_CLASS_IDLE] = idle[i];
		make_by_rates(f, &rates, 10000, 100, 1, 0);
		assert_int_equal(f->plan.num_demote, 10 + 5 + 16 * 4);
		assert_int_equal(f->plan.num_promote, 10 + 5 + 16 * 4);
		for (uint32_t k = 0; k < f->plan.num_demote; k++) {
			uint64_t gfn = f->plan.demote[k].gfn;
			double most = rates.most[class_of(f, gfn)];

			assert_true(most >= last);
			last = most;
			in_block[gfn / 64] += class_of(f, gfn) == HMEM_CLASS_IDLE;
		}
		for (unsigned int k = 0; k < 16; k++)
			assert_int_equal(in_block[k], 4);
	}
}

/* Only pages that lose less than a move takes make room, since they may have to come back. */
static void room_by_rates(void **state)
{
	struct fixture *f = *state;
	struct hmem_rates rates;

	begin_rates(f, &rates);
	rates.most[HMEM_CLASS_IDLE] = 4.75;
	rates.most[100] = 5;
	for (uint64_t gfn = 7; gfn < FAST; gfn++)
		set_class(f, gfn, 100);
	make_by_rates(f, &rates, 100, 100, 500, 20);
	assert_int_equal(f->plan.num_promote, 0);
	assert_int_equal(f->plan.num_demote, 7);
	assert_true(f->plan.gain_ns == 0);
	make_by_rates(f, &rates, 100, 100, 501, 20);
	assert_int_equal(f->plan.num_demote, 20);
	make_by_rates(f, &rates, 100, 100, 475, 20);
	assert_int_equal(f->plan.num_demote, 0);
	/* Pairs come first, and pages that make room after them. */
	rates.least[200] = 1000;
	for (uint64_t gfn = FAST; gfn < FAST + 3; gfn++)
		set_class(f, gfn, 200);
	make_by_rates(f, &rates, 100, 100, 500, 20);
	assert_int_equal(f->plan.num_promote, 3);
	assert_int_equal(f->plan.num_demote, 7);
}

static void policy_checks(void **state)
{
	struct hmem_policy p, old;
	struct hmem_err err;
	static const char *const bad[][2] = {
		{ "name", "fast" }, { "name", "" }, { "rate", "0" },
		{ "rate", "65537" }, { "rate", "-1" }, { "rate", "1x" },
		{ "rate", "" }, { "rate", " 5" }, { "rate", "99999999999999999999" },
		{ "window", "-1" }, { "window", "3600001" }, { "hysteresis", "101" },
		{ "hysteresis", "0" }, { "decay", "9" }, { "decay", "0" },
		{ "headroom", "1048577" }, { "rates", "5" }, { "", "5" },
		{ "weight", "10001" }, { "levels", "8" }, { "track", "1" },
		{ "track", "pml" }, { "lockstep", "1" }, { "lockstep", "" },
	};

	(void)state;
	hmem_policy_init(&p);
	assert_int_equal(p.kind, HMEM_POLICY_AUTO);
	old = p;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(hmem_policy_set(&p, bad[i][0], bad[i][1], &err),
				 -EINVAL);
		assert_memory_equal(&p, &old, sizeof(p));
	}
	hmem_policy_set(&p, "nonsense", "1", &err);
	for (size_t i = 0; i < hmem_num_tunables; i++)
		assert_non_null(strstr(err.msg, hmem_tunables[i].name));
	assert_int_equal(hmem_policy_set(&p, "name", "writes", &err), 0);
	assert_int_equal(hmem_policy_set(&p, "rate", "65536", &err), 0);
	assert_int_equal(hmem_policy_set(&p, "window", "1", &err), 0);
	assert_int_equal(p.kind, HMEM_POLICY_WRITES);
	assert_int_equal(p.rate, 65536);
	assert_int_equal(p.window, 1);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0, 0 }, { "4096", 0, 4096 }, { "0x1000", 0, 4096 },
		{ "4K", 0, 4096 }, { "4k", 0, 4096 }, { "2M", 0, 2 << 20 },
		{ "1G", 0, 1 << 30 }, { "3t", 0, UINT64_C(3) << 40 },
		{ "0xfG", 0, UINT64_C(15) << 30 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "16777216T", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { "K", -EINVAL, 0 }, { "4KB", -EINVAL, 0 },
		{ "-4", -EINVAL, 0 }, { "0x", -EINVAL, 0 }, { "1.5G", -EINVAL, 0 },
		{ " 4", -EINVAL, 0 }, { "4 ", -EINVAL, 0 }, { "4P", -EINVAL, 0 },
	};
	static const struct {
		uint64_t bytes;
		const char *text;
	} formats[] = {
		{ 0, "0 B" }, { 1023, "1023 B" }, { 4096, "4 KiB" },
		{ 1536, "1.5 KiB" }, { UINT64_C(3) << 30, "3 GiB" },
		{ UINT64_C(5) << 40, "5 TiB" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 1;
		struct hmem_err err;

		assert_int_equal(hmem_parse_size(cases[i].text, strlen(cases[i].text),
						 &bytes, &err), cases[i].ret);
		if (!cases[i].ret)
			assert_true(bytes == cases[i].bytes);
	}
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char buf[32];

		assert_string_equal(hmem_format_size(formats[i].bytes, buf,
						     sizeof(buf)), formats[i].text);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_as_sorting),
		TEST(given_frames_stay_out),
		TEST(knows_what_stays),
		TEST(other_tiers_stay_out),
		TEST(equal_pages_stay),
		TEST(hysteresis_holds_back),
		TEST(budget_and_room),
		TEST(spare_room),
		TEST(spare_room_is_given_once),
		TEST(spare_room_among_hot_pages),
		TEST(picks_go_round),
		TEST(batches_pair_up),
		TEST(unknown_blocks),
		TEST(unwilling_pages_rest),
		TEST(loop_converges),
		TEST(same_as_sorting_by_rates),
		TEST(moves_pay),
		TEST(free_memory_by_rates),
		TEST(idle_are_never_promoted),
		TEST(unknown_blocks_by_rates),
		TEST(room_by_rates),
		cmocka_unit_test(policy_checks),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
