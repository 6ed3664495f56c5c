/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page table: heat, access rates, history, refusals. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "refusals.h"
#include "table.h"

#define FRAMES	4096u
#define WORDS	(FRAMES / 64)
#define SECOND	UINT64_C(1000000000)

/* Unaligned ranges with a hole; two ranges share a word of the map. */
static const struct hmem_link_range ranges[] = {
	{ .gfn = 10, .num = 1000, .tier = 0 },
	{ .gfn = 1010, .num = 500, .tier = 1 },
	{ .gfn = 3000, .num = 1001, .tier = 1 },
};

struct fixture {
	uint64_t map[FRAMES / 64];
	struct hmem_tracker_maps dirty;
	struct hmem_pages pages;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	hmem_tracker_dirty_init(&f->dirty, f->map, sizeof(f->map));
	assert_int_equal(hmem_pages_init(&f->pages, ranges, 3, 2, FRAMES, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hmem_pages_free(&f->pages);
	free(f);
	return 0;
}

static void write_frame(struct fixture *f, uint64_t gfn)
{
	f->map[gfn / 64] |= UINT64_C(1) << (gfn % 64);
}

static void window(struct fixture *f)
{
	static const struct hmem_heat heat = { .decay = 2 };

	hmem_pages_update(&f->pages, &f->dirty.tracker, &heat);
}

static void finds_frames(void **state)
{
	struct fixture *f = *state;

	for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
		int tier = -1;

		for (unsigned int i = 0; i < 3; i++) {
			if (gfn >= ranges[i].gfn &&
			    gfn < ranges[i].gfn + ranges[i].num)
				tier = ranges[i].tier;
		}
		assert_int_equal(hmem_pages_tier(&f->pages, gfn), tier);
	}
	assert_true(hmem_pages_has(&f->pages, 1008, 1));
	/* The two ranges are contiguous, but no page lies in both. */
	assert_false(hmem_pages_has(&f->pages, 1008, 2));
	assert_false(hmem_pages_has(&f->pages, UINT64_MAX, 0));
	assert_int_equal(f->pages.frames[0], 1000);
	assert_int_equal(f->pages.frames[1], 1501);
}

static void refuses_too_much(void **state)
{
	struct hmem_link_range huge = { .gfn = 0, .num = UINT64_C(1) << 35 };
	struct hmem_pages p;
	struct hmem_err err;

	(void)state;
	assert_int_equal(hmem_pages_init(&p, &huge, 1, 2, UINT64_C(1) << 34, &err),
			 -E2BIG);
	assert_non_null(strstr(err.msg, "--max-guest"));
	hmem_pages_free(&p);
}

static void few_bytes_a_page(void **state)
{
	struct hmem_link_range tib = { .gfn = 0, .num = UINT64_C(1) << 28 };
	struct hmem_pages p;

	(void)state;
	assert_int_equal(hmem_pages_init(&p, &tib, 1, 2, UINT64_C(1) << 28, NULL), 0);
	assert_true(hmem_pages_bytes(&p) < (UINT64_C(1) << 28) * 64 / 10);
	hmem_pages_free(&p);
}

/* The size of a full table is known before, including both estimates of each page. */
static void bytes_are_known_before(void **state)
{
	const struct hmem_pages *p = &((struct fixture *)*state)->pages;
	const uint64_t frame = sizeof(*p->heat) + sizeof(*p->recent) + sizeof(*p->state);
	const uint64_t block = 64 * frame + sizeof(*p->quota) + sizeof(*p->mlq) +
			       sizeof(*p->given);

	assert_int_equal(hmem_pages_bytes_for(ranges, 3), hmem_pages_bytes(p));
	/* Besides, the table has a bit or two per block, and the ranges. */
	assert_in_range(hmem_pages_bytes(p) - p->num_slots / 64 * block,
			3 * sizeof(*p->ranges), 3 * sizeof(*p->ranges) + 64);
}

/* A window whose scan was incomplete makes no page colder, since a page can have been used. */
static void incomplete_windows_cool_nothing(void **state)
{
	struct fixture *f = *state;
	struct hmem_heat heat = { .decay = 2, .read = HMEM_HEAT_MAX, .levels = 7 };
	uint64_t maps[HMEM_LINK_MAPS * (FRAMES / 64)] = { 0 };
	uint64_t *accessed = maps + FRAMES / 64, *rearm = accessed + FRAMES / 64;
	struct hmem_tracker_maps gpt;
	uint16_t hot, other;

	hmem_tracker_gpt_init(&gpt, maps, FRAMES / 8);
	for (unsigned int i = 0; i < 3; i++) {
		accessed[1] = 3;
		hmem_pages_update(&f->pages, &gpt.tracker, &heat);
	}
	hot = hmem_pages_heat(&f->pages, 64);
	other = hmem_pages_heat(&f->pages, 65);
	assert_true(hot > HMEM_HEAT_MAX / 2);
	rearm[1] = 0;
	heat.incomplete = true;
	for (unsigned int i = 0; i < 10; i++) {
		struct hmem_mlq_block was = f->pages.mlq[1];

		/* The scan finds one of the two pages used, and misses the other. */
		accessed[1] = 2;
		hmem_pages_update(&f->pages, &gpt.tracker, &heat);
		assert_int_equal(hmem_pages_heat(&f->pages, 64), hot);
		assert_memory_equal(&f->pages.mlq[1], &was, sizeof(was));
		assert_int_equal(rearm[1], 0);
	}
	assert_true(hmem_pages_heat(&f->pages, 65) > other);
	heat.incomplete = false;
	hmem_pages_update(&f->pages, &gpt.tracker, &heat);
	assert_true(hmem_pages_heat(&f->pages, 64) < hot);
}

/* The heat equals a moving average in floating point. */
static void heat_is_an_average(void **state)
{
	struct fixture *f = *state;
	uint64_t rnd = 1;
	double want = 0;

	for (unsigned int i = 0; i < 2000; i++) {
		bool used = unit_random(&rnd) % 3 == 0;
		double got;

		if (used)
			write_frame(f, 77);
		window(f);
		want += ((used ? HMEM_HEAT_MAX : 0) - want) / 4;
		got = hmem_pages_heat(&f->pages, 77);
		/* Each window rounds down by less than 1, and that error decays like the heat. */
		assert_true(got <= want + 0.001 && got > want - 5);
	}
}

static void heat_has_limits(void **state)
{
	struct fixture *f = *state;
	uint16_t heat = 0;

	for (unsigned int i = 0; i < 100; i++) {
		write_frame(f, 3000);
		window(f);
		assert_true(hmem_pages_heat(&f->pages, 3000) >= heat);
		heat = hmem_pages_heat(&f->pages, 3000);
	}
	assert_true(heat > HMEM_HEAT_MAX - 8);
	for (unsigned int i = 0; i < 100; i++)
		window(f);
	assert_int_equal(hmem_pages_heat(&f->pages, 3000), 0);
}

/* Windows leave out blocks that have become cold. */
static void cold_blocks_rest(void **state)
{
	struct fixture *f = *state;
	uint64_t live = 0;

	write_frame(f, 100);
	write_frame(f, 4000);
	window(f);
	for (unsigned int i = 0; i <= FRAMES / 64 / 64; i++)
		live |= f->pages.live[i];
	assert_int_equal(__builtin_popcountll(live), 2);
	for (unsigned int i = 0; i < 100; i++)
		window(f);
	for (unsigned int i = 0; i <= FRAMES / 64 / 64; i++)
		assert_int_equal(f->pages.live[i], 0);
}

/* Ranges that share a word of the map get their own bits; bits outside ranges stay. */
static void windows_take_all_bits(void **state)
{
	struct fixture *f = *state;

	for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
		write_frame(f, gfn);
	window(f);
	for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
		bool ram = hmem_pages_tier(&f->pages, gfn) >= 0;

		assert_int_equal(hmem_pages_heat(&f->pages, gfn),
				 ram ? HMEM_HEAT_MAX / 4 : 0);
		assert_int_equal(f->map[gfn / 64] >> (gfn % 64) & 1, !ram);
	}
}

