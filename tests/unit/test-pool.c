/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs share the DRAM of a host: the pool's promises hold, and its distribution is good. */
#include "unit.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"

static void windows(struct host *h, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		host_window(h);
}

/*
 * With a fifth of error in each measured rate, the pool comes near the best distribution after
 * 300 windows, and stays there.
 */
static void comes_near_the_best(void **state)
{
	struct host h;
	double best, start, saved;
	uint64_t moved;

	(void)state;
	host_many(&h, 64);
	start = host_saved(&h);
	windows(&h, 300);
	best = host_best(&h, h.pool.config.loss);
	saved = host_saved(&h);
	print_message("saved: equal shares %.3f, after 300 windows %.3f, best %.3f; "
		      "if VMs could lose anything %.3f\n", start, saved, best,
		      host_best(&h, 1));
	assert_true(saved > 0.95 * best);
	windows(&h, 600);
	moved = h.moved;
	windows(&h, 100);
	saved = host_saved(&h);
	print_message("after 1000 windows %.3f; per window and VM, %.2f MiB move in the end\n",
		      saved, (h.moved - moved) / 100.0 / 64 / 256);
	assert_true(saved > 0.95 * best);
	for (unsigned int i = 0; i < h.num; i++) {
		const struct host_vm *vm = &h.vms[i];
		double lost = host_saves(vm, 16 * GIB) - host_saves(vm, host_dram(vm));

		if (lost > 0.07)
			fail_msg("vm %u has lost %.3f of its time", i, lost);
	}
	host_free(&h);
}

/*
 * A decision about 64 VMs serves so few bids that it takes less than 10 ms on any machine: a
 * bid takes some hundreds of instructions.
 */
static void decisions_are_quick(void **state)
{
	struct host h;

	(void)state;
	host_many(&h, 64);
	for (unsigned int i = 0; i < 20; i++) {
		host_window(&h);
		assert_in_range(h.pool.market.served, 64, 64 * 150);
	}
	host_free(&h);
}

/* Eight VMs of 4 GiB want all DRAM that they can get, but there is DRAM for an eighth of them. */
static void eight(struct host *h, struct hmem_pool_config config)
{
	host_init(h, 8, &config);
	for (unsigned int i = 0; i < 8; i++) {
		struct host_vm *vm = &h->vms[i];

		host_hot_set(vm, 4 * GIB, GIB, 0.9);
		vm->member.processors = 16;
		/* The guests move huge pages, so a page takes less time than alone. */
		vm->member.move_ns = 2500;
		host_waits(vm, 0.9);
		vm->error = 0.1;
		vm->member.guarantee = GIB / 8;
		vm->member.maximum = 4 * GIB;
	}
	host_begin(h);
}

/*
 * Two VMs in turn are idle.  After three windows the other VMs have the DRAM that the idle ones
 * do not need.  Three windows after the idle VMs are busy again, none of them loses more than
 * it may.
 */
static void lends_and_gets_back(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;

	(void)state;
	eight(&h, config);
	windows(&h, 5);
	for (unsigned int turn = 0; turn < 8; turn++) {
		struct host_vm *idle = &h.vms[turn % 4 * 2];
		uint64_t lent = 0;

		idle[0].idle = idle[1].idle = true;
		for (unsigned int w = 0; w < 20; w++) {
			host_window(&h);
			for (unsigned int i = 0; i < 8; i++)
				assert_true(host_dram(&h.vms[i]) >= GIB / 8);
			/* The guests have followed the third decision before the fourth. */
			if (w < 3)
				continue;
			lent = GIB - host_dram(&idle[0]) - host_dram(&idle[1]);
			if (lent < GIB * 3 / 5)
				fail_msg("turn %u: %.3f GiB lent after %u windows", turn,
					 (double)lent / GIB, w);
		}
		idle[0].idle = idle[1].idle = false;
		for (unsigned int w = 0; w < 20; w++) {
			host_window(&h);
			for (unsigned int i = 0; i < 8 && w >= 3; i++) {
				const struct host_vm *vm = &h.vms[i];
				double lost = host_saves(vm, GIB / 2) -
					      host_saves(vm, host_dram(vm));

				if (lost > 0.06)
					fail_msg("turn %u, after %u windows: vm %u has lost %.3f",
						 turn, w, i, lost);
			}
		}
	}
	host_free(&h);
}

