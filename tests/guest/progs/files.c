// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Move the page cache of files back and forth while they are in full use:
 *
 *   files DIRECTORY MIB ROUNDS
 *
 * Each worker has a file and knows what every sector of the file must hold.  A worker
 * writes and reads by system call and by mapping, syncs, truncates and punches holes.
 * After the rounds the workers stop, and all cached pages are moved to node 1 and
 * then to node 0.  Prints how many pages moved; exits with 0 if all contents were
 * right.
 *
 *   files DIRECTORY check
 *
 * checks the files that an earlier run has left.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hint.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define WORKERS		3
#define SECTOR		512ul
#define WORDS		(SECTOR / sizeof(uint64_t))
#define PER_PAGE	(HINT_PAGE / SECTOR)

enum op {
	OP_WRITE, OP_WRITE_PAGES, OP_MAP_WRITE, OP_READ, OP_MAP_READ, OP_SYNC,
	OP_MSYNC, OP_TRUNCATE, OP_PUNCH, OP_DROP, NUM_OPS
};

static const char *const op_names[NUM_OPS] = {
	"write", "write-pages", "map-write", "read", "map-read", "fsync", "msync",
	"truncate", "punch", "drop",
};

struct worker {
	pthread_t thread;
	unsigned int number;
	int fd;
	char *map;		/* the largest size of the file */
	size_t sectors;		/* the largest size in sectors */
	size_t size;		/* the present size in sectors */
	uint32_t *generation;	/* of each sector's content; 0: a hole */
	uint32_t seed, last;
	unsigned long ops[NUM_OPS];
};

static struct worker workers[WORKERS];
static const char *directory;
static atomic_bool stop, failed;

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static uint64_t word(const struct worker *w, size_t sector, uint32_t gen, size_t i)
{
	if (!gen)
		return 0;
	if (i == 0)
		return ((uint64_t)w->number << 56) + ((uint64_t)sector << 32) + gen;
	return (gen * 0x9e3779b97f4a7c15u) ^ (sector << 20) ^ (i << 8) ^ w->number;
}

static void make(const struct worker *w, size_t sector, uint32_t gen, uint64_t *to)
{
	for (size_t i = 0; i < WORDS; i++)
		to[i] = word(w, sector, gen, i);
}

static bool check(struct worker *w, size_t sector, const uint64_t *got, const char *who)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t want = word(w, sector, w->generation[sector], i);

		if (((volatile const uint64_t *)got)[i] != want) {
			printf("%s: file %u sector %zu (generation %u) word %zu is "
			       "%#lx, not %#lx\n", who, w->number, sector,
			       w->generation[sector], i, got[i], want);
			fflush(stdout);
			failed = true;
			return false;
		}
	}
	return true;
}

static void write_sectors(struct worker *w, size_t first, size_t n)
{
	char buf[64 * SECTOR];

	for (size_t i = 0; i < n; i++) {
		w->generation[first + i] = ++w->last;
		make(w, first + i, w->last, (uint64_t *)(buf + i * SECTOR));
	}
	if (pwrite(w->fd, buf, n * SECTOR, first * SECTOR) != (ssize_t)(n * SECTOR))
		err(1, "write");
	if (first + n > w->size)
		w->size = first + n;
}

static void read_sectors(struct worker *w, size_t first, size_t n)
{
	char buf[64 * SECTOR];
	ssize_t got = pread(w->fd, buf, n * SECTOR, first * SECTOR);

	if (first + n > w->size)
		n = first < w->size ? w->size - first : 0;
	if (got != (ssize_t)(n * SECTOR)) {
		printf("read: file %u sector %zu: %zd bytes, not %zu\n", w->number,
		       first, got, n * SECTOR);
		failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!check(w, first + i, (uint64_t *)(buf + i * SECTOR), "read"))
			return;
}

static void set_size(struct worker *w, size_t sectors)
{
	if (ftruncate(w->fd, sectors * SECTOR) < 0)
		err(1, "ftruncate");
	for (size_t i = sectors; i < w->size; i++)
		w->generation[i] = 0;
	w->size = sectors;
}

