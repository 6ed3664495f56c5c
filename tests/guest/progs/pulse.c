// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Use huge pages, or base pages, at two rates until a file appears:
 *
 *   pulse MIB PAUSE TURNS STOPFILE [base]
 *
 * A page's number decides how the page is used: see enum use.  Hot pages are used
 * in each turn, cold pages in one of TURNS turns, by chance.  So the number of uses
 * depends on the number of turns, and not on the time.  Between turns the program
 * counts to PAUSE.  Some unused base pages are made inaccessible, as NUMA balancing makes pages
 * inaccessible for a while: their entries are there, but are not present for the processor.
 *
 * Prints "GFN USE" for the first frame of each page, then "end", and continues;
 * at the end, prints how long a turn took.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hint.h"

#define HUGE_FRAMES 512
#define HUGE (HUGE_FRAMES * HINT_PAGE)

enum use {
	UNUSED,
	HOT_READ,
	HOT_WRITTEN,
	/* Read in each turn, written in one of TURNS turns. */
	HOT_READ_COLD_WRITTEN,
	COLD_READ,
	COLD_WRITTEN,
	USES
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

/* Returns true once in @turns calls, by chance; the sequence is the same in each run. */
static bool is_cold_turn(uint64_t turns)
{
	static uint64_t random = 1;

	/* Knuth's MMIX generator, of which the high bits are more random. */
	random = random * 6364136223846793005u + 1442695040888963407u;
	return (random >> 33) % turns == 0;
}

/* The frames of one page. */
static size_t frames = HUGE_FRAMES;

/* Each turn uses another base page of a huge page. */
static volatile char *place(char *page, uint64_t turn)
{
	return page + turn % frames * HINT_PAGE;
}

static void use_hot(char *page, enum use use, uint64_t turn)
{
	if (use == HOT_READ || use == HOT_READ_COLD_WRITTEN)
		(void)*place(page, turn);
	if (use == HOT_WRITTEN)
		++*place(page, turn);
}

static void use_cold(char *page, enum use use, uint64_t turn)
{
	if (use == COLD_READ)
		(void)*place(page, turn);
	if (use == COLD_WRITTEN || use == HOT_READ_COLD_WRITTEN)
		++*place(page, turn);
}

int main(int argc, char **argv)
{
	uint64_t *gfns, pause, turns, turn, begin;
	size_t bytes, size, num;
	char *mem;

	if (argc != 5 && (argc != 6 || strcmp(argv[5], "base")))
		errx(2, "usage: pulse MIB PAUSE TURNS STOPFILE [base]");
	if (argc == 6)
		frames = 1;
	size = frames * HINT_PAGE;
	bytes = strtoul(argv[1], NULL, 0) << 20;
	pause = strtoul(argv[2], NULL, 0);
	turns = strtoul(argv[3], NULL, 0);
	num = bytes / size;
	gfns = calloc(bytes / HINT_PAGE, sizeof(*gfns));
	mem = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!gfns || mem == MAP_FAILED)
		err(1, "memory");
	mem = (char *)(((uintptr_t)mem + HUGE - 1) & ~(HUGE - 1));
	if (madvise(mem, bytes, frames > 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		err(1, "madvise");
	memset(mem, 1, bytes);
	hint_gfns(mem, bytes / HINT_PAGE, gfns);
	for (size_t i = 0; i < num; i++) {
		if (gfns[i * frames] % frames ||
		    gfns[i * frames + frames - 1] != gfns[i * frames] + frames - 1)
			errx(1, "%zu is no huge page", i);
		printf("%lu %zu\n", gfns[i * frames], i % USES);
	}
	for (size_t i = 0; frames == 1 && i < num; i += 64 * USES) {
		if (mprotect(mem + i * size, size, PROT_NONE) < 0)
			err(1, "mprotect");
	}
	printf("end\n");
	fflush(stdout);
	begin = now_ns();
	for (turn = 0; turn % 1024 || access(argv[4], F_OK) < 0; turn++) {
		for (size_t i = 0; i < num; i++) {
			use_hot(mem + i * size, i % USES, turn);
			if (is_cold_turn(turns))
				use_cold(mem + i * size, i % USES, turn);
		}
		for (volatile uint64_t i = 0; i < pause; i++)
			;
	}
	printf("%lu turns of %lu ns\n", turn, (now_ns() - begin) / turn);
	return 0;
}
