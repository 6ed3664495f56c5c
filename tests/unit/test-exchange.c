/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages change places.  An access in tier 0 saves 1 us here, and a move takes 10 us. */
#include "unit.h"

#include <string.h>

#include "exchange.h"

#define ACCESS_NS	1000
#define MOVE_NS		10000

/* Each side has two ranks with pages; the other ranks are empty. */
struct pages {
	struct hmem_exchange_side hot, cold;
};

static struct pages new_pages(void)
{
	struct pages p;

	memset(&p, 0, sizeof(p));
	for (unsigned int i = 0; i < HMEM_CLASSES; i++)
		p.hot.all[i] = p.cold.all[i] = i > 100 ? 1e6 : 0;
	return p;
}

static void set(struct hmem_exchange_side *side, unsigned int rank, unsigned int count,
		double now, double all)
{
	side->count[rank] = count;
	side->now[rank] = now;
	side->all[rank] = all;
}

static double choose(struct pages *p, uint32_t pairs)
{
	return hmem_exchange_choose(&p->hot, &p->cold, pairs, ACCESS_NS, MOVE_NS);
}

/* The exchange must save two moves until the horizon, or four while it lasts. */
static void pays(void **state)
{
	static const struct {
		double now, all;
		bool moves;
	} cases[] = {
		{ 0, 20, false }, { 0, 20.1, true },
		{ 40, 0, false }, { 40.1, 0, true },
		{ 19, 19, false },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pages p = new_pages();

		set(&p.hot, 50, 5, cases[i].now, cases[i].all);
		set(&p.cold, 20, 3, 0, 0);
		assert_int_equal(choose(&p, 100) > 0, cases[i].moves);
		assert_int_equal(p.hot.take[50], cases[i].moves ? 3 : 0);
		assert_int_equal(p.cold.take[20], cases[i].moves ? 3 : 0);
	}
}

/* Pages that are hot only in the long run do not displace pages that are hot now. */
static void waits(void **state)
{
	struct pages p = new_pages();

	(void)state;
	set(&p.hot, 50, 5, 10, 1000);
	set(&p.cold, 20, 5, 100, 100);
	assert_true(choose(&p, 100) == 0);
	/* Until the horizon, the exchange would lose less than its moves take. */
	set(&p.hot, 50, 5, 81, 1000);
	assert_true(choose(&p, 100) == 5 * (900 - 20) * 1000.0);
}

/* The hottest pages change places with the coldest ones, at most as many as requested. */
static void best_first(void **state)
{
	struct pages p = new_pages();

	(void)state;
	set(&p.hot, 50, 5, 0, 500);
	set(&p.hot, 60, 2, 0, 900);
	set(&p.cold, 20, 3, 0, 10);
	set(&p.cold, 30, 9, 0, 100);
	assert_true(choose(&p, 4) == ((2 * (890 - 20)) + (490 - 20) + (400 - 20)) * 1000.0);
	assert_int_equal(p.hot.take[60], 2);
	assert_int_equal(p.hot.take[50], 2);
	assert_int_equal(p.cold.take[20], 3);
	assert_int_equal(p.cold.take[30], 1);
}

/* The pages that are hottest now come first, whatever their ranks. */
static void now_first(void **state)
{
	struct pages p = new_pages();

	(void)state;
	set(&p.hot, 50, 1, 300, 300);
	set(&p.hot, 60, 1, 100, 900);
	set(&p.cold, 20, 1, 5, 90);
	assert_true(choose(&p, 1) == (295 - 40) * 1000.0);
	assert_int_equal(p.hot.take[50], 1);
	assert_int_equal(p.hot.take[60], 0);
}

/*
 * Of the pages that are not in use now, those leave that will not be used later either.  The others
 * leave only if an exchange with them pays, too.
 */
static void hot_sets_stay(void **state)
{
	struct pages p = new_pages();

	(void)state;
	set(&p.hot, 50, 5, 300, 300);
	set(&p.cold, 20, 3, 6, 40);
	set(&p.cold, 30, 9, 5, 5000);
	assert_true(choose(&p, 100) == (3 * (294 - 40) + 2 * (295 - 40)) * 1000.0);
	assert_int_equal(p.cold.take[20], 3);
	assert_int_equal(p.cold.take[30], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pays),
		cmocka_unit_test(waits),
		cmocka_unit_test(best_first),
		cmocka_unit_test(now_first),
		cmocka_unit_test(hot_sets_stay),
	};

	return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
