/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <string.h>

#include "ledger.h"

struct hmem_ledger_entry *hmem_ledger_add(struct hmem_ledger *l)
{
	struct hmem_ledger_entry *e = &l->entries[++l->last % HMEM_LEDGER_ENTRIES];

	memset(e, 0, sizeof(*e));
	e->id = l->last;
	return e;
}

struct hmem_ledger_entry *hmem_ledger_find(struct hmem_ledger *l, uint64_t id)
{
	struct hmem_ledger_entry *e = &l->entries[id % HMEM_LEDGER_ENTRIES];

	return id && e->id == id ? e : NULL;
}

const char *hmem_trade_state_word(enum hmem_trade_state state)
{
	static const char *const words[HMEM_TRADE_STATES] = {
		[HMEM_TRADE_MOVES] = "moves",
		[HMEM_TRADE_WATCHED] = "measuring",
		[HMEM_TRADE_KEPT] = "kept",
		[HMEM_TRADE_UNDONE] = "undone",
		[HMEM_TRADE_GIVEN_UP] = "given-up",
		[HMEM_TRADE_LEFT] = "left",
	};

	return words[state];
}

const char *hmem_trade_state(enum hmem_trade_state state)
{
	static const char *const words[HMEM_TRADE_STATES] = {
		[HMEM_TRADE_MOVES] = "under way",
		[HMEM_TRADE_WATCHED] = "measuring",
		[HMEM_TRADE_KEPT] = "kept",
		[HMEM_TRADE_UNDONE] = "undone: the trade was a loss",
		[HMEM_TRADE_GIVEN_UP] = "given up: the guest did not give up its memory",
		[HMEM_TRADE_LEFT] = "unknown: the VM went, or its sizes or prices were changed",
	};

	return words[state];
}