static uint16_t warm(struct fixture *f, uint64_t gfn, unsigned int windows)
{
	while (windows--) {
		write_frame(f, gfn);
		window(f);
	}
	return hmem_pages_heat(&f->pages, gfn);
}

static void sent(struct fixture *f, uint64_t gfn)
{
	hmem_pages_sent(&f->pages, gfn, 0);
}

static void moved(struct fixture *f, uint64_t gfn, uint64_t new_gfn, uint16_t heat)
{
	hmem_pages_moved(&f->pages, gfn, new_gfn, 0, (struct hmem_record) { .heat = heat });
}

static bool is_given(const struct hmem_pages *p, uint64_t gfn)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);
	uint64_t slot = r ? r->slot + (gfn - r->gfn) : 0;

	return r && p->given[slot / 64] >> (slot % 64) & 1;
}

static bool in_flight_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	uint64_t *num = arg;

	num[b->tier] += __builtin_popcountll(hmem_refusals_in_flight(&p->state[b->slot]));
	return true;
}

static void check_counts(struct fixture *f)
{
	uint64_t in_flight[2] = { 0 };

	hmem_pages_walk(&f->pages, 0, f->pages.num_slots, in_flight_fn, in_flight);
	assert_memory_equal(in_flight, f->pages.in_flight, sizeof(in_flight));
	for (unsigned int tier = 0; tier < 2; tier++) {
		uint64_t want[HMEM_BUCKETS] = { 0 };

		for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
			struct hmem_record r = hmem_pages_record(&f->pages, gfn);

			if (hmem_pages_tier(&f->pages, gfn) != (int)tier ||
			    is_given(&f->pages, gfn))
				continue;
			want[f->pages.by_class ? hmem_class(r.heat, r.recent) :
			     HMEM_BUCKET(r.heat)]++;
		}
		assert_memory_equal(want, f->pages.hist[tier], sizeof(want));
	}
}

