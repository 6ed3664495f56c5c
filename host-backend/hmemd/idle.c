/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hmem_link.h"
#include "idle.h"

/* Pages that are looked up together. */
#define CHUNK		4096u
/* Largest page on an LRU list, in base pages. */
#define HUGE		512u

/* Bits of /proc/PID/pagemap. */
#define MAP_PRESENT	(UINT64_C(1) << 63)
#define MAP_PFN		((UINT64_C(1) << 55) - 1)

/* Bits of /proc/kpageflags. */
#define FLAG_LRU	(UINT64_C(1) << 5)
#define FLAG_TAIL	(UINT64_C(1) << 16)

/* A frame, and the physical page that has its idle flag. */
struct target {
	uint64_t pfn, gfn;
};

/* The lookup of a chunk: for each page the physical page with its flag; 0: none. */
struct lookup {
	uint64_t map[CHUNK], flags[CHUNK], pfn[CHUNK];
	struct target targets[CHUNK];
	unsigned int num;
	bool sorted;
};

static bool bit(const uint64_t *map, uint64_t gfn)
{
	return map[gfn / 64] >> gfn % 64 & 1;
}

static int open_one(const char *dir, const char *file, int flags,
		    const char *lacking, struct hmem_err *err)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return hmem_fail(err, ENOTSUP, "there is no %s: %s", path, lacking);
	if (errno == EACCES || errno == EPERM || errno == EROFS)
		return hmem_fail(err, EPERM, "%s may not be opened (%s): track=idle "
				 "needs root with CAP_SYS_ADMIN, see hmemd-trackers(8)", path,
				 strerror(errno));
	return hmem_fail(err, errno, "cannot open %s: %s", path, strerror(errno));
}

int idle_open(struct idle *i, const struct host_paths *paths, pid_t pid,
	      uint64_t map_bytes, struct hmem_err *err)
{
	char of_pid[32];
	int ret;

	*i = (struct idle) {
		.pagemap = -1, .bitmap = -1, .flags = -1,
		.pid = pid,
		.armed = MAP_FAILED,
		.map_bytes = map_bytes,
	};
	ret = i->bitmap = open_one(paths->mm, "page_idle/bitmap", O_RDWR,
				   "the host's kernel has no idle page tracking, which "
				   "needs CONFIG_IDLE_PAGE_TRACKING=y", err);
	if (ret < 0)
		goto fail;
	ret = i->flags = open_one(paths->proc, "kpageflags", O_RDONLY,
				  "the host's kernel lacks CONFIG_PROC_PAGE_MONITOR=y",
				  err);
	if (ret < 0)
		goto fail;
	snprintf(of_pid, sizeof(of_pid), "%d/pagemap", (int)pid);
	ret = i->pagemap = open_one(paths->proc, of_pid, O_RDONLY,
				    "the VM's process has ended, or is not visible "
				    "from where hmemd runs", err);
	if (ret < 0)
		goto fail;
	/* The map takes memory only where it has contents. */
	i->armed = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (i->armed == MAP_FAILED) {
		ret = hmem_fail(err, ENOMEM, "no memory for the map of idle pages");
		goto fail;
	}
	return 0;
fail:
	idle_close(i);
	return ret;
}

void idle_close(struct idle *i)
{
	const int fds[] = { i->pagemap, i->bitmap, i->flags };

	for (unsigned int k = 0; k < 3; k++) {
		if (fds[k] >= 0)
			close(fds[k]);
	}
	if (i->armed != MAP_FAILED)
		munmap(i->armed, i->map_bytes);
}

/* The first page of the huge page that contains @pfn, if that is on an LRU list. */
static uint64_t head_before(const struct idle *i, uint64_t pfn)
{
	uint64_t base = pfn & ~(uint64_t)(HUGE - 1), flags[HUGE];
	size_t num = pfn - base;

	if (pread(i->flags, flags, num * 8, base * 8) != (ssize_t)(num * 8))
		return 0;
	while (num--) {
		if (!(flags[num] & FLAG_TAIL))
			return flags[num] & FLAG_LRU ? base + num : 0;
	}
	return 0;
}

