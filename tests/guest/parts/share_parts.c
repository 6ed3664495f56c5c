// SPDX-License-Identifier: GPL-2.0-or-later
/* How long the worker rests after a try. */
#include "share.c"
#include "parts.h"

/* The rest that follows a try of @ns, which took a little longer. */
static s64 rest_after(unsigned int percent, s64 ns)
{
	static struct hmem hm;

	hmem_cpu_percent = percent;
	hm.rest_ns = 0;
	hm.try_begin = hmem_running_ns() - ns;
	hmem_share_end(&hm);
	return hm.rest_ns;
}

void share_parts(void)
{
	const s64 ms = NSEC_PER_MSEC;

	CHECK_EQ(rest_after(100, 10 * ms), 0);
	CHECK(rest_after(50, 10 * ms) >= 10 * ms);
	CHECK(rest_after(25, 10 * ms) >= 30 * ms);
	CHECK_EQ(rest_after(1, 100 * ms), HMEM_REST_MAX);
	CHECK_EQ(rest_after(50, 3600 * HMEM_REST_MAX), HMEM_REST_MAX);
	/* The clock went back. */
	CHECK_EQ(rest_after(50, -3600 * HMEM_REST_MAX), 0);
	hmem_cpu_percent = 100;
}
