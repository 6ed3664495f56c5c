/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a workload of the benchmark is written with.  A whole one:
 *
 *	int main(int argc, char **argv)
 *	{
 *		size_t bytes;
 *		uint64_t *data;
 *
 *		bench_options(argc, argv);
 *		bytes = bench_option("mib", 256) * MIB;
 *		data = bench_map(bytes, NULL);
 *		bench_fill();
 *		bench_touch(data, bytes);
 *		bench_start("Mop/s", 1e6);
 *		do
 *			... 1000 operations ...
 *		while (bench_count(1000));
 *		return 0;
 *	}
 *
 * Options are KEY=VALUE arguments.  All workloads know
 *	seconds=20	guest time that is measured
 *	warmup=1	guest time before that, after the data has been filled
 *	interval=0.25	guest time between two lines of output
 *	seed=1		of all random numbers
 *	place=first-touch
 *			oracle: the pages with the most accesses go to node 0
 *			nvm: all memory of the program, and of programs that it
 *			runs, comes from node 1
 *	reserve=16	MiB of node 0 that the oracle leaves free
 *	thp=0		1: let the data have transparent huge pages
 *
 * Everything that is printed begins with "bench: ".  Times are guest time.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB		(1ull << 20)
#define PAGE		4096ull

/* Random numbers (xorshift64*), always the same for the same seed. */
extern uint64_t bench_random_state;

static inline uint64_t bench_random(void)
{
	uint64_t x = bench_random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	bench_random_state = x;
	return x * 0x2545f4914f6cdd1d;
}

/* A number below n, without the slow division. */
static inline uint64_t bench_below(uint64_t n)
{
	return (bench_random() >> 32) * n >> 32;
}

/* Spreads numbers over all of 64 bits, one to one. */
static inline uint64_t bench_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Read the arguments; a malformed one ends the program. */
void bench_options(int argc, char **argv);

/* The value of an option, or the default; a word must be known to bench_word. */
double bench_option(const char *name, double value);
const char *bench_word(const char *name, const char *value);

/*
 * Address space for data, not yet touched.  heat(i) tells how often page i of
 * it is accessed in the long run, in any unit that is the same for all data of
 * the workload; NULL stands for 1.  Only the oracle uses it.
 */
void *bench_map(size_t bytes, double (*heat)(size_t page));

/*
 * Place what has been mapped: nothing to do for first-touch; the oracle touches
 * the hottest pages on node 0 and all others on node 1.
 */
void bench_fill(void);

/* Write to each page of what has been mapped, if it does not matter what. */
void bench_touch(void *at, size_t bytes);

/* ns of guest time. */
uint64_t bench_now(void);

/*
 * The data is there: begin to model what memory costs, and to warm up.  unit is that of throughput, and one of
 * it is scale operations a second (or done at all, see bench_job).
 */
void bench_start(const char *unit, double scale);

/*
 * n more operations are done.  Begins the region of interest once it is warm,
 * prints a line each interval, and when time is up prints the result, ends the
 * region and returns false.
 */
bool bench_count(uint64_t n);

/*
 * For a workload that is one job of fixed size: bench_start() with warmup=0 and
 * a long time, then this when it is done.
 */
void bench_done(void);

#endif /* BENCH_H */