/* Look up pages @from .. @to - 1 of the chunk, whose physical pages are consecutive. */
static void look_up_run(const struct idle *i, struct lookup *l, uint64_t from,
			uint64_t to)
{
	uint64_t pfn = l->map[from] & MAP_PFN;
	size_t len = (to - from) * 8;

	/* Memory without a struct page (of a device) has no flags. */
	if (pread(i->flags, l->flags + from, len, pfn * 8) != (ssize_t)len)
		return;
	for (uint64_t k = from; k < to; k++, pfn++) {
		if (!(l->flags[k] & FLAG_TAIL))
			l->pfn[k] = l->flags[k] & FLAG_LRU ? pfn : 0;
		else
			l->pfn[k] = k > from ? l->pfn[k - 1] : head_before(i, pfn);
	}
}

static int look_up(const struct idle *i, struct lookup *l, uint64_t num,
		   uint64_t hva, struct hmem_err *err)
{
	ssize_t n = pread(i->pagemap, l->map, num * 8, hva / HMEM_LINK_PAGE_SIZE * 8);
	uint64_t from = 0;

	if (n < 0)
		return hmem_fail(err, errno, "cannot read where process %d has its "
				 "memory: %s", (int)i->pid, strerror(errno));
	if (n != (ssize_t)(num * 8))
		return hmem_fail(err, ESRCH, "process %d has ended", (int)i->pid);
	memset(l->pfn, 0, sizeof(l->pfn));
	l->num = 0;
	for (uint64_t k = 0; k < num; k++) {
		bool present = l->map[k] & MAP_PRESENT;

		if (present && !(l->map[k] & MAP_PFN))
			return hmem_fail(err, EPERM, "the kernel hides where process %d "
					 "has its memory: that needs CAP_SYS_ADMIN",
					 (int)i->pid);
		if (!present) {
			from = k + 1;
			continue;
		}
		if (k + 1 < num && l->map[k + 1] & MAP_PRESENT &&
		    (l->map[k + 1] & MAP_PFN) == (l->map[k] & MAP_PFN) + 1)
			continue;
		look_up_run(i, l, from, k + 1);
		from = k + 1;
	}
	return 0;
}

static void add(struct lookup *l, uint64_t pfn, uint64_t gfn)
{
	if (!l->num)
		l->sorted = true;
	else if (pfn < l->targets[l->num - 1].pfn)
		l->sorted = false;
	l->targets[l->num++] = (struct target) { pfn, gfn };
}

static int by_pfn(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	return (x->pfn > y->pfn) - (x->pfn < y->pfn);
}

/* Sort by physical page: reading a word costs the kernel 64 pages, so read it once. */
static void sort(struct lookup *l)
{
	if (l->num && !l->sorted)
		qsort(l->targets, l->num, sizeof(l->targets[0]), by_pfn);
}

struct word {
	uint64_t at, bits;
	bool valid;
};

static int read_idle(const struct idle *i, struct word *w, uint64_t pfn,
		     struct hmem_err *err)
{
	if (!w->valid || w->at != pfn / 64) {
		*w = (struct word) { .at = pfn / 64, .valid = true };
		if (pread(i->bitmap, &w->bits, 8, w->at * 8) < 0)
			return hmem_fail(err, errno, "cannot read page_idle/bitmap: %s",
					 strerror(errno));
	}
	return w->bits >> pfn % 64 & 1;
}

static int set_idle(const struct idle *i, struct word *w, struct hmem_err *err)
{
	if (w->valid && pwrite(i->bitmap, &w->bits, 8, w->at * 8) != 8)
		return hmem_fail(err, errno, "cannot write page_idle/bitmap: %s",
				 strerror(errno));
	w->valid = false;
	return 0;
}

