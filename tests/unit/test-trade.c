/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM trades DRAM for NVM at the same cost, and NVM for DRAM, in a model of a VM that swaps. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"
#include "trade.h"

#define SECOND		UINT64_C(1000000000)
/* The time to use a page: the program's own work, and eight lines of DRAM or of NVM. */
#define USE_NS		500.0
#define DRAM_NS		(8 * 80.0)
#define NVM_NS		(8 * 300.0)

/*
 * A VM whose pages are sorted by use, the most used first.  The first pages are in DRAM, the
 * next pages in NVM, and the rest is swapped out: each use of these pages waits for a disk.
 */
struct guest {
	struct hmem_trader trader;
	struct hmem_ledger ledger;
	struct hmem_trade_window w;
	struct hmem_worth worth;
	/* The pages' shares of all uses, as true rates. */
	struct host_vm load;
	double disk_ns;
	/* Pages that the guest can give up or take in one window. */
	uint64_t speed;
	/* Pages of DRAM that the guest cannot give up. */
	uint64_t keeps;
	/* Faults per second that the guest reports; 0: it reports the true number. */
	double faults;
	uint64_t rnd;
	/* Uses of pages per second. */
	double uses;
};

static void begin(struct guest *g, uint64_t dram, uint64_t nvm, double ratio, double disk_ns)
{
	const double price[] = { ratio, 1 };
	const uint64_t actual[] = { dram, nvm };

	memset(g, 0, sizeof(*g));
	assert_true(hmem_trader_init(&g->trader, "vm", price, actual));
	g->trader.move_ns = 17500;
	memcpy(g->w.actual, actual, sizeof(actual));
	g->disk_ns = disk_ns;
	g->speed = UINT64_MAX;
	g->rnd = 5;
}

static double uses_of(const struct guest *g, uint64_t from, uint64_t to)
{
	const struct host_vm *vm = &g->load;
	double sum = 0, at = 0;

	for (unsigned int i = 0; i < vm->num; i++) {
		double end = at + vm->truth[i].pages;

		sum += fmax(fmin(end, to) - fmax(at, from), 0) * vm->truth[i].rate;
		at = end;
	}
	return sum;
}

static void run(struct guest *g)
{
	uint64_t dram = g->w.actual[HMEM_DRAM], all = dram + g->w.actual[HMEM_NVM];
	uint64_t pages = g->load.pages;
	double total = uses_of(g, 0, pages), fast = uses_of(g, 0, dram) / total;
	double swapped = pages > all ? uses_of(g, all, pages) / total : 0;
	double ns = USE_NS + fast * DRAM_NS + (1 - fast) * NVM_NS + swapped * g->disk_ns;
	struct hmem_worth_class classes[HOST_CLASSES];

	g->uses = 1e9 / ns;
	for (unsigned int i = 0; i < g->load.num; i++) {
		classes[i] = g->load.truth[i];
		classes[i].rate *= g->uses / total;
	}
	hmem_worth_make(&g->worth, classes, g->load.num, 0, NVM_NS - DRAM_NS);
	g->w.worth = &g->worth;
	/* The number of faults varies from window to window. */
	g->w.faults = (g->faults ? g->faults : swapped * g->uses) *
		      (0.9 + unit_random(&g->rnd) % 1000 / 5000.0);
	g->w.fault_ns = g->disk_ns;
	g->w.missing = g->faults ? GIB : pages > all ? pages - all : 0;
	g->w.unused = all > pages ? all - pages : 0;
}

static void check_cost(const struct guest *g)
{
	const struct hmem_trader *t = &g->trader;
	uint64_t most[HMEM_TRADED_TIERS];

	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++)
		most[i] = t->requested[i] > g->w.actual[i] ? t->requested[i] : g->w.actual[i];
	assert_true(hmem_trade_cost(t, most) <= t->budget * (1 + 1e-9));
	/* While no trade is under way, the VM uses all of its budget. */
	if (!t->entry && !t->returns)
		assert_true(hmem_trade_cost(t, g->w.actual) >
			    t->budget - t->price[HMEM_DRAM] * t->unit[HMEM_DRAM]);
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++)
		assert_int_equal(t->requested[i] % t->unit[i], 0);
}

static void window(struct guest *g)
{
	uint64_t left = g->speed;

	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		uint64_t a = g->w.actual[i], r = g->trader.requested[i], by;

		if (i == HMEM_DRAM && r < g->keeps)
			r = g->keeps;
		by = a > r ? a - r : r - a;

		by = by < left ? by : left;
		by -= by % g->trader.unit[i];
		left -= by;
		g->w.actual[i] = a > r ? a - by : a + by;
	}
	run(g);
	g->w.ns = SECOND;
	g->w.now_ns += SECOND;
	hmem_trade_decide(&g->trader, &g->w, &g->ledger);
	check_cost(g);
}

