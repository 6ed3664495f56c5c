/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policies that were set by hand, for VMs that come back.  There are at most @max:
 * the one that was set or taken up least recently makes room.
 */
#ifndef HMEMD_POLICY_STORE_H
#define HMEMD_POLICY_STORE_H

#include <stdint.h>
#include <sys/queue.h>

#include "policy.h"

/* What a VM is known by; compared byte by byte, so that all of it is to be set. */
struct policy_owner {
	char name[80], device[64];
	uint8_t uuid[16];
};

struct policy_store {
	/* The one used last at the end. */
	TAILQ_HEAD(, kept_policy) kept;
	unsigned int num, max;
};

void policy_store_init(struct policy_store *s, unsigned int max);

/* -ENOMEM: what was kept for @owner is forgotten. */
int policy_store_keep(struct policy_store *s, const struct policy_owner *owner,
		      const struct hmem_policy *policy);

/* False if none is kept for @owner; @policy is then unchanged. */
bool policy_store_find(struct policy_store *s, const struct policy_owner *owner,
		       struct hmem_policy *policy);

void policy_store_free(struct policy_store *s);

#endif /* HMEMD_POLICY_STORE_H */
