/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM's policy is, and its tunables by name. */
#ifndef HMEM_POLICY_H
#define HMEM_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum hmem_policy_kind {
	HMEM_POLICY_OFF,	/* nothing moves unless asked by hand */
	HMEM_POLICY_OBSERVE,	/* as off, but the temperature is kept */
	HMEM_POLICY_WRITES,	/* the pages written most go to tier 0 */
	HMEM_POLICY_MAX
};

struct hmem_policy {
	enum hmem_policy_kind kind;
	uint32_t window;	/* ms of guest virtual time */
	uint32_t rate;		/* MiB moved per second, both ways together */
	uint32_t hysteresis;	/* percent of full heat a page must be hotter by */
	uint32_t headroom;	/* pages more to demote once tier 0 is found full */
	uint32_t decay;		/* each window counts for 1/2^decay of the heat */
};

/* A tunable: where it is in the struct, and what it may be. */
struct hmem_tunable {
	const char *name;
	size_t offset;
	uint32_t min, max;
	const char *unit;
};

extern const struct hmem_tunable hmem_tunables[];
extern const size_t hmem_num_tunables;

void hmem_policy_init(struct hmem_policy *p);

const char *hmem_policy_name(enum hmem_policy_kind kind);

static inline uint32_t *hmem_tunable_in(struct hmem_policy *p,
					const struct hmem_tunable *t)
{
	return (uint32_t *)((char *)p + t->offset);
}

/*
 * Set @key ("name" or a tunable) from text.  -EINVAL with @err naming what is
 * known or the range; @p is then unchanged.
 */
int hmem_policy_set(struct hmem_policy *p, const char *key, const char *value,
		    struct hmem_err *err);

#endif /* HMEM_POLICY_H */
