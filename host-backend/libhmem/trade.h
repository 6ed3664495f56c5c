/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM trades DRAM for NVM, or NVM for DRAM, and costs as much as before: each tier has a price,
 * and the VM has a budget.
 *
 * A VM that swaps waits for a disk.  For a page of DRAM it gets several of NVM; so it gives up
 * the pages of DRAM that save least, as long as each of them saves less than the memory for
 * which it is exchanged.  A VM that has more NVM than it uses takes DRAM for that.
 *
 * As in the pool (pool.h), a trade is made once as much time has been missed as its moves take.
 * The stall before and after is measured, and who has lost by a trade, by more than two standard
 * errors, gets back what it had.  What is given up comes first, so that a VM never has more than
 * its budget pays for; and when a trade is through, not less by as much as a page costs.
 *
 * Nothing here does I/O or has a clock.  Not thread-safe: one thread owns a trader.
 */
#ifndef HMEM_TRADE_H
#define HMEM_TRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"
#include "worth.h"

enum { HMEM_DRAM, HMEM_NVM, HMEM_TRADED_TIERS };

/* What a window has told of the VM. */
struct hmem_trade_window {
	uint64_t ns;			/* how long it was */
	uint64_t now_ns;		/* of the clock that the ledger has */
	/* Pages of each tier that it has. */
	uint64_t actual[HMEM_TRADED_TIERS];
	/* NULL: it is not known. */
	const struct hmem_worth *worth;
	/* Pages per second that came back from swap, or were read again; and ns of each. */
	double faults, fault_ns;
	/* Pages that it would need in order to have none of these. */
	uint64_t missing;
	/* Pages of NVM that it does not use. */
	uint64_t unused;
};

/* A mean and its error: of the stall in ns per second, in windows one after the other. */
struct hmem_trade_mean {
	unsigned int num;
	double mean, squares;
};

struct hmem_trader {
	/*
	 * The operator's: what a page costs, more than 0, and DRAM not less than NVM; the least
	 * and the most pages that the VM may have; its budget, 0: what it has costs as much.
	 */
	double price[HMEM_TRADED_TIERS];
	uint64_t least[HMEM_TRADED_TIERS], most[HMEM_TRADED_TIERS];
	double budget;
	/* Guest time of a move of a page, in ns. */
	double move_ns;
	/* In so many trades all of its DRAM could go; so many windows are measured. */
	unsigned int steps, windows;
	char vm[80];

	/* Decided. */
	uint64_t requested[HMEM_TRADED_TIERS];

	/* Internal: the entry of the trade under way, and what it was before. */
	uint64_t entry;
	uint64_t before[HMEM_TRADED_TIERS];
	struct hmem_trade_mean stall_before, stall_after;
	double missed_ns;
	int toward;
	unsigned int waited, failures, hold_off;
	uint64_t gap;
	/* The last trade is being undone. */
	bool returns;
};

/* A VM that has @actual.  Returns false if prices or bounds make no sense. */
bool hmem_trader_init(struct hmem_trader *t, const char *vm,
		      const double price[HMEM_TRADED_TIERS],
		      const uint64_t actual[HMEM_TRADED_TIERS]);

/* What so many pages of each tier cost. */
double hmem_trade_cost(const struct hmem_trader *t,
		       const uint64_t pages[HMEM_TRADED_TIERS]);

/* A window has ended: decide what is requested of the VM, and keep the ledger. */
void hmem_trade_decide(struct hmem_trader *t, const struct hmem_trade_window *w,
		       struct hmem_ledger *ledger);

#endif /* HMEM_TRADE_H */
