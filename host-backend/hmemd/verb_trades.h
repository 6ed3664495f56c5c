/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers `hmemctl trades`. */
#ifndef HMEMD_VERB_TRADES_H
#define HMEMD_VERB_TRADES_H

#include "client.h"

void verb_trades(struct client *client, json *req);

/* What the VM's trader knows, does, and would do. */
json *trader_json(const struct vm *vm);

#endif /* HMEMD_VERB_TRADES_H */