static void punch(struct worker *w, size_t first, size_t n)
{
	if (fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      first * SECTOR, n * SECTOR) < 0)
		err(1, "punch hole");
	memset(w->generation + first, 0, n * sizeof(w->generation[0]));
}

static void step(struct worker *w, enum op op)
{
	size_t first = next(&w->seed) % (w->sectors - 64);
	size_t n = 1 + next(&w->seed) % 24;

	switch (op) {
	case OP_WRITE:
		write_sectors(w, first, n);
		break;
	case OP_WRITE_PAGES:
		write_sectors(w, first / PER_PAGE * PER_PAGE, 64);
		break;
	case OP_MAP_WRITE:
		if (first + n > w->size)
			return;
		for (size_t i = first; i < first + n; i++) {
			w->generation[i] = ++w->last;
			make(w, i, w->last, (uint64_t *)(w->map + i * SECTOR));
		}
		break;
	case OP_READ:
		read_sectors(w, first, 64);
		break;
	case OP_MAP_READ:
		for (size_t i = first; i < first + n && i < w->size; i++)
			if (!check(w, i, (uint64_t *)(w->map + i * SECTOR), "map"))
				return;
		break;
	case OP_SYNC:
		if (fsync(w->fd) < 0)
			err(1, "fsync");
		break;
	case OP_MSYNC:
		if (msync(w->map, w->size * SECTOR, MS_SYNC) < 0)
			err(1, "msync");
		break;
	case OP_TRUNCATE:
		/* The new end is often in the middle of a page. */
		set_size(w, next(&w->seed) % w->sectors);
		if (next(&w->seed) & 1)
			set_size(w, w->sectors);
		break;
	case OP_PUNCH:
		if (first + n <= w->size)
			punch(w, first, n);
		break;
	case OP_DROP:
		if (posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED))
			err(1, "fadvise");
		break;
	case NUM_OPS:
		break;
	}
	w->ops[op]++;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!stop && !failed) {
		unsigned int n = next(&w->seed) % 256;
		enum op op = n < 2 ? OP_TRUNCATE : n < 10 ? OP_PUNCH :
			     n < 12 ? OP_SYNC : n < 14 ? OP_MSYNC :
			     n < 16 ? OP_DROP : (enum op)(n % 5);

		step(w, op);
	}
	return NULL;
}

static void check_all(struct worker *w)
{
	for (size_t i = 0; i < w->sectors && !failed; i += 64)
		read_sectors(w, i, 64);
}

struct tally {
	size_t cached, there, reasons[VIRTIO_HMEM_R_MAX];
};

/* Move all cached pages of a file. */
static void move(struct worker *w, unsigned int tier, struct tally *t)
{
	size_t pages = w->sectors / PER_PAGE;
	uint64_t *gfns = calloc(pages, sizeof(*gfns));
	struct hint_result *results = calloc(pages, sizeof(*results));
	char *map = mmap(NULL, pages * HINT_PAGE, PROT_READ, MAP_SHARED, w->fd, 0);

	if (!gfns || !results || map == MAP_FAILED)
		err(1, "memory");
	/* Pages must be mapped for hint_gfns(); this fails for those behind the file's end. */
	for (size_t i = 0; i < pages; i += 16)
		madvise(map + i * HINT_PAGE, (pages - i < 16 ? pages - i : 16) *
			HINT_PAGE, MADV_POPULATE_READ);
	hint_gfns(map, pages, gfns);
	if (hint_migrate(gfns, pages, tier, results) < 0)
		errx(1, "the host could not pass on the hints");
	for (size_t i = 0; i < pages; i++) {
		if (!gfns[i])
			continue;
		t->cached++;
		if (results[i].reason >= 0)
			t->reasons[results[i].reason]++;
	}
	for (size_t i = 0; i < pages; i += 16)
		madvise(map + i * HINT_PAGE, (pages - i < 16 ? pages - i : 16) *
			HINT_PAGE, MADV_POPULATE_READ);
	t->there += hint_on_node(map, pages, tier);
	munmap(map, pages * HINT_PAGE);
	free(results);
	free(gfns);
}

