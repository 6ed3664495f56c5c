// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Move anonymous memory back and forth while it is in full use:
 *
 *   anon MIB ROUNDS|STOPFILE [thp] [calm]
 *
 * Threads read and write the memory, and count each write.  Without "calm", children
 * are forked as well, which check their snapshot and write to their copies; mappings
 * are made, cut, moved and unmapped; and processes exit while their pages move.
 * "thp" asks for huge pages.
 *
 * After each round all but a few pages must be on the requested node, or be in a huge
 * page that is not mapped as one any more (large).  At the end no write may be
 * missing.  With STOPFILE instead of ROUNDS the test on the host moves the pages,
 * until that file exists.  Prints what happened; exits with 0 if all is well.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hint.h"

#define WRITERS		2
#define WORDS		(HINT_PAGE / sizeof(uint64_t))
#define HUGE		(2ul << 20)
/* After a round this many of 1000 pages may be elsewhere than on the node. */
#define MISSING		20
#define TRIES		5

typedef uint64_t page_t[WORDS];

/*
 * A page has a counter for each writer, then a pattern that never changes.  The
 * ledger counts the same writes, in memory that is not hinted.
 */
static page_t *mem;
static size_t pages;
static uint32_t *ledger[WRITERS];
static atomic_bool stop, failed;
static atomic_ulong writes, reads, forks, cuts, exits;
/* Held for writing by the thread that takes a snapshot, for reading by writers. */
static pthread_rwlock_t snapshot = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
/* Held for reading by each thread that makes or shares pages of the memory. */
static pthread_rwlock_t storm = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static uint64_t pattern(size_t page, size_t word)
{
	return (page * 0x9e3779b97f4a7c15u + word * 0xd6e8feb86659fd93u) | 1;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

__attribute__((format(printf, 1, 2)))
static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	failed = true;
}

static bool check_page(const uint64_t *page, size_t i, size_t step, const char *who)
{
	for (size_t w = WRITERS; w < WORDS; w += step) {
		uint64_t got = ((volatile const uint64_t *)page)[w];

		if (got != pattern(i, w)) {
			fail("%s: page %zu word %zu is %#lx, not %#lx", who, i, w,
			     got, pattern(i, w));
			return false;
		}
	}
	return true;
}

static void *writer(void *arg)
{
	uintptr_t w = (uintptr_t)arg;
	uint32_t seed = 77 + w;

	while (!stop) {
		pthread_rwlock_rdlock(&snapshot);
		for (int i = 0; i < 256; i++) {
			size_t k = next(&seed) % pages;

			((volatile uint64_t *)mem[k])[w]++;
			ledger[w][k]++;
		}
		pthread_rwlock_unlock(&snapshot);
		writes += 256;
		/* There are few processors: let other threads run. */
		usleep(300);
	}
	return NULL;
}

static void *reader(void *arg)
{
	uint32_t seed = 5;

	(void)arg;
	while (!stop && !failed) {
		size_t k = next(&seed) % pages;

		check_page(mem[k], k, 37, "reader");
		if (++reads % 32 == 0)
			usleep(300);
	}
	return NULL;
}

static bool check_counts(const char *who)
{
	for (uintptr_t w = 0; w < WRITERS; w++) {
		for (size_t k = 0; k < pages; k++) {
			if (mem[k][w] != ledger[w][k]) {
				fail("%s: page %zu has %lu of %u writes of writer %lu",
				     who, k, mem[k][w], ledger[w][k], w);
				return false;
			}
		}
	}
	return true;
}

/* The child's memory must be a snapshot of the parent's, then hold the child's writes. */
static int child(uint32_t seed)
{
	size_t n = pages / 16, first = next(&seed) % (pages - n);

	if (!check_counts("child"))
		return 1;
	for (size_t k = first; k < first + n; k++) {
		if (!check_page(mem[k], k, 61, "child"))
			return 1;
		for (size_t w = 0; w < WORDS; w += 64)
			mem[k][w] = ~pattern(k, w);
	}
	if (seed & 64)
		hint_move(mem[first], n, seed >> 7 & 1);
	usleep(next(&seed) % 20000);
	for (size_t k = first; k < first + n; k++) {
		for (size_t w = 0; w < WORDS; w++) {
			uint64_t want = w % 64 == 0 ? ~pattern(k, w) :
					w < WRITERS ? ledger[w][k] : pattern(k, w);

			if (mem[k][w] != want) {
				fail("child's copy: page %zu word %zu is %#lx, not %#lx",
				     k, w, mem[k][w], want);
				return 1;
			}
		}
	}
	return 0;
}