static void windows(struct guest *g, unsigned int num)
{
	while (num--)
		window(g);
}

/* A working set larger than memory by a half fits after trades of DRAM for more NVM. */
static void swapping_ends(void **state)
{
	static const struct { const char *name; double ns; } disks[] = {
		{ "NVMe", 80e3 }, { "SATA", 300e3 }, { "rotating", 8e6 },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(disks) / sizeof(*disks); i++) {
		struct guest g;
		double before;

		begin(&g, GIB, 3 * GIB, 4, disks[i].ns);
		host_hot_set(&g.load, 6 * GIB, 6 * GIB, 1);
		run(&g);
		before = g.uses;
		windows(&g, 1000);
		print_message("%s: %.0f times as fast, %.2f + %.2f GiB, %u trades\n",
			      disks[i].name, g.uses / before,
			      (double)g.w.actual[0] / GIB, (double)g.w.actual[1] / GIB,
			      (unsigned int)g.ledger.last);
		assert_true(g.uses > 8 * before);
		/* No more DRAM is traded than that takes. */
		assert_in_range(g.w.actual[0] + g.w.actual[1], 6 * GIB, 6 * GIB + GIB / 100);
		for (uint64_t id = 1; id <= g.ledger.last; id++) {
			const struct hmem_ledger_entry *e = hmem_ledger_find(&g.ledger, id);

			assert_int_equal(e->state, HMEM_TRADE_KEPT);
			assert_true(e->given && e->taken == 4 * e->given);
			assert_true(e->expected_ns > 0);
		}
	}
}

/*
 * After a trade that ends only a part of the swapping, the program waits for the disk as much of
 * its time as before, and more for NVM, because it does more.  Such a trade is a gain.
 */
static void a_part_is_a_gain(void **state)
{
	const struct hmem_ledger_entry *e;
	struct guest g;
	double before;

	(void)state;
	begin(&g, 2 * GIB, GIB, 4, 110e3);
	host_hot_set(&g.load, 9 * GIB / 2, 9 * GIB / 2, 1);
	g.trader.steps = 8;
	run(&g);
	before = g.uses;
	do
		window(&g);
	while (!(e = hmem_ledger_find(&g.ledger, 1)) || e->state < HMEM_TRADE_KEPT);
	print_message("%.2f times as fast; the trade saved %.0f of 1000 ms\n", g.uses / before,
		      e->measured_ns / 1e6);
	assert_true(g.uses > 1.5 * before);
	assert_int_equal(e->state, HMEM_TRADE_KEPT);
	assert_true(e->measured_ns > 3 * e->error_ns);
	windows(&g, 200);
	assert_true(g.uses > 8 * before);
}

/* The VM keeps DRAM that saves more time than swapping costs. */
static void hot_pages_stay_in_dram(void **state)
{
	struct guest g;

	(void)state;
	begin(&g, GIB, 3 * GIB, 4, 80e3);
	/* One use in ten thousand is of pages beyond the hot ones, which all fit into DRAM. */
	host_hot_set(&g.load, 6 * GIB, GIB * 3 / 4, 0.9999);
	windows(&g, 1000);
	assert_in_range(g.w.actual[0], GIB * 3 / 4, GIB);
}

/* The VM trades NVM that it does not use for DRAM. */
static void unused_memory_becomes_dram(void **state)
{
	struct guest g;
	double before;

	(void)state;
	begin(&g, GIB, 5 * GIB, 4, 80e3);
	host_hot_set(&g.load, 4 * GIB, 2 * GIB, 0.9);
	run(&g);
	before = g.uses;
	windows(&g, 1000);
	assert_true(g.w.actual[0] > GIB * 3 / 2);
	assert_true(g.w.actual[0] + g.w.actual[1] >= 4 * GIB);
	assert_true(g.uses > 1.1 * before);
	assert_true(g.ledger.last > 0);
}

/*
 * A guest reports faults whatever memory it has, so each trade makes it slower.  The trader
 * undoes the trades, and makes them less and less often.
 */
static void losses_are_undone(void **state)
{
	struct guest g;
	unsigned int lost = 0;

	(void)state;
	begin(&g, 2 * GIB, 4 * GIB, 4, 80e3);
	host_hot_set(&g.load, 5 * GIB, 2 * GIB, 0.9);
	g.faults = 5000;
	windows(&g, 1000);
	assert_in_range(g.ledger.last, 2, 10);
	for (uint64_t id = 1; id <= g.ledger.last; id++) {
		const struct hmem_ledger_entry *e = hmem_ledger_find(&g.ledger, id);

		assert_true(e->expected_ns > 0);
		if (e->state != HMEM_TRADE_UNDONE)
			continue;
		assert_true(e->measured_ns < 0);
		lost++;
	}
	assert_true(lost > 0 && lost >= g.ledger.last - 1);
	while (g.trader.entry || g.trader.returns)
		window(&g);
	assert_int_equal(g.w.actual[0], 2 * GIB);
	assert_int_equal(g.w.actual[1], 4 * GIB);
}

