/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs trade DRAM (tier 0) for NVM (tier 1), and back, at the prices of the configuration: see
 * trade.h.  For a VM with trade = yes, hmemd does so by resizing both tiers; for other VMs, it
 * only says which trade would pay.
 *
 * A VM's budget is what its tiers cost when it begins to trade: the operator sets a budget by
 * setting sizes.  What a guest reports of its swap can only change how its own budget is spent.
 */
#ifndef HMEMD_TRADING_H
#define HMEMD_TRADING_H

#include "config.h"
#include "trade.h"

struct hmemd;
struct vm;

/* What a VM's trader does, or why it does nothing. */
enum trading_why {
	/* There is no trader. */
	TRADING_NO_PRICES,
	TRADING_NO_RESIZE,	/* the tiers cannot be resized */
	TRADING_NO_PAGING,	/* the driver does not report what the guest reads again */
	/* The trader waits. */
	TRADING_NO_DRIVER,	/* or the VM is paused or migrates */
	TRADING_UNKNOWN,	/* nobody knows what DRAM is worth to the VM */
	TRADING_UNSETTLED,	/* the tiers do not have their requested sizes */
	TRADING_HOLDS_OFF,	/* after trades that failed */
	/* The trader trades, or would. */
	TRADING_NO_TRADE,	/* no trade pays */
	TRADING_PATIENT,	/* a trade has not paid for its moves yet */
	TRADING_DRY,		/* a trade would pay, but trade = yes is not set */
	TRADING_MOVES,		/* memory is given up and taken */
	TRADING_MEASURES,	/* the effect of the last trade */
	TRADING_RETURNS,	/* the last trade is being undone */
	TRADING_WHYS
};

struct trading {
	struct hmem_ledger ledger;
};

/* What is known of a VM's trades. */
struct traded {
	/* The configuration wants the VM to trade. */
	bool wanted;
	/* The configured price of a MiB of each tier; 0: not set. */
	double prices[HMEM_TRADED_TIERS];
	/* The trader is in use; otherwise it begins with the VM's sizes when it can. */
	bool begun;
	struct hmem_trader trader;
	/* Of the last second. */
	enum trading_why why;
	struct hmem_trade_window window;
	/* vm_now() when the last window ended, and the guest's counts then; 0: no window yet. */
	uint64_t last_ms;
	struct hmem_link_paging last;
};

/* The configuration was read, or the VM has sent HELLO. */
void trading_configure(struct vm *vm, const struct hmem_vm_config *config);

/*
 * Somebody else is about to resize the VM: the VM gets back what a trade that is half done has
 * taken from it, and the trader begins again, with what the VM then costs.
 */
void trading_forget(struct vm *vm);

/* The VM disconnects. */
void trading_remove(struct vm *vm);

/* Trades; called once per second, after pooling_second(), but not with --lockstep. */
void trading_second(struct hmemd *d);

/* With --lockstep: the VM's time stands still; trades if a second has passed. */
void trading_tick(struct vm *vm);

/*
 * The DRAM that the pool has to leave to a VM that has @frames: a VM that trades may buy back
 * all that it has sold.
 */
uint64_t trading_claim(const struct vm *vm, uint64_t frames);

/* The reason as one word, and as a phrase. */
const char *trading_why_word(enum trading_why why);
const char *trading_why(enum trading_why why);

#endif /* HMEMD_TRADING_H */
