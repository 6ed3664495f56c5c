// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Make pages of one kind, have the host hint them to the other node, and print the
 * results; check that the pages' data is unharmed:
 *
 *   kinds KIND [FILE]
 *
 * prints "REASON=pages ... [NAME=value ...]"; exits with 1 if data is harmed, with 77
 * if this kernel has no pages of KIND.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include <linux/kernel-page-flags.h>

#include "hint.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef MPOL_DEFAULT
#define MPOL_DEFAULT	0
#define MPOL_BIND	2
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define N	256		/* pages, unless there is a reason for less */
#define SKIP	77
#define HUGE	(2ul << 20)

static const char *file;	/* the second argument */

/* Fill pages with contents that differ from page to page. */
static void fill(void *p, size_t pages)
{
	for (size_t i = 0; i < pages * HINT_PAGE / 8; i++)
		((uint64_t *)p)[i] = i * 0x9e3779b97f4a7c15u;
}

static void check(const void *p, size_t pages)
{
	for (size_t i = 0; i < pages * HINT_PAGE / 8; i++)
		if (((const volatile uint64_t *)p)[i] != i * 0x9e3779b97f4a7c15u)
			errx(1, "word %zu of page %zu is %#lx", i % 512, i / 512,
			     ((const uint64_t *)p)[i]);
}

static void *map(size_t bytes, int flags, int fd)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

static char *anon(size_t pages)
{
	char *p = map(pages * HINT_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, pages * HINT_PAGE, MADV_NOHUGEPAGE);
	fill(p, pages);
	return p;
}

static void tell(const struct hint_result *results, size_t n)
{
	for (int r = -1; r < VIRTIO_HMEM_R_MAX; r++) {
		size_t num = 0;

		for (size_t i = 0; i < n; i++)
			num += results[i].reason == r;
		if (num)
			printf("%s=%zu ", hint_reason(r), num);
	}
	fflush(stdout);
}

static void hint_gfns_to(const uint64_t *gfns, size_t n, unsigned int tier)
{
	struct hint_result *results = calloc(n, sizeof(*results));

	if (!results || hint_migrate(gfns, n, tier, results) < 0)
		errx(1, "the host could not pass on %zu hints", n);
	tell(results, n);
	free(results);
}

/* Hint pages of this process that are in memory; print where they are then. */
static void hint(const void *p, size_t pages, unsigned int tier)
{
	uint64_t *gfns = calloc(pages, sizeof(*gfns));
	size_t missing = 0;

	if (!gfns)
		err(1, "memory");
	hint_gfns(p, pages, gfns);
	for (size_t i = 0; i < pages; i++)
		missing += !gfns[i];
	if (missing)
		errx(1, "%zu of %zu pages are not in memory", missing, pages);
	hint_gfns_to(gfns, pages, tier);
	printf("there=%zu ", hint_on_node(p, pages, tier));
	free(gfns);
}

static uint64_t read_u64(int fd, uint64_t index)
{
	uint64_t v = 0;

	if (pread(fd, &v, sizeof(v), index * sizeof(v)) != sizeof(v))
		return 1ull << KPF_NOPAGE;
	return v;
}

static size_t count_flag(const void *p, size_t pages, int flag)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	uint64_t *gfns = calloc(pages, sizeof(*gfns));
	size_t n = 0;

	if (fd < 0 || !gfns)
		err(1, "kpageflags");
	hint_gfns(p, pages, gfns);
	for (size_t i = 0; i < pages; i++)
		n += gfns[i] && read_u64(fd, gfns[i]) >> flag & 1;
	close(fd);
	free(gfns);
	return n;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(errno == ENOENT ? SKIP : 1, "%s", path);
	close(fd);
}

static void do_anon(void)
{
	char *p = anon(N);

	hint(p, N, 1);
	check(p, N);
}

static void do_mlocked(void)
{
	char *p = anon(N);

	if (mlock(p, N * HINT_PAGE) < 0)
		err(1, "mlock");
	hint(p, N, 1);
	check(p, N);
	printf("mlocked=%zu ", count_flag(p, N, KPF_UNEVICTABLE));
}

