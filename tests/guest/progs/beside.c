// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Measure how fast pages move, and how fast a program runs beside the moves, by the driver
 * or by move_pages(2):
 *
 *   beside driver|syscall THREADS MIB ROUNDS [RATE]
 *
 * Threads on the processors 1 .. THREADS update MIB of memory at random.  First nothing moves
 * for a while.  Then all of the memory moves from node 0 to node 1 and back, ROUNDS times;
 * move_pages(2) runs on processor 0.  With RATE, no more than so many pages move in a second,
 * 512 at a time.  Prints
 *
 *   moved        the pages that moved
 *   ns           the time that the moves took, in which the host also passes on the hints
 *   busy         the processor time in ns of what moved the pages: a worker of the kernel, or
 *                the thread that called move_pages(2)
 *   ops, peace   the updates made meanwhile, and those of a second before
 *   interrupts   how often processors interrupted others to have a function called
 *   flushes      how many of these interrupts were the kernel's flushes of the TLB
 *
 * Under the simulator, which begins at the mark, a ns is an instruction of each processor.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hint.h"
#include "updates.h"
#include "workers.h"

#define MPOL_MF_MOVE	2
#define CHUNK		8192u	/* pages of a request, not more than HINT_MAX */
#define RATE_CHUNK	512u	/* the same, with a rate */
#define PEACE_US	50000

static uint64_t all_ops(void)
{
	uint64_t ops = 0;

	for (unsigned int i = 0; i < MAX_THREADS; i++)
		ops += __atomic_load_n(&workers[i].ops, __ATOMIC_RELAXED);
	return ops;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Interrupts of a kind in all processors so far, as /proc/interrupts counts them. */
static uint64_t interrupts(const char *kind)
{
	FILE *f = fopen("/proc/interrupts", "r");
	uint64_t sum = 0;
	char line[1024];

	while (f && fgets(line, sizeof(line), f)) {
		char *p = strstr(line, kind), *end;

		for (p = p ? p + strlen(kind) : NULL; p; p = end) {
			unsigned long n = strtoul(p, &end, 10);

			if (end == p)
				break;
			sum += n;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

/* The processor time of what moves the pages, so far. */
static uint64_t busy_ns(bool driver)
{
	struct timespec t;

	if (driver)
		return workers_ns();
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void move_by_driver(size_t first, size_t n, int node)
{
	static uint64_t gfns[CHUNK];
	static struct hint_result results[CHUNK];

	hint_gfns((char *)memory + first * HINT_PAGE, n, gfns);
	if (hint_migrate(gfns, n, node, results))
		errx(1, "the host could not pass on the hints");
}

static void move_by_syscall(size_t first, size_t n, int node)
{
	static void *addrs[CHUNK];
	static int nodes[CHUNK], status[CHUNK];

	for (size_t k = 0; k < n; k++) {
		addrs[k] = (char *)memory + (first + k) * HINT_PAGE;
		nodes[k] = node;
	}
	if (syscall(SYS_move_pages, 0, n, addrs, nodes, status, MPOL_MF_MOVE) < 0)
		err(1, "move_pages");
}

/* Sleeps after each request until its pages are due, if there is a rate. */
static void move(size_t pages, int node, bool driver, uint64_t rate)
{
	size_t chunk = rate ? RATE_CHUNK : CHUNK;
	uint64_t begin = now_ns();

	for (size_t i = 0; i < pages; i += chunk) {
		size_t n = pages - i < chunk ? pages - i : chunk;
		uint64_t now, due;

		if (driver)
			move_by_driver(i, n, node);
		else
			move_by_syscall(i, n, node);
		now = now_ns();
		due = rate ? begin + (i + n) * 1000000000ull / rate : 0;
		if (due > now)
			usleep((due - now) / 1000);
	}
}

int main(int argc, char **argv)
{
	uint64_t begin, ns = 0, ops = 0, peace, peace_ns, calls = 0, flushes = 0, rate,
		 busy = 0;
	unsigned int threads;
	size_t pages, moved = 0;
	bool driver;

	if (argc != 5 && argc != 6)
		errx(2, "usage: beside driver|syscall THREADS MIB ROUNDS [RATE]");
	driver = !strcmp(argv[1], "driver");
	threads = atoi(argv[2]);
	pages = strtoul(argv[3], NULL, 0) * 256;
	rate = argc > 5 ? strtoul(argv[5], NULL, 0) : 0;
	words = pages * HINT_PAGE / sizeof(*memory);
	if (!threads || threads > MAX_THREADS || !pages)
		errx(2, "1 to %d threads, and some memory", MAX_THREADS);
	/* Mark 5 of hmem-sim (start=mark), and otherwise a no-op. */
	__asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00\n\t.long 0x686d0005" : : : "memory");
	run_on(0);
	memory = mmap(NULL, pages * HINT_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "memory");
	madvise(memory, pages * HINT_PAGE, MADV_NOHUGEPAGE);
	memset(memory, 0, pages * HINT_PAGE);
	begin_updates(threads);
	usleep(PEACE_US);
	peace_ns = now_ns();
	peace = all_ops();
	usleep(PEACE_US);
	peace = all_ops() - peace;
	peace_ns = now_ns() - peace_ns;
	for (int round = 0; round < 2 * atoi(argv[4]); round++) {
		int node = !(round & 1);

		busy -= busy_ns(driver);
		begin = now_ns();
		ops -= all_ops();
		calls -= interrupts("CAL:");
		flushes -= interrupts("TLB:");
		move(pages, node, driver, rate);
		flushes += interrupts("TLB:");
		calls += interrupts("CAL:");
		ops += all_ops();
		ns += now_ns() - begin;
		busy += busy_ns(driver);
		moved += hint_on_node(memory, pages, node);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	printf("moved=%zu ns=%lu busy=%lu ops=%lu peace=%.0f interrupts=%lu flushes=%lu\n", moved,
	       ns, busy, ops, peace * 1e9 / peace_ns, calls, flushes);
	return 0;
}
