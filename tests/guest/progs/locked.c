// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keep the lock of the address space busy: locked STOPFILE
 *
 * Some threads change the protection of the same large mapping, which takes that lock
 * for writing: at any time one of the threads holds the lock or waits for the lock.
 * Prints "locked" when the threads have begun.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (32ul << 20)
#define THREADS 6

static volatile bool stop;
static char *mem;

static void *protect(void *unused)
{
	while (!stop)
		if (mprotect(mem, BYTES, PROT_READ) ||
		    mprotect(mem, BYTES, PROT_READ | PROT_WRITE))
			err(1, "mprotect");
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	if (argc != 2)
		errx(2, "usage: locked STOPFILE");
	mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		err(1, "mmap");
	madvise(mem, BYTES, MADV_NOHUGEPAGE);
	memset(mem, 1, BYTES);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, protect, NULL))
			errx(1, "no thread");
	printf("locked\n");
	fflush(stdout);
	while (access(argv[1], F_OK) < 0)
		usleep(100000);
	stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