/* The counts, from which plans are made, are right after windows and after moves. */
static void counts_add_up(void **state)
{
	struct fixture *f = *state;
	uint64_t rnd = 7;

	for (unsigned int w = 0; w < 50; w++) {
		for (unsigned int i = 0; i < 300; i++)
			write_frame(f, unit_random(&rnd) % FRAMES);
		/* The table counts a block whose pages have the same heat as one. */
		for (uint64_t gfn = 3072; gfn < 3072 + 128; gfn++)
			write_frame(f, gfn);
		window(f);
		check_counts(f);
		for (unsigned int i = 0; i < 100; i++) {
			uint64_t from = unit_random(&rnd) % FRAMES;
			uint64_t to = unit_random(&rnd) % FRAMES;
			uint16_t heat = hmem_pages_heat(&f->pages, from);

			if (i % 3)
				sent(f, from);
			if (i % 5)
				moved(f, from, to, heat);
		}
		check_counts(f);
	}
}

static void history_moves(void **state)
{
	struct fixture *f = *state;
	uint16_t heat = warm(f, 3100, 3);

	sent(f, 3100);
	moved(f, 3100, 50, heat);
	assert_int_equal(hmem_pages_heat(&f->pages, 50), heat);
	assert_int_equal(hmem_pages_heat(&f->pages, 3100), 0);
	/* The heat decays in its new place. */
	window(f);
	assert_true(hmem_pages_heat(&f->pages, 50) < heat);
	assert_int_equal(hmem_pages_heat(&f->pages, 3100), 0);
}

/*
 * Several pages move at the same time: frame from[i]'s page moves to to[i].  The results come
 * in every possible order.
 */
static void check_chain(struct fixture *f, const uint64_t *from,
			const uint64_t *to, unsigned int n)
{
	unsigned int order[4] = { 0, 1, 2, 3 };
	unsigned int orders = n == 2 ? 2 : 6;

	for (unsigned int k = 0; k < orders; k++) {
		uint16_t heat[4];

		for (unsigned int i = 0; i < n; i++) {
			heat[i] = warm(f, from[i], i + 1);
			assert_true(heat[i] > 0);
		}
		for (unsigned int i = 0; i < n; i++)
			heat[i] = hmem_pages_heat(&f->pages, from[i]);
		for (unsigned int i = 0; i < n; i++)
			sent(f, from[i]);
		for (unsigned int i = 0; i < n; i++) {
			unsigned int j = order[i];

			moved(f, from[j], to[j], heat[j]);
		}
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(hmem_pages_heat(&f->pages, to[i]), heat[i]);
		for (unsigned int i = 0; i < n; i++) {
			bool entered = false;

			for (unsigned int j = 0; j < n; j++)
				entered |= to[j] == from[i];
			if (!entered)
				assert_int_equal(hmem_pages_heat(&f->pages, from[i]), 0);
		}
		for (unsigned int i = 0; i < 100; i++)
			window(f);
		/* The next permutation of three, or of two. */
		unsigned int a = k % 2 && n > 2 ? 0 : n - 2, t = order[a];

		order[a] = order[a + 1];
		order[a + 1] = t;
	}
}

static void exchanges_in_any_order(void **state)
{
	struct fixture *f = *state;

	/*
	 * A page is demoted to a free frame, and another page is promoted to the first one's
	 * frame.
	 */
	check_chain(f, (uint64_t[]) { 20, 3020 }, (uint64_t[]) { 3500, 20 }, 2);
	/* Two pages change places. */
	check_chain(f, (uint64_t[]) { 21, 3021 }, (uint64_t[]) { 3021, 21 }, 2);
	/* Three pages move in a row, and three pages move in a ring. */
	check_chain(f, (uint64_t[]) { 22, 3022, 3023 },
		    (uint64_t[]) { 3600, 22, 3022 }, 3);
	check_chain(f, (uint64_t[]) { 24, 3024, 3025 },
		    (uint64_t[]) { 3025, 24, 3024 }, 3);
}

static void large_pages_move(void **state)
{
	struct fixture *f = *state;
	uint16_t heat = warm(f, 3077, 2);

	hmem_pages_sent(&f->pages, 3072, 4);
	hmem_pages_moved(&f->pages, 3072, 64, 4, (struct hmem_record) { 0 });
	assert_int_equal(hmem_pages_heat(&f->pages, 69), heat);
	assert_int_equal(hmem_pages_heat(&f->pages, 3077), 0);
	assert_int_equal(hmem_pages_heat(&f->pages, 68), 0);
}

static bool eligible(struct fixture *f, uint64_t gfn)
{
	return table_in(&f->pages, gfn, hmem_pages_eligible);
}

