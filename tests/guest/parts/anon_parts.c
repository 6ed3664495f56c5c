// SPDX-License-Identifier: GPL-2.0-or-later
/* The estimate of the time that a group takes. */
#include "anon.c"
#include "parts.h"

#define FLUSH_NS	4000
#define UNMAP_NS	1000
#define PAGE_NS		3000	/* with UNMAP_NS */

static u32 next_random(void)
{
	static u32 random = 1;

	random = random * 1664525 + 1013904223;
	return random >> 8;
}

/*
 * A group of @nr pages moves.  One group of 20 is disturbed before its first page is mapped again,
 * one of 20 behind that, and one of 200 takes very long.  Returns how many pages take longer than
 * @limit.
 */
static unsigned int move_group(struct hmem_pace *pace, unsigned int nr, s64 limit, unsigned int i)
{
	s64 ns = 2 * FLUSH_NS + nr * UNMAP_NS + next_random() % 1000;
	unsigned int late = 0, k, disturbed = next_random() % nr;

	if (i % 20 == 9)
		ns += next_random() % 8000;
	if (i % 200 == 199)
		ns *= 1000;
	for (k = 0; k < nr; k++) {
		if (i % 20 == 19 && k == disturbed)
			ns += next_random() % 8000;
		ns += PAGE_NS - UNMAP_NS;
		late += ns > limit;
	}
	hmem_group_pace(pace, nr, ns, FLUSH_NS, late, limit);
	return late;
}

/*
 * Move @pages in groups as large as the estimate lets them be.  Returns how many pages in 10,000
 * take longer than @limit, and sets the mean size of a group.
 */
static unsigned int late_pages(struct hmem_pace *pace, s64 limit, unsigned int pages,
			       unsigned int *mean)
{
	unsigned int groups, nr, done = 0, late = 0;

	for (groups = 0; done < pages; groups++, done += nr) {
		nr = hmem_group_size(pace, limit);
		late += move_group(pace, nr, limit, groups);
	}
	*mean = done / groups;
	return late * 10000 / done;
}

void anon_parts(void)
{
	struct hmem_pace pace = {}, disturbed = {};
	unsigned int late, mean, i;

	late_pages(&pace, 50000, 20000, &mean);
	late = late_pages(&pace, 50000, 1000000, &mean);
	CHECK(late > 90 && late < 110);
	CHECK(pace.page_ns > PAGE_NS * 9 / 10 && pace.page_ns < PAGE_NS * 12 / 10);
	/* Without disturbances, 14 pages would fit. */
	CHECK(mean >= 11 && mean <= 14);
	/* What was learned holds for other limits. */
	CHECK(late_pages(&pace, 200000, 10000, &mean) < 200);
	CHECK(mean >= 50);
	/* If pages are late in groups of any size, the estimate does not grow for ever. */
	for (i = 0; i < 1000; i++)
		hmem_group_pace(&disturbed, 2, 100 * NSEC_PER_MSEC, 40 * NSEC_PER_MSEC, 2, 50000);
	CHECK_EQ(disturbed.extra_ns, 50000);
	late_pages(&disturbed, 50000, 50000, &mean);
	late_pages(&disturbed, 50000, 50000, &mean);
	CHECK(mean >= 11 && mean <= 14);
}
