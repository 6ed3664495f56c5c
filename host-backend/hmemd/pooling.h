/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DRAM of the host, which all VMs share: pool.h decides, once a second.  With --pool the
 * VMs are resized accordingly; without, hmemctl pool says what would be.
 */
#ifndef HMEMD_POOLING_H
#define HMEMD_POOLING_H

#include "err.h"
#include "pool.h"

struct hmemd;
struct vm;

struct pooling {
	struct hmem_pool pool;
	/* DRAM for all VMs in bytes, from --pool; 0: what they have, and nothing is resized. */
	uint64_t bytes;
};

/* A VM's part in it; a member only while it has a place in the pool. */
struct pooled {
	struct hmem_pool_member member;
	struct hmem_worth worth;
	bool is_member;
	/* It was refused, and the log says so. */
	bool told;
};

void pooling_init(struct pooling *p);
void pooling_free(struct pooling *p);

/* The VM's tiers are known: what it may have, unless somebody says otherwise. */
void pooling_init_vm(struct vm *vm);

/* The VM goes. */
void pooling_remove(struct vm *vm);

/* A second has passed. */
void pooling_second(struct hmemd *d);

/*
 * Set "guarantee" or "maximum", sizes, or "weight", 1 to 1000, of the VM from text.  -EINVAL,
 * -ENOSPC; nothing has changed then.
 */
int pooling_set(struct vm *vm, const char *key, const char *value, struct hmem_err *err);

#endif /* HMEMD_POOLING_H */