static bool willing(struct fixture *f, uint64_t gfn)
{
	return table_in(&f->pages, gfn, hmem_pages_willing);
}

/* Has the page refused, and returns the number of windows until it can get a hint again. */
static unsigned int refuse_and_wait(struct fixture *f, uint64_t gfn,
				    enum hmem_refusal how)
{
	unsigned int n = 0;

	sent(f, gfn);
	assert_false(eligible(f, gfn));
	hmem_pages_refused(&f->pages, gfn, 0, how);
	while (!eligible(f, gfn)) {
		window(f);
		n++;
		assert_true(n < 2000);
	}
	return n;
}

/* The frames that a walk over the table finds. */
static bool count_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	(void)p;
	*(uint64_t *)arg += hmem_block_frames(b);
	return true;
}

static uint64_t present(struct fixture *f)
{
	uint64_t found = 0;

	hmem_pages_walk(&f->pages, 0, f->pages.num_slots, count_fn, &found);
	assert_int_equal(found, hmem_pages_present(&f->pages, 0) +
				hmem_pages_present(&f->pages, 1));
	return found;
}

/* A frame that is given up has no record and is in no count, until it is taken back. */
static void given_frames_are_left_out(void **state)
{
	struct fixture *f = *state;
	uint64_t given[WORDS] = { 0 };
	struct hmem_heat heat = { .decay = 2, .given = { given, FRAMES } };

	warm(f, 100, 3);
	warm(f, 3100, 3);
	sent(f, 101);
	hmem_pages_refused(&f->pages, 101, 0, HMEM_REFUSED_NACK);
	given[1] = UINT64_MAX;
	/* This frame is in no range, so it does not count. */
	given[2000 / 64] = UINT64_MAX;
	assert_int_equal(present(f), 2501);
	write_frame(f, 102);
	hmem_pages_update(&f->pages, &f->dirty.tracker, &heat);
	assert_int_equal(present(f), 2501 - 64);
	assert_int_equal(hmem_pages_present(&f->pages, 0), 1000 - 64);
	for (uint64_t gfn = 64; gfn < 128; gfn++)
		assert_int_equal(hmem_pages_heat(&f->pages, gfn), 0);
	assert_true(hmem_pages_heat(&f->pages, 3100) > 0);
	check_counts(f);

	/* A result can tell that a frame was taken back before the next window ends. */
	sent(f, 3100);
	moved(f, 3100, 100, 20000);
	assert_int_equal(present(f), 2501 - 63);
	assert_int_equal(hmem_pages_heat(&f->pages, 100), 20000);
	check_counts(f);
	given[1] = 0;
	hmem_pages_update(&f->pages, &f->dirty.tracker, &heat);
	assert_int_equal(present(f), 2501);
	assert_int_equal(hmem_pages_heat(&f->pages, 102), 0);
	/* The frame's earlier page has left no record. */
	assert_true(eligible(f, 101));
	check_counts(f);
}

/* A guest gives up and takes back at random, as pages are used and move. */
static void given_frames_add_up(void **state)
{
	struct fixture *f = *state;
	uint64_t given[WORDS] = { 0 }, rnd = 9;
	struct hmem_heat heat = { .decay = 2, .given = { given, FRAMES } };

	for (unsigned int w = 0; w < 50; w++) {
		for (unsigned int i = 0; i < 300; i++)
			write_frame(f, unit_random(&rnd) % FRAMES);
		for (unsigned int i = 0; i < 8; i++)
			given[unit_random(&rnd) % WORDS] = unit_random(&rnd) & unit_random(&rnd);
		hmem_pages_update(&f->pages, &f->dirty.tracker, &heat);
		check_counts(f);
		for (unsigned int i = 0; i < 100; i++) {
			uint64_t from = unit_random(&rnd) % FRAMES;
			uint64_t to = unit_random(&rnd) % FRAMES;

			if (i % 3)
				sent(f, from);
			if (i % 5)
				moved(f, from, to, hmem_pages_heat(&f->pages, from));
		}
		check_counts(f);
		present(f);
	}
}

static void refusals_back_off(void **state)
{
	struct fixture *f = *state;
	static const unsigned int busy[] = { 2, 4, 8, 16, 32, 64, 64, 64 };
	static const unsigned int nack[] = { 64, 128, 256, 256 };

	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(refuse_and_wait(f, 500, HMEM_REFUSED_BUSY), busy[i]);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(refuse_and_wait(f, 501, HMEM_REFUSED_NACK), nack[i]);
	/* Other pages can get hints. */
	assert_true(eligible(f, 502));
}

