// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Not a workload: the kernel moves a known number of pages, which are in no cache,
 * from node 1 to node 0.  This shows which accesses the simulator counts as
 * migration.  Run it with place=nvm.
 *
 *	pages=4096	number of pages to move
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "roi.h"

#define MPOL_MF_MOVE	2
#define CACHES		(16 * MIB)	/* larger than the simulator's cache */

int main(int argc, char **argv)
{
	size_t pages, moved = 0;
	char *data, *other;
	void **at;
	int *to, *status;

	bench_options(argc, argv);
	pages = bench_option("pages", 4096);
	data = bench_map(pages * PAGE, NULL);
	other = bench_map(CACHES, NULL);
	at = calloc(pages, sizeof(*at));
	to = calloc(pages, sizeof(*to));	/* 0: node 0 for all pages */
	status = calloc(pages, sizeof(*status));
	if (!at || !to || !status)
		err(1, "%zu pages", pages);
	bench_touch(data, pages * PAGE);
	for (size_t i = 0; i < pages; i++)
		at[i] = data + i * PAGE;
	roi_start();
	roi_begin();
	if (syscall(SYS_move_pages, 0, pages, at, to, status, MPOL_MF_MOVE) < 0)
		err(1, "move_pages");
	/* Evict the written lines from the caches. */
	for (size_t i = 0; i < CACHES; i += 64)
		*(volatile char *)(other + i) = 1;
	roi_end();
	for (size_t i = 0; i < pages; i++)
		moved += status[i] == 0;
	printf("bench: moved %zu\n", moved);
	return moved != pages;
}
