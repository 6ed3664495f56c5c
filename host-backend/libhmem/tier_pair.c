/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tier_pair.h"

/*
 * Cache lines per access of unknown size.  A look tells that a page was used, not if one of its
 * lines was used, or all 64.  Eight is the geometric mean of these limits.
 */
#define LINES		8
/* Physical: the latencies of DRAM and Optane in ns, for a VM that reports none. */
#define FAST_NS		80
#define SLOW_NS		300
/* Physical, measured: the time for a move of a page without the copy, in ns. */
#define KERNEL_NS	15000
/* Physical: a copy reads and writes each line; a core handles ten cache misses at a time. */
#define PAGE_LINES	64
#define IN_FLIGHT	10

void hmem_tier_pair_set(struct hmem_tier_pair *pair, const struct hmem_link_tier *tiers,
			uint32_t num, uint8_t fast, uint8_t slow)
{
	double fast_ns = fast ? SLOW_NS : FAST_NS, slow_ns = SLOW_NS, saved_ns, copy_ns;

	if (slow < num && tiers[fast].read_latency && tiers[slow].read_latency) {
		fast_ns = tiers[fast].read_latency;
		slow_ns = tiers[slow].read_latency;
	}
	copy_ns = PAGE_LINES * (fast_ns + slow_ns) / IN_FLIGHT;
	saved_ns = slow_ns > fast_ns ? slow_ns - fast_ns : 0;
	*pair = (struct hmem_tier_pair) {
		.fast = fast,
		.slow = slow,
		.access_ns = LINES * saved_ns,
		.whole_ns = PAGE_LINES * saved_ns,
		.move_ns = KERNEL_NS + copy_ns,
		.copy_ns = copy_ns,
	};
}