/* The clock of refusals overflows; refusals are forgotten nevertheless. */
static void refusals_stay_over(void **state)
{
	struct fixture *f = *state;

	refuse_and_wait(f, 500, HMEM_REFUSED_NACK);
	for (unsigned int i = 0; i < 5000; i++) {
		window(f);
		assert_true(eligible(f, 500));
	}
	/* The table forgets old refusals, so the block is not live any more. */
	assert_int_equal(f->pages.live[0], 0);
	assert_int_equal(refuse_and_wait(f, 500, HMEM_REFUSED_BUSY), 2);
}

/* Pages that will not move get hints again from time to time, but few at once. */
static void few_are_probed(void **state)
{
	struct fixture *f = *state;
	const unsigned int num = 448;
	const struct hmem_heat brief = { .decay = 2, .brief = true };
	unsigned int n = 0, before;

	for (unsigned int i = 0; i < num; i++) {
		sent(f, 64 + i);
		hmem_pages_refused(&f->pages, 64 + i, 0, HMEM_REFUSED_NACK);
	}
	/* Brief windows, as in bursts, do not count for the pause. */
	for (unsigned int i = 0; i < 2000; i++)
		hmem_pages_update(&f->pages, &f->dirty.tracker, &brief);
	assert_false(eligible(f, 64));
	for (unsigned int i = 0; i < 63; i++)
		window(f);
	assert_false(eligible(f, 64));
	for (unsigned int i = 0; i < 1100 && n < num; i++) {
		window(f);
		before = n;
		n = 0;
		for (unsigned int k = 0; k < num; k++)
			n += willing(f, 64 + k);
		assert_in_range(n - before, 0, 8);
	}
	assert_int_equal(n, num);
}

static void free_pages_come_back(void **state)
{
	struct fixture *f = *state;

	sent(f, 600);
	hmem_pages_refused(&f->pages, 600, 0, HMEM_REFUSED_FREE);
	sent(f, 601);
	hmem_pages_refused(&f->pages, 601, 0, HMEM_REFUSED_NACK);
	assert_false(eligible(f, 600));
	write_frame(f, 600);
	write_frame(f, 601);
	window(f);
	assert_true(eligible(f, 600));
	assert_false(eligible(f, 601));
}

static void moved_pages_settle(void **state)
{
	struct fixture *f = *state;

	sent(f, 3100);
	moved(f, 3100, 50, 1);
	/* Neither the page nor its old frame gets a hint soon. */
	assert_false(eligible(f, 50));
	assert_false(eligible(f, 3100));
	window(f);
	window(f);
	assert_true(eligible(f, 50));
	assert_true(eligible(f, 3100));
}

/* Copying a page uses both frames, but does not make the page hotter. */
static void copying_is_no_use(void **state)
{
	struct fixture *f = *state;
	uint16_t heat = warm(f, 3100, 3);

	sent(f, 3100);
	moved(f, 3100, 50, heat);
	write_frame(f, 3100);
	write_frame(f, 50);
	write_frame(f, 51);
	window(f);
	assert_int_equal(hmem_pages_heat(&f->pages, 50), heat);
	assert_int_equal(hmem_pages_heat(&f->pages, 3100), 0);
	assert_true(hmem_pages_heat(&f->pages, 51) > 0);
	/* In the window after that, a use makes the page hotter. */
	write_frame(f, 50);
	window(f);
	assert_true(hmem_pages_heat(&f->pages, 50) > heat);
}

/* Results for frames outside memory, or for frames without a hint, have no effect. */
static void odd_results(void **state)
{
	struct fixture *f = *state;

	hmem_pages_sent(&f->pages, 2000, 9);
	hmem_pages_refused(&f->pages, 2000, 9, HMEM_REFUSED_NACK);
	hmem_pages_moved(&f->pages, 2000, 2500, 9, (struct hmem_record) { 0 });
	moved(f, UINT64_MAX, UINT64_MAX - 1, 5);
	hmem_pages_refused(&f->pages, 100, 0, HMEM_REFUSED_NACK);
	assert_true(eligible(f, 100));
}

static void resize_keeps_history(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_range fresh[] = {
		{ .gfn = 0, .num = 300, .tier = 1 },
		{ .gfn = 700, .num = 700, .tier = 0 },
		{ .gfn = 2990, .num = 500, .tier = 1 },
	};
	uint16_t heat[FRAMES];
	uint64_t rnd = 3;

	for (unsigned int w = 0; w < 10; w++) {
		for (unsigned int i = 0; i < 500; i++)
			write_frame(f, unit_random(&rnd) % FRAMES);
		window(f);
	}
	sent(f, 3100);
	hmem_pages_refused(&f->pages, 3100, 0, HMEM_REFUSED_NACK);
	for (uint64_t gfn = 0; gfn < FRAMES; gfn += 11)
		hmem_pages_sent(&f->pages, gfn, 0);
	for (uint64_t to = 50; to < 1000; to += 670)
		moved(f, 3400, to, 24832);
	for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
		heat[gfn] = hmem_pages_heat(&f->pages, gfn);
	assert_int_equal(hmem_pages_resize(&f->pages, fresh, 3, FRAMES, NULL), 0);
	check_counts(f);
	for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
		assert_int_equal(hmem_pages_heat(&f->pages, gfn),
				 hmem_pages_tier(&f->pages, gfn) < 0 ? 0 : heat[gfn]);
	assert_int_equal(hmem_pages_tier(&f->pages, 1200), 0);
	assert_int_equal(hmem_pages_tier(&f->pages, 650), -1);
	assert_false(eligible(f, 3100));
	/* If the ranges are too large, nothing changes. */
	fresh[2].num = FRAMES;
	assert_int_equal(hmem_pages_resize(&f->pages, fresh, 3, FRAMES, NULL), -E2BIG);
	assert_int_equal(hmem_pages_heat(&f->pages, 720), heat[720]);
}