static void *forker(void *arg)
{
	uint32_t seed = 99;

	(void)arg;
	while (!stop && !failed) {
		int status;
		pid_t pid;

		pthread_rwlock_rdlock(&storm);
		pthread_rwlock_wrlock(&snapshot);
		pid = fork();
		if (!pid)
			_exit(child(seed));
		pthread_rwlock_unlock(&snapshot);
		if (pid < 0)
			err(1, "fork");
		waitpid(pid, &status, 0);
		pthread_rwlock_unlock(&storm);
		if (status)
			fail("a forked child ended with status %#x", status);
		next(&seed);
		forks++;
		usleep(1000);
	}
	return NULL;
}

struct request {
	const uint64_t *gfns;
	size_t n;
	unsigned int tier;
};

static void *request_thread(void *arg)
{
	struct request *r = arg;
	struct hint_result *results = calloc(r->n, sizeof(*results));

	if (!results || hint_migrate(r->gfns, r->n, r->tier, results) < 0)
		fail("a request to move %zu pages failed", r->n);
	free(results);
	return NULL;
}

/* Cut, move and unmap mappings while their pages move. */
static void *cutter(void *arg)
{
	enum { N = 256 };
	uint64_t gfns[N];
	uint32_t seed = 3;

	(void)arg;
	while (!stop && !failed) {
		char *p = mmap(NULL, N * HINT_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *new = mmap(NULL, N * HINT_PAGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		page_t *m = (page_t *)p, *half;
		struct request r = { gfns, N, 1 };
		pthread_t mover;

		if (p == MAP_FAILED || new == MAP_FAILED)
			err(1, "mmap");
		for (size_t k = 0; k < N; k++)
			for (size_t w = 0; w < WORDS; w++)
				m[k][w] = pattern(k, w);
		hint_gfns(p, N, gfns);
		r.tier = next(&seed) & 1;
		pthread_create(&mover, NULL, request_thread, &r);
		usleep(next(&seed) % 3000);
		/* Move the upper half elsewhere; make a hole in the lower half. */
		half = mremap(m + N / 2, N / 2 * HINT_PAGE, N / 2 * HINT_PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, new);
		if (half == MAP_FAILED)
			err(1, "mremap");
		munmap(m + 32, 32 * HINT_PAGE);
		mprotect(m + 64, 32 * HINT_PAGE, PROT_READ);
		for (int again = 0; again < 2; again++) {
			for (size_t k = 0; k < N / 2; k++) {
				if (k < 32 || k >= 64)
					check_page(m[k], k, 7, "cutter");
				check_page(half[k], N / 2 + k, 7, "cutter, moved");
			}
			if (!again)
				pthread_join(mover, NULL);
		}
		/* Other threads may have mapped memory in the gaps by now: keep those. */
		munmap(m, 32 * HINT_PAGE);
		munmap(m + 64, (N / 2 - 64) * HINT_PAGE);
		munmap(new, N * HINT_PAGE);
		cuts++;
	}
	return NULL;
}

/* Fork processes that exit while their pages move. */
static void *exiter(void *arg)
{
	enum { N = 512 };
	uint64_t *gfns = mmap(NULL, N * sizeof(*gfns), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct hint_result *results = calloc(N, sizeof(*results));
	uint32_t seed = 11;

	(void)arg;
	if (gfns == MAP_FAILED || !results)
		err(1, "memory");
	while (!stop && !failed) {
		int ready[2], status;
		char c;
		pid_t pid;

		if (pipe(ready) < 0)
			err(1, "pipe");
		pthread_rwlock_rdlock(&storm);
		next(&seed);
		pid = fork();
		if (!pid) {
			char *p = mmap(NULL, N * HINT_PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			memset(p, 0x5a, N * HINT_PAGE);
			hint_gfns(p, N, gfns);
			if (write(ready[1], "", 1) != 1)
				_exit(1);
			usleep(seed % 8000);
			_exit(0);
		}
		close(ready[1]);
		if (pid < 0 || read(ready[0], &c, 1) != 1)
			err(1, "child");
		if (hint_migrate(gfns, N, seed & 1, results) < 0)
			fail("a request to move %d pages failed", N);
		if (seed & 2)
			kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		pthread_rwlock_unlock(&storm);
		close(ready[0]);
		exits++;
	}
	return NULL;
}

/* Returns how many KiB of the memory are in huge pages. */
static unsigned long huge_kib(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end, kib, sum = 0;
	bool in = false;
	char line[256];

	if (!f)
		err(1, "smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			in = start < (uintptr_t)(mem + pages) && end > (uintptr_t)mem;
		else if (in && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	return sum;
}

static void tell_reasons(const struct hint_result *results, size_t n)
{
	for (int r = -1; r < VIRTIO_HMEM_R_MAX; r++) {
		size_t num = 0;

		for (size_t i = 0; i < n; i++)
			num += results[i].reason == r;
		if (num)
			printf(" %s=%zu", hint_reason(r), num);
	}
	putchar('\n');
}

/* Hint all pages to @tier; with @settle, repeat that until they are there. */
static void move_all(unsigned int tier, bool settle)
{
	uint64_t *gfns = calloc(pages, sizeof(*gfns));
	struct hint_result *results = calloc(pages, sizeof(*results));
	size_t there = 0, done = 0;

	if (!gfns || !results)
		err(1, "memory");
	for (int try = 0; try < (settle ? TRIES : 1); try++) {
		hint_gfns(mem, pages, gfns);
		if (hint_migrate(gfns, pages, tier, results) < 0)
			errx(1, "the host could not pass on the hints");
		there = hint_on_node(mem, pages, tier);
		printf("%s tier=%u there=%zu huge_kib=%lu", settle ? "settle" : "storm",
		       tier, there, huge_kib());
		tell_reasons(results, pages);
		done = there;
		for (size_t i = 0; i < pages; i++)
			done += results[i].reason == VIRTIO_HMEM_R_LARGE;
		if (pages - done <= pages * MISSING / 1000)
			break;
	}
	if (settle && pages - done > pages * MISSING / 1000)
		fail("only %zu of %zu pages are on node %u", there, pages, tier);
	fflush(stdout);
	free(results);
	free(gfns);
}

int main(int argc, char **argv)
{
	void *(*const work[])(void *) = { reader, forker, cutter, exiter };
	pthread_t threads[WRITERS + 4];
	bool thp = false, calm = false;
	size_t num = 0, bytes;
	unsigned long before;
	int rounds;
	char *p;

	if (argc < 3)
		errx(2, "usage: anon MIB ROUNDS|STOPFILE [thp] [calm]");
	bytes = strtoul(argv[1], NULL, 0) << 20;
	rounds = atoi(argv[2]);
	for (int i = 3; i < argc; i++) {
		thp |= !strcmp(argv[i], "thp");
		calm |= !strcmp(argv[i], "calm");
	}
	p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (madvise(p, bytes, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		err(1, "madvise");
	mem = (page_t *)p;
	pages = bytes / HINT_PAGE;
	for (size_t k = 0; k < pages; k++)
		for (size_t w = 0; w < WORDS; w++)
			mem[k][w] = w < WRITERS ? 0 : pattern(k, w);
	for (int w = 0; w < WRITERS; w++) {
		ledger[w] = calloc(pages, sizeof(*ledger[w]));
		if (!ledger[w])
			err(1, "ledger");
		memset(ledger[w], 0, pages * sizeof(*ledger[w]));
	}
	before = huge_kib();
	printf("start pages=%zu huge_kib=%lu on0=%zu on1=%zu\n", pages, before,
	       hint_on_node(mem, pages, 0), hint_on_node(mem, pages, 1));
	fflush(stdout);

	for (uintptr_t w = 0; w < WRITERS; w++)
		pthread_create(&threads[num++], NULL, writer, (void *)w);
	for (int i = 0; i < (calm ? 1 : 4); i++)
		pthread_create(&threads[num++], NULL, work[i], NULL);
	for (int round = 0; round < rounds && !failed; round++) {
		unsigned int tier = !(round & 1);

		if (!calm)
			move_all(tier, false);
		pthread_rwlock_wrlock(&storm);
		move_all(tier, true);
		pthread_rwlock_unlock(&storm);
	}
	while (argv[2][0] == '/' && access(argv[2], F_OK) < 0 && !failed)
		usleep(20000);
	stop = true;
	while (num)
		pthread_join(threads[--num], NULL);

	check_counts("end");
	for (size_t k = 0; k < pages; k++)
		check_page(mem[k], k, 1, "end");
	printf("end writes=%lu reads=%lu forks=%lu cuts=%lu exits=%lu "
	       "huge_before_kib=%lu huge_after_kib=%lu\n", writes, reads, forks,
	       cuts, exits, before, huge_kib());
	if (!calm && (!forks || !cuts || !exits))
		fail("the storm did not blow");
	if (!writes || !reads)
		fail("nobody wrote or read");
	return failed;
}