static void move_all(unsigned int tier, const char *when)
{
	struct tally t = { 0 };

	for (int i = 0; i < WORKERS; i++)
		move(&workers[i], tier, &t);
	printf("%s tier=%u cached=%zu there=%zu", when, tier, t.cached, t.there);
	for (int r = 0; r < VIRTIO_HMEM_R_MAX; r++)
		if (t.reasons[r])
			printf(" %s=%zu", hint_reason(r), t.reasons[r]);
	putchar('\n');
	fflush(stdout);
}

static int open_beside(const struct worker *w, const char *what, int flags)
{
	char name[256];
	int fd;

	snprintf(name, sizeof(name), "%s/file-%u%s", directory, w->number, what);
	fd = open(name, flags, 0600);
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

static void start(struct worker *w, size_t bytes)
{
	w->fd = open_beside(w, "", O_RDWR | O_CREAT | O_TRUNC);
	w->sectors = bytes / SECTOR;
	w->generation = calloc(w->sectors, sizeof(w->generation[0]));
	w->map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	if (!w->generation || w->map == MAP_FAILED)
		err(1, "memory");
	w->seed = w->number * 7 + 1;
	set_size(w, w->sectors);
	for (size_t i = 0; i < w->sectors; i += 64)
		write_sectors(w, i, 64);
}

/* Save each sector's generation for a later "check". */
static void save(struct worker *w)
{
	size_t bytes = w->size * sizeof(w->generation[0]);
	int fd = open_beside(w, ".generations", O_WRONLY | O_CREAT | O_TRUNC);

	if (write(fd, w->generation, bytes) != (ssize_t)bytes || fsync(fd) < 0)
		err(1, "generations");
	close(fd);
}

static void load(struct worker *w)
{
	int fd = open_beside(w, ".generations", O_RDONLY);
	off_t bytes = lseek(fd, 0, SEEK_END);

	w->fd = open_beside(w, "", O_RDONLY);
	w->size = w->sectors = bytes / sizeof(w->generation[0]);
	w->generation = malloc(bytes);
	if (!w->generation || pread(fd, w->generation, bytes, 0) != bytes)
		err(1, "generations");
	close(fd);
}

int main(int argc, char **argv)
{
	bool saved = argc == 3 && !strcmp(argv[2], "check");
	unsigned long ops;
	int rounds;

	if (argc != 4 && !saved)
		errx(2, "usage: files DIRECTORY MIB ROUNDS|check");
	directory = argv[1];
	for (int i = 0; i < WORKERS; i++) {
		workers[i].number = i + 1;
		if (saved)
			load(&workers[i]);
		else
			start(&workers[i], (strtoul(argv[2], NULL, 0) << 20) / WORKERS /
			      (64 * SECTOR) * (64 * SECTOR));
	}
	if (saved) {
		for (int i = 0; i < WORKERS; i++)
			check_all(&workers[i]);
		return failed;
	}

	rounds = atoi(argv[3]);
	for (int i = 0; i < WORKERS; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	for (int round = 0; round < rounds && !failed; round++)
		move_all(!(round & 1), "storm");
	stop = true;
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);

	/* The workers have stopped: make all pages clean. */
	for (int i = 0; i < WORKERS && !failed; i++) {
		step(&workers[i], OP_SYNC);
		check_all(&workers[i]);
	}
	for (unsigned int tier = 2; tier-- && !failed; ) {
		move_all(tier, "settle");
		for (int i = 0; i < WORKERS; i++)
			check_all(&workers[i]);
	}
	printf("end");
	for (int op = 0; op < NUM_OPS; op++) {
		ops = 0;
		for (int i = 0; i < WORKERS; i++)
			ops += workers[i].ops[op];
		printf(" %s=%lu", op_names[op], ops);
		if (!ops)
			failed = true;
	}
	putchar('\n');
	for (int i = 0; i < WORKERS; i++)
		save(&workers[i]);
	return failed;
}
