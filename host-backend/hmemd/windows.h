/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a window, from the device's TICK to hmemd's answer. */
#ifndef HMEMD_WINDOWS_H
#define HMEMD_WINDOWS_H

#include "vm.h"

/* To be called before all other functions. */
void windows_init(struct vm *vm);

/* CLEARED has come.  Returns 0, or -EPROTO if it breaks the rules. */
int windows_cleared(struct vm *vm, const struct hmem_link_cleared *cleared, struct hmem_err *err);

/* TICK has come.  Returns 0, or -EPROTO if it breaks the rules. */
int windows_tick(struct vm *vm, const struct hmem_link_tick *tick, struct hmem_err *err);

#endif /* HMEMD_WINDOWS_H */
