// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pointer chase: each load needs the result of the load before.  One chain runs
 * through a hot set at the end of the data, another chain through all data; nine
 * hops in ten follow the first chain.
 *
 *	mib=256		size of the data
 *	hot=64		size of the hot set in MiB, a power of two
 *
 * The chains go from line to line by a linear congruence of full period, so the
 * program needs no shuffled list to make the chains.  Threads follow the same chains,
 * each from a place of its own.
 */
#include <err.h>

#include "bench.h"

#define LINE	64
#define ROUNDS	100	/* of ten hops, between reads of the clock */

struct line {
	uint32_t next[2];	/* [0] in the hot set, [1] in all data */
	uint32_t pad[LINE / 4 - 2];
};

static size_t lines, hot;
static struct line *line;

static double heat(size_t page)
{
	return (page >= (lines - hot) * LINE / PAGE ? 0.9 / hot : 0) + 0.1 / lines;
}

static uint32_t follow(uint32_t line, uint32_t num)
{
	return (line * 1664525u + 1013904223u) & (num - 1);
}

/*
 * The low half of @state is where the thread is in the hot chain, the high half where in the other.
 * A random number is a valid state: it tells the places modulo the lengths of the chains.
 */
static uint64_t batch(uint64_t *state)
{
	uint32_t first = lines - hot;
	uint32_t a = first + (*state & (hot - 1)), b = *state >> 32 & (lines - 1);

	for (int i = 0; i < ROUNDS; i++) {
		for (int k = 0; k < 9; k++)
			a = line[a].next[0];
		/* Make b depend on a, so that the two chains do not run side by side. */
		b = line[b ^ (a & 0x80000000)].next[1];
		a ^= b & 0x80000000;
	}
	*state = (uint64_t)b << 32 | (a - first);
	return ROUNDS * 10;
}

int main(int argc, char **argv)
{
	uint64_t state = 0;

	bench_options(argc, argv);
	lines = bench_option("mib", 256) * MIB / LINE;
	hot = bench_option("hot", 64) * MIB / LINE;
	if (!hot || hot > lines || hot & (hot - 1) || lines & (lines - 1))
		errx(2, "wanted: 0 < hot <= mib, both powers of two");
	line = bench_map(lines * LINE, heat);
	bench_fill();
	for (size_t i = 0; i < lines; i++) {
		line[i].next[1] = follow(i, lines);
		line[i].next[0] = i < lines - hot ? 0
				: lines - hot + follow(i - (lines - hot), hot);
	}
	bench_start("Mhop/s", 1e6);
	bench_help(batch);
	while (bench_count(batch(&state)))
		;
	return 0;
}
