// SPDX-License-Identifier: GPL-2.0-or-later
/* See bench.h. */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "roi.h"
#include "snapshot.h"

#define MPOL_DEFAULT	0
#define MPOL_BIND	2
#define REGIONS		16
#define MAX_HELPERS	15
#define SAMPLED		2048	/* number of pages whose moves are watched */

uint64_t bench_random_state;

static int nr_args;
static char **args;

static struct region {
	char *base;
	size_t pages;
	double (*heat)(size_t page);
} regions[REGIONS];
static int nr_regions;

static const char *unit;
static double scale;
static uint64_t begin, next, end;	/* ns */
static uint64_t interval, length;
static uint64_t idle_at, idle_for;	/* ns; idle_for: 0 if the program has slept */
static uint64_t ops;			/* of this thread */
static uint64_t ops_before;		/* of all threads, before the measured time */
static bool warm;

/* Other threads: each has a line of the cache for its numbers. */
static struct helper {
	uint64_t state;
	uint64_t ops;
} __attribute__((aligned(64))) helpers[MAX_HELPERS];
static int nr_helpers;
static uint64_t (*help)(uint64_t *state);

/* Placement */

/* New memory of this program comes from this node, or with -1 from any node. */
static void bind_to(int node)
{
	unsigned long mask = 1ul << node;

	if (syscall(SYS_set_mempolicy, node < 0 ? MPOL_DEFAULT : MPOL_BIND,
		    node < 0 ? NULL : &mask, node < 0 ? 0ul : 64ul) < 0)
		err(1, "set_mempolicy to node %d", node);
}

/* Options */

static const char *find(const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < nr_args; i++)
		if (!strncmp(args[i], name, n) && args[i][n] == '=')
			return args[i] + n + 1;
	return NULL;
}

double bench_option(const char *name, double value)
{
	const char *text = find(name);
	char *rest;

	if (!text)
		return value;
	value = strtod(text, &rest);
	if (rest == text || *rest || !(value >= 0))
		errx(2, "%s=%s: a number that is not negative is wanted", name, text);
	return value;
}

const char *bench_word(const char *name, const char *value)
{
	const char *text = find(name);

	return text ? text : value;
}

void bench_options(int argc, char **argv)
{
	nr_args = argc - 1;
	args = argv + 1;
	for (int i = 0; i < nr_args; i++)
		if (!strchr(args[i], '='))
			errx(2, "'%s' is not KEY=VALUE", args[i]);
	bench_random_state = bench_mix(bench_option("seed", 1)) | 1;
	if (!strcmp(bench_word("place", ""), "nvm"))
		bind_to(1);
}

