// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Measure the processor time that page moves take in the guest, by the driver or by
 * move_pages(2):
 *
 *   cost driver|syscall neighbours|scattered|huge PAGES
 *
 * Moves PAGES pages from node 0 to node 1 in one batch; prints the processor time of
 * the move in ns and how many pages are on node 1 then.  Under QEMU's -icount shift=0
 * a nanosecond is an instruction.  "neighbours" are runs of 16 pages, far apart;
 * "scattered" are single pages, far apart; "huge" are whole huge pages.
 *
 * The driver's time is the time of the kernel's workers: no other program should run.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hint.h"
#include "workers.h"

#define HUGE	(2ul << 20)
#define MPOL_MF_MOVE	2

static uint64_t own_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	bool driver, huge;
	size_t pages, run, gap, span, n = 0;
	struct hint_result *results;
	uint64_t *gfns, ns;
	void **addrs;
	int *nodes, *status;
	char *p;

	if (argc != 4)
		errx(2, "usage: cost driver|syscall neighbours|scattered|huge PAGES");
	driver = !strcmp(argv[1], "driver");
	huge = !strcmp(argv[2], "huge");
	pages = strtoul(argv[3], NULL, 0);
	run = huge ? HUGE / HINT_PAGE : !strcmp(argv[2], "neighbours") ? 16 : 1;
	gap = huge ? 0 : run == 1 ? 3 : 16;
	span = pages / run * (run + gap) * HINT_PAGE;
	p = mmap(NULL, span + HUGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	gfns = calloc(pages, sizeof(*gfns));
	results = calloc(pages, sizeof(*results));
	addrs = calloc(pages, sizeof(*addrs));
	nodes = calloc(pages, sizeof(*nodes));
	status = calloc(pages, sizeof(*status));
	if (p == MAP_FAILED || !gfns || !results || !addrs || !nodes || !status)
		err(1, "memory");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(p, span, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(p, 0x11, span);
	for (size_t i = 0; i < pages; i++) {
		addrs[i] = p + (i / run * (run + gap) + i % run) * HINT_PAGE;
		nodes[i] = 1;
		hint_gfns(addrs[i], 1, &gfns[i]);
	}
	if (hint_on_node(p, span / HINT_PAGE, 0) != span / HINT_PAGE)
		errx(1, "not all pages are on node 0");
	/* Let the kernel finish writeback and freeing first. */
	sleep(3);

	if (driver) {
		ns = workers_ns();
		if (hint_migrate(gfns, pages, 1, results) < 0)
			errx(1, "the host could not pass on the hints");
		ns = workers_ns() - ns;
	} else {
		/* For a huge page, move_pages() takes one address and moves all of the page. */
		size_t num = huge ? pages / run : pages;

		for (size_t i = 0; huge && i < num; i++)
			addrs[i] = p + i * HUGE;
		ns = own_ns();
		if (syscall(SYS_move_pages, 0, num, addrs, nodes, status, MPOL_MF_MOVE) < 0)
			err(1, "move_pages");
		ns = own_ns() - ns;
	}
	for (size_t i = 0; i < pages; i++)
		n += hint_on_node(p + (i / run * (run + gap) + i % run) * HINT_PAGE, 1, 1);
	printf("ns=%lu pages=%zu there=%zu\n", ns, pages, n);
	return 0;
}
