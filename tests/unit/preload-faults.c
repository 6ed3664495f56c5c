/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For LD_PRELOAD: faults that the test chooses while the program runs, in the file that FAULTS
 * names.  The time of day is wrong, or there is no memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "preload-faults.h"

/* The C library's own functions: dlsym() would ask for memory itself. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t num, size_t size);
void *__libc_realloc(void *p, size_t size);

static struct preload_faults *faults;
static uint64_t rnd = 1;

__attribute__((constructor))
static void find_faults(void)
{
	int fd = open(getenv("FAULTS"), O_RDWR | O_CLOEXEC);
	void *map = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (map == MAP_FAILED)
		abort();
	faults = map;
}

static bool fails(void)
{
	uint32_t one_in = faults ? __atomic_load_n(&faults->memory_fails, __ATOMIC_RELAXED) : 0;

	rnd = rnd * 6364136223846793005 + 1442695040888963407;
	if (!one_in || (rnd >> 33) % one_in)
		return false;
	__atomic_add_fetch(&faults->no_memory, 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t num, size_t size)
{
	return fails() ? NULL : __libc_calloc(num, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	static int (*next)(clockid_t clock, struct timespec *ts);
	int ret;

	if (!next)
		next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	ret = next(clock, ts);
	if (!ret && clock == CLOCK_REALTIME && faults)
		ts->tv_sec += __atomic_load_n(&faults->clock_s, __ATOMIC_RELAXED);
	return ret;
}

time_t time(time_t *to)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (to)
		*to = ts.tv_sec;
	return ts.tv_sec;
}
