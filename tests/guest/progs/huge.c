// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Have huge pages on both nodes, for the host to move:
 *
 *   huge LOW HIGH [full | share] GOFILE
 *
 * prints "low GFN..." for LOW huge pages on node 0 and "high GFN..." for HIGH huge
 * pages on node 1.  With full, base pages fill node 0.  With share, from the first
 * time that GOFILE appears on, four processes share the low huge pages: each process
 * has another quarter of each huge page.
 *
 * Each time that GOFILE appears, the program removes the file, checks the contents,
 * and prints "low" and "high" again, and "huge LOW HIGH": how many of these huge pages
 * are mapped as huge pages.
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hint.h"

#define MPOL_DEFAULT	0
#define MPOL_BIND	2
#define HUGE_FRAMES	512ul
#define HUGE		(HUGE_FRAMES * HINT_PAGE)
/* With this much free memory the kernel does not reclaim. */
#define SPARE_KIB	(6ul << 10)

static void bind_to(void *p, size_t bytes, int policy, unsigned long node)
{
	unsigned long mask = 1ul << node;

	if (syscall(SYS_mbind, p, bytes, policy, policy == MPOL_BIND ? &mask : NULL,
		    policy == MPOL_BIND ? 8 * sizeof(mask) : 0, 0) < 0)
		err(1, "mbind");
}

static uint64_t word(const uint64_t *p, size_t i)
{
	return (uintptr_t)p + i * 0x9e3779b97f4a7c15u;
}

/* Make @num huge pages on @node; then allow them to leave the node. */
static uint64_t *huge_pages_on(unsigned long node, size_t num)
{
	size_t bytes = num * HUGE;
	char *p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *words;

	if (p == MAP_FAILED)
		err(1, "memory");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (num && madvise(p, bytes, MADV_HUGEPAGE) < 0)
		err(1, "madvise");
	if (num)
		bind_to(p, bytes, MPOL_BIND, node);
	words = (uint64_t *)p;
	for (size_t i = 0; i < bytes / 8; i++)
		words[i] = word(words, i);
	if (num)
		bind_to(p, bytes, MPOL_DEFAULT, 0);
	return words;
}

static unsigned long kib(const char *path, const char *format)
{
	FILE *f = fopen(path, "r");
	unsigned long found = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &found) == 1)
			break;
	if (f)
		fclose(f);
	return found;
}

static void fill_node_0(void)
{
	size_t bytes = 1ul << 30, used = 0;
	char *rest = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (rest == MAP_FAILED)
		err(1, "memory");
	madvise(rest, bytes, MADV_NOHUGEPAGE);
	bind_to(rest, bytes, MPOL_BIND, 0);
	while (kib("/sys/devices/system/node/node0/meminfo",
		   "Node 0 MemFree: %lu") > SPARE_KIB) {
		memset(rest + used, 1, 64 * HINT_PAGE);
		used += 64 * HINT_PAGE;
	}
}

/* Returns how many huge pages of the region at @p are mapped as huge pages. */
static size_t mapped_huge(const void *p, size_t num)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end, size, sum = 0;
	char line[256];
	int in = 0;

	if (!f)
		err(1, "smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			in = start < (uintptr_t)p + num * HUGE && end > (uintptr_t)p;
		else if (in && sscanf(line, "AnonHugePages: %lu", &size) == 1)
			sum += size;
	}
	fclose(f);
	return sum * 1024 / HUGE;
}

/* Print the first frame of each huge page. */
static void tell(const char *name, const uint64_t *p, size_t num)
{
	uint64_t *gfns = calloc(num * HUGE_FRAMES + 1, sizeof(*gfns));

	if (!gfns)
		err(1, "memory");
	hint_gfns(p, num * HUGE_FRAMES, gfns);
	printf("%s", name);
	for (size_t i = 0; i < num; i++)
		printf(" %lu", gfns[i * HUGE_FRAMES]);
	putchar('\n');
	free(gfns);
}

/* @quarter: the quarter of each huge page that this process has; -1: it has all. */
static void check(const uint64_t *p, size_t num, int quarter)
{
	for (size_t i = 0; i < num * HUGE / 8; i++)
		if ((quarter < 0 || (int)(i % (HUGE / 8) / (HUGE / 32)) == quarter) &&
		    p[i] != word(p, i))
			errx(1, "word %zu of page %zu is %#lx", i % 512, i / 512, p[i]);
}

/* Discard three quarters of each huge page. */
static void keep(uint64_t *p, size_t num, int quarter)
{
	for (size_t i = 0; i < 4 * num; i++)
		if ((int)(i % 4) != quarter &&
		    madvise((char *)p + i * (HUGE / 4), HUGE / 4, MADV_DONTNEED) < 0)
			err(1, "madvise");
}

/* Keep the first quarter; children keep and check the other three. */
static void share(uint64_t *p, size_t num)
{
	int fds[2];
	char done;

	if (pipe(fds) < 0)
		err(1, "pipe");
	for (int quarter = 1; quarter < 4; quarter++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		keep(p, num, quarter);
		if (write(fds[1], "", 1) != 1)
			err(1, "pipe");
		for (;;) {
			check(p, num, quarter);
			usleep(1000);
		}
	}
	keep(p, num, 0);
	for (int quarter = 1; quarter < 4; quarter++)
		if (read(fds[0], &done, 1) != 1)
			err(1, "pipe");
}

int main(int argc, char **argv)
{
	uint64_t *low, *high;
	int quarter = -1;
	size_t nlow, nhigh;
	const char *go = argv[argc - 1];

	if (argc < 4)
		errx(2, "usage: huge LOW HIGH [full | share] GOFILE");
	nlow = strtoul(argv[1], NULL, 0);
	nhigh = strtoul(argv[2], NULL, 0);
	low = huge_pages_on(0, nlow);
	high = huge_pages_on(1, nhigh);
	if (argc == 5 && !strcmp(argv[3], "full"))
		fill_node_0();
	for (;;) {
		tell("low", low, nlow);
		tell("high", high, nhigh);
		printf("huge %zu %zu\n", mapped_huge(low, nlow),
		       mapped_huge(high, nhigh));
		fflush(stdout);
		while (access(go, F_OK) < 0)
			usleep(20000);
		unlink(go);
		if (argc == 5 && !strcmp(argv[3], "share") && quarter < 0) {
			share(low, nlow);
			quarter = 0;
		}
		check(low, nlow, quarter);
		check(high, nhigh, -1);
	}
}