/*
 * DRAM saves so little in the VMs that work that to move pages pays only after minutes.  An idle
 * VM lends its DRAM all the same, after about as long as its return takes (1.7 s), and gets the
 * DRAM back when it works again.
 */
static void idle_vms_do_not_wait(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		host_waits(&h.vms[i], 0.01);
		h.vms[i].member.move_ns = HOST_MOVE_NS;
	}
	windows(&h, 5);
	for (unsigned int turn = 0; turn < 8; turn++) {
		struct host_vm *vm = &h.vms[turn];
		uint64_t had = host_dram(vm);

		vm->idle = true;
		host_window(&h);
		/* A VM that sleeps for a moment keeps its DRAM. */
		vm->idle = turn % 2;
		host_window(&h);
		assert_int_equal(host_dram(vm), had);
		vm->idle = true;
		windows(&h, 4);
		if (host_dram(vm) > GIB / 8 + GIB / 20)
			fail_msg("turn %u: %.3f of %.3f GiB are not lent", turn,
				 (double)host_dram(vm) / GIB, (double)had / GIB);
		vm->idle = false;
		windows(&h, 4);
		if (host_dram(vm) < had * 17 / 20)
			fail_msg("turn %u: only %.3f of %.3f GiB are back", turn,
				 (double)host_dram(vm) / GIB, (double)had / GIB);
	}
	host_free(&h);
}

/* Pages that other VMs give up go to the VM that waits for them before the next decision. */
static void freed_pages_are_promised_at_once(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host_vm *vm;
	struct host h;
	uint64_t had, has;

	(void)state;
	eight(&h, config);
	vm = &h.vms[0];
	windows(&h, 5);
	had = host_dram(vm);
	vm->idle = true;
	windows(&h, 8);
	vm->idle = false;
	host_follow(&h);
	has = host_dram(vm);
	assert_true(has < had / 2);
	/* The other VMs are asked for the pages, and nothing is free before they give them up. */
	host_window(&h);
	host_promise(&h);
	assert_true(hmem_pool_sum(vm->member.requested) < had / 2);
	assert_int_equal(vm->member.why, HMEM_POOL_WAITS);
	host_follow(&h);
	host_promise(&h);
	assert_true(hmem_pool_sum(vm->member.requested) >= had * 17 / 20);
	/* Asked again, the pool promises nothing twice. */
	has = hmem_pool_sum(vm->member.requested);
	host_promise(&h);
	assert_int_equal(hmem_pool_sum(vm->member.requested), has);
	assert_int_equal(vm->member.why, HMEM_POOL_GROWS);
	host_free(&h);
}

/* A VM that takes less in each window than it is promised late in the window is not stuck. */
static void late_promises_make_nobody_stuck(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host_vm *vm;
	struct host h;

	(void)state;
	eight(&h, config);
	vm = &h.vms[0];
	windows(&h, 5);
	vm->idle = true;
	windows(&h, 8);
	vm->idle = false;
	for (unsigned int i = 1; i < 8; i++)
		h.vms[i].speed = 2 * HMEM_POOL_GRAIN;
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t asked;

		vm->speed = HMEM_POOL_GRAIN;
		host_window(&h);
		assert_int_not_equal(vm->member.why, HMEM_POOL_STUCK);
		asked = hmem_pool_sum(vm->member.requested);
		vm->speed = 0;
		host_follow(&h);
		host_promise(&h);
		if (i)
			assert_true(hmem_pool_sum(vm->member.requested) > asked);
	}
	host_free(&h);
}

/* A VM that is idle for a moment while its pages come back gets the rest of them, too. */
static void a_moment_ends_no_return(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host_vm *vm;
	struct host h;
	uint64_t had;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		host_waits(&h.vms[i], 0.01);
		h.vms[i].member.move_ns = HOST_MOVE_NS;
	}
	windows(&h, 5);
	vm = &h.vms[0];
	had = host_dram(vm);
	vm->idle = true;
	windows(&h, 8);
	vm->idle = false;
	vm->speed = had / 8;
	windows(&h, 2);
	assert_true(host_dram(vm) < had / 2);
	vm->idle = true;
	host_window(&h);
	vm->idle = false;
	vm->speed = UINT64_MAX;
	windows(&h, 4);
	assert_true(host_dram(vm) >= had * 17 / 20);
	host_free(&h);
}