/* The pages are in a pipe that is not read, which keeps a reference to them. */
static void do_piped(void)
{
	enum { PIPE = 16 };
	char *p = anon(PIPE), *q = malloc(PIPE * HINT_PAGE);
	struct iovec v = { p, PIPE * HINT_PAGE };
	int fds[2];

	if (!q || pipe(fds) < 0 || vmsplice(fds[1], &v, 1, 0) != (ssize_t)v.iov_len)
		err(1, "vmsplice");
	hint(p, PIPE, 1);
	check(p, PIPE);
	for (size_t got = 0; got < PIPE * HINT_PAGE; ) {
		ssize_t n = read(fds[0], q + got, PIPE * HINT_PAGE - got);

		if (n <= 0)
			err(1, "read from the pipe");
		got += n;
	}
	check(q, PIPE);
	/* Now the pages can move. */
	printf("then ");
	hint(p, PIPE, 1);
	check(p, PIPE);
}

/* The pages are pinned for long, as if for a device. */
static void do_pinned(void)
{
	struct io_uring_params params = { 0 };
	char *p = anon(N);
	struct iovec v = { p, N * HINT_PAGE };
	int ring = syscall(SYS_io_uring_setup, 4, &params);

	if (ring < 0)
		err(SKIP, "io_uring");
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &v, 1) < 0)
		err(1, "io_uring_register");
	hint(p, N, 1);
	check(p, N);
}

