/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sample.h"

/* The log is on for at most one part in this many of the time: see sample.h. */
#define MOST_OF_TIME	16u
/* Frames per huge page of the host. */
#define HUGE		512u

static uint64_t least(uint64_t ns, uint64_t min_ns)
{
	return ns < min_ns ? min_ns : ns;
}

/* Faults that accrue in @ns; the arguments are bounded, so this cannot overflow. */
static int64_t accrues(const struct hmem_policy *policy, uint64_t ns)
{
	return policy->faults * (ns / 1000) / 1000000;
}

static uint64_t longest(const struct hmem_policy *policy, uint64_t min_ns)
{
	return least(hmem_policy_window_ns(policy) / MOST_OF_TIME, min_ns);
}

/* The rest of the policy's window. */
static uint64_t rest_ns(const struct hmem_sampler *s, const struct hmem_policy *policy,
			uint64_t min_ns)
{
	uint64_t ns = hmem_policy_window_ns(policy);

	return least(ns > s->sample_ns ? ns - s->sample_ns : 0, min_ns);
}

uint64_t hmem_sampler_begin(struct hmem_sampler *s, const struct hmem_policy *policy,
			    uint64_t min_ns)
{
	s->rests = true;
	return rest_ns(s, policy, min_ns);
}

/* Make samples as long as a window's faults pay for; @written: pages of the last one. */
static void adapt_length(struct hmem_sampler *s, const struct hmem_policy *policy,
			 uint64_t min_ns, uint64_t huge, uint64_t written)
{
	uint64_t all = accrues(policy, hmem_policy_window_ns(policy));
	/* If huge pages alone cost more than a window, allow as many faults again. */
	uint64_t most = all > 2 * huge ? all - huge : huge;

	if (written > most)
		s->sample_ns /= 2;
	else if (2 * written <= most)
		s->sample_ns *= 2;
	if (s->sample_ns > longest(policy, min_ns))
		s->sample_ns = longest(policy, min_ns);
	s->sample_ns = least(s->sample_ns, min_ns);
}

void hmem_sampler_count(struct hmem_sampler *s, bool rest, uint64_t window_ns, uint64_t frames,
			uint64_t written)
{
	/* Bound the device's numbers. */
	if (window_ns > HMEM_LINK_MAX_WINDOW_NS)
		window_ns = HMEM_LINK_MAX_WINDOW_NS;
	if (written > frames)
		written = frames;
	if (rest) {
		s->since_ns += window_ns;
		return;
	}
	s->per_second = s->last_faults * 1000 / (s->since_ns / 1000000 + 1);
	s->sample_ns = window_ns;
	s->since_ns = window_ns;
	s->last_faults = written + frames / HUGE;
	s->faults += s->last_faults;
	s->samples++;
}

uint64_t hmem_sampler_next(struct hmem_sampler *s, const struct hmem_policy *policy,
			   uint64_t min_ns, uint64_t window_ns, uint64_t frames,
			   uint64_t written)
{
	int64_t most = accrues(policy, hmem_policy_window_ns(policy));
	uint64_t huge = frames / HUGE;

	/* Bound the device's number. */
	if (window_ns > HMEM_LINK_MAX_WINDOW_NS)
		window_ns = HMEM_LINK_MAX_WINDOW_NS;
	if (written > frames)
		written = frames;
	s->credit += accrues(policy, window_ns);
	if (s->credit > most)
		s->credit = most;
	hmem_sampler_count(s, s->rests, window_ns, frames, written);
	if (!s->rests) {
		s->credit -= s->last_faults;
		s->rested_ns = 0;
		adapt_length(s, policy, min_ns, huge, written);
		s->rests = true;
		return rest_ns(s, policy, min_ns);
	}
	s->rested_ns += window_ns;
	if (s->credit < 0 || s->rested_ns < s->sample_ns * (MOST_OF_TIME - 1))
		return rest_ns(s, policy, min_ns);
	s->rests = false;
	s->sample_ns = least(s->sample_ns, min_ns);
	return s->sample_ns;
}
