/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy of a VM, and its tunables by name. */
#ifndef HMEM_POLICY_H
#define HMEM_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "hmem_link.h"
#include "pages.h"

enum hmem_policy_kind {
	HMEM_POLICY_OFF,	/* pages move only by hand */
	HMEM_POLICY_OBSERVE,	/* like off, but heat is tracked */
	HMEM_POLICY_WRITES,	/* the most written pages move to tier 0 */
	HMEM_POLICY_HMMV,	/* the hottest pages move; reads and writes count alike */
	HMEM_POLICY_HMVISOR,	/* like hmmv, but writes weigh more, by the tiers' latencies */
	HMEM_POLICY_AUTO,	/* moves that save time, by access rates: rates.h, bursts.h */
	HMEM_POLICY_MAX
};

/* The tracker of a VM. */
enum hmem_track {
	HMEM_TRACK_AUTO,	/* the best one of the VM, which sees reads if possible */
	HMEM_TRACK_DIRTY,
	HMEM_TRACK_SIM,
	HMEM_TRACK_GPT,
	HMEM_TRACK_IDLE,	/* AUTO never chooses this and the next tracker */
	HMEM_TRACK_DAMON,
	HMEM_TRACK_MAX
};

struct hmem_policy {
	enum hmem_policy_kind kind;
	uint32_t window;	/* ms of guest virtual time; 0: the policy's default */
	uint32_t rate;		/* MiB moved per second, both ways together */
	uint32_t hysteresis;	/* percent of full heat by which a page must be hotter */
	uint32_t headroom;	/* extra pages to demote when tier 0 was found full */
	uint32_t decay;		/* each window counts for 1/2^decay of the heat */
	uint32_t weight;	/* a write in percent of a read; 0: the policy's default */
	uint32_t levels;	/* number of levels of the multi-level queue; 0: no queue */
	uint32_t track;		/* enum hmem_track */
	/* Faults per second that a dirty log may cause; with AUTO, for each running processor. */
	uint32_t faults;
	uint32_t horizon;	/* s: moved pages are expected to be used alike so long or longer */
	uint32_t lockstep;	/* guest time stands still while hmemd decides */
};

/* A tunable: its place in the struct, and its possible values. */
struct hmem_tunable {
	const char *name;
	size_t offset;
	uint32_t min, max;
	const char *unit;
	/* Names of the values from 0 to @max; NULL: the value is a number. */
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

/* The length of a window in ms of guest time, unless the policy varies it. */
uint32_t hmem_policy_window_ms(const struct hmem_policy *p);

/* The same in ns. */
static inline uint64_t hmem_policy_window_ns(const struct hmem_policy *p)
{
	return hmem_policy_window_ms(p) * UINT64_C(1000000);
}

/* Does the policy move pages? */
bool hmem_policy_moves(const struct hmem_policy *p);

/* Does the policy treat written pages in another way than pages that are only read? */
bool hmem_policy_needs_written(const struct hmem_policy *p);

/*
 * The tracker to use: one HMEM_LINK_TRACKER_* of @offered.  Those in @written, a subset, tell
 * written pages from others.  Returns 0 if @offered does not contain what the policy needs;
 * @err then names both.
 */
uint32_t hmem_policy_tracker(const struct hmem_policy *p, uint32_t offered,
			     uint32_t written, struct hmem_err *err);

/*
 * How a window changes heat, in a VM with these tiers.  @written: the tracker tells written
 * pages from others; otherwise any accessed page moves towards full heat.
 */
struct hmem_heat hmem_policy_heat(const struct hmem_policy *p,
				  const struct hmem_link_tier *tiers,
				  uint32_t num_tiers, bool written);

/*
 * Set @key ("name" or a tunable) from text.  Returns 0; or -EINVAL, with @p unchanged and the
 * known names or the range in @err.
 */
int hmem_policy_set(struct hmem_policy *p, const char *key, const char *value,
		    struct hmem_err *err);

#endif /* HMEM_POLICY_H */
