/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Windows that end: what a tick leads to, from the device's message to its answer. */
#ifndef HMEMD_WINDOWS_H
#define HMEMD_WINDOWS_H

#include "vm.h"

/* To be called first of all. */
void windows_init(struct vm *vm);

/* A TICK has come.  -EPROTO: it breaks the rules. */
int windows_tick(struct vm *vm, const struct hmem_link_tick *tick, struct hmem_err *err);

#endif /* HMEMD_WINDOWS_H */
