// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Start processes that use memory in many ways and end, until a file exists:
 *
 *   storm [-k KIND] STOPFILE DIRECTORY...
 *
 * Each process checks that it reads what it has written.  A process that gets no
 * memory just ends: the machine may be full.  Files are made in DIRECTORY.  With -k,
 * all processes use memory in the way KIND.  Prints how many processes of each kind
 * did their work; exits with 0 if all was well.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE		4096ul
#define MIB		(1ul << 20)
#define PARALLEL	4

/* Exit status of a child that found its memory changed. */
#define WRONG		42

static char **dirs;
static int num_dirs;

static void fill(uint64_t *p, size_t bytes, uint64_t key)
{
	for (size_t i = 0; i < bytes / sizeof(*p); i += 8)
		p[i] = key + i;
}

static void check(const uint64_t *p, size_t bytes, uint64_t key, const char *who)
{
	for (size_t i = 0; i < bytes / sizeof(*p); i += 8) {
		uint64_t got = ((volatile const uint64_t *)p)[i];

		if (got != key + i) {
			printf("%s (%d): word %zu is %#lx, not %#lx\n", who,
			       getpid(), i, got, key + i);
			fflush(stdout);
			_exit(WRONG);
		}
	}
}

static void *map(size_t bytes, int flags, int fd)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		_exit(0);
	return p;
}

