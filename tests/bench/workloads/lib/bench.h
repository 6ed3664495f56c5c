/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library that workloads of the benchmark use.  A complete workload:
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
 * Options are KEY=VALUE arguments.  All workloads have these options:
 *	seconds=20	guest time to measure
 *	warmup=1	guest time between filling the data and measuring
 *	at=0		the guest's time since boot, in seconds, at which the simulator
 *			begins to model memory, so that several VMs begin together;
 *			0: when the data is filled
 *	interval=0.25	guest time between two lines of output
 *	idle_at=0 idle_for=0
 *			the program sleeps once, for so long, when this much of the time that
 *			is measured has passed
 *	seed=1		seed of all random numbers
 *	place=first-touch
 *			oracle: the pages with the most accesses go to node 0
 *			nvm: all memory of the program, and of programs that it
 *			runs, comes from node 1
 *	reserve=16	MiB of node 0 that the oracle leaves free
 *	thp=0		1: allow transparent huge pages for the data
 *	threads=1	number of threads, for programs that call bench_help()
 *
 * Each line of output begins with "bench: ".  Times are guest time.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB		(1ull << 20)
#define PAGE		4096ull

/* The state of the random numbers (xorshift64*), which repeat with the seed. */
extern uint64_t bench_random_state;

static inline uint64_t bench_random_of(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1d;
}

static inline uint64_t bench_random(void)
{
	return bench_random_of(&bench_random_state);
}

/* A random number below n, without a slow division. */
static inline uint64_t bench_below(uint64_t n)
{
	return (bench_random() >> 32) * n >> 32;
}

/* Maps 64-bit numbers one to one to numbers that look random. */
static inline uint64_t bench_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Reads the arguments; a malformed one ends the program. */
void bench_options(int argc, char **argv);

/* The value of an option as a number or as a word; value is the default. */
double bench_option(const char *name, double value);
const char *bench_word(const char *name, const char *value);

/*
 * Maps address space for data, without touching it.  heat(i) is how often the
 * program accesses page i in the long run, in a unit that is the same for all
 * data of the workload; NULL means 1 for all pages.  Only the oracle uses heat.
 */
void *bench_map(size_t bytes, double (*heat)(size_t page));

/*
 * Places all mapped pages.  The oracle touches the hottest pages on node 0 and
 * all others on node 1; with first-touch there is nothing to do.
 */
void bench_fill(void);

/* Writes arbitrary data to each page, for programs that need no certain data. */
void bench_touch(void *at, size_t bytes);

/* Guest time in ns. */
uint64_t bench_now(void);

/*
 * Call this when the data is filled: the simulator begins to model memory, and
 * the warm-up begins.  unit: the unit of throughput; scale: the number of
 * operations per second that are one unit.
 */
void bench_start(const char *unit, double scale);

/*
 * Call this after bench_start().  Starts all threads but this one.  Each calls batch() until
 * the program ends, with a state of its own, which is a random number at first; batch() returns
 * the number of operations that it has made.
 */
void bench_help(uint64_t (*batch)(uint64_t *state));

/*
 * Call this after each n operations.  Begins the region of interest after the
 * warm-up, and prints a line each interval.  When the time is up, prints the
 * result, ends the region and returns false.
 */
bool bench_count(uint64_t n);

/*
 * Call this at the end of a workload that is one job of fixed size, and that has
 * begun with warmup=0 and a long time.
 */
void bench_done(void);

#endif /* BENCH_H */
