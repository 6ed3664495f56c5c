/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Idle page tracking and DAMON, with trees of plain files in place of the kernel's: what is
 * missing, what is read and written, and what is left behind.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "damon.h"
#include "hmem_trackers.h"
#include "idle.h"
#include "run.h"

/* Linux 6.5; older headers lack it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

#define PID		77
#define FRAMES		1024u
#define MAP_BYTES	(FRAMES / 8)
#define HVA		0x7f0000200000ull
#define PRESENT		(1ull << 63)
#define LRU		(1ull << 5)
#define HEAD		(1ull << 15)
#define TAIL		(1ull << 16)
/* Pages of the host's memory; a multiple of a huge page. */
#define PFNS		4096u

struct fixture {
	char dir[64], proc[80], mm[80];
	struct host_paths paths;
	struct loop loop;
	struct damon_admin admin;
	struct hmem_err err;
};

static const char *in(struct fixture *f, const char *path)
{
	static char full[256];

	snprintf(full, sizeof(full), "%s/%s", f->dir, path);
	return full;
}

/* Makes a file, and all directories above it. */
static void make(struct fixture *f, const char *path, const char *text)
{
	char full[256];
	FILE *file;

	strcpy(full, in(f, path));
	for (char *slash = full + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void check_file(struct fixture *f, const char *path, const char *text)
{
	char buf[256] = "";
	FILE *file = fopen(in(f, path), "r");

	assert_non_null(file);
	if (!fgets(buf, sizeof(buf), file))
		buf[0] = '\0';
	fclose(file);
	assert_string_equal(buf, text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/hmem-unit-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	snprintf(f->mm, sizeof(f->mm), "%s/mm", f->dir);
	f->paths = (struct host_paths) { .proc = f->proc, .mm = f->mm };
	assert_return_code(loop_init(&f->loop, &f->err), 0);
	*state = f;
	return 0;
}

static int erase(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_exit(&f->loop);
	nftw(f->dir, erase, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* --- idle --- */

static void put_word(struct fixture *f, const char *path, uint64_t index, uint64_t word)
{
	int fd = open(in(f, path), O_WRONLY);

	assert_return_code(fd, errno);
	assert_int_equal(pwrite(fd, &word, 8, index * 8), 8);
	close(fd);
}

static uint64_t idle_bit(struct fixture *f, uint64_t pfn)
{
	int fd = open(in(f, "mm/page_idle/bitmap"), O_RDONLY);
	uint64_t word = 0;

	assert_return_code(fd, errno);
	assert_int_equal(pread(fd, &word, 8, pfn / 64 * 8), 8);
	close(fd);
	return word >> pfn % 64 & 1;
}

/* Clears the page's idle flag, as the kernel does when the page is used. */
static void use(struct fixture *f, uint64_t pfn)
{
	int fd = open(in(f, "mm/page_idle/bitmap"), O_RDWR);
	uint64_t word;

	assert_int_equal(pread(fd, &word, 8, pfn / 64 * 8), 8);
	word &= ~(1ull << pfn % 64);
	assert_int_equal(pwrite(fd, &word, 8, pfn / 64 * 8), 8);
	close(fd);
}

/* Maps the frame to a page; 0: no page is mapped. */
static void map(struct fixture *f, uint64_t gfn, uint64_t pfn)
{
	put_word(f, "proc/77/pagemap", HVA / 4096 + gfn, pfn ? PRESENT | pfn : 0);
}

static void make_idle(struct fixture *f)
{
	make(f, "mm/page_idle/bitmap", "");
	assert_return_code(truncate(in(f, "mm/page_idle/bitmap"), PFNS / 8), errno);
	make(f, "proc/kpageflags", "");
	for (uint64_t pfn = 0; pfn < PFNS; pfn++)
		put_word(f, "proc/kpageflags", pfn, LRU);
	make(f, "proc/77/pagemap", "");
	assert_return_code(truncate(in(f, "proc/77/pagemap"),
				    (HVA / 4096 + PEER_FRAMES) * 8), errno);
}

static void idle_missing(void **state)
{
	struct fixture *f = *state;
	struct idle i;

#define FAILS(code, text) do {						\
		f->err.msg[0] = '\0';					\
		assert_int_equal(idle_open(&i, &f->paths, PID, MAP_BYTES, \
					   &f->err), -(code));		\
		assert_non_null(strstr(f->err.msg, text));		\
	} while (0)
	FAILS(ENOTSUP, "CONFIG_IDLE_PAGE_TRACKING");
	make(f, "mm/page_idle/bitmap", "");
	FAILS(ENOTSUP, "CONFIG_PROC_PAGE_MONITOR");
	make(f, "proc/kpageflags", "");
	FAILS(ENOTSUP, "has ended");
	make(f, "proc/77/pagemap/directory", "");
	make(f, "mm/page_idle/bitmap", "");
	/* root may open any file. */
	if (geteuid()) {
		chmod(in(f, "mm/page_idle/bitmap"), 0400);
		FAILS(EPERM, "CAP_SYS_ADMIN");
	}
#undef FAILS
}

static void idle_windows(void **state)
{
	struct fixture *f = *state;
	uint64_t accessed[FRAMES / 64] = { 0 }, rearm[FRAMES / 64];
	struct idle i;

	make_idle(f);
	/* Pages in order, out of order, a frame without a page, and a page that is on no list. */
	map(f, 0, 100);
	map(f, 1, 101);
	map(f, 2, 99);
	map(f, 4, 3000);
	put_word(f, "proc/kpageflags", 3000, 0);
	/* All of a huge page, and one page of another huge page. */
	for (uint64_t k = 0; k < 512; k++) {
		put_word(f, "proc/kpageflags", 1024 + k, k ? TAIL : HEAD | LRU);
		put_word(f, "proc/kpageflags", 2048 + k, k ? TAIL : HEAD | LRU);
		map(f, 64 + k, 1024 + k);
	}
	map(f, 700, 2048 + 300);
	assert_int_equal(idle_open(&i, &f->paths, PID, MAP_BYTES, &f->err), 0);

	/* A page without an idle flag counts as accessed, if it is there and can be tracked. */
	assert_int_equal(idle_collect(&i, 0, FRAMES, HVA, accessed, &f->err), 3 + 512 + 1);
	assert_int_equal(accessed[0], 7);
	assert_int_equal(accessed[1], UINT64_MAX);
	assert_int_equal(accessed[700 / 64], 1ull << 700 % 64);

	memset(rearm, 0xff, sizeof(rearm));
	assert_int_equal(idle_rearm(&i, 0, FRAMES, HVA, rearm, &f->err), 0);
	for (unsigned int k = 0; k < FRAMES / 64; k++)
		assert_int_equal(rearm[k], 0);
	assert_int_equal(i.present, 4 + 512 + 1);
	assert_int_equal(i.tracked, 3 + 512 + 1);
	for (uint64_t pfn = 0; pfn < PFNS; pfn++)
		assert_int_equal(idle_bit(f, pfn), (pfn >= 99 && pfn <= 101) ||
				 pfn == 1024 || pfn == 2048);
	assert_int_equal(idle_check(&i, &f->err), 0);

	/* No page was used. */
	memset(accessed, 0, sizeof(accessed));
	assert_int_equal(idle_collect(&i, 0, FRAMES, HVA, accessed, &f->err), 0);

	/*
	 * A page was used; a page has gone and another has come; a page has moved, with its
	 * flag.
	 */
	use(f, 100);
	map(f, 2, 0);
	map(f, 3, 102);
	put_word(f, "mm/page_idle/bitmap", 3500 / 64, 1ull << 3500 % 64);
	map(f, 1, 3500);
	use(f, 1024);
	assert_int_equal(idle_collect(&i, 0, FRAMES, HVA, accessed, &f->err), 2 + 512);
	assert_int_equal(accessed[0], 1 << 0 | 1 << 3);
	assert_int_equal(accessed[700 / 64], 0);

	/* Accessed frames stay accessed until they are rearmed, wherever their flags are now. */
	map(f, 0, 105);
	put_word(f, "mm/page_idle/bitmap", 105 / 64, UINT64_MAX);
	memset(accessed, 0, sizeof(accessed));
	assert_int_equal(idle_collect(&i, 0, 64, HVA, accessed, &f->err), 2);
	/* A part of a range is rearmed, at its own address. */
	memset(rearm, 0, sizeof(rearm));
	rearm[0] = 1 << 0 | 1 << 3;
	assert_int_equal(idle_rearm(&i, 0, 2, HVA, rearm, &f->err), 0);
	assert_int_equal(rearm[0], 1 << 3);
	memset(accessed, 0, sizeof(accessed));
	assert_int_equal(idle_collect(&i, 0, 64, HVA, accessed, &f->err), 1);
	assert_int_equal(accessed[0], 1 << 3);
	idle_close(&i);
}

static void idle_faults(void **state)
{
	struct fixture *f = *state;
	uint64_t accessed[FRAMES / 64] = { 0 }, rearm[FRAMES / 64];
	struct idle i;

	make_idle(f);
	assert_int_equal(idle_open(&i, &f->paths, PID, MAP_BYTES, &f->err), 0);
	/* Pages of hugetlbfs and of DAX are on no list. */
	for (uint64_t k = 0; k < 64; k++) {
		map(f, k, 64 + k);
		put_word(f, "proc/kpageflags", 64 + k, k < 40 ? 0 : LRU);
	}
	memset(rearm, 0xff, sizeof(rearm));
	assert_int_equal(idle_rearm(&i, 0, FRAMES, HVA, rearm, &f->err), 0);
	assert_int_equal(idle_check(&i, &f->err), -ENOTSUP);
	assert_non_null(strstr(f->err.msg, "hugetlbfs"));

	/* Without the capability, the kernel tells that pages are there, but not where. */
	put_word(f, "proc/77/pagemap", HVA / 4096 + 5, PRESENT);
	assert_int_equal(idle_collect(&i, 0, FRAMES, HVA, accessed, &f->err), -EPERM);
	assert_non_null(strstr(f->err.msg, "CAP_SYS_ADMIN"));

	/* The process has ended, so its memory has gone. */
	assert_return_code(truncate(in(f, "proc/77/pagemap"), 0), errno);
	assert_int_equal(idle_collect(&i, 0, FRAMES, HVA, accessed, &f->err), -ESRCH);
	assert_int_equal(idle_rearm(&i, 0, FRAMES, HVA, (memset(rearm, 0xff, 8), rearm),
				    &f->err), -ESRCH);
	assert_non_null(strstr(f->err.msg, "77 has ended"));
	idle_close(&i);
}

/* --- DAMON --- */

#define TREE	"mm/damon/admin/kdamonds/"
#define CONTEXT	TREE "0/contexts/0/"
#define SCHEME	CONTEXT "schemes/0/"

static const struct damon_region regions[] = { { 0x1000, 0x5000 }, { 0x9000, 0xa000 } };

static void make_damon(struct fixture *f)
{
	static const char *const empty[] = {
		TREE "0/state", TREE "0/contexts/nr_contexts", CONTEXT "operations",
		CONTEXT "monitoring_attrs/intervals/sample_us",
		CONTEXT "monitoring_attrs/intervals/aggr_us",
		CONTEXT "monitoring_attrs/nr_regions/min",
		CONTEXT "monitoring_attrs/nr_regions/max",
		CONTEXT "targets/nr_targets", CONTEXT "targets/0/pid_target",
		CONTEXT "targets/0/regions/nr_regions",
		CONTEXT "targets/0/regions/0/start", CONTEXT "targets/0/regions/0/end",
		CONTEXT "targets/0/regions/1/start", CONTEXT "targets/0/regions/1/end",
		CONTEXT "schemes/nr_schemes", SCHEME "action",
		SCHEME "access_pattern/sz/min", SCHEME "access_pattern/sz/max",
		SCHEME "access_pattern/nr_accesses/min",
		SCHEME "access_pattern/nr_accesses/max",
		SCHEME "access_pattern/age/min", SCHEME "access_pattern/age/max",
	};

	make(f, TREE "nr_kdamonds", "0\n");
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		make(f, empty[i], "");
	make(f, CONTEXT "avail_operations", "vaddr\nfvaddr\npaddr\n");
	make(f, SCHEME "tried_regions/total_bytes", "0\n");
}

/* After @busy_after writes, the kernel refuses the next @busy ones with EBUSY. */
static unsigned int busy_after, busy;
/* A sleep fails the test. */
static bool awake;
/* The error of the last begin(). */
static int begin_error;

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __wrap_usleep(unsigned int us);
int __real_usleep(unsigned int us);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	if (!busy || busy_after) {
		busy_after -= busy != 0;
		return __real_write(fd, data, len);
	}
	busy--;
	errno = EBUSY;
	return -1;
}

/* Other VMs would have to wait for that long. */
int __wrap_usleep(unsigned int us)
{
	if (awake)
		fail_msg("hmemd sleeps for %u us", us);
	return __real_usleep(us);
}

static struct damon *begin(struct fixture *f)
{
	struct damon *dm = NULL;

	f->err.msg[0] = '\0';
	begin_error = damon_start(&f->admin, &f->loop, &f->paths, PID, regions, 2, 1000, &dm,
				  &f->err);
	return dm;
}

/* Another program uses DAMON's tree: hmemd does not wait, and leaves nothing behind. */
static void damon_is_busy(void **state)
{
	struct fixture *f = *state;
	struct damon *dm;

	make_damon(f);
	awake = true;
	/* The kernel can be busy from any write on, and while hmemd undoes its work. */
	for (unsigned int n = 0; n < 12; n++) {
		make(f, TREE "nr_kdamonds", "0");
		busy_after = n;
		busy = 3;
		dm = begin(f);
		assert_null(dm);
		assert_int_equal(begin_error, -EBUSY);
		while (f->admin.used)
			assert_return_code(loop_turn(&f->loop, &f->err), 0);
		busy = 0;
		/* hmemd opened the file and wrote nothing; opening empties a plain file. */
		check_file(f, TREE "nr_kdamonds", n ? "0" : "");
	}
	make_damon(f);
	busy_after = 0;
	dm = begin(f);
	assert_non_null(dm);
	busy = 3;
	damon_stop(dm);
	assert_int_equal(f->admin.used, 1);
	while (f->admin.used)
		assert_return_code(loop_turn(&f->loop, &f->err), 0);
	awake = false;
	assert_int_equal(busy, 0);
	check_file(f, TREE "0/state", "off");
	check_file(f, TREE "0/contexts/nr_contexts", "0");
	check_file(f, TREE "nr_kdamonds", "0");
}

/* What a process that was killed has set up is removed, and nothing else. */
static void damon_recovers(void **state)
{
	struct fixture *f = *state;
	struct host_paths other;
	struct damon *dm;

	f->paths.run = f->dir;
	other = f->paths;
	make_damon(f);
	make(f, TREE "1/state", "");
	dm = begin(f);
	assert_non_null(dm);
	check_file(f, TREE "nr_kdamonds", "16");
	assert_int_equal(access(in(f, "damon"), F_OK), 0);
	/* The kernel is busy at first. */
	busy = 2;
	damon_recover(&f->paths);
	assert_int_equal(busy, 0);
	check_file(f, TREE "0/state", "off");
	check_file(f, TREE "1/state", "off");
	check_file(f, TREE "nr_kdamonds", "0");
	assert_int_equal(access(in(f, "damon"), F_OK), -1);
	/* Without a note, the kdamonds are somebody else's. */
	make(f, TREE "nr_kdamonds", "16");
	make(f, TREE "0/state", "on");
	damon_recover(&f->paths);
	check_file(f, TREE "nr_kdamonds", "16");
	check_file(f, TREE "0/state", "on");
	/* Neither are they hmemd's if there is another number of them. */
	make(f, "damon", "");
	make(f, TREE "nr_kdamonds", "2");
	damon_recover(&f->paths);
	check_file(f, TREE "nr_kdamonds", "2");
	assert_int_equal(access(in(f, "damon"), F_OK), -1);
	/* What could not be checked is left for the next process. */
	make(f, "damon", "");
	make(f, TREE "nr_kdamonds", "");
	damon_recover(&f->paths);
	assert_int_equal(access(in(f, "damon"), F_OK), 0);
	other.mm = "/dev/null";
	damon_recover(&other);
	assert_int_equal(access(in(f, "damon"), F_OK), 0);
	/* A kernel without DAMON has no kdamonds. */
	other.mm = "/nowhere";
	damon_recover(&other);
	assert_int_equal(access(in(f, "damon"), F_OK), -1);
	make(f, "damon", "");
	make(f, TREE "nr_kdamonds", "16");
	damon_recover(&f->paths);
	check_file(f, TREE "nr_kdamonds", "0");
	assert_int_equal(access(in(f, "damon"), F_OK), -1);
	/* Who stops leaves no note. */
	make(f, "damon", "");
	damon_stop(dm);
	while (f->admin.used)
		assert_return_code(loop_turn(&f->loop, &f->err), 0);
	assert_int_equal(access(in(f, "damon"), F_OK), -1);
}

static void damon_missing(void **state)
{
	struct fixture *f = *state;

#define FAILS(text) do {						\
		assert_null(begin(f));					\
		if (!strstr(f->err.msg, text))				\
			fail_msg("not about %s: %s", text, f->err.msg);	\
		assert_int_equal(f->admin.used, 0);			\
	} while (0)
	FAILS("CONFIG_DAMON_SYSFS");
	make(f, TREE "nr_kdamonds", "2\n");
	FAILS("another program has set up 2");
	check_file(f, TREE "nr_kdamonds", "2\n");
	/* hmemd undoes what it has set up so far. */
	make(f, TREE "nr_kdamonds", "0\n");
	FAILS("kdamond 0");
	check_file(f, TREE "nr_kdamonds", "0");
	make_damon(f);
	make(f, CONTEXT "avail_operations", "paddr\n");
	FAILS("CONFIG_DAMON_VADDR");
	check_file(f, TREE "nr_kdamonds", "0");
	make_damon(f);
	assert_return_code(unlink(in(f, SCHEME "tried_regions/total_bytes")), errno);
	assert_return_code(rmdir(in(f, SCHEME "tried_regions")), errno);
	FAILS("Linux 6.2");
	check_file(f, TREE "nr_kdamonds", "0");
	check_file(f, TREE "0/contexts/nr_contexts", "0");
	make_damon(f);
	unlink(in(f, CONTEXT "targets/0/pid_target"));
	FAILS("77 as targets/0/pid_target");
	make_damon(f);
	f->admin.used = (1u << DAMON_MAX) - 1;
	assert_null(begin(f));
	assert_non_null(strstr(f->err.msg, "16 VMs"));
	assert_int_equal(f->admin.used, (1u << DAMON_MAX) - 1);
#undef FAILS
}

static void note(void *opaque, int res)
{
	*(int *)opaque = res;
}

static void add(const struct damon_region *r, unsigned int accesses, void *opaque)
{
	uint64_t *sum = opaque;

	sum[0] += r->end - r->start;
	sum[1] += accesses;
}

static void damon_snapshots(void **state)
{
	struct fixture *f = *state;
	uint64_t sum[2] = { 0 };
	struct damon *dm;
	int res = 1;

	make_damon(f);
	dm = begin(f);
	assert_non_null(dm);
	assert_int_equal(f->admin.used, 1);
	check_file(f, TREE "nr_kdamonds", "16");
	check_file(f, TREE "0/state", "on");
	check_file(f, CONTEXT "operations", "fvaddr");
	check_file(f, CONTEXT "monitoring_attrs/intervals/aggr_us", "500000");
	check_file(f, CONTEXT "monitoring_attrs/intervals/sample_us", "25000");
	check_file(f, CONTEXT "targets/0/pid_target", "77");
	check_file(f, CONTEXT "targets/0/regions/nr_regions", "2");
	check_file(f, CONTEXT "targets/0/regions/1/start", "36864");
	check_file(f, CONTEXT "targets/0/regions/1/end", "40960");
	check_file(f, SCHEME "action", "stat");
	check_file(f, SCHEME "access_pattern/sz/max", "18446744073709551615");

	damon_snapshot(dm, note, &res);
	while (res == 1)
		assert_return_code(loop_turn(&f->loop, &f->err), 0);
	assert_int_equal(res, 0);
	check_file(f, TREE "0/state", "update_schemes_tried_regions");
	make(f, SCHEME "tried_regions/0/start", "4096\n");
	make(f, SCHEME "tried_regions/0/end", "8192\n");
	make(f, SCHEME "tried_regions/0/nr_accesses", "3\n");
	make(f, SCHEME "tried_regions/1/start", "8192\n");
	make(f, SCHEME "tried_regions/1/end", "20480\n");
	make(f, SCHEME "tried_regions/1/nr_accesses", "20\n");
	assert_int_equal(damon_read(dm, add, sum, &f->err), 0);
	assert_int_equal(sum[0], 16384);
	assert_int_equal(sum[1], 23);
	unlink(in(f, SCHEME "tried_regions/1/end"));
	assert_int_equal(damon_read(dm, add, sum, &f->err), -ENOENT);
	assert_non_null(strstr(f->err.msg, "region 1"));

	damon_stop(dm);
	assert_int_equal(f->admin.used, 0);
	check_file(f, TREE "0/state", "off");
	check_file(f, TREE "0/contexts/nr_contexts", "0");
	check_file(f, TREE "nr_kdamonds", "0");
}

/* hmemd must not ask the kernel to remove a kdamond that is working on a request. */
static void damon_stop_waits(void **state)
{
	struct fixture *f = *state;
	struct damon *dm;
	int res = 1;

	make_damon(f);
	dm = begin(f);
	assert_non_null(dm);
	damon_snapshot(dm, note, &res);
	damon_stop(dm);
	assert_int_equal(f->admin.used, 1);
	check_file(f, TREE "nr_kdamonds", "16");
	while (f->admin.used)
		assert_return_code(loop_turn(&f->loop, &f->err), 0);
	assert_int_equal(res, 1);
	check_file(f, TREE "0/state", "off");
	check_file(f, TREE "nr_kdamonds", "0");
}

/* --- both trackers, in hmemd, or in hmemd-trackers for an hmemd without privileges --- */

struct session {
	struct fixture *f;
	struct daemon d;
	struct ctl ctl;
	struct peer p;
	struct peer_msg msg;
	uint64_t seq;
	/* hmemd-trackers; 0: it does not run. */
	pid_t helper;
	char helper_socket[80];
};

static bool ctl(struct session *s, int status, const char *line, const char *text)
{
	ctl_run(&s->ctl, &s->d, NULL, line);
	if (s->ctl.status != status)
		fail_msg("hmemctl %s: status %d, not %d\n%s%s", line, s->ctl.status,
			 status, s->ctl.out, s->ctl.err);
	return strstr(s->ctl.out, text) || strstr(s->ctl.err, text);
}

static int64_t counter(struct session *s, const char *name)
{
	struct json_object *o, *counters;
	int64_t value;

	ctl(s, 0, "-o json stats vmm", "");
	o = json_tokener_parse(s->ctl.out);
	assert_true(json_object_object_get_ex(o, "counters", &counters));
	assert_true(json_object_object_get_ex(counters, name, &counters));
	value = json_object_get_int64(counters);
	json_object_put(o);
	return value;
}

static const struct hmem_link_track *expect_track(struct session *s)
{
	peer_expect(&s->p, &s->msg, HMEM_LINK_TRACK);
	return (const void *)s->msg.payload;
}

static void window(struct session *s)
{
	peer_send_tick(&s->p, ++s->seq);
	peer_expect(&s->p, &s->msg, HMEM_LINK_TICK_DONE);
}

static void send_memory(struct session *s, uint64_t shift)
{
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = 512, .tier = 0, .hva = HVA },
		{ .gfn = 512, .num = 512, .tier = 1, .hva = HVA + (512 + shift) * 4096 },
	};

	peer_send(&s->p, HMEM_LINK_RANGES, ranges, sizeof(ranges));
}

