/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trade.h"

/*
 * Standard errors.  With eight windows before and eight after, chance alone makes one trade
 * in 30 look like a loss.
 */
#define STANDARD_ERRORS	2.0
/* After n failures or losses, the trader waits for 2^n windows, where n is at most this. */
#define MAX_FAILURES	10u
/* The trader gives up after so many windows without progress, like the pool. */
#define PATIENCE	3u
/* A trade gives up at least a huge page, since moving base pages costs much more. */
#define GRAIN		512u
#define SECOND_NS	1e9

bool hmem_trader_init(struct hmem_trader *t, const char *vm,
		      const double price[HMEM_TRADED_TIERS],
		      const uint64_t actual[HMEM_TRADED_TIERS])
{
	memset(t, 0, sizeof(*t));
	if (!(price[HMEM_NVM] > 0 && price[HMEM_DRAM] >= price[HMEM_NVM] &&
	      isfinite(price[HMEM_DRAM])))
		return false;
	memcpy(t->price, price, sizeof(t->price));
	memcpy(t->requested, actual, sizeof(t->requested));
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		t->unit[i] = 1;
		t->most[i] = UINT64_MAX;
	}
	t->budget = hmem_trade_cost(t, actual);
	t->steps = 4;
	t->windows = 8;
	snprintf(t->vm, sizeof(t->vm), "%s", vm);
	return true;
}

double hmem_trade_cost(const struct hmem_trader *t, const uint64_t pages[HMEM_TRADED_TIERS])
{
	return t->price[HMEM_DRAM] * pages[HMEM_DRAM] + t->price[HMEM_NVM] * pages[HMEM_NVM];
}

/* Whole units. */
static uint64_t round_down(const struct hmem_trader *t, unsigned int tier, uint64_t pages)
{
	return pages - pages % t->unit[tier];
}

/*
 * How many pages of the tier @left pays for.  The small addend makes up for rounding errors,
 * so that the cost of n pages pays for n pages.
 */
static uint64_t pages_within(const struct hmem_trader *t, unsigned int tier, double left)
{
	double pages = left / t->price[tier] + 1e-6;

	return pages > 0 ? round_down(t, tier, fmin(pages, t->most[tier])) : 0;
}

/* --- means --- */

static void add(struct hmem_trade_mean *m, double v)
{
	double from = v - m->mean;

	m->num++;
	m->mean += from / m->num;
	m->squares += from * (v - m->mean);
}

/* The variance of the mean. */
static double variance(const struct hmem_trade_mean *m)
{
	return m->num > 1 ? m->squares / (m->num - 1) / m->num : 0;
}

/*
 * A program that always waits for its swap waits for as much of its time after a trade as
 * before, and does more meanwhile.  So the stall counts per access to memory, and the worth of
 * all pages is proportional to the number of accesses.  The result is the stall at the number of
 * accesses that @usual stands for; 0: not known yet.
 */
static void add_stall(struct hmem_trade_mean *m, const struct hmem_trade_window *w,
		      double *usual)
{
	double stall = w->faults * w->fault_ns +
		       hmem_worth_between(w->worth, w->actual[HMEM_DRAM], UINT64_MAX);
	double accesses = hmem_worth_between(w->worth, 0, UINT64_MAX);

	if (!(*usual > 0))
		*usual = accesses;
	add(m, accesses > 0 ? stall * *usual / accesses : stall);
}

static void forget_stall(struct hmem_trader *t)
{
	t->stall_before = (struct hmem_trade_mean) { 0 };
	t->usual = 0;
}

/* --- offers --- */

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The number of pages each of which is worth at least @ns. */
static uint64_t worth_at_least(const struct hmem_worth *w, double ns)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < w->num && w->steps[i].ns >= ns; i++)
		pages += w->steps[i].pages;
	return pages;
}

/* How many pages of @to cost as much as @given pages of @from. */
static uint64_t pages_for(const struct hmem_trader *t, unsigned int from, unsigned int to,
			  uint64_t given)
{
	return round_down(t, to, given * t->price[from] / t->price[to]);
}

static uint64_t largest_step(const struct hmem_trader *t, const struct hmem_trade_window *w)
{
	return w->actual[HMEM_DRAM] / t->steps + 1;
}

/* Exchange DRAM for NVM, so that fewer pages have to be read from swap. */
static void offer_dram(const struct hmem_trader *t, const struct hmem_trade_window *w,
		       struct hmem_trade_offer *o)
{
	double ratio = t->price[HMEM_DRAM] / t->price[HMEM_NVM];
	double faults_ns = w->faults * w->fault_ns, per_page, more;
	uint64_t dram = w->actual[HMEM_DRAM], keep;