void *bench_map(size_t bytes, double (*heat)(size_t page))
{
	struct region *r = &regions[nr_regions];

	if (nr_regions == REGIONS)
		errx(1, "more than %d regions", REGIONS);
	r->pages = (bytes + PAGE - 1) / PAGE;
	r->heat = heat;
	r->base = mmap(NULL, r->pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->base == MAP_FAILED)
		err(1, "%zu pages", r->pages);
	madvise(r->base, r->pages * PAGE,
		bench_option("thp", 0) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	nr_regions++;
	return r->base;
}

/* The number of free bytes on node 0. */
static size_t free_dram(void)
{
	FILE *f = fopen("/sys/devices/system/node/node0/meminfo", "r");
	char line[128];
	size_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Node 0 MemFree: %zu kB", &kib) == 1)
			break;
	if (!f || !kib)
		errx(1, "no free memory of node 0 in sysfs");
	fclose(f);
	return kib << 10;
}

struct page {
	double heat;
	char *at;
};

static int by_heat(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	if (x->heat != y->heat)
		return x->heat < y->heat ? 1 : -1;
	return x->at < y->at ? -1 : x->at > y->at;
}

void bench_fill(void)
{
	const char *place = bench_word("place", "first-touch");
	size_t reserve = bench_option("reserve", 16) * MIB;
	size_t n = 0, dram, bytes;
	struct page *pages;

	if (!strcmp(place, "first-touch") || !strcmp(place, "nvm"))
		return;
	if (strcmp(place, "oracle"))
		errx(2, "place=%s: use first-touch, nvm or oracle", place);
	/* The list of pages must not use node 0, which it is to fill, and is freed. */
	bind_to(1);
	for (int i = 0; i < nr_regions; i++)
		n += regions[i].pages;
	bytes = n * sizeof(*pages);
	pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		err(1, "a list of %zu pages", n);
	n = 0;
	for (int i = 0; i < nr_regions; i++) {
		struct region *r = &regions[i];

		for (size_t p = 0; p < r->pages; p++) {
			pages[n].heat = r->heat ? r->heat(p) : 1;
			pages[n++].at = r->base + p * PAGE;
		}
	}
	qsort(pages, n, sizeof(*pages), by_heat);
	dram = free_dram();
	dram = dram > reserve ? (dram - reserve) / PAGE : 0;
	bind_to(0);
	for (size_t i = 0; i < n; i++) {
		if (i == dram)
			bind_to(1);
		*(volatile char *)pages[i].at = 0;
	}
	bind_to(-1);
	munmap(pages, bytes);
	printf("bench: oracle dram_pages=%zu of=%zu\n", dram < n ? dram : n, n);
}

void bench_touch(void *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		*(volatile char *)((char *)at + i) = 1;
}

/* Time and results */

/*
 * The nodes of a sample of pages, which show pages that move repeatedly.  To
 * read them is no access to the pages, and costs about 0.1 % of the time.
 */
static void *sampled[SAMPLED];
static int where[SAMPLED];		/* node; negative: the page is not in memory */
static bool has_moved[SAMPLED];
static size_t nr_sampled;
static uint64_t moves, repeated;	/* all moves; moves of pages that had moved before */

static void watch_pages(void)
{
	size_t n = 0, step, at = 0;

	for (int i = 0; i < nr_regions; i++)
		n += regions[i].pages;
	step = n / SAMPLED + 1;
	nr_sampled = 0;
	for (int i = 0; i < nr_regions; i++) {
		for (; at < regions[i].pages && nr_sampled < SAMPLED; at += step)
			sampled[nr_sampled++] = regions[i].base + at * PAGE;
		at -= regions[i].pages;
	}
	moves = repeated = 0;
	memset(has_moved, 0, sizeof(has_moved));
	if (nr_sampled && syscall(SYS_move_pages, 0, nr_sampled, sampled, NULL, where, 0) < 0)
		err(1, "move_pages");
}

static void look_at_pages(void)
{
	static int now[SAMPLED];

	if (nr_sampled && syscall(SYS_move_pages, 0, nr_sampled, sampled, NULL, now, 0) < 0)
		err(1, "move_pages");
	for (size_t i = 0; i < nr_sampled; i++) {
		if (now[i] < 0 || now[i] == where[i])
			continue;
		if (where[i] >= 0) {
			moves++;
			repeated += has_moved[i];
			has_moved[i] = true;
		}
		where[i] = now[i];
	}
}

static void *run_helper(void *opaque)
{
	struct helper *h = opaque;

	for (;;)
		__atomic_store_n(&h->ops, h->ops + help(&h->state), __ATOMIC_RELAXED);
	return NULL;
}

void bench_help(uint64_t (*batch)(uint64_t *state))
{
	double threads = bench_option("threads", 1);

	if (threads < 1 || threads > MAX_HELPERS + 1)
		errx(2, "threads=%g: 1 to %d are possible", threads, MAX_HELPERS + 1);
	if (threads > 1 && idle_for)
		errx(2, "idle_for is possible with threads=1 only");
	help = batch;
	for (nr_helpers = 0; nr_helpers < (int)threads - 1; nr_helpers++) {
		struct helper *h = &helpers[nr_helpers];
		pthread_t thread;

		h->state = bench_mix(bench_random_state + nr_helpers + 1) | 1;
		if (pthread_create(&thread, NULL, run_helper, h))
			errx(1, "no thread");
	}
}

/* The operations of all threads since the begin of the measured time. */
static uint64_t all_ops(void)
{
	uint64_t sum = ops;

	for (int i = 0; i < nr_helpers; i++)
		sum += __atomic_load_n(&helpers[i].ops, __ATOMIC_RELAXED);
	return sum - ops_before;
}

static void print_sample(uint64_t now)
{
	struct counters c;

	look_at_pages();
	read_counters(&c);
	printf("bench: sample ns=%lu ops=%lu dram=%lu nvm=%lu promoted=%lu demoted=%lu\n",
	       now - begin, all_ops(), c.anon[0], c.anon[1], c.promoted, c.demoted);
	fflush(stdout);
}

uint64_t bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_until(double seconds)
{
	struct timespec t = { .tv_sec = seconds };

	t.tv_nsec = (seconds - t.tv_sec) * 1e9;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

void bench_start(const char *unit_, double scale_)
{
	double at = bench_option("at", 0);

	unit = unit_;
	scale = scale_;
	length = bench_option("seconds", 20) * 1e9;
	interval = bench_option("interval", 0.25) * 1e9;
	idle_at = bench_option("idle_at", 0) * 1e9;
	idle_for = bench_option("idle_for", 0) * 1e9;
	if (!length || !interval)
		errx(2, "seconds and interval must not be 0");
	printf("bench: filled ns=%lu\n", bench_now());
	fflush(stdout);
	if (at && bench_now() > at * 1e9)
		errx(1, "at=%g is too early: the data was filled only now", at);
	sleep_until(at);
	roi_start();
	begin = bench_now();
	next = begin + (uint64_t)(bench_option("warmup", 1) * 1e9);
	warm = false;
	bench_count(0);
}

/*
 * The machine's time in ns, by which hmemd's records go: with -icount, the time-stamp counter
 * counts it.
 */
static uint64_t machine_ns(void)
{
	return __builtin_ia32_rdtsc();
}

/* Sleeps until the program is to work again. */
static void be_idle(void)
{
	uint64_t from = machine_ns();

	sleep_until((begin + idle_at + idle_for) / 1e9);
	idle_for = 0;
	printf("bench: idle from=%lu to=%lu\n", from, machine_ns());
	next = bench_now();
}

static void result(uint64_t now)
{
	roi_end();
	print_sample(now);
	print_snapshot("end");
	if (nr_sampled)
		printf("bench: pages sampled=%zu moves=%lu repeated=%lu\n", nr_sampled,
		       moves, repeated);
	printf("bench: result ops=%lu ns=%lu scale=%.17g unit=%s\n", all_ops(),
	       now - begin, scale, unit);
	fflush(stdout);
}

bool bench_count(uint64_t n)
{
	uint64_t now = bench_now();

	ops += n;
	if (now < next)
		return true;
	if (!warm) {
		warm = true;
		print_snapshot("begin");
		ops_before = 0;
		ops_before = all_ops();
		watch_pages();
		roi_begin();
		begin = bench_now();
		end = begin + length;
		next = begin + interval;
		print_sample(begin);
		return true;
	}
	if (now >= end) {
		result(now);
		return false;
	}
	print_sample(now);
	if (idle_for && now >= begin + idle_at)
		be_idle();
	next += interval;
	if (next > end)
		next = end;
	return true;
}

void bench_done(void)
{
	if (warm)
		result(bench_now());
}
