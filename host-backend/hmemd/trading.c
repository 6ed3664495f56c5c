/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "accounts.h"
#include "capacity.h"
#include "log.h"
#include "trading.h"
#include "vm.h"

#define MS_NS		UINT64_C(1000000)
#define SECOND_NS	UINT64_C(1000000000)
#define MIB_FRAMES	(1u << (20 - VIRTIO_HMEM_GFN_SHIFT))

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

/* The reason why nothing is known of trades now; TRADING_NO_TRADE: there is none. */
static enum trading_why obstacle(const struct vm *vm)
{
	if (!(vm->traded.prices[HMEM_NVM] > 0))
		return TRADING_NO_PRICES;
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		if (!vm->hello.tiers[i].unit)
			return TRADING_NO_RESIZE;
	}
	if (!vm_at_work(vm))
		return TRADING_NO_DRIVER;
	if (!(vm->state.features >> VIRTIO_HMEM_F_PAGING & 1))
		return TRADING_NO_PAGING;
	/* A trade that has begun goes on without. */
	if (!vm->pooled.member.worth && !vm->traded.trader.entry && !vm->traded.trader.returns)
		return TRADING_UNKNOWN;
	return TRADING_NO_TRADE;
}

static bool is_settled(const struct vm *vm)
{
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		if (vm->sizes.tiers[i].actual != vm->sizes.tiers[i].requested)
			return false;
	}
	return true;
}

/* The host's nodes may have no room for all that the tiers can have. */
static void limit(struct vm *vm)
{
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		/* The pool's DRAM is promised to all of its VMs: this one has its part already. */
		if (i == HMEM_DRAM && vm->d->config.pool)
			continue;
		vm->traded.trader.most[i] =
			frames_in(capacity_limit(vm, i, vm->hello.tiers[i].size));
	}
}

/* Begins with the VM's present sizes, which set its budget. */
static void begin(struct vm *vm)
{
	struct traded *t = &vm->traded;
	const double price[] = {
		t->prices[HMEM_DRAM] / MIB_FRAMES, t->prices[HMEM_NVM] / MIB_FRAMES
	};
	uint64_t actual[HMEM_TRADED_TIERS];

	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++)
		actual[i] = frames_in(vm->sizes.tiers[i].actual);
	t->begun = hmem_trader_init(&t->trader, vm->name, price, actual);
	t->trader.move_ns = vm->placer.bursts.first.move_ns;
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		t->trader.unit[i] = frames_in(vm->hello.tiers[i].unit);
		t->trader.least[i] = frames_in(vm->hello.tiers[i].min);
	}
	t->trader.most[HMEM_DRAM] = actual[HMEM_DRAM];
	limit(vm);
}

/*
 * The window since the last one.  A guest can report any counts.  A fault takes at least the
 * time of a move, which also copies a page.
 */
static void look_at(struct vm *vm, uint64_t now)
{
	const struct hmem_link_paging *p = &vm->sizes.paging;
	struct traded *t = &vm->traded;
	struct hmem_trade_window *w = &t->window;
	double seconds = (now - t->last_ms) / (double)SECOND_MS;
	double faults = 0, read = 0, wait = 0;
	uint64_t frames = 0;

	*w = (struct hmem_trade_window) {
		.ns = (now - t->last_ms) * MS_NS, .now_ns = realtime_ns(),
		.worth = vm->pooled.member.worth ? &vm->pooled.measured : NULL,
		.unused = frames_in(accounts_free_or_none(vm, HMEM_NVM)),
	};
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		w->actual[i] = frames_in(vm->sizes.tiers[i].actual);
		frames += frames_in(vm->hello.tiers[i].size);
	}
	/* Counts that are less than before are those of a driver that has started again. */
	if (t->last.read && p->swapped_in >= t->last.swapped_in &&
	    p->refaulted >= t->last.refaulted) {
		faults = (double)(p->swapped_in - t->last.swapped_in) +
			 (double)(p->refaulted - t->last.refaulted);
		read = fmax((double)p->read - (double)t->last.read, 0);
		wait = fmax((double)p->wait_ns - (double)t->last.wait_ns, 0);
	}
	w->faults = faults / seconds;
	w->fault_ns = fmax(read > 0 ? wait / read : 0, t->trader.move_ns);
	/* All pages of files that were read again would have had to stay. */
	w->missing = fmin((double)p->swapped + faults, frames);
	t->last = *p;
	t->last_ms = now;
}

static void request(struct vm *vm, uint32_t tier)
{
	uint64_t bytes = vm->traded.trader.requested[tier] << VIRTIO_HMEM_GFN_SHIFT;

	if (bytes == vm->sizes.tiers[tier].requested)
		return;
	log_msg(LOG_INFO, "vm '%s': trade: tier %" PRIu32 " is to have %" PRIu64 " MiB",
		vm->name, tier, bytes >> 20);
	vm_ask_size(vm, tier, bytes);
}

/* What the trader does, after it has decided. */
static enum trading_why reason_of(const struct vm *vm)
{
	const struct traded *t = &vm->traded;
	struct hmem_ledger *ledger = &vm->d->trading.ledger;
	const struct hmem_ledger_entry *e = hmem_ledger_find(ledger, t->trader.entry);

