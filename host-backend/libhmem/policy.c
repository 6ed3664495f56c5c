/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

static const char *const names[HMEM_POLICY_MAX] = {
	[HMEM_POLICY_OFF] = "off",
	[HMEM_POLICY_OBSERVE] = "observe",
	[HMEM_POLICY_WRITES] = "writes",
	[HMEM_POLICY_HMMV] = "hmmv",
	[HMEM_POLICY_HMVISOR] = "hmvisor",
	[HMEM_POLICY_AUTO] = "auto",
};

static const char *const trackers[HMEM_TRACK_MAX] = {
	[HMEM_TRACK_AUTO] = "auto",
	[HMEM_TRACK_DIRTY] = "dirty",
	[HMEM_TRACK_SIM] = "sim",
	[HMEM_TRACK_GPT] = "gpt",
	[HMEM_TRACK_IDLE] = "idle",
	[HMEM_TRACK_DAMON] = "damon",
};

static const char *const off_on[] = { "off", "on" };

const struct hmem_tunable hmem_tunables[] = {
	{ "window", offsetof(struct hmem_policy, window), 0, 3600000, "ms", NULL },
	{ "rate", offsetof(struct hmem_policy, rate), 1, 65536, "MiB/s", NULL },
	{ "hysteresis", offsetof(struct hmem_policy, hysteresis), 1, 100, "%", NULL },
	{ "headroom", offsetof(struct hmem_policy, headroom), 0, 1u << 20, "pages", NULL },
	{ "decay", offsetof(struct hmem_policy, decay), 1, 8, "", NULL },
	{ "weight", offsetof(struct hmem_policy, weight), 0, 10000, "%", NULL },
	{ "levels", offsetof(struct hmem_policy, levels), 0, HMEM_MLQ_MAX_LEVEL,
	  "", NULL },
	{ "track", offsetof(struct hmem_policy, track), 0, HMEM_TRACK_MAX - 1, "",
	  trackers },
	{ "faults", offsetof(struct hmem_policy, faults), 1, 10000000, "a second",
	  NULL },
	{ "horizon", offsetof(struct hmem_policy, horizon), 1, 3600, "s", NULL },
	{ "lockstep", offsetof(struct hmem_policy, lockstep), 0, 1, "", off_on },
};
const size_t hmem_num_tunables = sizeof(hmem_tunables) / sizeof(hmem_tunables[0]);

void hmem_policy_init(struct hmem_policy *p)
{
	*p = (struct hmem_policy) {
		.kind = HMEM_POLICY_AUTO,
		.rate = 200,
		/* More than the quarter that one use adds. */
		.hysteresis = 30,
		.headroom = 512,
		.decay = 2,
		.levels = HMEM_MLQ_MAX_LEVEL,
		.horizon = 20,
		/*
		 * A hundredth of a processor, at 2.5 us per fault: about 1 us to leave the
		 * guest and come back, and 1.5 us for KVM's fault handler.  This is an
		 * estimate; perf kvm stat measures it on a host.
		 */
		.faults = 4000,
	};
}

/* The tracker belongs to the host's kernel, which observes pages in each window. */
static bool tracks_on_host(const struct hmem_policy *p)
{
	return p->track == HMEM_TRACK_IDLE || p->track == HMEM_TRACK_DAMON;
}

/*
 * Both defaults are an operator's choice.  A policy by heat pays for each window.  A window of auto
 * costs little, since bursts of looks pay for themselves from a share of the guest's time, and auto
 * takes about a window to notice that a guest does something else.
 */
uint32_t hmem_policy_window_ms(const struct hmem_policy *p)
{
	if (p->window)
		return p->window;
	return p->kind == HMEM_POLICY_AUTO && !tracks_on_host(p) ? 100 : 1000;
}

const char *hmem_policy_name(enum hmem_policy_kind kind)
{
	return names[kind];
}

/* Write "a, b, c" to a buffer of @size bytes. */
static void list_names(char *buf, size_t size, const char *first)
{
	size_t len = snprintf(buf, size, "%s", first);

	for (size_t i = 0; i < hmem_num_tunables && len < size; i++)
		len += snprintf(buf + len, size - len, ", %s",
				hmem_tunables[i].name);
}

static int set_name(struct hmem_policy *p, const char *value,
		    struct hmem_err *err)
{
	for (int i = 0; i < HMEM_POLICY_MAX; i++) {
		if (!strcmp(value, names[i])) {
			p->kind = i;
			return 0;
		}
	}
	return hmem_fail(err, EINVAL, "no policy is named '%.32s': off, observe, "
			 "writes, hmmv, hmvisor and auto are", value);
}

static int set_value(uint32_t *to, const struct hmem_tunable *t,
		     const char *value, struct hmem_err *err)
{
	char known[64] = "";

	for (uint32_t i = 0; i <= t->max; i++) {
		if (!strcmp(value, t->values[i])) {
			*to = i;
			return 0;
		}
		snprintf(known + strlen(known), sizeof(known) - strlen(known),
			 "%s%s", i ? ", " : "", t->values[i]);
	}
	return hmem_fail(err, EINVAL, "policy: %s=%.32s is none of %s", t->name,
			 value, known);
}

int hmem_policy_set(struct hmem_policy *p, const char *key, const char *value,
		    struct hmem_err *err)
{
	char known[192];

