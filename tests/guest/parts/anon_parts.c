// SPDX-License-Identifier: GPL-2.0-or-later
/* The estimate of the time that a group takes. */
#include "anon.c"
#include "parts.h"

#define FLUSH_NS	4000
#define PAGE_NS		3000

static u32 next_random(void)
{
	static u32 random = 1;

	random = random * 1664525 + 1013904223;
	return random >> 8;
}

/* The time of a group: one of 20 is disturbed, and one of 200 takes very long. */
static s64 group_ns(unsigned int nr, unsigned int i)
{
	s64 ns = nr * PAGE_NS + 2 * FLUSH_NS + next_random() % 1000;

	if (i % 20 == 19)
		ns += next_random() % 8000;
	return i % 200 == 199 ? ns * 1000 : ns;
}

/* Groups of as many pages as move in @limit: how many take longer? */
static unsigned int longer_groups(struct hmem_pace *pace, s64 limit, unsigned int groups)
{
	unsigned int i, longer = 0;

	for (i = 0; i < groups; i++) {
		unsigned int nr = max_t(s64, (limit - (s64)pace->extra_ns) /
					(s64)(pace->page_ns ?: PAGE_NS), 2);
		s64 ns = group_ns(nr, i);

		longer += ns > limit;
		hmem_group_pace(pace, nr, ns, FLUSH_NS);
	}
	return longer;
}

void anon_parts(void)
{
	struct hmem_pace pace = {}, disturbed = {};
	unsigned int longer;

	longer_groups(&pace, 50000, 2000);
	longer = longer_groups(&pace, 50000, 100000);
	CHECK(longer > 500 && longer < 1200);
	CHECK(pace.page_ns > PAGE_NS * 9 / 10 && pace.page_ns < PAGE_NS * 12 / 10);
	CHECK(pace.extra_ns > 2 * FLUSH_NS && pace.extra_ns < 30000);
	/* What was learned holds for other sizes. */
	longer = longer_groups(&pace, 200000, 1000);
	CHECK(longer < 20);
	/* The very first group took long, nearly all of it for flushes. */
	hmem_group_pace(&disturbed, 2, 100 * NSEC_PER_MSEC, 49 * NSEC_PER_MSEC);
	CHECK(disturbed.extra_ns <= 50 * NSEC_PER_USEC + 1);
}