static int64_t collect_chunk(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
			     uint64_t *accessed, struct hmem_err *err)
{
	struct word word = { .valid = false };
	struct lookup l;
	int64_t found = 0;
	int ret = look_up(i, &l, num, hva, err);

	if (ret < 0)
		return ret;
	for (uint64_t k = 0; k < num; k++) {
		uint64_t lane = UINT64_C(1) << (gfn + k) % 64;

		if (!(l.map[k] & MAP_PRESENT))
			i->armed[(gfn + k) / 64] &= ~lane;
		if (!l.pfn[k])
			continue;
		if (bit(i->armed, gfn + k)) {
			add(&l, l.pfn[k], gfn + k);
		} else {
			accessed[(gfn + k) / 64] |= lane;
			found++;
		}
	}
	sort(&l);
	for (unsigned int k = 0; k < l.num; k++) {
		const struct target *t = &l.targets[k];

		ret = read_idle(i, &word, t->pfn, err);
		if (ret < 0)
			return ret;
		if (ret)
			continue;
		i->armed[t->gfn / 64] &= ~(UINT64_C(1) << t->gfn % 64);
		accessed[t->gfn / 64] |= UINT64_C(1) << t->gfn % 64;
		found++;
	}
	return found;
}

int64_t idle_collect(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
		     uint64_t *accessed, struct hmem_err *err)
{
	int64_t found = 0;

	for (uint64_t k = 0; k < num; k += CHUNK) {
		uint64_t n = num - k < CHUNK ? num - k : CHUNK;
		int64_t ret = collect_chunk(i, gfn + k, n, hva + k * HMEM_LINK_PAGE_SIZE,
					    accessed, err);

		if (ret < 0)
			return ret;
		found += ret;
	}
	return found;
}

static int rearm_chunk(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
		       const uint64_t *rearm, struct hmem_err *err)
{
	struct word word = { .valid = false };
	struct lookup l;
	int ret = look_up(i, &l, num, hva, err);

	if (ret < 0)
		return ret;
	for (uint64_t k = 0; k < num; k++) {
		if (!bit(rearm, gfn + k) || !(l.map[k] & MAP_PRESENT))
			continue;
		i->present++;
		if (l.pfn[k])
			add(&l, l.pfn[k], gfn + k);
	}
	i->tracked += l.num;
	sort(&l);
	for (unsigned int k = 0; !ret && k < l.num; k++) {
		const struct target *t = &l.targets[k];

		if (word.at != t->pfn / 64)
			ret = set_idle(i, &word, err);
		if (!word.valid)
			word = (struct word) { .at = t->pfn / 64, .valid = true };
		word.bits |= UINT64_C(1) << t->pfn % 64;
		i->armed[t->gfn / 64] |= UINT64_C(1) << t->gfn % 64;
	}
	return ret ? ret : set_idle(i, &word, err);
}

int idle_rearm(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
	       uint64_t *rearm, struct hmem_err *err)
{
	for (uint64_t k = 0; k < num; k += CHUNK) {
		uint64_t n = num - k < CHUNK ? num - k : CHUNK, any = 0, at;
		int ret;

		for (at = (gfn + k) / 64; at <= (gfn + k + n - 1) / 64; at++)
			any |= rearm[at];
		if (!any)
			continue;
		ret = rearm_chunk(i, gfn + k, n, hva + k * HMEM_LINK_PAGE_SIZE, rearm,
				  err);
		if (ret < 0)
			return ret;
		for (at = gfn + k; at < gfn + k + n; at++)
			rearm[at / 64] &= ~(UINT64_C(1) << at % 64);
	}
	return 0;
}

int idle_check(const struct idle *i, struct hmem_err *err)
{
	if (i->tracked >= i->present / 2)
		return 0;
	return hmem_fail(err, ENOTSUP, "of %" PRIu64 " pages of process %d, the kernel "
			 "tracks only %" PRIu64 ": it cannot track those of hugetlbfs "
			 "and DAX, use another tracker", i->present, (int)i->pid,
			 i->tracked);
}
