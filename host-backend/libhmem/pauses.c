/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pauses.h"

uint64_t hmem_pauses_up_to(const struct hmem_link_pauses *p, unsigned int last)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i <= last; i++) {
		if (__builtin_add_overflow(sum, p->pauses[i], &sum))
			return UINT64_MAX;
	}
	return sum;
}

uint64_t hmem_pauses_all(const struct hmem_link_pauses *p)
{
	return hmem_pauses_up_to(p, HMEM_LINK_PAUSE_BUCKETS - 1);
}

uint64_t hmem_pauses_percentile(const struct hmem_link_pauses *p, unsigned int percent)
{
	uint64_t all = hmem_pauses_all(p);
	/* Rounded up, without a product that could wrap. */
	uint64_t enough = all / 100 * percent + (all % 100 * percent + 99) / 100;
	unsigned int i = 0;

	while (hmem_pauses_up_to(p, i) < enough)
		i++;
	return hmem_pause_bound(i);
}