/* Connects a VM; the tree says that its process is 77. */
static void connect_vmm(struct session *s)
{
	s->seq = 0;
	s->p = (struct peer) {
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_HOST,
		.hva = HVA,
	};
	peer_handshake(&s->p, s->d.vm_socket, "vmm");
	send_memory(s, 0);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

static void start_helper(struct session *s)
{
	char program[256];
	int fd;

	snprintf(program, sizeof(program), "%s-trackers", getenv("HMEMD"));
	/* That of one that was killed. */
	unlink(s->helper_socket);
	s->helper = fork();
	assert_return_code(s->helper, errno);
	if (!s->helper) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		forbid_io_uring();
		execl(program, program, "-v", "--socket", s->helper_socket, "--vm-socket",
		      s->d.vm_socket, "--host-root", s->f->dir, NULL);
		_exit(127);
	}
	while ((fd = connect_to(s->helper_socket)) < 0) {
		assert_int_equal(waitpid(s->helper, NULL, WNOHANG), 0);
		usleep(1000);
	}
	close(fd);
}

static void end_helper(struct session *s, int sig)
{
	kill(s->helper, sig);
	assert_int_equal(process_wait(s->helper), sig == SIGTERM ? 0 : 128 + sig);
	s->helper = 0;
}

/* The file belongs to another user, so hmemd, if it obeys modes, may not open it. */
static void forbid(struct fixture *f, const char *path)
{
	assert_return_code(chmod(in(f, path), 0600), errno);
	assert_return_code(chown(in(f, path), 65534, 65534), errno);
}

