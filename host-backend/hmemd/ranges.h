/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's memory: the ranges that the device reports, and the page table for them. */
#ifndef HMEMD_RANGES_H
#define HMEMD_RANGES_H

#include "vm.h"

/*
 * RANGES has come.  Returns 0; -EPROTO: it breaks the rules; -E2BIG: hmemd does not track
 * that much memory; -ENOMEM.
 */
int ranges_update(struct vm *vm, const struct hmem_link_range *ranges, uint32_t num,
		  struct hmem_err *err);

#endif /* HMEMD_RANGES_H */
