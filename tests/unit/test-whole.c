/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans that move huge pages as a whole. */
#include "unit.h"

#include <string.h>

#include "table.h"
#include "whole.h"

#define HUGE		512u
/* Tier 0 has three huge pages and a half; tier 1 has six, and begins in the middle of one. */
#define FAST_HUGE	(3 * HUGE + HUGE / 2)
#define SLOW_HUGE	(6 * HUGE)

struct huge {
	struct hmem_pages pages;
	struct hmem_plan plan;
};

static const struct hmem_link_range huge_ranges[] = {
	{ .gfn = 0, .num = FAST_HUGE, .tier = 0 },
	{ .gfn = FAST_HUGE, .num = SLOW_HUGE, .tier = 1 },
};

static void heat(struct hmem_pages *p, uint64_t gfn, uint64_t num, unsigned int percent)
{
	for (; num; num--, gfn++)
		table_set_heat(p, gfn, HMEM_HEAT_MAX / 100 * percent);
}

static void make_whole(struct huge *h, uint32_t budget, uint32_t spare)
{
	const struct hmem_plan_limits limits = {
		.pair.slow = 1, .budget = budget, .spare = spare,
	};
	struct hmem_whole w;

	hmem_whole_prepare(&h->pages);
	assert_int_equal(hmem_plan_make(&h->plan, &h->pages, &limits, NULL), 0);
	hmem_whole_begin(&w, &h->plan);
	while (!hmem_whole_step(&w, &h->plan, &h->pages, 64))
		;
}

static void huge_init(struct huge *h)
{
	memset(h, 0, sizeof(*h));
	assert_int_equal(hmem_pages_init(&h->pages, huge_ranges, 2, 2, FAST_HUGE + SLOW_HUGE,
					 NULL), 0);
	/* All of tier 0 is in use, so that no quota matters. */
	heat(&h->pages, 0, FAST_HUGE, 10);
}

static void huge_free(struct huge *h)
{
	hmem_plan_free(&h->plan);
	hmem_pages_free(&h->pages);
}

/* A range of 2 MiB whose pages are equally hot gets one hint, even if the budget ends in it. */
static void whole_pages(void **state)
{
	struct hmem_hint hints[8];
	struct huge h;

	(void)state;
	huge_init(&h);
	heat(&h.pages, 5 * HUGE, HUGE, 90);
	heat(&h.pages, 7 * HUGE, HUGE, 80);
	make_whole(&h, 2 * (HUGE + 100), 0);
	assert_int_equal(h.plan.promote_frames, 2 * HUGE);
	assert_int_equal(h.plan.demote_frames, 2 * HUGE);
	assert_int_equal(hmem_plan_batch(&h.plan, hints, 8), 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(hints[i].order, 9);
		assert_int_equal(hints[i].tier, i < 2);
		assert_int_equal(hints[i].gfn % HUGE, 0);
	}
	assert_int_equal(hints[2].gfn, 5 * HUGE);
	assert_int_equal(hints[3].gfn, 7 * HUGE);
	assert_int_equal(hmem_plan_batch(&h.plan, hints, 8), 0);
	huge_free(&h);
}

/* A page that differs, that is under way, or that was refused, keeps the others apart. */
static void parts_of_huge_pages(void **state)
{
	struct huge h;

	(void)state;
	huge_init(&h);
	heat(&h.pages, 5 * HUGE, HUGE, 90);
	heat(&h.pages, 5 * HUGE + 77, 1, 95);
	heat(&h.pages, 6 * HUGE, HUGE, 80);
	hmem_pages_sent(&h.pages, 6 * HUGE + 3, 0);
	hmem_pages_sent(&h.pages, 400, 0);
	hmem_pages_refused(&h.pages, 400, 0, HMEM_REFUSED_NACK);
	make_whole(&h, 2 * 100, 0);
	assert_int_equal(h.plan.num_promote, 100);
	for (uint32_t i = 0; i < h.plan.num_promote; i++)
		assert_int_equal(h.plan.promote[i].order, 0);
	make_whole(&h, 2 * (HUGE + 100), 0);
	assert_int_equal(h.plan.num_promote, HUGE + 100);
	for (uint32_t i = 0; i < h.plan.num_demote; i++)
		assert_true(h.plan.demote[i].order == 0 || h.plan.demote[i].gfn >= HUGE);
	huge_free(&h);
}

