/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sampling with a dirty log: when it is switched on, and for how long.
 *
 * A dirty log that is on costs the host.  KVM maps the guest's memory in 4 KiB
 * pages then, and each page that is written costs a fault.  When the log is off
 * again KVM maps huge pages anew, which takes a fault for each.  So the log is on
 * for short samples, with rests in between, in which nothing is found:
 *
 * - Faults are counted: the pages that a sample finds written, and one for each huge
 *   page of the guest's memory.  That is the least they can be where KVM splits huge
 *   pages before the first write (its eager_page_split, which is the default), and
 *   the most that getting huge pages back can cost.
 *   KVM counts more (pf_taken), see hmemd(8): pages that are written again between the
 *   end of a sample and that of the log; pages that are read, or written, in memory
 *   that is not mapped when a sample begins; and small pages, which stay protected
 *   after it.  Nobody tells the device of these.
 * - The next sample waits until the faults of the one before are paid for by what
 *   accrues: the policy's faults a second.  What is saved up is what accrues in one
 *   of its windows.
 * - A sample is half as long as the one before if that cost more than accrues
 *   in a window of the policy's, and twice as long if twice the faults can be paid for.
 *   The first one is as short as the device allows.
 * - The log is on for a sixteenth of the time at most.  Programs that miss the TLB
 *   much run about a sixth slower in 4 KiB pages than in huge ones, so that this
 *   comes to a hundredth of their time (an estimate, as that of a fault is).
 *
 * It is for trackers that say that they fault, of a device whose windows can be rests.
 */
#ifndef HMEM_SAMPLE_H
#define HMEM_SAMPLE_H

#include "pages.h"
#include "policy.h"

/* All zero: never sampled. */
struct hmem_sampler {
	/* The window under way is a rest: the log is off. */
	bool rests;
	/* How long a sample is, in ns of guest time; 0: there was none. */
	uint64_t sample_ns;
	/* Guest time since the last sample began, and since it ended, in ns. */
	uint64_t since_ns, rested_ns;
	/* Faults that there may be now; negative: they were had ahead. */
	int64_t credit;
	/* Faults of the last sample, and of all; samples. */
	uint64_t last_faults, faults, samples;
	/* Faults a second from the start of one sample to the start of the next. */
	uint64_t per_second;
};

/*
 * Begin with a rest.  What earlier samples cost is still to be paid for.  Returns how
 * long the window should be, in ns; @min_ns is the shortest one that the device has.
 */
uint64_t hmem_sampler_begin(struct hmem_sampler *s, const struct hmem_policy *policy,
			    uint64_t min_ns);

/*
 * A window has ended that was @window_ns long.  @written pages were found in it, of a
 * guest with @frames.  Returns how long the next one should be, in ns; it is a rest if
 * @s says so then.
 */
uint64_t hmem_sampler_next(struct hmem_sampler *s, const struct hmem_policy *policy,
			   uint64_t min_ns, uint64_t window_ns, uint64_t frames,
			   uint64_t written);

#endif /* HMEM_SAMPLE_H */