	*o = (struct hmem_trade_offer) { .from = HMEM_DRAM, .to = HMEM_NVM };
	if (!w->missing || !(faults_ns > 0) || ratio <= 1)
		return;
	/* Each page of DRAM that is given up makes the VM larger by ratio - 1 pages. */
	per_page = faults_ns / w->missing * (ratio - 1);
	keep = worth_at_least(w->worth, per_page);
	o->given = less(dram, keep > t->least[HMEM_DRAM] ? keep : t->least[HMEM_DRAM]);
	o->given = min(o->given, ceil(w->missing / (ratio - 1)));
	o->given = min(o->given, largest_step(t, w));
	o->given = min(o->given,
		       less(t->most[HMEM_NVM], w->actual[HMEM_NVM]) / ratio);
	o->given = round_down(t, o->from, o->given);
	o->taken = pages_for(t, o->from, o->to, o->given);
	more = less(o->taken, o->given);
	o->ns = faults_ns * fmin(more / w->missing, 1) -
		hmem_worth_between(w->worth, dram - o->given, dram);
}

/* Exchange unused NVM for DRAM. */
static void offer_nvm(const struct hmem_trader *t, const struct hmem_trade_window *w,
		      struct hmem_trade_offer *o)
{
	uint64_t dram = w->actual[HMEM_DRAM], most = less(t->most[HMEM_DRAM], dram);

	*o = (struct hmem_trade_offer) { .from = HMEM_NVM, .to = HMEM_DRAM };
	if (w->faults > 0)
		return;
	/* More DRAM than the VM has pages in use would be worth nothing. */
	most = min(most, less(worth_at_least(w->worth, 0), dram));
	most = min(most, largest_step(t, w));
	o->given = min(w->unused, less(w->actual[HMEM_NVM], t->least[HMEM_NVM]));
	o->given = min(o->given, ceil(most * t->price[HMEM_DRAM] / t->price[HMEM_NVM]));
	o->given = round_down(t, o->from, o->given);
	o->taken = min(pages_for(t, o->from, o->to, o->given), round_down(t, o->to, most));
	o->ns = hmem_worth_between(w->worth, dram, dram + o->taken);
}

void hmem_trade_look(struct hmem_trader *t, const struct hmem_trade_window *w)
{
	struct hmem_trade_offer sell, buy;

	t->best = (struct hmem_trade_offer) { .to = HMEM_NVM };
	if (!w->worth)
		return;
	offer_dram(t, w, &sell);
	offer_nvm(t, w, &buy);
	if (buy.ns > sell.ns)
		sell = buy;
	if (sell.given >= GRAIN && sell.taken && sell.ns > 0)
		t->best = sell;
}

/* --- a trade under way --- */

/*
 * Request as many pages of the tier e->to as the rest of the budget pays for, beside the pages
 * of the tier e->from that the VM still has.  The VM can have got memory by itself meanwhile,
 * for example by a reset.  It keeps what it had before the trade until it gives that up.
 */
static void request_rest(struct hmem_trader *t, const struct hmem_trade_window *w,
			 const struct hmem_ledger_entry *e)
{
	uint64_t pages = pages_within(t, e->to,
				      t->budget - t->price[e->from] * w->actual[e->from]);

	t->requested[e->to] = pages > t->before[e->to] ? pages : t->before[e->to];
}

static void begin(struct hmem_trader *t, const struct hmem_trade_window *w,
		  const struct hmem_trade_offer *o, struct hmem_ledger *ledger)
{
	struct hmem_ledger_entry *e = hmem_ledger_add(ledger);

	e->when_ns = w->now_ns;
	memcpy(e->vm, t->vm, sizeof(e->vm));
	e->from = o->from;
	e->to = o->to;
	e->given = o->given;
	e->taken = o->taken;
	e->expected_ns = o->ns;
	e->faults = w->faults;
	e->fault_ns = w->fault_ns;
	memcpy(e->before, w->actual, sizeof(e->before));
	e->state = HMEM_TRADE_MOVES;
	t->entry = e->id;
	memcpy(t->before, w->actual, sizeof(t->before));
	t->requested[o->from] = w->actual[o->from] - o->given;
	t->gap = UINT64_MAX;
	t->waited = 0;
	t->missed_ns = 0;
	t->stall_after = (struct hmem_trade_mean) { 0 };
}

static void finish(struct hmem_trader *t, struct hmem_ledger_entry *e,
		   enum hmem_trade_state state)
{
	e->state = state;
	t->entry = 0;
	t->stall_before = t->stall_after;
	if (state == HMEM_TRADE_KEPT) {
		t->failures = 0;
		return;
	}
	t->failures += t->failures < MAX_FAILURES;
	t->hold_off = 1u << t->failures;
	forget_stall(t);
}

/* Return to the sizes before the trade; the VM first gives up what it took. */
static void undo(struct hmem_trader *t, const struct hmem_trade_window *w,
		 struct hmem_ledger_entry *e, enum hmem_trade_state state)
{
	t->requested[e->to] = min(t->before[e->to], w->actual[e->to]);
	t->requested[e->from] = min(t->before[e->from], w->actual[e->from]);
	t->returns = true;
	finish(t, e, state);
}