static struct session *start_session(struct fixture *f, bool privileged)
{
	struct session *s = calloc(1, sizeof(*s));
	const char *args[] = {
		"--host-root", f->dir, "--trackers-socket", s->helper_socket, NULL
	};
	char path[32];

	snprintf(path, sizeof(path), "proc/%d", (int)getpid());
	assert_return_code(symlink("77", in(f, path)), errno);
	s->f = f;
	s->d.obeys_modes = !privileged;
	snprintf(s->helper_socket, sizeof(s->helper_socket), "%s/trackers.sock", f->dir);
	if (!privileged)
		forbid(f, "mm/page_idle/bitmap");
	daemon_start(&s->d, args);
	if (!privileged)
		start_helper(s);
	connect_vmm(s);
	return s;
}

static void end_session(struct session *s)
{
	daemon_stop(&s->d);
	if (s->helper)
		end_helper(s, SIGTERM);
	peer_close(&s->p);
	free(s);
}

static void watch_idle_as(struct fixture *f, bool privileged)
{
	struct session *s;

	make_idle(f);
	/*
	 * Each page has a word of its own, because a write to a plain file replaces all its
	 * bits.
	 */
	for (uint64_t k = 0; k < 10; k++)
		map(f, k, 100 + 64 * k);
	map(f, 600, 2000);
	s = start_session(f, privileged);
	assert_false(ctl(s, 0, "policy vmm set name=observe track=idle levels=0", "error"));
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	assert_true(ctl(s, 0, "status vmm", "tracker     idle"));
	/* The tick can come while hmemd arms the pages; no page was used. */
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 0);
	use(f, 100 + 64 * 3);
	use(f, 2000);
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 2);
	assert_int_equal(counter(s, "rearmed_last_window"), 2);
	assert_int_equal(idle_bit(f, 100 + 64 * 3), 1);
	assert_int_equal(idle_bit(f, 2000), 1);
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 2);
	/* At the new address, two frames have other pages than before. */
	map(f, 601, 2100);
	send_memory(s, 1);
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 4);

	/* A tracker that is not available leaves the present tracker at work. */
	assert_true(ctl(s, 77, "policy vmm set track=damon", "CONFIG_DAMON_SYSFS"));
	assert_true(ctl(s, 0, "status vmm", "tracker     idle"));
	window(s);

	assert_return_code(truncate(in(f, "proc/77/pagemap"), 0), errno);
	peer_send_tick(&s->p, ++s->seq);
	assert_int_equal(expect_track(s)->window_ns, 0);
	assert_true(ctl(s, 0, "status vmm", "has ended"));
	make_idle(f);
	map(f, 0, 100);
	ctl(s, 0, "policy vmm set track=idle", "");
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	s->seq = 0;
	window(s);
	use(f, 100);
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 5);

	/* Tracking is switched off and on while the end of a window is processed. */
	peer_send_tick(&s->p, ++s->seq);
	ctl(s, 0, "policy vmm set name=off", "");
	ctl(s, 0, "policy vmm set name=hmmv", "");
	ctl(s, 0, "policy vmm set window=500", "");
	peer_close(&s->p);
	connect_vmm(s);
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	peer_send_tick(&s->p, ++s->seq);
	end_session(s);
}

