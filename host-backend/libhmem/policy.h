/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM's policy is, and its tunables by name. */
#ifndef HMEM_POLICY_H
#define HMEM_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "hmem_link.h"
#include "pages.h"

enum hmem_policy_kind {
	HMEM_POLICY_OFF,	/* nothing moves unless asked by hand */
	HMEM_POLICY_OBSERVE,	/* as off, but the temperature is kept */
	HMEM_POLICY_WRITES,	/* the pages written most go to tier 0 */
	HMEM_POLICY_HMMV,	/* the hottest pages do, reads and writes alike */
	HMEM_POLICY_HMVISOR,	/* a write counts for what it costs more */
	HMEM_POLICY_AUTO,	/* as hmmv, found at the guest's own pace: pace.h */
	HMEM_POLICY_RATES,	/* by access rates, in time saved: rates.h, bursts.h */
	HMEM_POLICY_MAX
};

/* Which tracker a VM is tracked with. */
enum hmem_track {
	HMEM_TRACK_AUTO,	/* one that sees reads if the VM has it */
	HMEM_TRACK_DIRTY,
	HMEM_TRACK_SIM,
	HMEM_TRACK_GPT,
	HMEM_TRACK_IDLE,	/* never chosen by itself, nor is the next */
	HMEM_TRACK_DAMON,
	HMEM_TRACK_MAX
};

struct hmem_policy {
	enum hmem_policy_kind kind;
	uint32_t window;	/* ms of guest virtual time */
	uint32_t rate;		/* MiB moved per second, both ways together */
	uint32_t hysteresis;	/* percent of full heat a page must be hotter by */
	uint32_t headroom;	/* pages more to demote once tier 0 is found full */
	uint32_t decay;		/* each window counts for 1/2^decay of the heat */
	uint32_t weight;	/* percent: a write for a read; 0: the policy's own */
	uint32_t levels;	/* of the multi-level queue; 0: none */
	uint32_t track;		/* enum hmem_track */
	uint32_t faults;	/* per second that a dirty log may cause: sample.h */
	uint32_t horizon;	/* s: what moves is expected to be used as before for that */
	uint32_t lockstep;	/* guest time stands still while hmemd decides */
};

/* A tunable: where it is in the struct, and what it may be. */
struct hmem_tunable {
	const char *name;
	size_t offset;
	uint32_t min, max;
	const char *unit;
	/* What the values from 0 to @max are called; NULL: it is a number. */
	const char *const *values;
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

/* How long a window is, in ns of guest time, where nothing else says. */
static inline uint64_t hmem_policy_window_ns(const struct hmem_policy *p)
{
	return p->window * UINT64_C(1000000);
}

/* Does it move pages by itself? */
bool hmem_policy_moves(const struct hmem_policy *p);

/*
 * The tracker to use, one HMEM_LINK_TRACKER_* of @offered; those of @written, which
 * are some of them, tell written pages from others.  0 if @offered does not have what
 * the policy wants, with @err naming both.
 */
uint32_t hmem_policy_tracker(const struct hmem_policy *p, uint32_t offered,
			     uint32_t written, struct hmem_err *err);

/*
 * What a window is worth to it, in a VM with these tiers.  @written: the tracker tells
 * written pages from others; if not, a page that was accessed is worth all.
 */
struct hmem_heat hmem_policy_heat(const struct hmem_policy *p,
				  const struct hmem_link_tier *tiers,
				  uint32_t num_tiers, bool written);

/*
 * Set @key ("name" or a tunable) from text.  -EINVAL with @err naming what is
 * known or the range; @p is then unchanged.
 */
int hmem_policy_set(struct hmem_policy *p, const char *key, const char *value,
		    struct hmem_err *err);

#endif /* HMEM_POLICY_H */
