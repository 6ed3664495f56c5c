/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the work of windows, so that callgrind can count instructions (see the
 * script "bench").
 *
 *   bench-window MIB WRITTEN WINDOWS [heat|rates [all]]
 *
 * A quarter of the memory, which has MIB, is tier 0.  Each window writes the same
 * WRITTEN per mille of the blocks of 64 pages, and one page in eight of each
 * block; with "all", another one than the window before.  With "rates", each
 * window is a look of the policy auto.  Prints the page table's bytes per page,
 * and how many million pages a second of processor time counts and plans.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plan.h"

/* With "all", each page has been used after so many windows. */
#define FIRST	8u

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 0) : 1024;
	uint64_t written = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
	unsigned int windows = argc > 3 ? atoi(argv[3]) : 12;
	bool by_rates = argc > 4 && !strcmp(argv[4], "rates");
	bool all = argc > 5 && !strcmp(argv[5], "all");
	uint64_t frames = mib * 256, blocks = frames / 64;
	struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = frames / 4, .tier = 0 },
		{ .gfn = frames / 4, .num = frames - frames / 4, .tier = 1 },
	};
	uint64_t *map = calloc(blocks, sizeof(*map));
	struct hmem_tracker_maps dirty;
	uint64_t members[HMEM_BUCKETS];
	struct hmem_rates *rates = calloc(1, sizeof(*rates));
	const struct hmem_heat heat = {
		.decay = 2, .rates = by_rates ? rates : NULL, .look = by_rates, .parts = 1,
	};
	const struct hmem_plan_limits limits = {
		.rates = by_rates ? rates : NULL,
		.pair.slow = 1, .budget = 51200, .hysteresis = 19660,
	};
	struct hmem_plan plan = { 0 };
	struct hmem_pages pages;
	struct hmem_err err;
	double taken = 0;

	if (!map || !rates || hmem_pages_init(&pages, ranges, 2, 2, frames, &err) < 0)
		return 1;
	hmem_rates_init(rates, 20);
	hmem_tracker_dirty_init(&dirty, map, blocks * 8);
	for (unsigned int w = 0; w < windows; w++) {
		for (uint64_t b = 0; b < blocks; b++) {
			/* Choose blocks evenly, without the cost of a random generator. */
			if (b * 617 % 1000 < written)
				map[b] = UINT64_C(0x0101010101010101) << (all ? w % 8 : 0);
		}
		/* Not counted: the table comes into memory, and pages get records. */
		if (w >= FIRST)
			taken -= seconds();
		if (by_rates)
			hmem_rates_begin(rates, 100000000, 100000000, 0, true);
		hmem_pages_update(&pages, &dirty.tracker, &heat);
		if (by_rates) {
			hmem_pages_members(&pages, members);
			hmem_rates_end(rates, members);
		}
		if (hmem_plan_make(&plan, &pages, &limits, &err) < 0)
			return 1;
		if (w >= FIRST)
			taken += seconds();
	}
	printf("%.3f %.0f\n", (double)hmem_pages_bytes(&pages) / frames,
	       frames * (windows - FIRST) / taken / 1e6);
	hmem_plan_free(&plan);
	hmem_pages_free(&pages);
	free(rates);
	free(map);
	return 0;
}