/*
 * A VM that has slept may have its pages back for as long as it has slept.  However slowly its
 * guest takes them, other VMs then have patience again: they keep pages whose moves do not pay.
 */
static void slow_returns_end(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	const unsigned int slept = 8;
	struct host_vm *vm, *other;
	struct host h;
	uint64_t had;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		host_waits(&h.vms[i], 0.01);
		h.vms[i].member.move_ns = HOST_MOVE_NS;
	}
	windows(&h, 5);
	vm = &h.vms[0];
	vm->idle = true;
	windows(&h, slept);
	vm->idle = false;
	vm->speed = 1;
	windows(&h, slept + 1);
	assert_true(host_dram(vm) < vm->member.share / 2);
	for (other = &h.vms[1]; host_dram(other) <= other->member.share; other++)
		assert_true(other < &h.vms[7]);
	had = host_dram(other);
	host_waits(other, 0.005);
	windows(&h, 3);
	assert_int_equal(host_dram(other), had);
	assert_int_equal(other->member.why, HMEM_POOL_PATIENT);
	host_free(&h);
}

/* The pages of DRAM that a VM has, as the mean of @num windows. */
static double mean_dram(struct host *h, unsigned int vm, unsigned int num)
{
	double sum = 0;

	for (unsigned int i = 0; i < num; i++) {
		host_window(h);
		sum += host_dram(&h->vms[vm]);
	}
	return sum / num;
}

/*
 * A VM that uses little memory claims that it uses all of its memory all the time.  It gets no
 * more DRAM than a VM that is as busy as possible, and no other VM loses more than it may.
 */
static void lies_do_not_pay(void **state)
{
	static const double lies[] = { 1e3, 1e9, 1e300 };
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;
	double busy;

	(void)state;
	eight(&h, config);
	host_hot_set(&h.vms[3], 4 * GIB, 4 * GIB, 1);
	host_waits(&h.vms[3], 1);
	busy = mean_dram(&h, 3, 200);
	host_free(&h);
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		double dram;

		eight(&h, config);
		h.vms[3].idle = true;
		h.vms[3].lies = lies[i];
		dram = mean_dram(&h, 3, 200);
		print_message("lies %g: %.3f GiB, as busy as can be %.3f GiB, share %.3f GiB\n",
			      lies[i], dram / GIB, busy / GIB,
			      (double)h.vms[3].member.share / GIB);
		assert_true(dram <= busy * 1.01);
		assert_true(dram <= h.vms[3].member.share * 1.01);
		for (unsigned int k = 0; k < 8; k++) {
			const struct host_vm *vm = &h.vms[k];

			if (k != 3 && host_saves(vm, host_dram(vm)) <
			    host_saves(vm, GIB / 2) - 0.06)
				fail_msg("lies %g: vm %u has lost", lies[i], k);
		}
		host_free(&h);
	}
}

/*
 * A VM whose processors hardly run claims that it uses all of its memory all the time.  Its
 * accesses would take four times as long in slow memory, so all DRAM saves it three times its
 * running time.
 */
static void lies_need_processors(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	static const double slowdowns[] = { 0, 4 };
	double beyond[2];
	struct host h;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		eight(&h, config);
		h.vms[3].lies = 1e9;
		h.vms[3].busy = 0.011;
		h.vms[3].member.slowdown = slowdowns[i];
		beyond[i] = mean_dram(&h, 3, 200) - h.vms[3].member.guarantee;
		host_free(&h);
	}
	print_message("beyond the guarantee: %.3f GiB, with a known slowdown %.3f GiB\n",
		      beyond[0] / GIB, beyond[1] / GIB);
	assert_true(beyond[1] < beyond[0] / 10);
}