static void anon(unsigned int seed)
{
	for (int k = 0; k < 4; k++) {
		char *m = map(4 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		fill((void *)m, 2 * MIB, seed + k);
		if (!fork()) {
			fill((void *)m, MIB, ~seed);
			usleep(seed % 3000);
			check((void *)m, MIB, ~seed, "anon child");
			check((void *)(m + MIB), MIB, seed + k + MIB / 8, "anon child");
			_exit(0);
		}
		if (k & 1)
			munmap(m + MIB, MIB);
		check((void *)m, MIB, seed + k, "anon");
	}
	for (int status; wait(&status) > 0; )
		if (WIFEXITED(status) && WEXITSTATUS(status) == WRONG)
			_exit(WRONG);
}

static void huge(unsigned int seed)
{
	char *m = map(6 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(m, 6 * MIB, MADV_HUGEPAGE);
	fill((void *)m, 6 * MIB, seed);
	if (!fork()) {
		madvise(m + MIB, MIB, MADV_DONTNEED);
		check((void *)m, MIB, seed, "huge child");
		_exit(0);
	}
	usleep(seed % 2000);
	mprotect(m + 3 * MIB, MIB, PROT_READ);
	check((void *)m, 6 * MIB, seed, "huge");
	for (int status; wait(&status) > 0; )
		if (WIFEXITED(status) && WEXITSTATUS(status) == WRONG)
			_exit(WRONG);
}

static void locked(unsigned int seed)
{
	char *m = map(MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	fill((void *)m, MIB, seed);
	mlock(m, MIB);
	usleep(seed % 2000);
	check((void *)m, MIB, seed, "locked");
	munlock(m, MIB / 2);
	check((void *)m, MIB, seed, "unlocked");
}

/*
 * Move memory to other addresses: whole page tables at once, as both addresses are multiples of
 * 2 MiB, and then a part of one, in a page table that has pages already.
 */
static void remapped(unsigned int seed)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	char *m = map(14 * MIB, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	char *from, *to, *part;

	m = (char *)(((uintptr_t)m + 2 * MIB - 1) & -(2 * MIB));
	for (int k = 0; k < 4; k++) {
		from = k & 1 ? m + 8 * MIB : m;
		to = k & 1 ? m : m + 8 * MIB;
		part = to + 3 * MIB;
		fill((void *)from, 2 * MIB, seed + k);
		if (mremap(from, 2 * MIB, 2 * MIB, flags, to) != to)
			_exit(0);
		usleep(seed % 1000);
		check((void *)to, 2 * MIB, seed + k, "remapped");
		fill((void *)(to + 2 * MIB), MIB, ~seed);
		if (mremap(to + MIB, MIB / 2, MIB / 2, flags, part) != part)
			_exit(0);
		check((void *)part, MIB / 2, seed + k + MIB / 8, "remapped, a part");
		check((void *)(to + 2 * MIB), MIB, ~seed, "remapped, beside it");
		if (mmap(from, 4 * MIB, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != from ||
		    mmap(to + MIB, MIB, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != to + MIB)
			_exit(0);
	}
}

/* Make pages equal, let ksmd merge them, and make them differ again. */
static void merged(unsigned int seed)
{
	uint64_t *m = map(MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(m, MIB, MADV_MERGEABLE);
	for (int k = 0; k < 4; k++) {
		for (size_t i = 0; i < MIB / PAGE; i++)
			memset((char *)m + i * PAGE, 0x77, PAGE);
		usleep(seed % 50000);
		for (size_t i = 0; i < MIB / 8; i++)
			if (m[i] != 0x7777777777777777)
				_exit(WRONG);
		fill(m, MIB, seed + k);
		check(m, MIB, seed + k, "merged");
	}
}

static void piped(unsigned int seed)
{
	char *m = map(16 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1), buf[PAGE];
	struct iovec v = { m, 16 * PAGE };
	int fds[2];

	fill((void *)m, 16 * PAGE, seed);
	if (pipe(fds) < 0 || vmsplice(fds[1], &v, 1, 0) != (ssize_t)v.iov_len)
		_exit(0);
	usleep(seed % 2000);
	for (size_t i = 0; i < 16; i++) {
		if (read(fds[0], buf, PAGE) != (ssize_t)PAGE)
			_exit(WRONG);
		check((void *)buf, PAGE, seed + i * PAGE / 8, "piped");
	}
}

static void *toucher(void *arg)
{
	char *m = arg;

	for (size_t i = 0; i < MIB; i += PAGE)
		((volatile char *)m)[i + 8]++;
	return NULL;
}

static void threaded(unsigned int seed)
{
	char *m = map(MIB, MAP_SHARED | MAP_ANONYMOUS, -1);
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t[i], NULL, toucher, m + 16 * i))
			_exit(0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < MIB; i += PAGE)
		if (m[i + 8] != 1 || m[i + 24] != 1 || m[i + 40] != 1)
			_exit(WRONG);
	usleep(seed % 1000);
}

static void filed(unsigned int seed)
{
	char name[256];
	char *m;
	int fd;

	snprintf(name, sizeof(name), "%s/storm-%d", dirs[seed % num_dirs], getpid());
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, MIB) < 0)
		_exit(0);
	unlink(name);
	/* Allocate the file's blocks first: a page fault on a full file system kills. */
	if (posix_fallocate(fd, 0, MIB))
		_exit(0);
	m = map(MIB, MAP_SHARED, fd);
	fill((void *)m, MIB, seed);
	if (seed & 256)
		fsync(fd);
	for (size_t i = 0; i < MIB; i += 16 * PAGE) {
		char buf[PAGE];

		if (pread(fd, buf, PAGE, i) != (ssize_t)PAGE)
			_exit(0);
		check((void *)buf, PAGE, seed + i / 8, "filed, read");
	}
	if (ftruncate(fd, MIB / 2) < 0)
		_exit(0);
	check((void *)m, MIB / 2, seed, "filed");
}

static void executed(unsigned int seed)
{
	(void)seed;
	execl("/bin/true", "true", NULL);
	_exit(0);
}

static const struct {
	const char *name;
	void (*run)(unsigned int seed);
} kinds[] = {
	{ "anon", anon }, { "huge", huge }, { "locked", locked },
	{ "merged", merged }, { "piped", piped }, { "threaded", threaded },
	{ "filed", filed }, { "executed", executed },
	{ "remapped", remapped },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
	struct { pid_t pid; int kind; } children[PARALLEL] = { 0 };
	unsigned long done[KINDS] = { 0 };
	unsigned int seed = 12345, first = 0, num_kinds = KINDS;
	bool wrong = false;
	int next = 0, running = 0;

	if (argc > 2 && !strcmp(argv[1], "-k")) {
		while (first < KINDS && strcmp(argv[2], kinds[first].name))
			first++;
		if (first == KINDS)
			errx(2, "%s: no such kind", argv[2]);
		num_kinds = 1;
		argv += 2;
		argc -= 2;
	}
	if (argc < 3)
		errx(2, "usage: storm [-k KIND] STOPFILE DIRECTORY...");
	dirs = argv + 2;
	num_dirs = argc - 2;
	while (running || access(argv[1], F_OK) < 0) {
		bool stop = access(argv[1], F_OK) == 0 || wrong;
		int status;
		pid_t pid;

		for (int i = 0; i < PARALLEL && !stop; i++) {
			if (children[i].pid)
				continue;
			seed = seed * 1664525 + 1013904223;
			children[i].kind = first + next++ % num_kinds;
			pid = fork();
			if (!pid) {
				kinds[children[i].kind].run(seed >> 4);
				_exit(0);
			}
			if (pid < 0) {
				usleep(1000);
				break;
			}
			children[i].pid = pid;
			running++;
			if (seed & 1 << 20 && seed & 1 << 21) {
				usleep(seed >> 22);
				kill(pid, SIGKILL);
			}
		}
		pid = wait(&status);
		for (int i = 0; i < PARALLEL; i++) {
			if (pid <= 0 || children[i].pid != pid)
				continue;
			children[i].pid = 0;
			running--;
			if (status && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
				printf("%s ended with status %#x\n",
				       kinds[children[i].kind].name, status);
				wrong = true;
			} else if (!status) {
				done[children[i].kind]++;
			}
		}
		if (wrong && !running)
			break;
	}
	for (size_t i = first; i < first + num_kinds; i++)
		printf("%s=%lu ", kinds[i].name, done[i]);
	putchar('\n');
	return wrong;
}