/* If the guest gives up no memory, or stops halfway, the VM gets its memory back. */
static void stuck_guests_are_given_up(void **state)
{
	(void)state;
	for (unsigned int half = 0; half < 2; half++) {
		const struct hmem_ledger_entry *e;
		struct guest g;

		begin(&g, GIB, 3 * GIB, 4, 80e3);
		host_hot_set(&g.load, 6 * GIB, 6 * GIB, 1);
		g.speed = half ? 5000 : 0;
		while (!g.ledger.last)
			window(&g);
		windows(&g, 2);
		g.speed = 0;
		windows(&g, 8);
		e = hmem_ledger_find(&g.ledger, 1);
		assert_int_equal(e->state, HMEM_TRADE_GIVEN_UP);
		g.speed = UINT64_MAX;
		windows(&g, 2);
		assert_int_equal(g.w.actual[0], GIB);
		assert_int_equal(g.w.actual[1], 3 * GIB);
		/* The trader tries again later. */
		windows(&g, 100);
		assert_true(g.ledger.last > 1);
	}
}

/* A guest that can give up only a part of the memory trades that part. */
static void parts_are_traded(void **state)
{
	const struct hmem_ledger_entry *e;
	struct guest g;

	(void)state;
	begin(&g, GIB, 3 * GIB, 4, 80e3);
	host_hot_set(&g.load, 6 * GIB, 6 * GIB, 1);
	g.keeps = GIB - 20000;
	while (!g.ledger.last)
		window(&g);
	e = hmem_ledger_find(&g.ledger, 1);
	assert_true(e->given > 20000);
	while (e->state == HMEM_TRADE_MOVES || e->state == HMEM_TRADE_WATCHED)
		window(&g);
	assert_int_equal(e->state, HMEM_TRADE_KEPT);
	assert_int_equal(e->given, 20000);
	assert_int_equal(e->taken, 80000);
	assert_int_equal(g.w.actual[HMEM_NVM], 3 * GIB + 80000);
	assert_true(e->measured_ns > 0);
	/* Later trades, for which the guest gives up nothing, change nothing. */
	windows(&g, 100);
	assert_true(g.ledger.last > 1);
	assert_int_equal(hmem_ledger_find(&g.ledger, 2)->state, HMEM_TRADE_GIVEN_UP);
	assert_int_equal(g.w.actual[HMEM_DRAM], g.keeps);
	assert_int_equal(g.w.actual[HMEM_NVM], 3 * GIB + 80000);
}

/*
 * A guest that gets all of its memory back in the middle of a trade, as after a reset, is
 * asked for no more than before, for nothing that it had before the trade, and gets nothing
 * beyond its budget.
 */
static void a_reset_gives_nothing(void **state)
{
	(void)state;
	for (unsigned int obeys = 0; obeys < 2; obeys++) {
		struct guest g;

		begin(&g, GIB, 3 * GIB, 4, 80e3);
		host_hot_set(&g.load, 6 * GIB, 6 * GIB, 1);
		g.speed = 0;
		while (!g.ledger.last)
			window(&g);
		g.w.actual[HMEM_DRAM] = 2 * GIB;
		for (unsigned int i = 0; i < 40; i++) {
			run(&g);
			hmem_trade_decide(&g.trader, &g.w, &g.ledger);
			assert_true(hmem_trade_cost(&g.trader, g.trader.requested) <=
				    g.trader.budget * (1 + 1e-9));
			assert_in_range(g.trader.requested[HMEM_DRAM], 0, GIB);
			assert_true(g.trader.requested[HMEM_NVM] >= 3 * GIB);
		}
		assert_int_equal(hmem_ledger_find(&g.ledger, 1)->state, HMEM_TRADE_GIVEN_UP);
		/* A guest that gives up the memory then trades again. */
		g.w.actual[HMEM_DRAM] = g.trader.requested[HMEM_DRAM];
		g.speed = obeys ? UINT64_MAX : 0;
		windows(&g, 100);
		assert_true(g.ledger.last > 1);
	}
}

/* A trade that ends half done leaves the VM with what it had before. */
static void half_done_trades_are_undone(void **state)
{
	struct guest g;

	(void)state;
	begin(&g, GIB, 3 * GIB, 4, 80e3);
	assert_false(hmem_trade_leave(&g.trader, &g.ledger));
	host_hot_set(&g.load, 6 * GIB, 6 * GIB, 1);
	g.speed = 5000;
	while (!g.ledger.last)
		window(&g);
	windows(&g, 2);
	assert_true(g.w.actual[HMEM_DRAM] < GIB);
	assert_true(hmem_trade_leave(&g.trader, &g.ledger));
	assert_int_equal(hmem_ledger_find(&g.ledger, 1)->state, HMEM_TRADE_LEFT);
	assert_int_equal(g.trader.requested[HMEM_DRAM], GIB);
	assert_int_equal(g.trader.requested[HMEM_NVM], 3 * GIB);
}