static void do_ksm(void)
{
	uint64_t gfns[N];
	char *p = anon(N);
	size_t same;

	for (size_t i = 1; i < N; i++)
		memcpy(p + i * HINT_PAGE, p, HINT_PAGE);
	if (madvise(p, N * HINT_PAGE, MADV_MERGEABLE) < 0)
		err(errno == EINVAL ? SKIP : 1, "madvise");
	write_file("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	write_file("/sys/kernel/mm/ksm/sleep_millisecs", "10");
	write_file("/sys/kernel/mm/ksm/run", "1");
	/* KPF_KSM does not tell: 6.12 sets that flag for all anonymous pages. */
	do {
		usleep(20000);
		hint_gfns(p, N, gfns);
		for (same = 1; same < N && gfns[same] == gfns[0]; same++)
			;
	} while (same < N);
	write_file("/sys/kernel/mm/ksm/run", "0");
	hint(p, N, 1);
	for (size_t i = 0; i < N; i++)
		check(p + i * HINT_PAGE, 1);
}

/* The pages are not merged yet, but ksmd may be about to merge them. */
static void do_mergeable(void)
{
	char *p = anon(N);

	if (madvise(p, N * HINT_PAGE, MADV_MERGEABLE) < 0)
		err(errno == EINVAL ? SKIP : 1, "madvise");
	hint(p, N, 1);
	check(p, N);
	if (madvise(p, N * HINT_PAGE, MADV_UNMERGEABLE) < 0)
		err(1, "madvise");
	printf("then ");
	hint(p, N, 1);
	check(p, N);
}

static void do_hugetlb(void)
{
	char *p;

	write_file("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
		   "4");
	p = map(HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	fill(p, HUGE / HINT_PAGE);
	hint(p, HUGE / HINT_PAGE, 1);
	check(p, HUGE / HINT_PAGE);
}

static void do_secret(void)
{
	int fd = syscall(SYS_memfd_secret, 0);
	char *p;

	if (fd < 0)
		err(SKIP, "memfd_secret");
	if (ftruncate(fd, N * HINT_PAGE) < 0)
		err(1, "ftruncate");
	p = map(N * HINT_PAGE, MAP_SHARED, fd);
	fill(p, N);
	hint(p, N, 1);
	check(p, N);
}

/*
 * The pages are in the swap cache: they were paged out and then shared by two
 * processes, so the first process that reads a page back does not own it alone.
 */
static void do_swapped(void)
{
	char *p = anon(N);
	size_t cached;
	pid_t pid;

	if (madvise(p, N * HINT_PAGE, MADV_PAGEOUT) < 0)
		err(1, "madvise");
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	check(p, N);
	cached = count_flag(p, N, KPF_SWAPCACHE);
	hint(p, N, 1);
	check(p, N);
	printf("swapcache=%zu ", cached);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(p, N);
}

/* The kernel takes the pages for lost by the hardware; some kernels kill their process. */
static void do_poisoned(void)
{
	enum { LOST = 8 };
	uint64_t *gfns = map(HINT_PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
	int status;
	pid_t pid = fork();

	if (!pid) {
		char *p = anon(LOST);

		hint_gfns(p, LOST, gfns);
		if (madvise(p, LOST * HINT_PAGE, MADV_HWPOISON) < 0)
			_exit(errno == EINVAL ? SKIP : 1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		exit(WEXITSTATUS(status));
	hint_gfns_to(gfns, WIFEXITED(status) ? LOST : 1, 1);
}

/* The pages are of FILE, written through a mapping, and synced to the disk. */
static void do_file(void)
{
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *p;

	if (fd < 0 || posix_fallocate(fd, 0, N * HINT_PAGE))
		err(1, "%s", file);
	p = map(N * HINT_PAGE, MAP_SHARED, fd);
	fill(p, N);
	if (fsync(fd) < 0)
		err(1, "%s", file);
	check(p, N);
	hint(p, N, 1);
	check(p, N);
}

/*
 * The pages are a large folio of FILE, or a few, and locked.  When they are no longer locked,
 * they move.
 */
static void do_locked_file(void)
{
	enum { PAGES = HUGE / HINT_PAGE };
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *p = malloc(HUGE);
	size_t locked;

	if (fd < 0 || !p)
		err(1, "%s", file);
	fill(p, PAGES);
	if (write(fd, p, HUGE) != (ssize_t)HUGE || fsync(fd) < 0)
		err(1, "%s", file);
	free(p);
	p = map(HUGE, MAP_SHARED, fd);
	/* Some kernels do not mark a large folio that is not mapped when it is locked. */
	check(p, PAGES);
	if (mlock(p, HUGE) < 0)
		err(1, "mlock");
	if (count_flag(p, PAGES, KPF_COMPOUND_TAIL) < PAGES / 2)
		errx(1, "%s is not in large folios", file);
	locked = count_flag(p, PAGES, KPF_UNEVICTABLE);
	hint(p, PAGES, 1);
	check(p, PAGES);
	printf("stayed=%zu mlocked=%zu still=%zu ", hint_on_node(p, PAGES, 0), locked,
	       count_flag(p, PAGES, KPF_UNEVICTABLE));
	if (munlock(p, HUGE) < 0)
		err(1, "munlock");
	printf("then ");
	hint(p, PAGES, 1);
	check(p, PAGES);
	printf("after=%zu ", hint_on_node(p, PAGES, 1));
}

/* The pages are of FILE, on a read-only file system. */
static void do_read_only(void)
{
	int fd = open(file, O_RDONLY);
	unsigned char *p, sum = 0, again = 0;

	if (fd < 0)
		err(1, "%s", file);
	p = mmap(NULL, N * HINT_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < N * HINT_PAGE; i++)
		sum += p[i] ^ i;
	hint(p, N, 1);
	for (size_t i = 0; i < N * HINT_PAGE; i++)
		again += p[i] ^ i;
	if (sum != again)
		errx(1, "%s has changed", file);
}

/*
 * The pages are of FILE, in writeback to a disk that takes no more data.  The test on
 * the host limits the disk when it reads "ready" and then creates /run/go; when it
 * reads "hinted", it lifts the limit.
 */
static void do_writeback(void)
{
	enum { BIG = 4 * N };
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *p;

	if (fd < 0)
		err(1, "%s", file);
	p = malloc(BIG * HINT_PAGE);
	fill(p, BIG);
	if (write(fd, p, BIG * HINT_PAGE) != (ssize_t)(BIG * HINT_PAGE) || fsync(fd) < 0)
		err(1, "%s", file);
	free(p);
	p = map(BIG * HINT_PAGE, MAP_SHARED, fd);
	printf("ready\n");
	fflush(stdout);
	while (access("/run/go", F_OK) < 0)
		usleep(10000);
	fill(p, BIG);
	/* The first parts use up the data that the disk still takes. */
	for (int part = 0; part < BIG / N; part++)
		if (sync_file_range(fd, part * N * HINT_PAGE, N * HINT_PAGE,
				    SYNC_FILE_RANGE_WRITE) < 0)
			err(1, "sync_file_range");
	hint(p + (BIG - N) * HINT_PAGE, N, 1);
	printf("hinted\n");
	fflush(stdout);
	if (fsync(fd) < 0)
		err(1, "%s", file);
	check(p, BIG);
	printf("then ");
	hint(p + (BIG - N) * HINT_PAGE, N, 1);
	check(p, BIG);
}

static bool is_buddy(uint64_t f)
{
	return f >> KPF_BUDDY & 1;
}

/*
 * Hint frames whose flags in /proc/kpageflags match, @max at most, evenly from all of node 0:
 * neighbours are often parts of one block, and then all of one kind.
 */
static void hint_flagged(bool (*match)(uint64_t flags), size_t max)
{
	/* Node 0 has the lowest 256 MiB. */
	const uint64_t end = (256ul << 20) / HINT_PAGE;
	int fd = open("/proc/kpageflags", O_RDONLY);
	uint64_t *gfns = calloc(end, sizeof(*gfns));
	uint64_t free_end = 0;
	size_t found = 0, n;

	if (fd < 0 || !gfns)
		err(1, "kpageflags");
	for (uint64_t pfn = 256; pfn < end; pfn++) {
		uint64_t flags = read_u64(fd, pfn);

		/* Only the first frame of a free block has a flag.  No block is larger. */
		if (is_buddy(flags))
			free_end = pfn + (pfn & -pfn);
		else if (pfn < free_end && !flags)
			continue;
		if (!(flags >> KPF_NOPAGE & 1) && match(flags))
			gfns[found++] = pfn;
	}
	close(fd);
	if (found < 8)
		errx(SKIP, "only %zu such pages", found);
	n = found < max ? found : max;
	for (size_t i = 0; i < n; i++)
		gfns[i] = gfns[i * found / n];
	hint_gfns_to(gfns, n, 1);
	printf("found=%zu ", n);
	free(gfns);
}

static bool is_slab(uint64_t f)
{
	return f >> KPF_SLAB & 1;
}

static bool is_pgtable(uint64_t f)
{
	return f >> KPF_PGTABLE & 1;
}

static bool is_reserved(uint64_t f)
{
	return f >> 32 & 1;	/* KPF_RESERVED, which has no name in the header */
}

static bool is_kernel(uint64_t f)
{
	return f == 0;
}

static void do_slab(void)
{
	hint_flagged(is_slab, N);
}

static void do_pgtable(void)
{
	hint_flagged(is_pgtable, N);
}

static void do_reserved(void)
{
	hint_flagged(is_reserved, N);
}

static void do_free(void)
{
	hint_flagged(is_buddy, N);
}

static void do_kernel(void)
{
	hint_flagged(is_kernel, N);
}

/* The second argument is the first frame of memory that has been taken offline. */
static void do_frame(void)
{
	uint64_t gfns[N];

	for (size_t i = 0; i < N; i++)
		gfns[i] = strtoull(file, NULL, 0) + i;
	hint_gfns_to(gfns, N, 0);
}

/* The page is a huge page of FILE, which must be on a tmpfs with huge=always. */
static void do_huge_file(void)
{
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *p;

	if (fd < 0 || ftruncate(fd, 2 * HUGE) < 0)
		err(1, "%s", file);
	p = map(HUGE, MAP_SHARED, fd);
	fill(p, HUGE / HINT_PAGE);
	if (count_flag(p, HUGE / HINT_PAGE, KPF_THP) < HUGE / HINT_PAGE)
		errx(SKIP, "no huge page in %s", file);
	hint(p, HUGE / HINT_PAGE, 1);
	check(p, HUGE / HINT_PAGE);
}

/* The pages are shared by fork and not written since: each is mapped twice. */
static void do_shared(void)
{
	char *p = anon(N);
	int status, go[2];
	char c;
	pid_t pid;

	if (pipe(go) < 0)
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		check(p, N);
		printf("child=%zu ", hint_on_node(p, N, 1));
		fflush(stdout);
		_exit(0);
	}
	hint(p, N, 1);
	check(p, N);
	if (write(go[1], "", 1) != 1)
		err(1, "pipe");
	waitpid(pid, &status, 0);
	if (status)
		errx(1, "the child ended with status %#x", status);
}

/* One page of the huge page has another protection, so base pages map the huge page. */
static void do_cut(void)
{
	char *area = map(2 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *p = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));

	madvise(p, HUGE, MADV_HUGEPAGE);
	fill(p, HUGE / HINT_PAGE);
	if (count_flag(p, HUGE / HINT_PAGE, KPF_THP) < HUGE / HINT_PAGE)
		errx(SKIP, "no huge page");
	if (mprotect(p + HINT_PAGE, HINT_PAGE, PROT_READ) < 0)
		err(1, "mprotect");
	hint(p, HUGE / HINT_PAGE, 1);
	check(p, HUGE / HINT_PAGE);
	printf("huge=%zu ", count_flag(p, HUGE / HINT_PAGE, KPF_THP));
}

/* The second argument says how many processes map the pages; then one process does. */
static void do_many(void)
{
	enum { FEW = 16 };
	char *p = map(FEW * HINT_PAGE, MAP_SHARED | MAP_ANONYMOUS, -1), c = 0;
	int ready[2], many = atoi(file);
	pid_t *pids = calloc(many, sizeof(*pids));

	if (!pids || pipe(ready) < 0)
		err(1, "pipe");
	fill(p, FEW);
	for (int i = 0; i < many; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			err(1, "fork");
		if (!pids[i]) {
			check(p, FEW);
			if (write(ready[1], "", 1) == 1)
				pause();
			_exit(1);
		}
	}
	for (int i = 0; i < many; i++)
		if (read(ready[0], &c, 1) != 1)
			err(1, "pipe");
	hint(p, FEW, 1);
	check(p, FEW);
	for (int i = 0; i < many; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	printf("then ");
	hint(p, FEW, 1);
	check(p, FEW);
}

/* With MPOL_BIND, the memory may be on node 0 only; with MPOL_DEFAULT, on any node. */
static void bind_range(void *p, int mode)
{
	unsigned long node0 = 1;

	if (syscall(SYS_mbind, p, N * HINT_PAGE, mode, mode ? &node0 : NULL,
		    mode ? 64 : 0, 0) < 0)
		err(1, "mbind");
}

static void do_bound(void)
{
	char *p = map(N * HINT_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, N * HINT_PAGE, MADV_NOHUGEPAGE);
	bind_range(p, MPOL_BIND);
	fill(p, N);
	hint(p, N, 1);
	check(p, N);
	bind_range(p, MPOL_DEFAULT);
	printf("then ");
	hint(p, N, 1);
	check(p, N);
}

/* A memfd is mapped twice: one mapping is bound to node 0, the other mapping is used. */
static void do_bound_file(void)
{
	int fd = memfd_create("bound", 0);
	char *p, *q;

	if (fd < 0 || ftruncate(fd, N * HINT_PAGE) < 0)
		err(1, "memfd");
	p = map(N * HINT_PAGE, MAP_SHARED, fd);
	q = map(N * HINT_PAGE, MAP_SHARED, fd);
	bind_range(q, MPOL_BIND);
	fill(p, N);
	hint(p, N, 1);
	check(p, N);
	bind_range(q, MPOL_DEFAULT);
	printf("then ");
	hint(p, N, 1);
	check(p, N);
}

static void do_bound_task(void)
{
	unsigned long node0 = 1;
	char *p;

	if (syscall(SYS_set_mempolicy, MPOL_BIND, &node0, 64) < 0)
		err(1, "set_mempolicy");
	p = anon(N);
	hint(p, N, 1);
	check(p, N);
	if (syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0) < 0)
		err(1, "set_mempolicy");
	printf("then ");
	hint(p, N, 1);
	check(p, N);
}

/* A child that shares the pages is bound to node 0, the parent is not. */
static void do_bound_sharer(void)
{
	int ready[2];
	char *p = anon(N), c;
	pid_t pid;

	if (pipe(ready) < 0)
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		bind_range(p, MPOL_BIND);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	if (read(ready[0], &c, 1) != 1)
		err(1, "pipe");
	hint(p, N, 1);
	check(p, N);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("then ");
	hint(p, N, 1);
	check(p, N);
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "anon", do_anon }, { "shared", do_shared }, { "mlocked", do_mlocked },
	{ "piped", do_piped }, { "pinned", do_pinned }, { "ksm", do_ksm },
	{ "mergeable", do_mergeable }, { "hugetlb", do_hugetlb }, { "secret", do_secret },
	{ "swapped", do_swapped }, { "poisoned", do_poisoned },
	{ "cut", do_cut }, { "many", do_many }, { "bound", do_bound },
	{ "bound-file", do_bound_file }, { "bound-task", do_bound_task },
	{ "bound-sharer", do_bound_sharer },
	{ "file", do_file }, { "read-only", do_read_only }, { "writeback", do_writeback },
	{ "huge-file", do_huge_file }, { "locked-file", do_locked_file }, { "slab", do_slab },
	{ "pgtable", do_pgtable }, { "reserved", do_reserved },
	{ "free", do_free }, { "kernel", do_kernel }, { "frame", do_frame },
};

int main(int argc, char **argv)
{
	file = argc > 2 ? argv[2] : "";
	for (size_t i = 0; argc > 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(argv[1], kinds[i].name)) {
			kinds[i].run();
			putchar('\n');
			return 0;
		}
	}
	errx(2, "usage: kinds KIND [FILE]");
}
