/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger lists the last trades of all VMs.  An entry is made when a trade begins, and is
 * completed when the effect of the trade has been measured.
 */
#ifndef HMEM_LEDGER_H
#define HMEM_LEDGER_H

#include <stdint.h>

#define HMEM_LEDGER_ENTRIES	256u

/* The tiers that are traded: their numbers in arrays, and in the VM. */
enum { HMEM_DRAM, HMEM_NVM, HMEM_TRADED_TIERS };

enum hmem_trade_state {
	HMEM_TRADE_MOVES,	/* the guest is giving up memory and taking memory */
	HMEM_TRADE_WATCHED,	/* the guest has done so; the effect is being measured */
	HMEM_TRADE_KEPT,	/* the trade was not a loss */
	HMEM_TRADE_UNDONE,	/* the trade was a loss: the VM has its memory back */
	HMEM_TRADE_GIVEN_UP,	/* the guest did not give up the memory */
	HMEM_TRADE_LEFT,	/* the VM went, or an operator changed sizes or prices */
	HMEM_TRADE_STATES
};

struct hmem_ledger_entry {
	uint64_t id;			/* from 1; 0: no entry */
	uint64_t when_ns;		/* when the trade began, by the caller's clock */
	char vm[80];
	/* @given pages of the tier @from are exchanged for @taken pages of the tier @to. */
	unsigned int from, to;
	uint64_t given, taken;
	/* The VM's pages before the trade. */
	uint64_t before[HMEM_TRADED_TIERS];
	/* Why: pages read again per second, and ns of waiting for each; see trade.h. */
	double faults, fault_ns;
	/*
	 * Stall in ns per second that the trade saves: as expected before, as measured
	 * afterwards, and the standard error of the measurement.
	 */
	double expected_ns, measured_ns, error_ns;
	enum hmem_trade_state state;
};

/* A ledger that is all zero is empty. */
struct hmem_ledger {
	struct hmem_ledger_entry entries[HMEM_LEDGER_ENTRIES];
	uint64_t last;			/* the id of the newest entry; 0: none */
};

/* Replaces the oldest entry by one with the next id, and all other fields zero. */
struct hmem_ledger_entry *hmem_ledger_add(struct hmem_ledger *l);

/* Returns NULL if @id is 0, or if newer entries have replaced the entry. */
struct hmem_ledger_entry *hmem_ledger_find(struct hmem_ledger *l, uint64_t id);

/* The state as one word, and as a phrase. */
const char *hmem_trade_state_word(enum hmem_trade_state state);
const char *hmem_trade_state(enum hmem_trade_state state);

#endif /* HMEM_LEDGER_H */