/* A table that is used for access rates, and the accessed bits of a guest. */
struct looker {
	struct fixture *f;
	struct hmem_rates rates;
	struct hmem_heat heat;
	struct hmem_tracker_maps tracker;
	uint64_t maps[HMEM_LINK_MAPS * WORDS];
	/* The bit of a used frame stays set until it is cleared. */
	uint64_t bits[WORDS];
};

static void begin_looks(struct looker *l, struct fixture *f, bool late)
{
	memset(l, 0, sizeof(*l));
	l->f = f;
	hmem_rates_init(&l->rates, 20);
	l->heat = (struct hmem_heat) { .rates = &l->rates, .parts = 1 };
	if (late)
		hmem_tracker_gpt_init(&l->tracker, l->maps, WORDS * 8);
	else
		hmem_tracker_sim_init(&l->tracker, l->maps, WORDS * 8);
}

static void use(struct looker *l, uint64_t gfn)
{
	l->bits[gfn / 64] |= UINT64_C(1) << (gfn % 64);
}

static void clear_bits(struct looker *l)
{
	for (unsigned int i = 0; i < WORDS; i++) {
		l->bits[i] &= ~l->tracker.rearm[i];
		l->tracker.rearm[i] = 0;
	}
}

/* Ends a window of one second. */
static void look(struct looker *l, bool look, bool rearm)
{
	bool late = l->tracker.tracker.ops->rearms_late;

	l->heat.look = look;
	l->heat.clear = rearm;
	hmem_rates_begin(&l->rates, SECOND, SECOND, 0, true);
	memcpy(l->tracker.accessed, l->bits, sizeof(l->bits));
	/* This tracker clears bits only after the scan has found them again. */
	if (late)
		clear_bits(l);
	hmem_pages_update(&l->f->pages, &l->tracker.tracker, &l->heat);
	if (!late)
		clear_bits(l);
	check_counts(l->f);
}

/* Checks the last look: how many pages were observed, and how many of them were used. */
static void assert_looked(const struct looker *l, uint64_t looked, uint64_t used)
{
	for (unsigned int i = 0; i < HMEM_CLASSES; i++) {
		looked -= l->rates.looked[i];
		used -= l->rates.used[i];
	}
	assert_int_equal(looked, 0);
	assert_int_equal(used, 0);
}

static void assert_record(struct fixture *f, uint64_t gfn, uint16_t heat, uint8_t recent)
{
	struct hmem_record r = hmem_pages_record(&f->pages, gfn);

	assert_int_equal(r.heat, heat);
	assert_int_equal(r.recent, recent);
}

/* A moved page gets the record from the caller, a moved large page those of the table. */
static void records_move(void **state)
{
	struct fixture *f = *state;
	struct hmem_record a = { .heat = 40000, .recent = 201 };
	struct hmem_record b = { .heat = 30000, .recent = 7 };

	sent(f, 3100);
	hmem_pages_moved(&f->pages, 3100, 50, 0, a);
	assert_record(f, 50, 40000, 201);
	assert_record(f, 3100, 0, 0);
	sent(f, 3101);
	hmem_pages_moved(&f->pages, 3101, 51, 0, b);
	/* Two pages change places. */
	sent(f, 50);
	sent(f, 51);
	hmem_pages_moved(&f->pages, 50, 51, 0, a);
	hmem_pages_moved(&f->pages, 51, 50, 0, b);
	assert_record(f, 51, 40000, 201);
	assert_record(f, 50, 30000, 7);
	hmem_pages_sent(&f->pages, 48, 4);
	hmem_pages_moved(&f->pages, 48, 3200, 4, (struct hmem_record) { 0 });
	assert_record(f, 3203, 40000, 201);
	assert_record(f, 3202, 30000, 7);
	assert_record(f, 3201, 0, 0);
	assert_record(f, 51, 0, 0);
	/* A frame outside guest memory has no record. */
	assert_record(f, 2000, 0, 0);
	check_counts(f);
}