	if (!strcmp(key, "name"))
		return set_name(p, value, err);
	for (size_t i = 0; i < hmem_num_tunables; i++) {
		const struct hmem_tunable *t = &hmem_tunables[i];
		unsigned long long v;
		char *end;

		if (strcmp(key, t->name))
			continue;
		if (t->values)
			return set_value(hmem_tunable_in(p, t), t, value, err);
		errno = 0;
		v = strtoull(value, &end, 10);
		if (value[0] < '0' || value[0] > '9' || *end || errno ||
		    v < t->min || v > t->max)
			return hmem_fail(err, EINVAL, "policy: %s=%.32s is not "
					 "a number from %" PRIu32 " to %" PRIu32
					 "%s%s", t->name, value, t->min, t->max,
					 *t->unit ? " " : "", t->unit);
		*hmem_tunable_in(p, t) = v;
		return 0;
	}
	list_names(known, sizeof(known), "name");
	return hmem_fail(err, EINVAL, "policy: '%.32s' is unknown: %s are known",
			 key, known);
}

bool hmem_policy_moves(const struct hmem_policy *p)
{
	return p->kind != HMEM_POLICY_OFF && p->kind != HMEM_POLICY_OBSERVE;
}

bool hmem_policy_needs_written(const struct hmem_policy *p)
{
	return p->kind != HMEM_POLICY_AUTO;
}

uint32_t hmem_policy_tracker(const struct hmem_policy *p, uint32_t offered,
			     uint32_t written, struct hmem_err *err)
{
	static const uint32_t ids[HMEM_TRACK_MAX] = {
		[HMEM_TRACK_DIRTY] = HMEM_LINK_TRACKER_DIRTY,
		[HMEM_TRACK_SIM] = HMEM_LINK_TRACKER_SIM,
		[HMEM_TRACK_GPT] = HMEM_LINK_TRACKER_GPT,
		[HMEM_TRACK_IDLE] = HMEM_LINK_TRACKER_HOST,
		[HMEM_TRACK_DAMON] = HMEM_LINK_TRACKER_HOST,
	};
	static const uint32_t best_first[] = {
		HMEM_TRACK_SIM, HMEM_TRACK_GPT, HMEM_TRACK_DIRTY,
	};
	static const char *const get[HMEM_TRACK_MAX] = {
		[HMEM_TRACK_SIM] = ", or start QEMU with the simulator's plugin",
		[HMEM_TRACK_GPT] = ", or load a driver in the guest that can do it",
	};
	char offers[64] = "";

	/* Otherwise all pages would stay cold. */
	if (p->kind == HMEM_POLICY_WRITES && ids[p->track] & offered & ~written) {
		hmem_fail(err, ENOTSUP, "track=%s was requested, but it does not tell which "
			  "pages were written%s: use track=auto, or another policy than "
			  "writes", trackers[p->track], p->track == HMEM_TRACK_GPT ?
			  " with this driver in the guest" : "");
		return 0;
	}
	/* These cost the host's kernel much, so use them only if named. */
	if (ids[p->track] & offered & HMEM_LINK_TRACKER_HOST)
		return HMEM_LINK_TRACKER_HOST;
	for (unsigned int i = 0; i < sizeof(best_first) / sizeof(*best_first); i++) {
		uint32_t track = best_first[i];
		size_t len = strlen(offers);

		if (!(offered & ids[track]))
			continue;
		if (p->track == track ||
		    (p->track == HMEM_TRACK_AUTO &&
		     (p->kind != HMEM_POLICY_WRITES || ids[track] & written)))
			return ids[track];
		snprintf(offers + len, sizeof(offers) - len, "%s%s",
			 len ? ", " : "", trackers[track]);
	}
	if (*offers)
		hmem_fail(err, ENOTSUP, "track=%s was requested, but the VM offers %s: "
			  "use track=auto%s", trackers[p->track], offers,
			  get[p->track] ? get[p->track] : "");
	else
		hmem_fail(err, ENOTSUP, "track=%s was requested, but the VM offers %s: allow "
			  "another one with QEMU's properties access and track-dirty%s",
			  trackers[p->track],
			  offered ? "only the host's trackers idle and damon" : "no tracker",
			  get[HMEM_TRACK_GPT]);
	return 0;
}

/* By how many percent the slowest tier is slower than the fastest; 0: unknown. */
static uint64_t slowdown(uint32_t fast, uint32_t slow)
{
	return fast && slow ? (uint64_t)slow * 100 / fast : 0;
}

/*
 * HMvisor's write-weighted hotness.  Its formula is not public.  This is the ratio between the
 * slowdown of a write and that of a read in the slow tier.  Without latencies, it is that of
 * the NVM which the authors assume: 9 and 4 times.
 */
static uint32_t weight_of(const struct hmem_link_tier *tiers, uint32_t num_tiers)
{
	const struct hmem_link_tier *fast = &tiers[0], *slow = &tiers[num_tiers - 1];
	uint64_t read = slowdown(fast->read_latency, slow->read_latency);
	uint64_t write = slowdown(fast->write_latency, slow->write_latency);
	uint64_t weight = read && write ? write * 100 / read : 225;

	return weight < 100 ? 100 : weight > 10000 ? 10000 : weight;
}

struct hmem_heat hmem_policy_heat(const struct hmem_policy *p,
				  const struct hmem_link_tier *tiers,
				  uint32_t num_tiers, bool written)
{
	uint32_t weight = p->weight;
	struct hmem_heat heat = {
		.decay = p->decay,
		.levels = p->levels,
	};

	if (p->kind == HMEM_POLICY_WRITES)
		return heat;
	/* Without information on writes, any access counts fully. */
	if (!written || (!weight && p->kind == HMEM_POLICY_AUTO)) {
		heat.read = HMEM_HEAT_MAX;
		return heat;
	}
	if (!weight)
		weight = p->kind == HMEM_POLICY_HMVISOR ?
			 weight_of(tiers, num_tiers) : 100;
	/* A written page was accessed and written. */
	heat.read = (uint64_t)HMEM_HEAT_MAX * 100 / (100 + weight);
	return heat;
}