/*
 * Request memory that the VM had before the trade, as far as the budget pays for it.  Returns
 * true when the VM has its sizes from before the trade.
 */
static bool give_back(struct hmem_trader *t, const struct hmem_trade_window *w)
{
	bool done = true;

	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++) {
		double left = t->budget - t->price[!i] * fmax(w->actual[!i], t->requested[!i]);

		if (w->actual[i] < t->before[i])
			t->requested[i] = min(pages_within(t, i, left), t->before[i]);
		/* Never ask for less than the VM has of what it is to get back. */
		if (w->actual[i] < t->before[i] && t->requested[i] < w->actual[i])
			t->requested[i] = w->actual[i];
		done &= w->actual[i] == t->before[i];
	}
	return done;
}

static void continue_moves(struct hmem_trader *t, const struct hmem_trade_window *w,
			   struct hmem_ledger_entry *e)
{
	uint64_t left;

	request_rest(t, w, e);
	left = less(w->actual[e->from], t->requested[e->from]) +
	       less(t->requested[e->to], w->actual[e->to]);
	if (!left) {
		e->given = less(t->before[e->from], w->actual[e->from]);
		e->taken = less(w->actual[e->to], t->before[e->to]);
		e->state = HMEM_TRADE_WATCHED;
		return;
	}
	t->waited = left < t->gap ? 0 : t->waited + 1;
	t->gap = left;
	if (t->waited < PATIENCE)
		return;
	if (w->actual[e->from] < t->before[e->from] &&
	    w->actual[e->from] > t->requested[e->from]) {
		/* The guest gives up no more: it takes memory for what it has given up. */
		t->requested[e->from] = w->actual[e->from];
		t->gap = UINT64_MAX;
		t->waited = 0;
	} else {
		undo(t, w, e, HMEM_TRADE_GIVEN_UP);
	}
}

static void measure_effect(struct hmem_trader *t, const struct hmem_trade_window *w,
			   struct hmem_ledger_entry *e)
{
	add_stall(&t->stall_after, w, &t->usual);
	if (t->stall_after.num < t->windows)
		return;
	e->measured_ns = t->stall_before.mean - t->stall_after.mean;
	e->error_ns = sqrt(variance(&t->stall_before) + variance(&t->stall_after));
	if (e->measured_ns < -STANDARD_ERRORS * e->error_ns)
		undo(t, w, e, HMEM_TRADE_UNDONE);
	else
		finish(t, e, HMEM_TRADE_KEPT);
}

/* Begin a trade if the best one has been worth its moves for long enough. */
static void consider(struct hmem_trader *t, const struct hmem_trade_window *w,
		     struct hmem_ledger *ledger)
{
	const struct hmem_trade_offer *o = &t->best;
	int toward;

	hmem_trade_look(t, w);
	add_stall(&t->stall_before, w, &t->usual);
	if (!o->given) {
		t->missed_ns = 0;
		return;
	}
	toward = o->from == HMEM_DRAM ? -1 : 1;
	if (toward != t->toward)
		t->missed_ns = 0;
	t->toward = toward;
	t->missed_ns += o->ns * (w->ns / SECOND_NS);
	/* A page that is given up moves to NVM, and DRAM that is taken gets pages by moves. */
	if (t->stall_before.num >= t->windows && t->missed_ns >= 2 * o->given * t->move_ns)
		begin(t, w, o, ledger);
	else if (t->stall_before.num > 2 * t->windows)
		/* Old measurements say little about the stall without a trade now. */
		forget_stall(t);
}

bool hmem_trade_leave(struct hmem_trader *t, struct hmem_ledger *ledger)
{
	struct hmem_ledger_entry *e = hmem_ledger_find(ledger, t->entry);
	bool half_done = t->returns || (e && e->state == HMEM_TRADE_MOVES);

	if (e)
		e->state = HMEM_TRADE_LEFT;
	if (half_done)
		memcpy(t->requested, t->before, sizeof(t->requested));
	t->entry = 0;
	t->returns = false;
	return half_done;
}

void hmem_trade_decide(struct hmem_trader *t, const struct hmem_trade_window *w,
		       struct hmem_ledger *ledger)
{
	struct hmem_ledger_entry *e = hmem_ledger_find(ledger, t->entry);

	if (e && e->state == HMEM_TRADE_MOVES) {
		continue_moves(t, w, e);
		return;
	}
	if (t->returns) {
		t->returns = !give_back(t, w);
		return;
	}
	if (t->hold_off) {
		t->hold_off--;
		return;
	}
	if (!e && t->entry) {
		/* Newer entries have replaced this trade's, so its outcome is unknown. */
		memcpy(t->requested, w->actual, sizeof(t->requested));
		t->entry = 0;
	}
	if (!w->worth)
		return;
	if (e)
		measure_effect(t, w, e);
	else
		consider(t, w, ledger);
}