static void watch_idle(void **state)
{
	watch_idle_as(*state, true);
}

/* Only root can have files that belong to others. */
static void watch_idle_without_privileges(void **state)
{
	if (geteuid())
		skip();
	watch_idle_as(*state, false);
}

static void wait_for_no_kdamonds(struct session *s)
{
	char buf[8] = "";

	while (strcmp(buf, "0")) {
		FILE *file = fopen(in(s->f, TREE "nr_kdamonds"), "r");

		assert_non_null(file);
		if (!fgets(buf, sizeof(buf), file))
			buf[0] = '\0';
		fclose(file);
		usleep(1000);
	}
}

static void watch_damon_as(struct fixture *f, bool privileged)
{
	char number[32];
	struct session *s;

	make_damon(f);
	make_idle(f);
	if (!privileged)
		forbid(f, TREE "nr_kdamonds");
	s = start_session(f, privileged);
	ctl(s, 0, "policy vmm set name=observe track=damon", "");
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	assert_true(ctl(s, 0, "status vmm", "tracker     damon"));
	check_file(f, TREE "nr_kdamonds", "16");
	/* The two ranges are contiguous in the process, so DAMON gets one region. */
	check_file(f, CONTEXT "targets/0/regions/nr_regions", "1");
	snprintf(number, sizeof(number), "%llu", HVA + 1024 * 4096);
	check_file(f, CONTEXT "targets/0/regions/0/end", number);
	/*
	 * Three regions: across the border of the ranges, in 20 of 20 samples; in none; in 10
	 * of 20.
	 */
	for (unsigned int k = 0; k < 3; k++) {
		static const unsigned int from[] = { 500, 520, 900 };
		static const char *const accesses[] = { "20", "0", "10" };
		char path[160];

		for (unsigned int end = 0; end < 2; end++) {
			snprintf(path, sizeof(path), SCHEME "tried_regions/%u/%s", k,
				 end ? "end" : "start");
			snprintf(number, sizeof(number), "%llu",
				 HVA + (from[k] + 20 * end) * 4096);
			make(f, path, number);
		}
		snprintf(path, sizeof(path), SCHEME "tried_regions/%u/nr_accesses", k);
		make(f, path, accesses[k]);
	}
	for (unsigned int k = 0; k < 20; k++)
		window(s);
	assert_int_equal(counter(s, "accessed_pages"), 20 * 20 + 20 * 10);

	/* New addresses need another kdamond, while the old one may still be at work. */
	send_memory(s, 64);
	window(s);
	check_file(f, TREE "nr_kdamonds", "16");
	ctl(s, 0, "policy vmm set track=idle", "");
	wait_for_no_kdamonds(s);
	ctl(s, 0, "policy vmm set track=damon", "");
	peer_send_tick(&s->p, ++s->seq);
	peer_close(&s->p);
	wait_for_no_kdamonds(s);
	connect_vmm(s);
	expect_track(s);
	check_file(f, TREE "nr_kdamonds", "16");
	peer_send_tick(&s->p, ++s->seq);
	end_session(s);
	check_file(f, TREE "nr_kdamonds", "0");
}

