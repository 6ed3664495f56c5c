/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sampling with a dirty log: decides when to switch the log on, and for how long.
 *
 * The log costs the host while it is on: KVM maps the guest's memory in 4 KiB pages, and
 * each written page costs a fault.  When the log is off again, KVM maps huge pages again,
 * with one fault for each.  So the log is on for short samples; in the rests between,
 * nothing is found:
 *
 * - A sample costs one fault for each page that it finds written, and one for each huge page
 *   of the guest's memory.  There are no fewer if KVM splits huge pages before the first
 *   write (its eager_page_split, the default), and getting huge pages back costs no more.
 *   KVM's own count (pf_taken) is larger, see hmemd(8): pages written again between the end
 *   of a sample and the end of the log; pages read or written in memory that is not mapped
 *   when a sample begins; and small pages, which stay protected afterwards.  The device
 *   cannot know of these.
 * - The next sample waits until the faults of the last one are paid for, at the policy's
 *   faults per second.  At most one of the policy's windows can be saved up.
 * - If a sample cost more than accrues in a window of the policy, the next one is half as
 *   long; if twice the faults can be paid for, it is twice as long.  The first one is as
 *   short as the device allows.
 * - The log is on for at most a sixteenth of the time.  Programs that often miss the TLB run
 *   about a sixth slower in 4 KiB pages than in huge pages.  So this costs them a hundredth
 *   of their time (an estimate, like the cost of a fault).
 *
 * Used for trackers that cost faults, if the device supports rests, by policies that go by heat.
 * With auto, bursts.h decides, and the sampler only counts.
 */
#ifndef HMEM_SAMPLE_H
#define HMEM_SAMPLE_H

#include "pages.h"
#include "policy.h"

/* Physical, an estimate: without huge pages, programs lose one part in so many of their time. */
#define HMEM_LOG_SLOWS	6u

/* All zero: there was no sample yet. */
struct hmem_sampler {
	/* The current window is a rest: the log is off. */
	bool rests;
	/* Length of a sample in ns of guest time; 0: there was none. */
	uint64_t sample_ns;
	/* Guest time in ns since the last sample began, and since it ended. */
	uint64_t since_ns, rested_ns;
	/* Faults that may be spent now; negative: more were spent than have accrued. */
	int64_t credit;
	/* Faults of the last sample, and of all samples; number of samples. */
	uint64_t last_faults, faults, samples;
	/* Faults per second from the start of one sample to the start of the next. */
	uint64_t per_second;
};

/*
 * Begin with a rest.  Earlier samples must still be paid for.  Returns the length of the
 * window in ns; @min_ns is the device's shortest one.
 */
uint64_t hmem_sampler_begin(struct hmem_sampler *s, const struct hmem_policy *policy,
			    uint64_t min_ns);

/*
 * A window of @window_ns has ended: counts what it has cost.  If it was no rest, @written pages of
 * a guest with @frames were found.
 */
void hmem_sampler_count(struct hmem_sampler *s, bool rest, uint64_t window_ns, uint64_t frames,
			uint64_t written);

/*
 * A window of @window_ns has ended, in which @written pages of a guest with @frames were
 * found.  Returns the length of the next window in ns, and says in @s if it is a rest.
 */
uint64_t hmem_sampler_next(struct hmem_sampler *s, const struct hmem_policy *policy,
			   uint64_t min_ns, uint64_t window_ns, uint64_t frames,
			   uint64_t written);

#endif /* HMEM_SAMPLE_H */
