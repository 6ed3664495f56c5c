// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that is busy with memory while its pages move:
 *
 *   busy run THREADS MIB FILE SPINS
 *				update MIB of memory at random, in a thread on each of the
 *				processors 1 .. THREADS, until FILE.stop exists; spin SPINS
 *				times after each update
 *   busy ops FILE		print how many updates there were so far
 *   busy gfns FILE		print the frames of that memory
 *   busy move FILE ROUNDS	move that memory to node 1 and back with move_pages(2), from
 *				processor 0
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hint.h"

#define MAX_THREADS	64
#define MPOL_MF_MOVE	2

/* The contents of FILE.  Each counter has a cache line. */
struct shared {
	pid_t pid;
	char *memory;
	size_t len;
	int stop;
	struct {
		_Alignas(64) uint64_t ops;
	} threads[MAX_THREADS];
};

struct worker {
	struct shared *shared;
	unsigned int number, spins;
	pthread_t thread;
};

static void run_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "processor %u", cpu);
}

static struct shared *map_file(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
	struct shared *shared;

	if (fd < 0 || (flags && ftruncate(fd, sizeof(*shared))))
		err(1, "%s", path);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
	return shared;
}

static void *update(void *arg)
{
	struct worker *worker = arg;
	struct shared *shared = worker->shared;
	uint64_t *memory = (uint64_t *)shared->memory;
	size_t words = shared->len / sizeof(*memory);
	uint64_t x = worker->number;

	run_on(worker->number);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		__atomic_fetch_add(&memory[(x >> 20) % words], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&shared->threads[worker->number - 1].ops, 1,
				   __ATOMIC_RELAXED);
		for (unsigned int i = 0; i < worker->spins; i++)
			__asm__ volatile("");
	}
	return NULL;
}

static uint64_t count_ops(const struct shared *shared)
{
	uint64_t ops = 0;

	for (unsigned int i = 0; i < MAX_THREADS; i++)
		ops += __atomic_load_n(&shared->threads[i].ops, __ATOMIC_RELAXED);
	return ops;
}

static void run(unsigned int threads, size_t len, const char *path, unsigned int spins)
{
	struct shared *shared = map_file(path, O_CREAT | O_TRUNC);
	struct worker workers[MAX_THREADS];
	uint64_t ops = 0, sum = 0;
	char stop[256];

	if (!threads || threads > MAX_THREADS || !len)
		errx(2, "1 to %d threads, and some memory", MAX_THREADS);
	/* No other processor has this address space. */
	run_on(1);
	snprintf(stop, sizeof(stop), "%s.stop", path);
	shared->memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared->memory == MAP_FAILED)
		err(1, "memory");
	madvise(shared->memory, len, MADV_NOHUGEPAGE);
	memset(shared->memory, 0, len);
	shared->len = len;
	shared->pid = getpid();
	for (unsigned int i = 0; i < threads; i++) {
		workers[i] = (struct worker){ .shared = shared, .number = i + 1,
					      .spins = spins };
		if (pthread_create(&workers[i].thread, NULL, update, &workers[i]))
			errx(1, "no thread");
	}
	printf("start\n");
	fflush(stdout);
	while (access(stop, F_OK))
		usleep(100000);
	/* No update is lost: the memory has as many as the threads have made. */
	shared->stop = 1;
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	ops = count_ops(shared);
	for (size_t i = 0; i < len / sizeof(uint64_t); i++)
		sum += ((uint64_t *)shared->memory)[i];
	printf("ops=%lu sum=%lu\n", ops, sum);
	if (sum != ops)
		errx(1, "updates are lost");
}

static void gfns(const struct shared *shared)
{
	char path[64];
	uint64_t entry;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", shared->pid);
	f = fopen(path, "r");
	if (!f || fseek(f, (uintptr_t)shared->memory / HINT_PAGE * sizeof(entry), SEEK_SET))
		err(1, "%s", path);
	for (size_t i = 0; i < shared->len / HINT_PAGE; i++) {
		if (fread(&entry, sizeof(entry), 1, f) != 1)
			err(1, "%s", path);
		if (entry >> 63)
			printf("%#lx\n", entry & ((1ul << 55) - 1));
	}
	fclose(f);
}

static void move(const struct shared *shared, unsigned int rounds)
{
	size_t pages = shared->len / HINT_PAGE;
	void **addrs = calloc(pages, sizeof(*addrs));
	int *nodes = calloc(pages, sizeof(*nodes));
	int *status = calloc(pages, sizeof(*status));
	size_t moved = 0;

	if (!addrs || !nodes || !status)
		err(1, "memory");
	run_on(0);
	for (size_t i = 0; i < pages; i++)
		addrs[i] = shared->memory + i * HINT_PAGE;
	for (unsigned int k = 0; k < 2 * rounds; k++) {
		int node = !(k & 1);

		for (size_t i = 0; i < pages; i++)
			nodes[i] = node;
		if (syscall(SYS_move_pages, shared->pid, pages, addrs, nodes, status,
			    MPOL_MF_MOVE) < 0)
			err(1, "move_pages");
		for (size_t i = 0; i < pages; i++)
			moved += status[i] == node;
	}
	printf("moved=%zu\n", moved);
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "run"))
		run(atoi(argv[2]), strtoul(argv[3], NULL, 0) << 20, argv[4], atoi(argv[5]));
	else if (argc == 3 && !strcmp(argv[1], "ops"))
		printf("ops=%lu\n", count_ops(map_file(argv[2], 0)));
	else if (argc == 3 && !strcmp(argv[1], "gfns"))
		gfns(map_file(argv[2], 0));
	else if (argc == 4 && !strcmp(argv[1], "move"))
		move(map_file(argv[2], 0), atoi(argv[3]));
	else
		errx(2, "usage: busy run THREADS MIB FILE SPINS | ops FILE | gfns FILE | move FILE ROUNDS");
	return 0;
}
