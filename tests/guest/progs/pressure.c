// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Use more memory than the guest has:
 *
 *   pressure check MIB STOPFILE private|shared|free
 *   pressure hot HOT_MIB COLD_MIB PASSES
 *
 * "check" writes pages at random from two threads; before each write it checks that
 * the page still holds what was written last.  "private" and "shared" name the kind
 * of memory.  "free" discards pages by MADV_FREE, writes half of them again, and
 * checks these.  Prints "start", and at the end how many pages were written.
 *
 * "hot" reads a small set of pages over and over, with a pause after each pass, while
 * a thread goes through a large set.  Prints how many pages of the small set had to be
 * read from swap in each pass.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096ul
#define WORDS (PAGE / sizeof(uint64_t))
#define THREADS 2
/* The pages of a group belong to one thread, and are discarded together. */
#define GROUP 64

static uint64_t *mem;
static size_t pages;
/* The number of writes to each page; locked in memory. */
static uint32_t *ledger;
static volatile bool stop;
static bool give;

static void *map(size_t bytes, int flags)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of %zu bytes", bytes);
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* The word of a page that holds the count: another word in another page. */
static uint64_t *word(size_t page)
{
	return mem + page * WORDS + page * 7 % WORDS;
}

static void look(size_t page)
{
	uint64_t is = *(volatile uint64_t *)word(page);

	if (is != ledger[page])
		errx(1, "page %zu was written %u times, and holds %lu", page,
		     ledger[page], is);
}

static void give_away(size_t group)
{
	size_t first = group * GROUP;

	if (madvise(mem + first * WORDS, GROUP * PAGE, MADV_FREE))
		err(1, "MADV_FREE");
	for (size_t i = first; i < first + GROUP; i++)
		*word(i) = ++ledger[i];
	/* Half of them stay discarded: their contents are not checked any more. */
	if (madvise(mem + first * WORDS, GROUP / 2 * PAGE, MADV_FREE))
		err(1, "MADV_FREE");
	for (size_t i = first; i < first + GROUP / 2; i++)
		ledger[i] = UINT32_MAX;
}

static void *writer(void *arg)
{
	size_t number = (uintptr_t)arg, *done = malloc(sizeof(*done));
	uint32_t seed = number;

	*done = 0;
	while (!stop) {
		size_t page = next(&seed) % pages;

		/* Each group belongs to one thread. */
		if (page / GROUP % THREADS != number)
			continue;
		if (ledger[page] == UINT32_MAX) {
			*word(page) = ledger[page] = 0;
		} else {
			look(page);
			*word(page) = ++ledger[page];
		}
		++*done;
		if (give && *done % GROUP == 0)
			give_away(page / GROUP);
	}
	return done;
}

static int check(size_t mib, const char *stopfile, const char *how)
{
	pthread_t threads[THREADS];
	size_t total = 0;

	pages = mib * 256;
	mem = map(pages * PAGE, strcmp(how, "shared") ? MAP_PRIVATE : MAP_SHARED);
	give = !strcmp(how, "free");
	ledger = map(pages * sizeof(*ledger), MAP_PRIVATE);
	if (mlock(ledger, pages * sizeof(*ledger)))
		err(1, "mlock");
	printf("start\n");
	fflush(stdout);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, writer, (void *)i))
			errx(1, "no thread");
	while (access(stopfile, F_OK) < 0)
		usleep(100000);
	stop = true;
	for (size_t i = 0; i < THREADS; i++) {
		void *done;

		pthread_join(threads[i], &done);
		total += *(size_t *)done;
	}
	for (size_t i = 0; i < pages; i++)
		if (ledger[i] != UINT32_MAX)
			look(i);
	printf("written=%zu\n", total);
	return 0;
}

static void *stream(void *arg)
{
	size_t bytes = (uintptr_t)arg;
	volatile char *p = map(bytes, MAP_PRIVATE);

	while (!stop)
		for (size_t i = 0; i < bytes && !stop; i += PAGE)
			p[i]++;
	return NULL;
}

static int hot(size_t hot_mib, size_t cold_mib, int passes)
{
	size_t bytes = hot_mib << 20;
	volatile char *p = map(bytes, MAP_PRIVATE);
	struct rusage before, after;
	pthread_t thread;

	memset((char *)p, 1, bytes);
	if (pthread_create(&thread, NULL, stream, (void *)(cold_mib << 20)))
		errx(1, "no thread");
	for (int pass = 0; pass < passes; pass++) {
		getrusage(RUSAGE_THREAD, &before);
		for (size_t i = 0; i < bytes; i += PAGE)
			(void)p[i];
		getrusage(RUSAGE_THREAD, &after);
		printf("%ld\n", after.ru_majflt - before.ru_majflt);
		fflush(stdout);
		usleep(300000);
	}
	stop = true;
	pthread_join(thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "check"))
		return check(strtoul(argv[2], NULL, 0), argv[3], argv[4]);
	if (argc == 5 && !strcmp(argv[1], "hot"))
		return hot(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0),
			   atoi(argv[4]));
	errx(2, "usage: pressure check MIB STOPFILE private|shared|free, or\n"
	     "       pressure hot HOT_MIB COLD_MIB PASSES");
}
