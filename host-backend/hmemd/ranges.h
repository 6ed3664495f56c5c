/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's memory: the ranges that its device tells of, and the page table for these. */
#ifndef HMEMD_RANGES_H
#define HMEMD_RANGES_H

#include "vm.h"

/*
 * RANGES has come.  -EPROTO: it breaks the rules; -E2BIG: so much memory is not tracked;
 * -ENOMEM.
 */
int ranges_update(struct vm *vm, const struct hmem_link_range *ranges, uint32_t num,
		  struct hmem_err *err);

#endif /* HMEMD_RANGES_H */