/* A VM that claims any number of pages to be in constant use gets at most what its weight buys. */
static void lies_buy_what_the_weight_buys(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);

	(void)state;
	config.payback = 0;
	config.loss = 1;
	for (uint64_t pages = GIB / 4; pages <= 4 * GIB; pages += GIB / 4) {
		struct host_vm *liar;
		struct host h;
		double buys;

		eight(&h, config);
		liar = &h.vms[3];
		liar->pages = pages;
		liar->lies = 1e9;
		liar->member.guarantee = 0;
		windows(&h, 100);
		buys = liar->member.weight * 1e9 / h.pool.price[0];
		if (host_dram(liar) > buys * 1.15)
			fail_msg("%.2f GiB said to be used, %.2f GiB had, %.2f GiB is what its "
				 "weight buys", (double)pages / GIB,
				 (double)host_dram(liar) / GIB, buys / GIB);
		host_free(&h);
	}
}

/*
 * A guest that does not return borrowed DRAM keeps it, but no other VM waits for that, all have
 * their guarantees, and the stuck guest is lent nothing more.
 */
static void stuck_guests_are_left_alone(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;
	struct host_vm *stuck;
	uint64_t had;

	(void)state;
	eight(&h, config);
	stuck = &h.vms[7];
	for (unsigned int i = 0; i < 4; i++)
		h.vms[i].idle = true;
	windows(&h, 20);
	had = host_dram(stuck);
	assert_true(had > GIB / 2);
	stuck->speed = 0;
	for (unsigned int i = 0; i < 4; i++)
		h.vms[i].idle = false;
	windows(&h, 30);
	assert_int_equal(host_dram(stuck), had);
	assert_true(stuck->member.why == HMEM_POOL_STUCK);
	/* All DRAM is in use except what the stuck guest does not return. */
	for (unsigned int i = 0; i < 8; i++)
		assert_true(host_dram(&h.vms[i]) >= GIB / 8);
	assert_true(4 * GIB - hmem_pool_sum(h.pool.market.supply) > 4 * GIB * 0.99);
	/*
	 * When the guest works again, it returns the DRAM, although the pool asks it ever less
	 * often.
	 */
	stuck->speed = UINT64_MAX;
	windows(&h, 1030);
	assert_true(host_dram(stuck) <= GIB * 6 / 10);
	assert_false(stuck->member.owes);
	host_free(&h);
}

/* Some guests do not take DRAM that they are promised; another guest gets that DRAM. */
static void unused_promises_are_taken_back(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;
	uint64_t sum = 0;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 2; i < 7; i++)
		h.vms[i].speed = 0;
	h.vms[0].idle = h.vms[1].idle = true;
	windows(&h, 40);
	for (unsigned int i = 0; i < 8; i++)
		sum += host_dram(&h.vms[i]);
	for (unsigned int i = 2; i < 7; i++)
		assert_int_equal(host_dram(&h.vms[i]), GIB / 2);
	assert_true(host_dram(&h.vms[7]) > GIB * 0.9);
	host_free(&h);
}

/* A crashed guest keeps its DRAM until its VM disconnects; then the other VMs get the DRAM. */
static void crashed_guests_are_left_alone(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;
	uint64_t sum = 0;

	(void)state;
	eight(&h, config);
	windows(&h, 5);
	h.vms[2].member.fixed = true;
	h.vms[2].speed = 0;
	for (unsigned int i = 0; i < 20; i++) {
		h.vms[2].member.worth = NULL;
		host_window(&h);
		assert_int_equal(host_dram(&h.vms[2]),
				 hmem_pool_sum(h.vms[2].member.requested));
		assert_true(h.vms[2].member.why == HMEM_POOL_FIXED);
	}
	hmem_pool_remove(&h.pool, &h.vms[2].member);
	memset(h.vms[2].member.actual, 0, sizeof(h.vms[2].member.actual));
	memset(h.vms[2].member.requested, 0, sizeof(h.vms[2].member.requested));
	windows(&h, 20);
	for (unsigned int i = 0; i < 8; i++)
		sum += host_dram(&h.vms[i]);
	assert_true(sum > 4 * GIB * 0.99);
	host_free(&h);
}

