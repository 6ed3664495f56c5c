// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Have memory that is idle, and use parts of it on demand:
 *
 *   idle base MIB FIFO        so much anonymous memory in base pages
 *   idle parts MIB FIFO       the same, in three mappings for each page table
 *   idle every MIB FIFO       the same in one mapping, of which turn N uses every Nth page
 *   idle sparse GIB FIFO      one base page in each GiB of one mapping; turn N uses every Nth
 *   idle processes N FIFO     N processes, each with the mappings of a library in common with
 *                             all others, and with some pages of its own
 *
 * Creates the FIFO, prints "GFN" for each page (but of processes), then "end".  For each number
 * that comes through the FIFO, uses pages (base and parts: see is_used(); processes: none) and
 * prints "used NUMBER".  The number 0 ends the program.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hint.h"

#define GIB		(1ul << 30)
#define TABLE		512ul		/* pages that one page table maps */
#define LIBRARY		(2ul << 20)
#define SEGMENTS	10		/* mappings of a library */

/* In each turn, a seventh of the pages of a third of the page tables; test_access.py knows it. */
static bool is_used(size_t page, unsigned long turn)
{
	return (page / TABLE + turn) % 3 == 0 && page % 7 == turn % 7;
}

static char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes + TABLE * HINT_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || madvise(p, bytes, MADV_NOHUGEPAGE))
		err(1, "memory");
	return (char *)(((uintptr_t)p | (TABLE * HINT_PAGE - 1)) + 1);
}

/* The library: a file in memory, whose mappings differ in what they allow. */
static int create_library(void)
{
	static char data[LIBRARY];
	int fd = memfd_create("library", 0);

	memset(data, 1, sizeof(data));
	if (fd < 0 || write(fd, data, sizeof(data)) != sizeof(data))
		err(1, "library");
	return fd;
}

static void be_process(int fd)
{
	size_t bytes = LIBRARY / SEGMENTS & -HINT_PAGE;
	volatile char *lib = mmap(NULL, LIBRARY, PROT_READ, MAP_PRIVATE, fd, 0);
	volatile char *own = map(LIBRARY);

	if (lib == MAP_FAILED)
		err(1, "library");
	for (int i = 1; i < SEGMENTS; i += 2)
		if (mprotect((char *)lib + i * bytes, bytes, PROT_READ | PROT_EXEC))
			err(1, "mprotect");
	for (size_t at = 0; at < LIBRARY; at += HINT_PAGE)
		(void)lib[at];
	for (size_t at = 0; at < LIBRARY / 16; at += HINT_PAGE)
		own[at] = 1;
}

static void create_processes(unsigned long n)
{
	int fd = create_library(), done[2];
	char c;

	if (pipe(done))
		err(1, "pipe");
	for (unsigned long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "process %lu", i);
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			be_process(fd);
			if (write(done[1], "", 1) != 1)
				err(1, "pipe");
			for (;;)
				pause();
		}
		if (read(done[0], &c, 1) != 1)
			err(1, "pipe");
	}
}

int main(int argc, char **argv)
{
	bool parts, every, base, sparse;
	unsigned long n, turn;
	size_t pages, step;
	volatile char *p = NULL;
	FILE *fifo;

	if (argc != 4)
		errx(2, "usage: idle base|parts|every|sparse|processes NUMBER FIFO");
	parts = !strcmp(argv[1], "parts");
	every = !strcmp(argv[1], "every");
	base = parts || every || !strcmp(argv[1], "base");
	sparse = !strcmp(argv[1], "sparse");
	n = strtoul(argv[2], NULL, 0);
	pages = base ? (n << 20) / HINT_PAGE : sparse ? n : 0;
	step = base ? HINT_PAGE : GIB;
	signal(SIGCHLD, SIG_IGN);
	if (pages)
		p = map(pages * step);
	for (size_t i = TABLE / 3; parts && i < pages; i += TABLE)
		if (mprotect((char *)p + i * HINT_PAGE, TABLE / 3 * HINT_PAGE,
			     PROT_READ | PROT_WRITE | PROT_EXEC))
			err(1, "mprotect");
	for (size_t i = 0; i < pages; i++)
		p[i * step] = 1;
	if (!base && !sparse)
		create_processes(n);
	if (pages) {
		uint64_t *gfns = calloc(pages, sizeof(*gfns));

		if (!gfns)
			err(1, "memory");
		for (size_t i = 0; i < pages; i++)
			hint_gfns((char *)p + i * step, 1, &gfns[i]);
		for (size_t i = 0; i < pages; i++)
			printf("%lu\n", gfns[i]);
		free(gfns);
	}
	if (mkfifo(argv[3], 0600))
		err(1, "%s", argv[3]);
	printf("end\n");
	fflush(stdout);
	/* Open for writing as well, so that the end of one writer is no end of the file. */
	fifo = fopen(argv[3], "r+");
	if (!fifo)
		err(1, "%s", argv[3]);
	while (fscanf(fifo, "%lu", &turn) == 1 && turn) {
		for (size_t i = 0; i < pages; i++)
			if (every || sparse ? !(i % turn) : is_used(i, turn))
				p[i * step]++;
		printf("used %lu\n", turn);
		fflush(stdout);
	}
	unlink(argv[3]);
	return 0;
}