/* A huge page goes to tier 0 only as a whole, and demotions make room until it fits. */
static void waits_for_room(void **state)
{
	struct huge h;

	(void)state;
	huge_init(&h);
	/* 300 small pages are cold enough, and the rest of tier 0 is as hot as the huge page. */
	heat(&h.pages, 0, FAST_HUGE, 90);
	heat(&h.pages, 100, 300, 1);
	heat(&h.pages, 5 * HUGE, HUGE, 90);
	heat(&h.pages, 8 * HUGE + 1, 1, 95);
	make_whole(&h, 10 * HUGE, 211);
	assert_int_equal(h.plan.promote_frames, 1);
	assert_int_equal(h.plan.promote[0].gfn, 8 * HUGE + 1);
	assert_int_equal(h.plan.demote_frames, 300);
	make_whole(&h, 10 * HUGE, 213);
	assert_int_equal(h.plan.promote_frames, 1 + HUGE);
	assert_int_equal(h.plan.demote_frames, 300);
	/* Pages that are under way to tier 0 take a part of the room. */
	hmem_pages_sent(&h.pages, 9 * HUGE, 1);
	make_whole(&h, 10 * HUGE, 213);
	assert_int_equal(h.plan.promote_frames, 1);
	hmem_pages_unsent(&h.pages, 9 * HUGE, 1);
	/* With enough room, no page is demoted. */
	make_whole(&h, 10 * HUGE, 1000);
	assert_int_equal(h.plan.promote_frames, 1 + HUGE);
	assert_int_equal(h.plan.demote_frames, 0);
	huge_free(&h);
}

/* Batches have as many frames of promotions as of demotions, whatever the sizes of pages. */
static void batches_of_mixed_sizes(void **state)
{
	uint32_t n, up = 0, down = 0;
	struct hmem_hint hints[64];
	struct huge h;

	(void)state;
	huge_init(&h);
	heat(&h.pages, 5 * HUGE, 2 * HUGE, 90);
	/* Of the first two huge pages of tier 0, each second page is colder. */
	for (uint64_t gfn = 0; gfn < 2 * HUGE; gfn += 2)
		heat(&h.pages, gfn, 1, 2);
	make_whole(&h, 4 * HUGE, 0);
	assert_int_equal(h.plan.promote_frames, 2 * HUGE);
	while ((n = hmem_plan_batch(&h.plan, hints, 64))) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t *side = hints[i].tier ? &down : &up;

			*side += 1u << hints[i].order;
		}
		assert_true(up <= down);
	}
	assert_int_equal(up, 2 * HUGE);
	assert_in_range(down, 2 * HUGE, 3 * HUGE - 1);
	huge_free(&h);
}

/* Wherever the last plan has ended, a plan names no huge page twice. */
static void each_page_once(void **state)
{
	(void)state;
	for (uint64_t cursor = 0; cursor < FAST_HUGE; cursor += 64) {
		bool seen[FAST_HUGE] = { false };
		struct huge h;

		huge_init(&h);
		heat(&h.pages, 5 * HUGE, 3 * HUGE, 90);
		h.pages.cursor = cursor;
		make_whole(&h, 6 * HUGE, 0);
		assert_in_range(h.plan.demote_frames, 3 * HUGE, 4 * HUGE - 1);
		for (uint32_t i = 0; i < h.plan.num_demote; i++) {
			const struct hmem_move *m = &h.plan.demote[i];

			for (uint32_t k = 0; k < hmem_move_frames(m); k++) {
				assert_false(seen[m->gfn + k]);
				seen[m->gfn + k] = true;
			}
		}
		huge_free(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_pages),
		cmocka_unit_test(parts_of_huge_pages),
		cmocka_unit_test(waits_for_room),
		cmocka_unit_test(batches_of_mixed_sizes),
		cmocka_unit_test(each_page_once),
	};

	return cmocka_run_group_tests_name("whole", tests, NULL, NULL);
}
