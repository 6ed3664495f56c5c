// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sequential reads and writes, half of each, a page at a time: nine pages in ten
 * are of a hot range, which is swept again and again, and the others of a sweep
 * over all data.  The hot range moves.  Threads sweep the same data, each from a page
 * of its own.
 *
 *	mib=256		size of the data
 *	hot=51		size of the hot range in MiB: a fifth
 *	move=5		seconds after which the hot range changes its place; 0: never
 *	places=2	number of places that the hot range has in turn, side by side,
 *			from the end of the data on, which is touched last
 */
#include <err.h>

#include "bench.h"

#define WORDS	(PAGE / 8)
#define CHUNK	10	/* number of pages, one of them in all data */

static size_t pages, hot, places;
static size_t hot_base;		/* the first page of the hot range */
static uint64_t *data;

static double heat(size_t page)
{
	return (page >= pages - places * hot ? 0.9 / (places * hot) : 0) +
		0.1 / pages;
}

/*
 * Returns the next page of a sweep over @length pages; @at is how far it has come in two rounds.
 * The second round writes the pages that the first has read, and reads the others.
 */
static size_t next_page(size_t *at, size_t length, bool *write)
{
	bool second = *at >= length;
	size_t page = second ? *at - length : *at;

	*write = (page + second) & 1;
	if (++*at == 2 * length)
		*at = 0;
	return page;
}

/*
 * The low half of @state is where the thread is in the hot range, the high half where in all data.
 * A random number is a valid state: it tells the places modulo the lengths of two rounds.
 */
static uint64_t batch(uint64_t *state)
{
	size_t base = __atomic_load_n(&hot_base, __ATOMIC_RELAXED);
	size_t in_hot = (uint32_t)*state % (2 * hot), in_all = (*state >> 32) % (2 * pages);
	volatile uint64_t sink;

	for (int n = 0; n < CHUNK; n++) {
		uint64_t *p, sum = 0;
		bool write;

		if (n)
			p = data + (base + next_page(&in_hot, hot, &write)) * WORDS;
		else
			p = data + next_page(&in_all, pages, &write) * WORDS;
		for (size_t i = 0; write && i < WORDS; i++)
			p[i] = i;
		for (size_t i = 0; !write && i < WORDS; i++)
			sum += p[i];
		sink = sum;
	}
	(void)sink;
	*state = (uint64_t)in_all << 32 | in_hot;
	return CHUNK * PAGE;
}

int main(int argc, char **argv)
{
	uint64_t state = 0, next = 0;
	size_t place = 0;
	double move;

	bench_options(argc, argv);
	pages = bench_option("mib", 256) * MIB / PAGE;
	hot = bench_option("hot", 51) * MIB / PAGE;
	move = bench_option("move", 5);
	places = move ? bench_option("places", 2) : 1;
	if (!hot || !places || places > pages / hot)
		errx(2, "wanted: 0 < hot, 0 < places <= mib / hot");
	data = bench_map(pages * PAGE, heat);
	bench_fill();
	bench_touch(data, pages * PAGE);
	hot_base = pages - hot;
	bench_start("MB/s", 1e6);
	bench_help(batch);
	if (move)
		next = bench_now() + move * 1e9;
	do {
		batch(&state);
		if (move && bench_now() >= next) {
			next += move * 1e9;
			place = (place + 1) % places;
			__atomic_store_n(&hot_base, pages - (place + 1) * hot, __ATOMIC_RELAXED);
		}
	} while (bench_count(CHUNK * PAGE));
	return 0;
}
