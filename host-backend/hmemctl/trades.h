/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM's trader does, for hmemctl trades and hmemctl explain. */
#ifndef HMEMCTL_TRADES_H
#define HMEMCTL_TRADES_H

#include "client.h"

/* Prints what the trader does and why, the VM's budget, and the best trade. */
void print_trader(json *trader);

#endif /* HMEMCTL_TRADES_H */