static void resize_keeps_records(void **state)
{
	struct fixture *f = *state;
	const struct hmem_link_range fresh[] = {
		{ .gfn = 0, .num = 300, .tier = 1 },
		{ .gfn = 700, .num = 700, .tier = 0 },
		{ .gfn = 2990, .num = 500, .tier = 1 },
	};
	struct hmem_record records[FRAMES];
	struct looker l;
	uint64_t rnd = 9;

	begin_looks(&l, f, false);
	for (unsigned int w = 0; w < 10; w++) {
		for (unsigned int i = 0; i < 500; i++)
			use(&l, unit_random(&rnd) % FRAMES);
		look(&l, w > 0, true);
	}
	for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
		records[gfn] = hmem_pages_record(&f->pages, gfn);
	assert_true(records[720].heat && records[720].recent);
	assert_int_equal(hmem_pages_resize(&f->pages, fresh, 3, FRAMES, NULL), 0);
	check_counts(f);
	for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
		bool ram = hmem_pages_tier(&f->pages, gfn) >= 0;

		assert_record(f, gfn, ram ? records[gfn].heat : 0,
			      ram ? records[gfn].recent : 0);
	}
	/* The next window sorts the pages by class again. */
	look(&l, false, false);
}

/* The histogram is right after looks and moves.  Without rates, it is by heat again. */
static void classes_add_up(void **state)
{
	struct fixture *f = *state;
	struct looker l;
	uint64_t rnd = 7, members[HMEM_BUCKETS];

	begin_looks(&l, f, false);
	look(&l, false, false);
	/* No page was used yet. */
	assert_int_equal(f->pages.hist[0][HMEM_CLASS_IDLE], 1000);
	assert_int_equal(f->pages.hist[1][HMEM_CLASS_IDLE], 1501);
	for (unsigned int w = 0; w < 20; w++) {
		for (unsigned int i = 0; i < 300; i++)
			use(&l, unit_random(&rnd) % FRAMES);
		look(&l, w > 0, true);
		hmem_pages_members(&f->pages, members);
		hmem_rates_end(&l.rates, members);
		for (unsigned int i = 0; i < 50; i++) {
			uint64_t from = unit_random(&rnd) % FRAMES;
			uint64_t to = unit_random(&rnd) % FRAMES;

			if (i % 3)
				sent(f, from);
			hmem_pages_moved(&f->pages, from, to, 0,
					 hmem_pages_record(&f->pages, from));
		}
		check_counts(f);
	}
	window(f);
	assert_false(f->pages.by_class);
	check_counts(f);
}

/* A look observes a page only if the page's bit was clear when the look began. */
static void check_new_bits(struct fixture *f, bool late)
{
	struct looker l;

	begin_looks(&l, f, late);
	use(&l, 67);
	look(&l, false, false);
	assert_record(f, 67, 0, 0);
	assert_int_equal(f->pages.faults, 1);
	assert_int_equal(f->pages.rearmed, 0);
	assert_looked(&l, 0, 0);
	/* The page's bit is still set, and all other bits are clear. */
	look(&l, true, false);
	assert_record(f, 67, 0, 0);
	assert_int_equal(f->pages.faults, 0);
	assert_looked(&l, 2500, 0);
	/*
	 * The bit is cleared at the end of this look; with a late tracker, at the end of the
	 * next window, whose scan finds the bit again.
	 */
	look(&l, true, true);
	assert_looked(&l, 2500, 0);
	assert_int_equal(f->pages.rearmed, late ? 2501 : 1);
	if (late) {
		look(&l, true, false);
		assert_looked(&l, 2500, 0);
	}
	assert_record(f, 67, 0, 0);
	assert_int_equal(f->pages.faults, 0);
	/* Now all bits are clear, so the look observes all pages. */
	look(&l, true, false);
	assert_looked(&l, 2501, 0);
	use(&l, 67);
	look(&l, true, false);
	assert_looked(&l, 2501, 1);
	assert_int_equal(f->pages.faults, 1);
	assert_true(hmem_pages_record(&f->pages, 67).heat > 0);
	assert_true(hmem_pages_record(&f->pages, 67).recent > 0);
	assert_record(f, 66, 0, 0);
}

static void looks_take_new_bits(void **state)
{
	check_new_bits(*state, false);
}

static void looks_take_new_bits_late(void **state)
{
	check_new_bits(*state, true);
}

/*
 * A late tracker clears the bits that it finds only if they were requested: so all are, those
 * of pages that were never used before, too.  Else a look at a guest that begins to work would
 * observe none of its pages.
 */
static void looks_take_first_bits_late(void **state)
{
	struct fixture *f = *state;
	struct looker l;

	begin_looks(&l, f, true);
	look(&l, false, true);
	use(&l, 67);
	look(&l, false, false);
	assert_record(f, 67, 0, 0);
	use(&l, 67);
	look(&l, true, false);
	assert_looked(&l, 2501, 1);
	assert_true(hmem_pages_record(&f->pages, 67).heat > 0);
}

