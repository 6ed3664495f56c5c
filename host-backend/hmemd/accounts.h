/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's driver tells of the guest's memory and of its own work, by ACCOUNT of the link.
 */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include <stdbool.h>

#include "err.h"
#include "hmem_link.h"

struct vm;

/* The device passes on an account. */
int accounts_received(struct vm *vm, const struct hmem_link_account *account,
		      struct hmem_err *err);
/* vm->sizes has changed from @old. */
void accounts_sizes(struct vm *vm, const struct hmem_link_sizes *old);
/* The driver has gone, or gives no accounts any more. */
void accounts_forget(struct vm *vm);

/* Is it known how much of a tier is free in the guest?  If so, *@bytes is the newest count. */
bool accounts_free(const struct vm *vm, unsigned int tier, uint64_t *bytes);
/* The same; 0 if it is not known. */
uint64_t accounts_free_or_none(const struct vm *vm, unsigned int tier);

#endif /* ACCOUNTS_H */
