// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random updates (giga-updates per second): the program reads, changes and
 * writes 8 bytes, nine times in ten in a hot set, otherwise anywhere.  All threads update
 * the same data; an update that another thread makes at the same time can be lost.
 *
 *	mib=256		size of the data
 *	hot=64		size of the hot set in MiB
 *	weight=9	tenths of the updates that go to the hot set
 *	move=0		seconds after which the hot set changes its place; 0: it stays
 *			at the end of the data, which is touched last
 *	places=2	number of places that the hot set has in turn, side by side,
 *			from the end of the data on
 */
#include <err.h>

#include "bench.h"

#define BATCH	1000

static size_t words, hot, weight, places;
static size_t hot_base;		/* the first word of the hot set */
static uint64_t *data;

static double heat(size_t page)
{
	bool is_hot = page >= (words - places * hot) * 8 / PAGE;

	return (is_hot ? weight * 0.1 / (places * hot) : 0) +
		(1 - weight * 0.1) / words;
}

static uint64_t batch(uint64_t *random_state)
{
	size_t base = __atomic_load_n(&hot_base, __ATOMIC_RELAXED);

	for (int i = 0; i < BATCH; i++) {
		uint64_t r = bench_random_of(random_state);
		size_t k = r % 10 < weight ? base + ((r >> 32) * hot >> 32)
					   : (r >> 32) * words >> 32;

		data[k] ^= r;
	}
	return BATCH;
}

int main(int argc, char **argv)
{
	uint64_t next = 0, sum;
	size_t place = 0;
	double move;

	bench_options(argc, argv);
	words = bench_option("mib", 256) * MIB / 8;
	hot = bench_option("hot", 64) * MIB / 8;
	weight = bench_option("weight", 9);
	move = bench_option("move", 0);
	places = move ? bench_option("places", 2) : 1;
	if (!hot || !places || places > words / hot || weight > 10)
		errx(2, "wanted: 0 < hot, 0 < places <= mib / hot, weight <= 10");
	data = bench_map(words * 8, heat);
	bench_fill();
	bench_touch(data, words * 8);
	hot_base = words - hot;
	bench_start("Mop/s", 1e6);
	bench_help(batch);
	if (move)
		next = bench_now() + move * 1e9;
	do {
		batch(&bench_random_state);
		if (move && bench_now() >= next) {
			next += move * 1e9;
			place = (place + 1) % places;
			__atomic_store_n(&hot_base, words - (place + 1) * hot, __ATOMIC_RELAXED);
		}
	} while (bench_count(BATCH));
	sum = 0;
	for (size_t i = 0; i < words; i += PAGE / 8)
		sum += data[i];
	return sum == 1;
}