static void watch_damon(void **state)
{
	watch_damon_as(*state, true);
}

static void watch_damon_without_privileges(void **state)
{
	if (geteuid())
		skip();
	watch_damon_as(*state, false);
}

/* hmemd tells what is missing, and goes on when hmemd-trackers comes back. */
static void helper_comes_and_goes(void **state)
{
	struct fixture *f = *state;
	struct session *s;

	if (geteuid())
		skip();
	make_idle(f);
	map(f, 0, 100);
	s = start_session(f, false);
	end_helper(s, SIGTERM);
	assert_true(ctl(s, 77, "policy vmm set name=observe track=idle",
			"enable --now hmemd-trackers.socket"));
	start_helper(s);
	ctl(s, 0, "policy vmm set name=observe track=idle levels=0", "");
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	window(s);
	/* In the midst of a window's end. */
	kill(s->helper, SIGSTOP);
	peer_send_tick(&s->p, ++s->seq);
	end_helper(s, SIGKILL);
	assert_int_equal(expect_track(s)->window_ns, 0);
	/* It has gone; or, a second later, it does not listen. */
	assert_true(ctl(s, 0, "status vmm", "hmemd-trackers"));
	start_helper(s);
	ctl(s, 0, "policy vmm set track=idle", "");
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	s->seq = 0;
	window(s);
	use(f, 100);
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 1);
	end_session(s);
}

