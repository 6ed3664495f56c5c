// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fill node 0 except a few MiB, and have pages on both nodes:
 *
 *   exchange PAGES GOFILE
 *
 * prints "low GFN..." for PAGES pages on node 0 and "high GFN..." for as many on
 * node 1.  When GOFILE exists, checks the pages' contents and prints "nodes LOW HIGH":
 * how many of the low and of the high pages are on node 1 then.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hint.h"

#define MPOL_DEFAULT	0
#define MPOL_BIND	2
/* With this much free memory the kernel does not reclaim. */
#define SPARE_KIB	(6ul << 10)

static uint64_t *pages_on(unsigned long node, size_t pages)
{
	unsigned long mask = 1ul << node;
	size_t bytes = pages * HINT_PAGE;
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	madvise(p, bytes, MADV_NOHUGEPAGE);
	if (syscall(SYS_mbind, p, bytes, MPOL_BIND, &mask, 8 * sizeof(mask), 0) < 0)
		err(1, "mbind");
	return p;
}

/* Fill the pages, which puts them on their node; then allow them to leave the node. */
static void fill(uint64_t *p, size_t pages)
{
	for (size_t i = 0; i < pages * HINT_PAGE / 8; i++)
		p[i] = (uintptr_t)p + i * 0x9e3779b97f4a7c15u;
	if (syscall(SYS_mbind, p, pages * HINT_PAGE, MPOL_DEFAULT, NULL, 0, 0) < 0)
		err(1, "mbind");
}

static void check(const uint64_t *p, size_t pages)
{
	for (size_t i = 0; i < pages * HINT_PAGE / 8; i++)
		if (p[i] != (uintptr_t)p + i * 0x9e3779b97f4a7c15u)
			errx(1, "word %zu of page %zu is %#lx", i % 512, i / 512, p[i]);
}

static unsigned long free_kib(void)
{
	FILE *f = fopen("/sys/devices/system/node/node0/meminfo", "r");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Node 0 MemFree: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static void tell(const char *name, const uint64_t *p, size_t pages)
{
	uint64_t *gfns = calloc(pages, sizeof(*gfns));

	if (!gfns)
		err(1, "memory");
	hint_gfns(p, pages, gfns);
	printf("%s", name);
	for (size_t i = 0; i < pages; i++)
		printf(" %lu", gfns[i]);
	putchar('\n');
	free(gfns);
}

int main(int argc, char **argv)
{
	uint64_t *low, *high, *rest;
	size_t pages, used = 0;

	if (argc != 3)
		errx(2, "usage: exchange PAGES GOFILE");
	pages = strtoul(argv[1], NULL, 0);
	low = pages_on(0, pages);
	fill(low, pages);
	high = pages_on(1, pages);
	fill(high, pages);
	rest = pages_on(0, (1ul << 30) / HINT_PAGE);
	while (free_kib() > SPARE_KIB) {
		memset((char *)rest + used * HINT_PAGE, 1, 64 * HINT_PAGE);
		used += 64;
	}
	tell("low", low, pages);
	tell("high", high, pages);
	printf("full free_kib=%lu used=%zu\n", free_kib(), used);
	fflush(stdout);
	while (access(argv[2], F_OK) < 0)
		usleep(20000);
	check(low, pages);
	check(high, pages);
	printf("nodes %zu %zu\n", hint_on_node(low, pages, 1),
	       hint_on_node(high, pages, 1));
	return 0;
}