/* All pages are used, but only pages of the looked-at part get records and are rearmed. */
static void looks_are_about_a_part(void **state)
{
	const unsigned int parts = 4;
	struct fixture *f = *state;
	uint64_t known = 0;
	struct looker l;

	begin_looks(&l, f, false);
	for (unsigned int part = 0; part < parts; part++) {
		struct hmem_record first;
		uint64_t looked = 0;

		l.heat.parts = 1;
		l.heat.part = 0;
		look(&l, false, true);
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
			use(&l, gfn);
		l.heat.parts = parts;
		l.heat.part = part;
		look(&l, true, true);
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++)
			looked += hmem_pages_tier(&f->pages, gfn) >= 0 &&
				  !(l.bits[gfn / 64] >> gfn % 64 & 1);
		assert_int_equal(f->pages.rearmed, looked);
		assert_looked(&l, looked, looked);
		assert_in_range(looked, 1, 2500);
		known += looked;
		/* Each page of the parts so far was found used once, and no other page was. */
		first = (struct hmem_record) { 0 };
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
			struct hmem_record r = hmem_pages_record(&f->pages, gfn);

			if (!r.heat)
				continue;
			if (!first.heat)
				first = r;
			assert_int_equal(r.heat, first.heat);
			assert_int_equal(r.recent, first.recent);
			looked++;
		}
		assert_int_equal(looked - f->pages.rearmed, known);
	}
	assert_int_equal(known, 2501);
}

/* Bits that copying set do not count as use, and hide accesses until they are cleared. */
static void check_copies(struct fixture *f, bool brief)
{
	const struct hmem_record record = { .heat = 40000, .recent = 150 };
	struct looker l;

	begin_looks(&l, f, false);
	l.heat.brief = brief;
	look(&l, false, false);
	sent(f, 3100);
	hmem_pages_moved(&f->pages, 3100, 50, 0, record);
	use(&l, 3100);
	use(&l, 50);
	use(&l, 51);
	look(&l, true, false);
	assert_record(f, 50, 40000, 150);
	assert_record(f, 3100, 0, 0);
	assert_true(hmem_pages_heat(&f->pages, 51) > 0);
	assert_looked(&l, 2499, 1);
	assert_int_equal(f->pages.faults, 1);
	/* These bits are not cleared yet. */
	look(&l, true, true);
	assert_looked(&l, 2498, 0);
	assert_record(f, 50, 40000, 150);
	assert_int_equal(f->pages.rearmed, 3);
	look(&l, true, true);
	assert_looked(&l, 2501, 0);
	assert_true(hmem_pages_record(&f->pages, 50).recent < 150);
}

/* A look does not observe frames that are given up. */
static void looks_leave_given_frames_out(void **state)
{
	struct fixture *f = *state;
	uint64_t given[WORDS] = { 0 };
	struct looker l;

	begin_looks(&l, f, false);
	look(&l, true, true);
	assert_looked(&l, 2501, 0);
	l.heat.given = (struct hmem_given) { given, FRAMES };
	given[1] = given[50] = UINT64_MAX;
	use(&l, 70);
	use(&l, 200);
	look(&l, true, true);
	assert_looked(&l, 2501 - 128, 1);
	assert_record(f, 70, 0, 0);
	assert_int_equal(f->pages.hist[0][HMEM_CLASS_IDLE] +
			 f->pages.hist[1][HMEM_CLASS_IDLE], 2501 - 128 - 1);
}

static void copies_are_no_accesses(void **state)
{
	check_copies(*state, false);
}

/* Pages move between looks, which are shorter than the policy's window. */
static void copies_are_no_accesses_in_brief_windows(void **state)
{
	check_copies(*state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(finds_frames),
		cmocka_unit_test(refuses_too_much),
		cmocka_unit_test(few_bytes_a_page),
		TEST(bytes_are_known_before),
		TEST(heat_is_an_average),
		TEST(incomplete_windows_cool_nothing),
		TEST(heat_has_limits),
		TEST(cold_blocks_rest),
		TEST(windows_take_all_bits),
		TEST(counts_add_up),
		TEST(given_frames_are_left_out),
		TEST(given_frames_add_up),
		TEST(history_moves),
		TEST(exchanges_in_any_order),
		TEST(large_pages_move),
		TEST(refusals_back_off),
		TEST(refusals_stay_over),
		TEST(few_are_probed),
		TEST(free_pages_come_back),
		TEST(moved_pages_settle),
		TEST(copying_is_no_use),
		TEST(odd_results),
		TEST(resize_keeps_history),
		TEST(records_move),
		TEST(resize_keeps_records),
		TEST(classes_add_up),
		TEST(looks_take_new_bits),
		TEST(looks_take_new_bits_late),
		TEST(looks_take_first_bits_late),
		TEST(looks_are_about_a_part),
		TEST(looks_leave_given_frames_out),
		TEST(copies_are_no_accesses),
		TEST(copies_are_no_accesses_in_brief_windows),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
