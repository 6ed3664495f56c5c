/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: what VMs have traded, the last entries of it.  An entry is made when a trade
 * begins, and filled in when it is known what has come of the trade.
 */
#ifndef HMEM_LEDGER_H
#define HMEM_LEDGER_H

#include <stdint.h>

#define HMEM_LEDGER_ENTRIES	256u

enum hmem_trade_state {
	HMEM_TRADE_MOVES,	/* the guest gives up and takes memory */
	HMEM_TRADE_WATCHED,	/* it has; what that has brought is being measured */
	HMEM_TRADE_KEPT,
	HMEM_TRADE_UNDONE,	/* it was a loss: the VM has back what it had */
	HMEM_TRADE_GIVEN_UP,	/* the guest did not give up what it was to */
	HMEM_TRADE_STATES
};

struct hmem_ledger_entry {
	uint64_t id;			/* from 1; 0: no entry */
	uint64_t when_ns;		/* of the caller's clock */
	char vm[80];
	/* So many pages of a tier for so many of another. */
	unsigned int from, to;
	uint64_t given, taken;
	/* Stall in ns per second that it saves; measured: and the standard error of that. */
	double expected_ns, measured_ns, error_ns;
	enum hmem_trade_state state;
};

/* All zero is an empty one. */
struct hmem_ledger {
	struct hmem_ledger_entry entries[HMEM_LEDGER_ENTRIES];
	uint64_t last;			/* id */
};

/* A new entry with the next id, in the place of the oldest: all else is to be filled in. */
struct hmem_ledger_entry *hmem_ledger_add(struct hmem_ledger *l);

/* NULL if there is none, or it is so old that it is there no more. */
struct hmem_ledger_entry *hmem_ledger_find(struct hmem_ledger *l, uint64_t id);

const char *hmem_trade_state(enum hmem_trade_state state);

#endif /* HMEM_LEDGER_H */
