// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Move pages of one process while ksmd merges pages of another process:
 *
 *   ksm sharer ROUNDS   a parent's pages move while ksmd merges the pages that its
 *                       child still shares with the parent
 *   ksm other           a page moves; at the same address another process has a page
 *                       that ksmd merged through a child of that process
 *
 * Prints "REASON=pages ..."; exits with 1 if data is harmed.
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hint.h"

#define N	64		/* pages; each pair of neighbours has equal data */

static size_t reasons[VIRTIO_HMEM_R_MAX];

static char *make(void)
{
	char *p = mmap(NULL, N * HINT_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, N * HINT_PAGE, MADV_NOHUGEPAGE) < 0)
		err(1, "mmap");
	return p;
}

static void fill(char *p, int seed)
{
	for (int i = 0; i < N; i++)
		memset(p + i * HINT_PAGE, seed + i / 2, HINT_PAGE);
}

static void check(const char *p, int seed)
{
	for (size_t i = 0; i < N * HINT_PAGE; i++)
		if (((const volatile char *)p)[i] != (char)(seed + i / HINT_PAGE / 2))
			errx(1, "byte %zu of page %zu is %#x", i % HINT_PAGE, i / HINT_PAGE,
			     p[i]);
}

static void merge(char *p)
{
	if (madvise(p, N * HINT_PAGE, MADV_MERGEABLE) < 0)
		err(1, "madvise");
}

static void wait_merged(const char *p)
{
	uint64_t gfns[N];
	int i;

	do {
		usleep(10000);
		hint_gfns(p, N, gfns);
		for (i = 0; i < N && gfns[i] == gfns[i + 1]; i += 2)
			;
	} while (i < N);
}

static void hint(const uint64_t *gfns, unsigned int tier)
{
	struct hint_result results[N];

	if (hint_migrate(gfns, N, tier, results) < 0)
		errx(1, "the host could not pass on %d hints", N);
	for (int i = 0; i < N; i++)
		if (results[i].reason >= 0)
			reasons[results[i].reason]++;
}

/* Fork a child that the kernel kills when its parent ends. */
static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void sharer(int rounds)
{
	char *p = make();

	for (int round = 0; round < rounds; round++) {
		uint64_t gfns[N];
		pid_t pid;

		fill(p, round + 1);
		pid = child();
		if (!pid) {
			/* In some rounds this is before the first page moves, in some after. */
			usleep(round % 8 * 2000);
			merge(p);
			for (;;)
				pause();
		}
		for (unsigned int tier = 2; tier--; ) {
			hint_gfns(p, N, gfns);
			hint(gfns, tier);
			check(p, round + 1);
		}
		end(pid);
		check(p, round + 1);
	}
}

/* Make pages of this process's own at @p, and have ksmd merge them through a child. */
static void between(char *p, int done)
{
	pid_t pid;

	fill(p, 101);
	pid = child();
	if (!pid) {
		merge(p);
		wait_merged(p);
		if (write(done, "", 1) != 1)
			_exit(1);
		check(p, 101);
		for (;;)
			pause();
	}
	/* Use the pages until killed: a page that the kernel lost makes this hang or crash. */
	for (;;) {
		check(p, 101);
		usleep(10000);
	}
}

static void other(void)
{
	char *p = make(), c;
	int done[2], status;
	uint64_t gfns[N];
	pid_t first, last;

	fill(p, 1);
	if (pipe(done) < 0)
		err(1, "pipe");
	first = child();
	if (!first)
		between(p, done[1]);
	if (read(done[0], &c, 1) != 1)
		err(1, "pipe");
	/* This child alone keeps the pages. */
	last = child();
	if (!last) {
		for (;;) {
			check(p, 1);
			usleep(10000);
		}
	}
	hint_gfns(p, N, gfns);
	if (madvise(p, N * HINT_PAGE, MADV_DONTNEED) < 0)
		err(1, "madvise");
	hint(gfns, 1);
	usleep(300000);
	if (waitpid(first, &status, WNOHANG) || waitpid(last, &status, WNOHANG))
		errx(1, "a process ended with status %#x", status);
	end(first);
	end(last);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "sharer"))
		sharer(atoi(argv[2]));
	else if (argc == 2 && !strcmp(argv[1], "other"))
		other();
	else
		errx(2, "usage: ksm sharer ROUNDS | ksm other");
	for (int r = 0; r < VIRTIO_HMEM_R_MAX; r++)
		if (reasons[r])
			printf("%s=%zu ", hint_reason(r), reasons[r]);
	putchar('\n');
	return 0;
}
