/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trader exchanges DRAM of a VM for NVM, or NVM for DRAM, at the same cost: each tier has a
 * price per page, and the VM has a budget.
 *
 * A VM that swaps waits for a disk.  One page of DRAM buys several pages of NVM.  So the VM
 * gives up the pages of DRAM that save least, as long as each page saves less than the NVM that
 * it buys.  A VM with unused NVM exchanges the unused pages for DRAM.
 *
 * As in the pool (pool.h), a trade begins once the stall that an immediate trade would have
 * saved by now is as long as the moves take.  The trader measures the stall before and after, for
 * the same number of accesses to memory, because a VM that waits less does more.  If
 * the trade was a loss, by more than two standard errors, the VM gets its memory back.  The VM
 * gives up memory first, and takes memory afterwards, so what is requested never costs more
 * than its budget.
 * A VM that gives up only a part of the memory takes only as much as that part pays for.
 * After a trade the cost is less than one page below the budget, or less than one unit of a
 * tier whose size changes in larger units.
 *
 * A trader does no I/O and reads no clock.  Not thread-safe: one thread owns a trader.
 */
#ifndef HMEM_TRADE_H
#define HMEM_TRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"
#include "worth.h"

/* What is known of a VM at the end of a window. */
struct hmem_trade_window {
	uint64_t ns;			/* length of the window */
	uint64_t now_ns;		/* the time, by the ledger's clock */
	/* The VM's pages of each tier. */
	uint64_t actual[HMEM_TRADED_TIERS];
	/* What DRAM is worth to the VM; NULL if nobody knows. */
	const struct hmem_worth *worth;
	/* Pages per second that were read from swap, or read again from files; ns of each. */
	double faults, fault_ns;
	/* Pages that the VM would need in addition in order to have no such faults. */
	uint64_t missing;
	/* Pages of NVM that the VM does not use. */
	uint64_t unused;
};

/*
 * @given pages of the tier @from for @taken pages of the tier @to; the VM would wait for @ns
 * per second less.  Without pages: no trade pays.
 */
struct hmem_trade_offer {
	unsigned int from, to;
	uint64_t given, taken;
	double ns;
};

/* Mean and sum of squared deviations of the stall, in ns per second, over @num windows. */
struct hmem_trade_mean {
	unsigned int num;
	double mean, squares;
};

struct hmem_trader {
	/*
	 * Set by the operator.  @price: of a page of each tier; more than 0, and DRAM is not
	 * cheaper than NVM.  @unit: the VM has whole units of so many pages.  @least, @most: the
	 * pages of each tier that the VM may have, in whole units.  @budget: what the VM's
	 * pages may cost; hmem_trader_init() sets what they cost now.
	 */
	double price[HMEM_TRADED_TIERS];
	uint64_t unit[HMEM_TRADED_TIERS];
	uint64_t least[HMEM_TRADED_TIERS], most[HMEM_TRADED_TIERS];
	double budget;
	/* The move of a page takes so much guest time, in ns. */
	double move_ns;
	/*
	 * A trade exchanges at most 1/@steps of the VM's DRAM.  The stall is measured over
	 * @windows windows, before and after a trade.
	 */
	unsigned int steps, windows;
	char vm[80];

	/* Decided by the trader: the pages of each tier that the VM is to have now. */
	uint64_t requested[HMEM_TRADED_TIERS];
	/* The best trade of the last window in which the trader considered one. */
	struct hmem_trade_offer best;

	/*
	 * Internal.  @entry: the ledger's entry for the trade under way; 0: there is none.
	 * @before: the VM's pages when that trade, or the one that is being undone, began.
	 * @toward: the trade that would pay gives up (-1) or takes (1) DRAM.  @missed_ns: ns of
	 * stall that this trade would have saved by now.  @usual: the worth of all pages in the
	 * first window of @stall_before, for which both means count; 0: there is none.
	 */
	uint64_t entry;
	uint64_t before[HMEM_TRADED_TIERS];
	struct hmem_trade_mean stall_before, stall_after;
	double usual;
	double missed_ns;
	int toward;
	/*
	 * Internal.  @gap: pages that the trade had still to move a window ago.  @waited:
	 * windows without progress.  @failures: trades that failed, one after the other.
	 * @hold_off: windows until the next trade is considered.
	 */
	unsigned int waited, failures, hold_off;
	uint64_t gap;
	/* Internal: the last trade is being undone. */
	bool returns;
};

/* Prepares a trader for a VM with the pages @actual.  Returns false for invalid prices. */
bool hmem_trader_init(struct hmem_trader *t, const char *vm,
		      const double price[HMEM_TRADED_TIERS],
		      const uint64_t actual[HMEM_TRADED_TIERS]);

/* What @pages of each tier cost. */
double hmem_trade_cost(const struct hmem_trader *t,
		       const uint64_t pages[HMEM_TRADED_TIERS]);

/* Finds the best trade at the end of a window, without beginning one. */
void hmem_trade_look(struct hmem_trader *t, const struct hmem_trade_window *w);

/*
 * The trader ends: the outcome of the trade under way, if there is one, stays unknown.  Returns
 * true if that trade is half done: @requested is then what the VM had before it.
 */
bool hmem_trade_leave(struct hmem_trader *t, struct hmem_ledger *ledger);

/* Decides at the end of a window what the VM is to have, and updates the ledger. */
void hmem_trade_decide(struct hmem_trader *t, const struct hmem_trade_window *w,
		       struct hmem_ledger *ledger);

#endif /* HMEM_TRADE_H */