	if (e && e->state == HMEM_TRADE_MOVES)
		return TRADING_MOVES;
	if (t->trader.returns)
		return TRADING_RETURNS;
	if (t->trader.hold_off)
		return TRADING_HOLDS_OFF;
	if (e)
		return TRADING_MEASURES;
	if (!t->trader.best.given)
		return TRADING_NO_TRADE;
	return t->wanted ? TRADING_PATIENT : TRADING_DRY;
}

static void trade(struct vm *vm)
{
	struct traded *t = &vm->traded;
	struct hmem_trader *trader = &t->trader;

	if (!t->wanted) {
		hmem_trade_look(trader, &t->window);
		t->why = reason_of(vm);
		return;
	}
	/* A guest that was short of memory has more than it was to have: let it return that. */
	if (!trader->entry && !trader->returns && !is_settled(vm)) {
		t->why = TRADING_UNSETTLED;
		return;
	}
	hmem_trade_decide(trader, &t->window, &vm->d->trading.ledger);
	t->why = reason_of(vm);
	for (uint32_t i = 0; i < HMEM_TRADED_TIERS; i++)
		request(vm, i);
}

/*
 * May a trader begin?  The pool does not resize a VM that trades, so the VM must not have more
 * than its share, of which other VMs can have a guarantee.
 */
static bool may_begin(const struct vm *vm)
{
	return is_settled(vm) &&
	       (!vm->d->config.pool ||
		frames_in(vm->sizes.tiers[HMEM_DRAM].actual) <= vm->pooled.member.share);
}

static void second(struct vm *vm)
{
	struct traded *t = &vm->traded;
	uint64_t now = vm_now(vm);

	t->why = obstacle(vm);
	if (t->why == TRADING_NO_TRADE && !t->begun && !may_begin(vm))
		t->why = TRADING_UNSETTLED;
	if (t->why != TRADING_NO_TRADE) {
		t->last_ms = 0;
		return;
	}
	if (!t->begun)
		begin(vm);
	if (!t->last_ms) {
		t->last = vm->sizes.paging;
		t->last_ms = now;
		return;
	}
	if (now - t->last_ms < SECOND_MS) {
		t->why = reason_of(vm);
		return;
	}
	look_at(vm, now);
	limit(vm);
	trade(vm);
}

void trading_second(struct hmemd *d)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm_ready(vm))
			second(vm);
	}
}

void trading_tick(struct vm *vm)
{
	second(vm);
}

void trading_forget(struct vm *vm)
{
	if (hmem_trade_leave(&vm->traded.trader, &vm->d->trading.ledger)) {
		for (uint32_t i = 0; i < HMEM_TRADED_TIERS; i++)
			request(vm, i);
	}
	vm->traded.begun = false;
	vm->traded.last_ms = 0;
}

void trading_remove(struct vm *vm)
{
	hmem_trade_leave(&vm->traded.trader, &vm->d->trading.ledger);
}

void trading_configure(struct vm *vm, const struct hmem_vm_config *config)
{
	struct traded *t = &vm->traded;
	bool same = config->trade == t->wanted;

	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		same &= t->prices[i] == config->prices[i];
		t->prices[i] = config->prices[i];
	}
	t->wanted = config->trade;
	if (!same)
		trading_forget(vm);
}

uint64_t trading_claim(const struct vm *vm, uint64_t frames)
{
	uint64_t most = vm->traded.trader.most[HMEM_DRAM];

	return vm->traded.wanted && vm->traded.begun && most > frames ? most : frames;
}

const char *trading_why_word(enum trading_why why)
{
	static const char *const words[TRADING_WHYS] = {
		[TRADING_NO_PRICES] = "no-prices",
		[TRADING_NO_RESIZE] = "no-resize",
		[TRADING_NO_PAGING] = "no-paging",
		[TRADING_NO_DRIVER] = "no-driver",
		[TRADING_UNKNOWN] = "unknown",
		[TRADING_UNSETTLED] = "unsettled",
		[TRADING_HOLDS_OFF] = "holds-off",
		[TRADING_NO_TRADE] = "no-trade",
		[TRADING_PATIENT] = "patient",
		[TRADING_DRY] = "dry-run",
		[TRADING_MOVES] = "moves",
		[TRADING_MEASURES] = "measures",
		[TRADING_RETURNS] = "returns",
	};

	return words[why];
}

const char *trading_why(enum trading_why why)
{
	static const char *const words[TRADING_WHYS] = {
		[TRADING_NO_PRICES] = "no prices are set: see prices in hmemd.conf(5)",
		[TRADING_NO_RESIZE] = "its tiers cannot be resized",
		[TRADING_NO_PAGING] = "its driver counts no swap: install a newer virtio_hmem",
		[TRADING_NO_DRIVER] = "no driver is at work, or the VM is paused or migrates",
		[TRADING_UNKNOWN] = "what DRAM is worth is not known yet: use the policy auto",
		[TRADING_UNSETTLED] = "waits until its tiers have the requested sizes",
		[TRADING_HOLDS_OFF] = "waits after a trade that failed",
		[TRADING_NO_TRADE] = "no trade pays",
		[TRADING_PATIENT] = "waits until a trade would have paid for its moves",
		[TRADING_DRY] = "a trade would pay: set trade = yes in hmemd.conf(5)",
		[TRADING_MOVES] = "gives up memory of one tier, and takes memory of the other",
		[TRADING_MEASURES] = "measures the effect of its last trade",
		[TRADING_RETURNS] = "returns to its sizes from before the last trade",
	};

	return words[why];
}
