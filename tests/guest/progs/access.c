// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Use memory by a pattern, over and over, until a file appears:
 *
 *   access MIB STOPFILE [thp | shared | FILE]
 *
 * The memory is anonymous, shared, or the page cache of a new FILE.  It consists of
 * blocks: a block is a base page, or with thp a huge page.  enum use says how a block
 * is used; with thp, each turn uses the next base page of each block.
 *
 * Prints "ready", then "GFN USE" for each page, then continues to use the memory.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "hint.h"

#define HUGE (512 * HINT_PAGE)

enum use { UNUSED, READ, WRITTEN, BOTH, READ_BY_CHILD, USES };

static volatile char *mem;
static size_t pages;
static bool thp;

/* The hash keeps the pattern irregular: a test then sees if bits are in a wrong order. */
static enum use use_of(size_t page)
{
	size_t block = thp ? page / 512 : page;
	enum use use = block * 2654435761u / 65536 % USES;

	/* The fork of a child would split huge pages. */
	return thp && use == READ_BY_CHILD ? UNUSED : use;
}

/* Use all pages once, or with thp one page of each huge page. */
static void use(bool child)
{
	static size_t turn;

	for (size_t i = thp ? turn++ % 512 : 0; i < pages; i += thp ? 512 : 1) {
		enum use u = use_of(i);

		if (child ? u == READ_BY_CHILD : u == READ || u == BOTH)
			(void)mem[i * HINT_PAGE];
		if (!child && (u == WRITTEN || u == BOTH))
			mem[i * HINT_PAGE]++;
	}
}

/* Map @bytes at a multiple of HUGE. */
static char *map(size_t bytes, const char *how)
{
	int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	char *p = mmap(NULL, bytes + HUGE, PROT_NONE, flags, -1, 0);

	if (p == MAP_FAILED)
		err(1, "memory");
	if (!strcmp(how, "shared")) {
		flags = MAP_SHARED | MAP_ANONYMOUS;
	} else if (*how == '/') {
		fd = open(how, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || ftruncate(fd, bytes) < 0)
			err(1, "%s", how);
		flags = MAP_SHARED;
	}
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	p = mmap(p, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "memory");
	if (madvise(p, bytes, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		err(1, "madvise");
	memset(p, 1, bytes);
	/* From now on only the pages that are written to are dirty. */
	if (fd >= 0 && msync(p, bytes, MS_SYNC) < 0)
		err(1, "msync");
	return p;
}

/* With thp all memory is in huge pages, without it none is. */
static bool as_wanted(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end, kib, sum = 0;
	char line[256];
	bool in = false;

	if (!f)
		err(1, "smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			in = start < (uintptr_t)mem + pages * HINT_PAGE &&
			     end > (uintptr_t)mem;
		else if (in && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	printf("%lu KiB in huge pages\n", sum);
	return sum == (thp ? pages * 4 : 0);
}

int main(int argc, char **argv)
{
	size_t bytes;
	uint64_t *gfns;
	pid_t pid = 0;
	const char *how = argc > 3 ? argv[3] : "";
	char *p;

	if (argc < 3)
		errx(2, "usage: access MIB STOPFILE [thp | shared | FILE]");
	bytes = strtoul(argv[1], NULL, 0) << 20;
	thp = !strcmp(how, "thp");
	pages = bytes / HINT_PAGE;
	gfns = calloc(pages, sizeof(*gfns));
	if (!gfns)
		err(1, "memory");
	p = map(bytes, how);
	mem = p;
	if (!thp) {
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;) {
				use(true);
				usleep(1000);
			}
		}
	}
	/* The first write after the fork copies a page: do that before GFNs are printed. */
	use(false);
	if (!as_wanted())
		errx(1, "huge pages are not as they ought to be");
	hint_gfns(p, pages, gfns);
	printf("ready\n");
	for (size_t i = 0; i < pages; i++)
		printf("%lu %d\n", gfns[i], use_of(i));
	printf("end\n");
	fflush(stdout);
	while (access(argv[2], F_OK) < 0) {
		use(false);
		/* The test looks at huge pages for less than a millisecond. */
		if (!thp)
			usleep(1000);
	}
	if (pid) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return 0;
}