/* hmemd-trackers is killed while DAMON tracks a VM, and started again. */
static void helper_is_killed_with_damon(void **state)
{
	struct fixture *f = *state;
	struct session *s;

	if (geteuid())
		skip();
	setenv("RUNTIME_DIRECTORY", f->dir, 1);
	make_damon(f);
	make_idle(f);
	forbid(f, TREE "nr_kdamonds");
	s = start_session(f, false);
	ctl(s, 0, "policy vmm set name=observe track=damon", "");
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	check_file(f, TREE "nr_kdamonds", "16");
	end_helper(s, SIGKILL);
	check_file(f, TREE "nr_kdamonds", "16");
	start_helper(s);
	wait_for_no_kdamonds(s);
	check_file(f, TREE "0/state", "off");
	ctl(s, 0, "policy vmm set name=off", "");
	ctl(s, 0, "policy vmm set name=observe track=damon", "");
	check_file(f, TREE "nr_kdamonds", "16");
	end_session(s);
	check_file(f, TREE "nr_kdamonds", "0");
	unsetenv("RUNTIME_DIRECTORY");
}

/* How many sockets of this process's network have the address @path. */
static unsigned int sockets_at(const char *path)
{
	FILE *file = fopen("/proc/net/unix", "r");
	unsigned int num = 0;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		num += strstr(line, path) != NULL;
	fclose(file);
	return num;
}

/* hmemd waits once for an hmemd-trackers that does not answer, and then not for each VM again. */
static void helper_hangs(void **state)
{
	static const char line[] = "--timeout 60 policy vmm set name=observe track=idle";
	static const char why[] = "hmemd-trackers does not answer in time";
	struct fixture *f = *state;
	unsigned int tried;
	struct session *s;

	if (geteuid())
		skip();
	make_idle(f);
	s = start_session(f, false);
	kill(s->helper, SIGSTOP);
	assert_true(ctl(s, 77, line, why));
	/* hmemd's connection is there until the other side has read that it has ended. */
	tried = sockets_at(s->helper_socket);
	assert_in_range(tried, 2, 3);
	assert_true(ctl(s, 77, line, why));
	assert_int_equal(sockets_at(s->helper_socket), tried);
	kill(s->helper, SIGCONT);
	end_session(s);
}

