/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coldest pages of a tier, compared with a sort of all pages. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "coldest.h"
#include "table.h"

#define FAST	1000u
#define SLOW	3000u
#define FRAMES	(FAST + SLOW)
#define WORDS	(FRAMES / 64 + 1)

static const struct hmem_link_range ranges[] = {
	{ .gfn = 0, .num = FAST, .tier = 0 },
	{ .gfn = FAST, .num = SLOW, .tier = 1 },
};

struct fixture {
	struct hmem_pages pages;
	struct hmem_rates rates;
	uint64_t map[WORDS];
	struct hmem_given given;
	/* The picked pages, at most @max. */
	uint64_t gfns[FRAMES];
	unsigned int num, max;
	uint64_t last;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(hmem_pages_init(&f->pages, ranges, 2, 2, FRAMES, NULL), 0);
	f->given = (struct hmem_given) { f->map, FRAMES };
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

static bool pick(void *arg, uint64_t gfn)
{
	struct fixture *f = arg;

	assert_true(f->num < f->max);
	f->gfns[f->num++] = gfn;
	return f->num < f->max;
}

static void find(struct fixture *f, uint32_t tier, uint64_t want, uint64_t from,
		 uint64_t slots)
{
	struct hmem_coldest c;

	f->num = 0;
	if (!f->max)
		f->max = FRAMES;
	hmem_coldest_begin(&c, &f->pages, &f->rates, &f->given, tier, want, from, pick, f);
	while (!hmem_coldest_step(&c, &f->pages, slots))
		;
	f->last = c.last;
}

static int rising(const void *a, const void *b)
{
	return *(const unsigned int *)a - *(const unsigned int *)b;
}

/*
 * Sorts the pages of a tier that may move: returns their number, and the buckets of the @n
 * coldest.
 */
static unsigned int naive(struct fixture *f, uint32_t tier, unsigned int *buckets)
{
	unsigned int n = 0;

	for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
		if (hmem_pages_tier(&f->pages, gfn) == (int)tier &&
		    !(f->map[gfn / 64] >> (gfn % 64) & 1) &&
		    table_in(&f->pages, gfn, hmem_pages_willing))
			buckets[n++] = HMEM_BUCKET(hmem_pages_heat(&f->pages, gfn));
	}
	qsort(buckets, n, sizeof(*buckets), rising);
	return n;
}

/* The result is right for any heats, frames given up or in flight, and size of steps. */
static void same_as_sorting(void **state)
{
	struct fixture *f = *state;
	uint64_t rnd = 42;

	for (unsigned int round = 0; round < 300; round++) {
		unsigned int spread = 1u << unit_random(&rnd) % 17, n;
		uint32_t tier = unit_random(&rnd) % 2;
		uint64_t want = unit_random(&rnd) % FRAMES;
		unsigned int sorted[FRAMES], found[FRAMES];
		bool seen[FRAMES] = { false };

		memset(f->pages.state, 0, f->pages.num_slots * 2);
		for (unsigned int i = 0; i < WORDS; i++)
			f->map[i] = round % 2 ? unit_random(&rnd) & unit_random(&rnd) : 0;
		for (uint64_t gfn = 0; gfn < FRAMES; gfn++) {
			uint64_t r = unit_random(&rnd);

			table_set_heat(&f->pages, gfn, r % 5 < 3 ? r / 16 % spread : 0);
			if (r / 7 % 10 == 0)
				hmem_pages_sent(&f->pages, gfn, 0);
		}
		n = naive(f, tier, sorted);
		find(f, tier, want, unit_random(&rnd) % FRAMES,
		     round % 3 ? UINT64_MAX : 64 * (1 + unit_random(&rnd) % 9));
		assert_int_equal(f->num, want < n ? want : n);
		for (unsigned int i = 0; i < f->num; i++) {
			uint64_t gfn = f->gfns[i];

			assert_int_equal(hmem_pages_tier(&f->pages, gfn), tier);
			assert_false(f->map[gfn / 64] >> (gfn % 64) & 1);
			assert_true(table_in(&f->pages, gfn, hmem_pages_willing));
			assert_false(seen[gfn]);
			seen[gfn] = true;
			found[i] = HMEM_BUCKET(hmem_pages_heat(&f->pages, gfn));
		}
		qsort(found, f->num, sizeof(*found), rising);
		assert_memory_equal(found, sorted, f->num * sizeof(*found));
	}
}

/*
 * By rates, a page that was used much and is not used now has a high class, but is colder than
 * a page that was used little and is used now.
 */
static void by_rate_and_not_by_class(void **state)
{
	struct fixture *f = *state;
	unsigned int was_hot = hmem_class(50000, 100), is_hot = hmem_class(20000, 200);

	assert_true(was_hot > is_hot);
	for (uint64_t gfn = 0; gfn < FAST; gfn++) {
		f->pages.heat[gfn] = gfn < 300 ? 20000 : 50000;
		f->pages.recent[gfn] = gfn < 300 ? 200 : 100;
		hmem_block_set(f->pages.live, gfn, true);
	}
	f->pages.by_class = true;
	f->rates.most[is_hot] = 1000;
	f->rates.most[was_hot] = 10;
	find(f, 0, 100, 0, UINT64_MAX);
	assert_int_equal(f->num, 100);
	for (unsigned int i = 0; i < f->num; i++)
		assert_true(f->gfns[i] >= 300);
}

/* Equally cold pages take turns.  The search ends when the caller has no room for more pages. */
static void goes_on_where_it_ended(void **state)
{
	struct fixture *f = *state;

	find(f, 0, 128, 0, UINT64_MAX);
	assert_int_equal(f->gfns[0], 0);
	find(f, 0, 128, f->last, UINT64_MAX);
	assert_int_equal(f->gfns[0], 128);
	f->max = 10;
	find(f, 0, 900, f->last, UINT64_MAX);
	assert_int_equal(f->num, 10);
	assert_int_equal(f->gfns[0], 256);
	/* No page is wanted, or the tier has no page that may move. */
	find(f, 0, 0, 0, UINT64_MAX);
	assert_int_equal(f->num, 0);
	memset(f->map, 0xff, sizeof(f->map));
	find(f, 1, 10, 0, UINT64_MAX);
	assert_int_equal(f->num, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_as_sorting),
		TEST(by_rate_and_not_by_class),
		TEST(goes_on_where_it_ended),
	};

	return cmocka_run_group_tests_name("coldest", tests, NULL, NULL);
}
