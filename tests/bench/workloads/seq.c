// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sequential reads and writes, half of each, a page at a time: nine pages in ten
 * are of a hot range, which is swept again and again, and the others of a sweep
 * over all data.  The hot range moves.
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

struct sweep {
	size_t at, length;	/* pages */
	size_t round;
};

static size_t pages, hot, places;

static double heat(size_t page)
{
	return (page >= pages - places * hot ? 0.9 / (places * hot) : 0) +
		0.1 / pages;
}

/* Returns the next page.  A round writes the pages that the round before has read. */
static size_t next_page(struct sweep *s, bool *write)
{
	size_t at = s->at;

	*write = (at + s->round) & 1;
	if (++s->at == s->length) {
		s->at = 0;
		s->round++;
	}
	return at;
}

int main(int argc, char **argv)
{
	struct sweep in_hot = { 0 }, in_all = { 0 };
	uint64_t *data, next = 0;
	volatile uint64_t sink;
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
	in_hot.length = hot;
	in_all.length = pages;
	bench_start("MB/s", 1e6);
	if (move)
		next = bench_now() + move * 1e9;
	do {
		size_t base = pages - (place + 1) * hot;

		for (int n = 0; n < CHUNK; n++) {
			uint64_t *p, sum = 0;
			bool write;

			if (n)
				p = data + (base + next_page(&in_hot, &write)) * WORDS;
			else
				p = data + next_page(&in_all, &write) * WORDS;
			for (size_t i = 0; write && i < WORDS; i++)
				p[i] = i;
			for (size_t i = 0; !write && i < WORDS; i++)
				sum += p[i];
			sink = sum;
		}
		if (move && bench_now() >= next) {
			next += move * 1e9;
			place = (place + 1) % places;
		}
	} while (bench_count(CHUNK * PAGE));
	(void)sink;
	return 0;
}