/*
 * Guests do what is requested, partly, or not at all, or lie, at random: the cost of the VM
 * never exceeds its budget.
 */
static void costs_stay_the_same(void **state)
{
	uint64_t rnd = 3;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		struct guest g;

		begin(&g, unit_random(&rnd) % GIB + 5000, unit_random(&rnd) % (3 * GIB) + 5000,
		      1 + unit_random(&rnd) % 1000 / 100.0, 80e3);
		g.trader.least[0] = 2000;
		/* In every second host, a huge page is the smallest part of a tier. */
		if (i % 2) {
			g.trader.unit[HMEM_DRAM] = g.trader.unit[HMEM_NVM] = 512;
			g.trader.least[0] = 2048;
			for (unsigned int n = 0; n < HMEM_TRADED_TIERS; n++) {
				g.w.actual[n] += 512 - g.w.actual[n] % 512;
				g.trader.requested[n] = g.w.actual[n];
			}
			g.trader.budget = hmem_trade_cost(&g.trader, g.w.actual);
		}
		for (unsigned int w = 0; w < 400; w++) {
			if (!(w % 20)) {
				uint64_t pages = unit_random(&rnd) % (6 * GIB) + 10000;

				host_hot_set(&g.load, pages, unit_random(&rnd) % pages + 1,
					     unit_random(&rnd) % 100 / 100.0);
				g.speed = unit_random(&rnd) % 3 ? unit_random(&rnd) % GIB : 0;
				g.faults = unit_random(&rnd) % 3 * 1e4;
			}
			window(&g);
			assert_true(g.w.actual[0] >= 2000);
		}
	}
}

/* The ledger tells what a VM had before a trade, and why; and that the VM has gone. */
static void the_ledger_says_why(void **state)
{
	const struct hmem_ledger_entry *e;
	struct guest g;

	(void)state;
	begin(&g, GIB, 3 * GIB, 4, 80e3);
	host_hot_set(&g.load, 6 * GIB, 6 * GIB, 1);
	run(&g);
	/* Who only looks begins nothing. */
	hmem_trade_look(&g.trader, &g.w);
	assert_int_equal(g.trader.best.from, HMEM_DRAM);
	assert_int_equal(g.trader.best.taken, 4 * g.trader.best.given);
	assert_true(g.trader.best.ns > 0);
	assert_int_equal(g.ledger.last, 0);
	assert_int_equal(g.trader.requested[HMEM_DRAM], GIB);
	while (!g.ledger.last)
		window(&g);
	e = hmem_ledger_find(&g.ledger, 1);
	assert_int_equal(e->before[HMEM_DRAM], GIB);
	assert_int_equal(e->before[HMEM_NVM], 3 * GIB);
	assert_true(e->faults > 0);
	assert_true(e->fault_ns == 80e3);
	hmem_trade_leave(&g.trader, &g.ledger);
	assert_int_equal(e->state, HMEM_TRADE_LEFT);
	hmem_trade_leave(&g.trader, &g.ledger);
}

/* The ledger keeps the last entries, and no older ones. */
static void the_ledger_is_bounded(void **state)
{
	static struct hmem_ledger l;

	(void)state;
	assert_null(hmem_ledger_find(&l, 0));
	assert_null(hmem_ledger_find(&l, 1));
	for (unsigned int i = 1; i <= 1000; i++)
		assert_int_equal(hmem_ledger_add(&l)->id, i);
	assert_null(hmem_ledger_find(&l, 1000 - HMEM_LEDGER_ENTRIES));
	assert_non_null(hmem_ledger_find(&l, 1001 - HMEM_LEDGER_ENTRIES));
	assert_null(hmem_ledger_find(&l, 1001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(swapping_ends),
		cmocka_unit_test(hot_pages_stay_in_dram),
		cmocka_unit_test(unused_memory_becomes_dram),
		cmocka_unit_test(a_part_is_a_gain),
		cmocka_unit_test(losses_are_undone),
		cmocka_unit_test(stuck_guests_are_given_up),
		cmocka_unit_test(parts_are_traded),
		cmocka_unit_test(a_reset_gives_nothing),
		cmocka_unit_test(half_done_trades_are_undone),
		cmocka_unit_test(costs_stay_the_same),
		cmocka_unit_test(the_ledger_says_why),
		cmocka_unit_test(the_ledger_is_bounded),
	};

	return cmocka_run_group_tests_name("trade", tests, NULL, NULL);
}