/* hmemd-trackers is started again while hmemd waits for its answer to START. */
static void helper_restarts_at_start(void **state)
{
	struct fixture *f = *state;
	struct session *s;

	if (geteuid())
		skip();
	make_idle(f);
	map(f, 0, 100);
	s = start_session(f, false);
	ctl(s, 0, "policy vmm set name=observe track=idle levels=0", "");
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	peer_close(&s->p);
	/* The old tracker's connection ends, and then only the socket that listens is there. */
	while (sockets_at(s->helper_socket) > 1)
		usleep(1000);
	kill(s->helper, SIGSTOP);
	s->seq = 0;
	peer_connect(&s->p, s->d.vm_socket);
	peer_introduce(&s->p, "vmm");
	/* hmemd has connected. */
	while (sockets_at(s->helper_socket) < 2)
		usleep(1000);
	end_helper(s, SIGKILL);
	/* hmemd tries again by itself: while nobody listens, and afterwards. */
	while (!ctl(s, 0, "status vmm", "enable --now hmemd-trackers.socket"))
		usleep(1000);
	start_helper(s);
	assert_int_equal(expect_track(s)->tracker, HMEM_LINK_TRACKER_HOST);
	assert_true(ctl(s, 0, "status vmm", "tracker     idle"));
	window(s);
	use(f, 100);
	window(s);
	assert_int_equal(counter(s, "accessed_pages"), 1);
	end_session(s);
}

/* --- what an hmemd that somebody has taken over could say to hmemd-trackers --- */

static void say(int fd, const struct hmem_trackers_msg *msg, const struct hmem_link_range *range,
		int passed)
{
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov[] = { { (void *)msg, sizeof(*msg) }, { (void *)range, sizeof(*range) } };
	struct msghdr m = {
		.msg_iov = iov, .msg_iovlen = range ? 2 : 1,
		.msg_control = passed < 0 ? NULL : control,
		.msg_controllen = passed < 0 ? 0 : sizeof(control),
	};

	if (passed >= 0) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(int));
	}
	assert_return_code(sendmsg(fd, &m, MSG_NOSIGNAL), errno);
}

/* Start to track, and return the error; or -EPIPE if hmemd-trackers closes the connection. */
static int ask(struct session *s, const struct hmem_trackers_msg *msg,
	       const struct hmem_link_range *range, int passed)
{
	int fd = connect_to(s->helper_socket);
	struct hmem_trackers_msg answer;
	ssize_t n;

	say(fd, msg, range, passed);
	n = recv(fd, &answer, sizeof(answer), MSG_WAITALL);
	close(fd);
	if (n != (ssize_t)sizeof(answer))
		return -EPIPE;
	return answer.type == HMEM_TRACKERS_STARTED ? 0 : answer.error;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	assert_in_range(strlen(path), 1, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	return addr;
}

static int bound_to(const char *path)
{
	const struct sockaddr_un addr = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(path);
	assert_return_code(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), errno);
	return fd;
}

static int listen_at(const char *path)
{
	int fd = bound_to(path);

	assert_return_code(listen(fd, 1), errno);
	return fd;
}

/* Both ends of a connection to a socket at @path, as hmemd has it: returns hmemd's end. */
static int accepted_at(const char *path, int *other)
{
	int listening = listen_at(path), fd;

	*other = connect_to(path);
	assert_in_range(*other, 0, INT_MAX);
	fd = accept(listening, NULL, NULL);
	assert_return_code(fd, errno);
	close(listening);
	return fd;
}

/* The same, but a child connects and ends, and its end stays open here. */
static int accepted_from_child_at(struct fixture *f, const char *path, int *other)
{
	const struct sockaddr_un addr = address(path);
	int listening = listen_at(path), fd;
	char link[32];
	pid_t child;

	*other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	child = fork();
	if (!child)
		_exit(connect(*other, (const struct sockaddr *)&addr, sizeof(addr)) ? errno : 0);
	assert_int_equal(process_wait(child), 0);
	fd = accept(listening, NULL, NULL);
	assert_return_code(fd, errno);
	close(listening);
	/* The number is now another process's. */
	snprintf(link, sizeof(link), "proc/%d", (int)child);
	assert_return_code(symlink("77", in(f, link)), errno);
	return fd;
}

static void helper_trusts_nobody(void **state)
{
	struct hmem_trackers_msg start = {
		.type = HMEM_TRACKERS_START, .num_ranges = 1, .how = HMEM_TRACKERS_IDLE,
		.window_ms = 1000, .map_bytes = MAP_BYTES,
	}, msg;
	struct hmem_link_range range = { .gfn = 0, .num = 512, .hva = HVA };
	struct fixture *f = *state;
	struct session *s;
	int vm, other, unused, elsewhere, file;
	char path[80];

	if (geteuid())
		skip();
	make_idle(f);
	s = start_session(f, false);
	elsewhere = accepted_at(in(f, "elsewhere.sock"), &unused);
	/* A process that has connected to another socket, a file, nothing. */
	assert_int_equal(ask(s, &start, &range, elsewhere), -EACCES);
	file = open(in(f, "proc/kpageflags"), O_RDONLY);
	assert_int_equal(ask(s, &start, &range, file), -EACCES);
	assert_int_equal(ask(s, &start, &range, -1), -EPIPE);

	/* In place of hmemd's own socket, as only hmemd can have it. */
	snprintf(path, sizeof(path), "%s", s->d.vm_socket);
	daemon_stop(&s->d);
	peer_close(&s->p);
	assert_return_code(mkdir(s->d.dir, 0700), errno);
	vm = accepted_at(path, &other);
	assert_int_equal(ask(s, &start, &range, vm), 0);
#define REFUSED(field, value) do {					\
		msg = start;						\
		msg.field = value;					\
		assert_int_equal(ask(s, &msg, &range, vm), -EPIPE);	\
	} while (0)
	REFUSED(type, HMEM_TRACKERS_TICK);
	REFUSED(type, 99);
	REFUSED(how, 3);
	REFUSED(window_ms, 0);
	REFUSED(map_bytes, 0);
	REFUSED(map_bytes, 12);
	REFUSED(map_bytes, UINT64_MAX - 7);
	REFUSED(num_ranges, HMEM_LINK_MAX_RANGES + 1);
#undef REFUSED
	/* Frames beyond the map. */
	range.num = FRAMES + 1;
	assert_int_equal(ask(s, &start, &range, vm), -EPIPE);
	range.num = 512;
	/* The process has closed its end, so it may have ended, and its number be another's. */
	close(other);
	assert_int_equal(ask(s, &start, &range, vm), -ESRCH);
	/* hmemd-trackers has served all that, and goes on. */
	close(vm);
	vm = accepted_at(path, &other);
	assert_int_equal(ask(s, &start, &range, vm), 0);
	close(vm);
	close(other);
	close(elsewhere);
	close(unused);
	close(file);
	unlink(path);
	rmdir(s->d.dir);
	end_helper(s, SIGTERM);
	free(s);
}

