// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Have the kernel make and free many page tables: tables PROCESSES STOPFILE
 *
 * Each process has memory of its own and shares a file's memory with all others.  A
 * process maps, forks, unmaps, discards, collapses into huge pages and splits again,
 * and checks that its memory holds what it wrote.  Prints how often each was done.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE (512 * PAGE)
/* The numbers of huge pages of each process's own, and of the file. */
#define OWN 2
#define SHARED 2
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { DISCARD, COLLAPSE, COLLAPSE_FILE, SPLIT, PUNCH, FORK, MOVE, UNMAP, OPS };

static const char *const names[OPS] = {
	"discard", "collapse", "collapse_file", "split", "punch", "fork", "move",
	"unmap",
};

static unsigned long *done;	/* shared by all processes */
static const char *stop;
static int file;

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Map memory at a multiple of HUGE, so that the kernel can collapse it. */
static char *map(size_t bytes, int flags, int fd)
{
	char *p = mmap(NULL, bytes + HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	if (p == MAP_FAILED)
		err(1, "mmap");
	munmap(p, at - p);
	munmap(at + bytes, HUGE - (at - p));
	p = mmap(at, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static void fill(char *p, uint64_t mark)
{
	for (size_t i = 0; i < OWN * HUGE; i += PAGE)
		*(uint64_t *)(p + i) = mark + i;
}

static void check(const char *p, size_t bytes, uint64_t mark)
{
	for (size_t i = 0; i < bytes; i += PAGE) {
		uint64_t is = *(const volatile uint64_t *)(p + i);

		if (is != mark + i)
			errx(1, "at %#zx there is %#lx, not %#lx", i, is, mark + i);
	}
}

static void count(int op, int result)
{
	if (!result)
		__atomic_fetch_add(&done[op], 1, __ATOMIC_RELAXED);
}

static char *one(char *p, char *shared, uint64_t *mark, uint32_t *seed)
{
	size_t part = next(seed) % SHARED * HUGE;
	uint32_t op = next(seed) % OPS;
	int status;
	char *q;

	switch (op) {
	case DISCARD:
		/* This leaves an empty page table. */
		count(op, madvise(p, HUGE, MADV_DONTNEED));
		fill(p, *mark);
		break;
	case COLLAPSE:
		madvise(p, OWN * HUGE, MADV_HUGEPAGE);
		count(op, madvise(p, OWN * HUGE, MADV_COLLAPSE));
		break;
	case COLLAPSE_FILE:
		for (size_t i = 0; i < HUGE; i += PAGE)
			shared[part + i] = 1;
		madvise(shared + part, HUGE, MADV_HUGEPAGE);
		count(op, madvise(shared + part, HUGE, MADV_COLLAPSE));
		break;
	case SPLIT:
		count(op, mprotect(p + 8 * PAGE, PAGE, PROT_READ) ||
		      mprotect(p + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE));
		break;
	case PUNCH:
		count(op, madvise(shared + part, HUGE, MADV_REMOVE));
		for (size_t i = 0; i < HUGE; i += PAGE)
			(void)*(volatile char *)(shared + part + i);
		break;
	case FORK:
		if (!fork()) {
			check(p, OWN * HUGE, *mark);
			fill(p, 1);
			_exit(0);
		}
		*mark += 7 * OWN * HUGE;
		fill(p, *mark);
		if (wait(&status) < 0 || status)
			errx(1, "a child ended with status %#x", status);
		count(op, 0);
		break;
	case MOVE:
		q = map(OWN * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		if (mremap(p, OWN * HUGE, OWN * HUGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, q) != q)
			err(1, "mremap");
		p = q;
		count(op, 0);
		break;
	case UNMAP:
		munmap(p, OWN * HUGE);
		p = map(OWN * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		fill(p, *mark);
		count(op, 0);
		break;
	}
	check(p, OWN * HUGE, *mark);
	return p;
}

static int process(uint32_t seed)
{
	char *shared = map(SHARED * HUGE, MAP_SHARED, file);
	char *p = map(OWN * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uint64_t mark = (uint64_t)seed << 32;

	fill(p, mark);
	while (access(stop, F_OK) < 0)
		p = one(p, shared, &mark, &seed);
	return 0;
}

int main(int argc, char **argv)
{
	int num, status, failed = 0;

	if (argc != 3)
		errx(2, "usage: tables PROCESSES STOPFILE");
	num = atoi(argv[1]);
	stop = argv[2];
	file = memfd_create("tables", 0);
	done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	if (file < 0 || ftruncate(file, SHARED * HUGE) < 0 || done == MAP_FAILED)
		err(1, "memory");
	for (int i = 0; i < num; i++) {
		if (!fork())
			_exit(process(i + 1));
	}
	puts("start");
	fflush(stdout);
	while (wait(&status) > 0)
		failed |= status;
	for (int i = 0; i < OPS; i++)
		printf("%s=%lu ", names[i], done[i]);
	printf("\n");
	return !!failed;
}
