/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DRAM of the host, which all VMs share: pool.h decides, once a second.  If a pool is
 * configured, hmemd resizes the VMs accordingly; otherwise `hmemctl pool` shows the sizes that
 * the VMs would have.
 */
#ifndef HMEMD_POOLING_H
#define HMEMD_POOLING_H

#include "config.h"
#include "err.h"
#include "pool.h"

struct hmemd;
struct vm;

struct pooling {
	struct hmem_pool pool;
	/* The pool's own, see pooling_second(). */
	unsigned int patience;
};

/* A VM's part in it; a member only while it has a place in the pool. */
struct pooled {
	struct hmem_pool_member member;
	struct hmem_worth worth;
	bool is_member;
	/* A client has set the bounds or the weight, which the configuration then leaves. */
	bool by_hand;
	/* It was refused, and the log says so. */
	bool told;
};

void pooling_init(struct pooling *p);
void pooling_free(struct pooling *p);

/* The VM's tiers are known: what it may have, unless somebody says otherwise. */
void pooling_init_vm(struct vm *vm);

/*
 * Give the VM the bounds and the weight that are configured for it, unless a client has set
 * them.  Logs a warning if that is not possible.
 */
void pooling_configure(struct vm *vm, const struct hmem_vm_config *config);

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