/* hmemd-trackers tracks who has connected to the VM socket, whatever hmemd passes. */
static void helper_knows_who_connected(void **state)
{
	struct hmem_trackers_msg start = {
		.type = HMEM_TRACKERS_START, .num_ranges = 1, .how = HMEM_TRACKERS_IDLE,
		.window_ms = 1000, .map_bytes = MAP_BYTES,
	};
	struct hmem_link_range range = { .gfn = 0, .num = 512, .hva = HVA };
	struct fixture *f = *state;
	struct sockaddr_un addr;
	struct session *s;
	int fd, other, pidfd;
	socklen_t len = sizeof(pidfd);
	char path[80];

	if (geteuid())
		skip();
	make_idle(f);
	s = start_session(f, false);
	snprintf(path, sizeof(path), "%s", s->d.vm_socket);
	daemon_stop(&s->d);
	peer_close(&s->p);
	assert_return_code(mkdir(s->d.dir, 0700), errno);

	/* The socket that listens, as systemd passes it: its peer is who called listen(). */
	fd = listen_at(path);
	assert_int_equal(ask(s, &start, &range, fd), -EACCES);
	close(fd);
	/* A client that has the name of the VM socket: its peer is who listens elsewhere. */
	other = listen_at(in(f, "elsewhere.sock"));
	addr = address(in(f, "elsewhere.sock"));
	fd = bound_to(path);
	assert_return_code(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_int_equal(ask(s, &start, &range, fd), -EACCES);
	close(fd);
	close(other);

	/* The process now runs as another user, or the number is that of another user's process. */
	fd = accepted_at(path, &other);
	assert_int_equal(ask(s, &start, &range, fd), 0);
	assert_return_code(chown(in(f, "proc/77"), 65534, 65534), errno);
	assert_int_equal(ask(s, &start, &range, fd), -EACCES);
	assert_return_code(chown(in(f, "proc/77"), 0, 0), errno);
	close(fd);
	close(other);

	/* The process has ended, and another one keeps its connection open. */
	fd = accepted_from_child_at(f, path, &other);
	if (getsockopt(other, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0) {
		print_message("the kernel has no SO_PEERPIDFD\n");
	} else {
		close(pidfd);
		assert_int_equal(ask(s, &start, &range, fd), -ESRCH);
	}
	close(fd);
	close(other);
	unlink(path);
	rmdir(s->d.dir);
	end_helper(s, SIGTERM);
	free(s);
}

/* Reads the answer to START.  Returns the memfd of the maps. */
static int maps_of(int fd)
{
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))];
	struct hmem_trackers_msg answer = { 0 };
	struct iovec iov = { &answer, sizeof(answer) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int memfd = -1;

	assert_int_equal(recvmsg(fd, &m, MSG_WAITALL), sizeof(answer));
	assert_int_equal(answer.type, HMEM_TRACKERS_STARTED);
	assert_non_null(CMSG_FIRSTHDR(&m));
	memcpy(&memfd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(memfd));
	return memfd;
}

/* Maps take memory for the VM's ranges only, however many frames the VM says that there are. */
static void maps_are_sparse(void **state)
{
	struct hmem_trackers_msg start = {
		.type = HMEM_TRACKERS_START, .num_ranges = 1, .how = HMEM_TRACKERS_IDLE,
		.window_ms = 1000, .map_bytes = 256 << 20,
	}, tick = { .type = HMEM_TRACKERS_TICK, .number = 1 }, found;
	struct hmem_link_range range = { .gfn = 1 << 20, .num = 512, .hva = HVA };
	struct fixture *f = *state;
	struct session *s;
	struct stat st;
	int fd, memfd, vm, other;
	char path[80];

	if (geteuid())
		skip();
	make_idle(f);
	map(f, 0, 100);
	map(f, 511, 200);
	s = start_session(f, false);
	snprintf(path, sizeof(path), "%s", s->d.vm_socket);
	daemon_stop(&s->d);
	peer_close(&s->p);
	assert_return_code(mkdir(s->d.dir, 0700), errno);
	vm = accepted_at(path, &other);
	fd = connect_to(s->helper_socket);
	say(fd, &start, &range, vm);
	memfd = maps_of(fd);
	/* It arms the pages of the range, and then says that all is armed. */
	say(fd, &tick, NULL, -1);
	assert_int_equal(recv(fd, &found, sizeof(found), MSG_WAITALL), sizeof(found));
	assert_int_equal(found.number, 0);
	assert_int_equal(idle_bit(f, 100), 1);
	assert_int_equal(idle_bit(f, 200), 1);
	assert_return_code(fstat(memfd, &st), errno);
	assert_int_equal(st.st_size, 2 * start.map_bytes);
	/* In units of 512 bytes; a page of memory can be a huge one. */
	assert_in_range(st.st_blocks, 1, 2 * (2 << 20) / 512);
	close(memfd);
	close(fd);
	close(vm);
	close(other);
	unlink(path);
	rmdir(s->d.dir);
	end_helper(s, SIGTERM);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(idle_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_windows, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(damon_recovers, setup, teardown),
		cmocka_unit_test_setup_teardown(damon_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(damon_is_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(damon_snapshots, setup, teardown),
		cmocka_unit_test_setup_teardown(damon_stop_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(watch_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(watch_damon, setup, teardown),
		cmocka_unit_test_setup_teardown(watch_idle_without_privileges, setup, teardown),
		cmocka_unit_test_setup_teardown(watch_damon_without_privileges, setup, teardown),
		cmocka_unit_test_setup_teardown(helper_comes_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(helper_restarts_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(helper_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(helper_is_killed_with_damon, setup, teardown),
		cmocka_unit_test_setup_teardown(helper_trusts_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(helper_knows_who_connected, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_are_sparse, setup, teardown),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
