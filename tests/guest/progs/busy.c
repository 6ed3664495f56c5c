// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that is busy with memory while its page tables are scanned, or its pages move:
 *
 *   busy THREADS MIB FILE [SPINS]
 *				update MIB of memory at random, in a thread on each of the
 *				processors 1 .. THREADS, until FILE exists; spin SPINS times
 *				after each update.  Prints the frames of the memory, then
 *				"start".
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hint.h"
#include "updates.h"

static void print_frames(const void *pages, size_t n)
{
	uint64_t *gfns = calloc(n, sizeof(*gfns));

	if (!gfns)
		err(1, "memory");
	hint_gfns(pages, n, gfns);
	for (size_t i = 0; i < n; i++)
		printf("%#lx\n", gfns[i]);
	free(gfns);
}

int main(int argc, char **argv)
{
	uint64_t ops = 0, sum = 0;
	unsigned int threads;
	size_t len;

	if (argc != 4 && argc != 5)
		errx(2, "usage: busy THREADS MIB FILE [SPINS]");
	spins = argc > 4 ? atoi(argv[4]) : 0;
	threads = atoi(argv[1]);
	len = strtoul(argv[2], NULL, 0) << 20;
	words = len / sizeof(*memory);
	if (!threads || threads > MAX_THREADS || !len)
		errx(2, "1 to %d threads, and some memory", MAX_THREADS);
	/* No other processor has this address space. */
	run_on(1);
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "memory");
	madvise(memory, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < words; i++)
		memory[i] = i;
	begin_updates(threads);
	print_frames(memory, len / HINT_PAGE);
	printf("start\n");
	fflush(stdout);
	while (access(argv[3], F_OK))
		usleep(100000);
	/* No update is lost: the memory has as many as the threads have made, and nothing else. */
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		ops += workers[i].ops;
	}
	for (size_t i = 0; i < words; i++) {
		if (memory[i] - i > ops)
			errx(1, "word %zu is %#lx", i, memory[i]);
		sum += memory[i] - i;
	}
	printf("ops=%lu sum=%lu\n", ops, sum);
	if (sum != ops)
		errx(1, "updates are lost");
	return 0;
}