/* If nothing changes for half an hour, measuring errors make hardly any page move. */
static void errors_move_little(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;
	uint64_t moved;
	double part;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		h.vms[i].error = 0.4;
		host_zipf(&h.vms[i], 4 * GIB);
		host_waits(&h.vms[i], 0.9);
	}
	windows(&h, 100);
	moved = h.moved;
	windows(&h, 1800);
	part = (h.moved - moved) * h.vms[0].member.move_ns / (1800 * 1e9 * 8 * 16);
	print_message("moves take %.7f of the VMs' time\n", part);
	assert_true(part < 1e-5);
	host_free(&h);
}

/* If needs change faster than moves pay for themselves, no page moves. */
static void short_needs_move_nothing(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++)
		h.vms[i].member.move_ns = 1e6;
	for (unsigned int i = 0; i < 100; i++) {
		h.vms[0].idle = i / 3 % 2;
		host_window(&h);
	}
	assert_int_equal(h.moved, 0);
	host_free(&h);
}

/* A VM with twice the weight gets a page that saves half as much as it would in another VM. */
static void weights_and_bounds(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host h;

	(void)state;
	config.loss = 1;
	config.payback = 0;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		host_zipf(&h.vms[i], 4 * GIB);
		host_waits(&h.vms[i], 0.9);
		h.vms[i].error = 0;
	}
	h.vms[0].member.weight = 2;
	h.vms[1].member.maximum = GIB / 4;
	h.vms[2].member.guarantee = GIB * 3 / 4;
	windows(&h, 500);
	assert_int_equal(h.vms[1].member.share, GIB / 4);
	assert_int_equal(host_dram(&h.vms[1]), GIB / 4);
	assert_true(host_dram(&h.vms[2]) >= GIB * 3 / 4);
	/* By Zipf's law, twice the weight buys twice the pages. */
	assert_true(host_dram(&h.vms[0]) > 1.6 * host_dram(&h.vms[3]));
	assert_true(host_dram(&h.vms[0]) < 2.4 * host_dram(&h.vms[3]));
	host_free(&h);
}

/*
 * What is said to make a VM grow or shrink is where the market divides: VMs that the pool leaves as
 * they are neither want more nor less at its price, to the width of a part of a step.
 */
static void says_what_would_change_it(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	const double part = 1.25;
	unsigned int settled = 0;
	struct host h;

	(void)state;
	config.loss = 1;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		host_zipf(&h.vms[i], 4 * GIB);
		host_waits(&h.vms[i], 0.2 + i * 0.1);
		h.vms[i].member.weight = 1 + i % 3;
		h.vms[i].error = 0;
	}
	windows(&h, 500);
	for (unsigned int i = 0; i < 8; i++) {
		const struct hmem_pool_member *m = &h.vms[i].member;

		if (m->why != HMEM_POOL_SETTLED)
			continue;
		settled++;
		assert_true(hmem_pool_next_mib(m) < hmem_pool_grows_at(&h.pool, m) * part);
		assert_true(hmem_pool_last_mib(m) > hmem_pool_shrinks_at(&h.pool, m) / part);
		assert_true(hmem_pool_next_mib(m) > hmem_pool_grows_at(&h.pool, m) / 2);
		assert_true(hmem_pool_last_mib(m) < hmem_pool_shrinks_at(&h.pool, m) * 2);
	}
	assert_in_range(settled, 4, 8);
	host_free(&h);
}

/* A VM that has lent for long gets more DRAM when all need DRAM, until it is paid back. */
static void lenders_are_paid_back(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct host_vm *lender;
	struct host h;
	uint64_t first;

	(void)state;
	eight(&h, config);
	for (unsigned int i = 0; i < 8; i++) {
		host_zipf(&h.vms[i], 4 * GIB);
		host_waits(&h.vms[i], 0.9);
		h.vms[i].error = 0;
	}
	lender = &h.vms[0];
	lender->idle = true;
	windows(&h, 1000);
	assert_true(lender->member.credit > 0);
	for (unsigned int i = 1; i < 8; i++)
		assert_true(h.vms[i].member.credit < 0);
	lender->idle = false;
	windows(&h, 60);
	first = host_dram(lender);
	print_message("paid back with %.1f %% more than its share\n",
		      (first / (GIB / 2.0) - 1) * 100);
	assert_true(first > GIB / 2 * 1.03);
	for (unsigned int i = 1; i < 8; i++)
		assert_true(host_dram(&h.vms[i]) < first);
	windows(&h, 3000);
	assert_true(lender->member.credit < GIB / 2 * h.pool.config.credit_s / 2);
	assert_in_range(mean_dram(&h, 0, 3000), GIB / 2 * 0.9, GIB / 2 * 1.03);
	host_free(&h);
}

