/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policies that were set by hand, kept for VMs that come back.  There are at most @max.  A
 * new one replaces the one that was set or used least recently.
 */
#ifndef HMEMD_POLICY_STORE_H
#define HMEMD_POLICY_STORE_H

#include <stdint.h>
#include <sys/queue.h>

#include "policy.h"

/* What identifies a VM.  Compared byte by byte, so all bytes must be set. */
struct policy_owner {
	char name[80], device[64];
	uint8_t uuid[16];
};

struct policy_store {
	/* The last one in the list was used last. */
	TAILQ_HEAD(, kept_policy) kept;
	unsigned int num, max;
};

void policy_store_init(struct policy_store *s, unsigned int max);

/* Returns 0 or -ENOMEM; then the policy kept for @owner is lost. */
int policy_store_keep(struct policy_store *s, const struct policy_owner *owner,
		      const struct hmem_policy *policy);

/* Returns false, and leaves @policy unchanged, if none is kept for @owner. */
bool policy_store_find(struct policy_store *s, const struct policy_owner *owner,
		       struct hmem_policy *policy);

void policy_store_forget(struct policy_store *s, const struct policy_owner *owner);

void policy_store_free(struct policy_store *s);

#endif /* HMEMD_POLICY_STORE_H */