/* The reserve is not lent, but a VM that becomes busy gets it at once. */
static void the_reserve_is_for_who_comes_back(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB + GIB / 2);
	struct host h;

	(void)state;
	config.reserve[0] = GIB / 2;
	eight(&h, config);
	h.vms[0].idle = true;
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t sum = 0;

		host_window(&h);
		for (unsigned int k = 0; k < 8; k++) {
			const struct hmem_pool_member *m = &h.vms[k].member;

			sum += m->actual[0] > m->requested[0] ? m->actual[0] : m->requested[0];
		}
		assert_true(sum <= 4 * GIB);
	}
	h.vms[0].idle = false;
	host_window(&h);
	/* The VM gets it before the other VMs have given anything back. */
	assert_true(hmem_pool_sum(h.vms[0].member.requested) > GIB * 43 / 100);
	host_free(&h);
}

/* A VM whose own socket has too little DRAM gets DRAM that VMs of the other socket do not want. */
static void own_socket_first(void **state)
{
	struct hmem_pool_config config = host_config(2 * GIB);
	struct host h;

	(void)state;
	config.num_nodes = 2;
	config.capacity[1] = 2 * GIB;
	host_init(&h, 8, &config);
	for (unsigned int i = 0; i < 8; i++) {
		struct host_vm *vm = &h.vms[i];

		host_hot_set(vm, 4 * GIB, GIB, 0.9);
		vm->member.processors = 16;
		vm->member.move_ns = 2500;
		host_waits(vm, 0.9);
		vm->member.guarantee = GIB / 8;
		vm->member.maximum = 4 * GIB;
		vm->member.node = i / 4;
		vm->member.away = i == 3 ? 0 : 0.5;
	}
	host_begin(&h);
	windows(&h, 20);
	/* While all VMs need DRAM, each has DRAM of its own socket only. */
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(h.vms[i].member.actual[1 - i / 4], 0);
		assert_true(host_dram(&h.vms[i]) > GIB / 4);
	}
	for (unsigned int i = 4; i < 8; i++)
		h.vms[i].idle = true;
	windows(&h, 60);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(h.vms[i].member.actual[1] > GIB / 4);
	/* The VM with @away 0 takes no DRAM of the other socket. */
	assert_int_equal(h.vms[3].member.actual[1], 0);
	for (unsigned int i = 4; i < 8; i++)
		h.vms[i].idle = false;
	windows(&h, 10);
	for (unsigned int i = 4; i < 8; i++)
		assert_true(host_saves(&h.vms[i], host_dram(&h.vms[i])) >
			    host_saves(&h.vms[i], GIB / 2) - 0.06);
	host_free(&h);
}

/* Who does not know on which nodes pages are counts them on own nodes first. */
static void counted_on_own_nodes_first(void **state)
{
	struct hmem_pool_config config = host_config(1000);
	struct hmem_pool_member a = {
		.maximum = 2000, .weight = 1, .processors = 1, .away = 0.5,
		.actual = { 700 },
	}, b = a, c = a;
	struct hmem_pool p;

	(void)state;
	config.num_nodes = 2;
	config.capacity[1] = 1000;
	hmem_pool_init(&p, &config);
	b.actual[0] = 600;
	c.node = 1;
	c.away = 0;
	c.actual[0] = 0;
	c.actual[1] = 500;
	assert_int_equal(hmem_pool_add(&p, &a, NULL), 0);
	assert_int_equal(hmem_pool_add(&p, &b, NULL), 0);
	assert_int_equal(hmem_pool_add(&p, &c, NULL), 0);
	/* 50 more were requested of one VM, and 100 less of another. */
	b.requested[0] = 650;
	c.requested[1] = 400;
	hmem_pool_spread(&p);
	assert_int_equal(a.actual[0], 700);
	assert_int_equal(b.actual[0], 300);
	assert_int_equal(b.actual[1], 300);
	assert_int_equal(b.requested[0], 350);
	assert_int_equal(b.requested[1], 300);
	assert_int_equal(c.actual[1], 500);
	assert_int_equal(c.requested[1], 400);
	/* What is requested less is less of the other node. */
	b.actual[0] = 600;
	b.actual[1] = 0;
	b.requested[0] = 100;
	b.requested[1] = 450;
	hmem_pool_spread(&p);
	assert_int_equal(b.requested[0], 300);
	assert_int_equal(b.requested[1], 250);
	/* When the other VM of the node has less, these pages count on their own node. */
	a.actual[0] = 500;
	b.actual[0] = 600;
	b.actual[1] = 0;
	hmem_pool_spread(&p);
	assert_int_equal(b.actual[0], 500);
	assert_int_equal(b.actual[1], 100);
	/* Pages that fit nowhere count on their own node, and so do all of a VM without others. */
	c.actual[1] = 1050;
	b.actual[0] = 600;
	b.actual[1] = 0;
	hmem_pool_spread(&p);
	assert_int_equal(b.actual[0], 600);
	assert_int_equal(c.actual[1], 1050);
	hmem_pool_free(&p);
}

/* The pool refuses guarantees of more DRAM than there is, and invalid numbers. */
static void bad_members_are_refused(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	struct hmem_pool_member m = {
		.guarantee = 3 * GIB, .maximum = 4 * GIB, .weight = 1, .processors = 1,
	}, other = m;
	struct hmem_err err;
	struct hmem_pool p;

	(void)state;
	config.reserve[0] = GIB / 2;
	hmem_pool_init(&p, &config);
	/* A pool without members can decide. */
	hmem_pool_decide(&p, 1000000000);
	assert_float_equal(p.price[0], 0, 0);
	assert_int_equal(hmem_pool_add(&p, &m, &err), 0);
	assert_int_equal(hmem_pool_add(&p, &other, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "3072 MiB"));
	other.guarantee = GIB / 2;
	assert_int_equal(hmem_pool_add(&p, &other, &err), 0);
	hmem_pool_remove(&p, &other);
	other.node = 1;
	assert_int_equal(hmem_pool_add(&p, &other, &err), -EINVAL);
	other.node = 0;
	other.weight = NAN;
	assert_int_equal(hmem_pool_add(&p, &other, &err), -EINVAL);
	other.weight = 1;
	other.guarantee = 5 * GIB;
	assert_int_equal(hmem_pool_add(&p, &other, &err), -EINVAL);
	hmem_pool_free(&p);
}

/*
 * VMs come and go, are idle, lie, get stuck, crash, report invalid rates and change their
 * bounds, at random.  The pool never promises more DRAM than there is, and no VM with its
 * guarantee loses it.
 */
static void never_more_than_there_is(void **state)
{
	uint64_t rnd = 99;

	(void)state;
	for (unsigned int run = 0; run < 200; run++) {
		struct hmem_pool_config config = host_config(4 * GIB);
		bool in[8] = { 0 };
		struct host h;

		config.num_nodes = 1 + run % 3;
		for (unsigned int n = 0; n < config.num_nodes; n++) {
			config.capacity[n] = 4 * GIB + unit_random(&rnd) % GIB;
			config.reserve[n] = unit_random(&rnd) % GIB;
		}
		eight(&h, config);
		memset(in, true, sizeof(in));
		for (unsigned int w = 0; w < 200; w++) {
			unsigned int i = unit_random(&rnd) % 8;
			struct host_vm *vm = &h.vms[i];
			uint64_t had[8];

			switch (unit_random(&rnd) % 10) {
			case 0:
				vm->idle = !vm->idle;
				break;
			case 1:
				vm->speed = unit_random(&rnd) % (GIB / 4);
				break;
			case 2:
				vm->lies = unit_random(&rnd) % 2 ? 1e300 : 0;
				break;
			case 3:
				vm->member.fixed = !vm->member.fixed;
				break;
			case 4:
				vm->truth[0].rate = unit_random(&rnd) % 2 ? NAN : INFINITY;
				break;
			case 5:
				vm->member.weight = unit_random(&rnd) % 100 + 0.5;
				break;
			case 6:
				vm->member.away = unit_random(&rnd) % 5 / 4.0;
				break;
			case 7:
				if (in[i]) {
					hmem_pool_remove(&h.pool, &vm->member);
					memset(vm->member.actual, 0, sizeof(vm->member.actual));
					memset(vm->member.requested, 0,
					       sizeof(vm->member.requested));
				} else {
					assert_int_equal(hmem_pool_add(&h.pool, &vm->member,
								       NULL), 0);
				}
				in[i] = !in[i];
				break;
			case 8:
				vm->speed = UINT64_MAX;
				break;
			default:
				break;
			}
			if (unit_random(&rnd) % 2) {
				host_follow(&h);
				host_promise(&h);
			}
			for (i = 0; i < 8; i++)
				had[i] = host_dram(&h.vms[i]);
			host_window(&h);
			for (i = 0; i < 8; i++) {
				const struct hmem_pool_member *m = &h.vms[i].member;

				if (in[i] && had[i] >= m->guarantee)
					assert_true(hmem_pool_sum(m->requested) >=
						    m->guarantee);
				assert_true(hmem_pool_sum(m->requested) <= m->maximum);
			}
		}
		host_free(&h);
	}
}

/* A guest that takes back less than a huge page of what it had given up still exceeds the pool. */
static void a_little_too_much_is_given_back(void **state)
{
	struct hmem_pool_config config = host_config(4 * GIB);
	uint64_t sum = 0;
	struct host h;

	(void)state;
	eight(&h, config);
	windows(&h, 20);
	for (unsigned int i = 0; i < 8; i++)
		sum += host_dram(&h.vms[i]);
	assert_true(sum <= 4 * GIB);
	for (unsigned int w = 0; w < 5; w++) {
		host_follow(&h);
		if (!w)
			h.vms[3].member.actual[0] += 4 * GIB - sum + HMEM_POOL_GRAIN / 2;
		/* What DRAM is worth to them is not known yet. */
		for (unsigned int i = 0; i < 8; i++)
			h.vms[i].member.worth = NULL;
		hmem_pool_decide(&h.pool, 1000000000);
	}
	sum = 0;
	for (unsigned int i = 0; i < 8; i++)
		sum += host_dram(&h.vms[i]);
	if (sum > 4 * GIB)
		fail_msg("%ld pages too much", (long)(sum - 4 * GIB));
	host_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_near_the_best),
		cmocka_unit_test(decisions_are_quick),
		cmocka_unit_test(lends_and_gets_back),
		cmocka_unit_test(idle_vms_do_not_wait),
		cmocka_unit_test(freed_pages_are_promised_at_once),
		cmocka_unit_test(late_promises_make_nobody_stuck),
		cmocka_unit_test(a_moment_ends_no_return),
		cmocka_unit_test(slow_returns_end),
		cmocka_unit_test(lies_do_not_pay),
		cmocka_unit_test(lies_need_processors),
		cmocka_unit_test(lies_buy_what_the_weight_buys),
		cmocka_unit_test(stuck_guests_are_left_alone),
		cmocka_unit_test(unused_promises_are_taken_back),
		cmocka_unit_test(crashed_guests_are_left_alone),
		cmocka_unit_test(errors_move_little),
		cmocka_unit_test(short_needs_move_nothing),
		cmocka_unit_test(weights_and_bounds),
		cmocka_unit_test(says_what_would_change_it),
		cmocka_unit_test(lenders_are_paid_back),
		cmocka_unit_test(the_reserve_is_for_who_comes_back),
		cmocka_unit_test(own_socket_first),
		cmocka_unit_test(counted_on_own_nodes_first),
		cmocka_unit_test(bad_members_are_refused),
		cmocka_unit_test(never_more_than_there_is),
		cmocka_unit_test(a_little_too_much_is_given_back),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
