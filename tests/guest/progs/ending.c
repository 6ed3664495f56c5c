// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * When a process that ended while its pages moved has been waited for, the file
 * system of its mapped files can be unmounted:
 *
 *   ending ROUNDS
 *
 * Prints how often the file system was busy instead; exits with 1 if that is not 0.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hint.h"

#define N	256
#define DIR	"/run/ending"

static uint64_t gfns[N];

static void *hint(void *unused)
{
	struct hint_result results[N];

	(void)unused;
	if (hint_migrate(gfns, N, 1, results) < 0)
		errx(1, "the host could not pass on %d hints", N);
	return NULL;
}

static void child(int out)
{
	int fd = open(DIR "/f", O_RDWR | O_CREAT, 0600);
	uint64_t mine[N];
	char *p, *q;

	if (fd < 0 || ftruncate(fd, HINT_PAGE) < 0)
		err(1, DIR "/f");
	q = mmap(NULL, HINT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	p = mmap(NULL, N * HINT_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || q == MAP_FAILED)
		err(1, "mmap");
	madvise(p, N * HINT_PAGE, MADV_NOHUGEPAGE);
	memset(p, 1, N * HINT_PAGE);
	*q = 1;
	hint_gfns(p, N, mine);
	if (write(out, mine, sizeof(mine)) != sizeof(mine))
		err(1, "pipe");
	for (;;)
		pause();
}

static int round_is_busy(int number)
{
	int fds[2], busy;
	pthread_t thread;
	pid_t pid;

	if (mount("none", DIR, "tmpfs", 0, NULL) < 0 || pipe(fds) < 0)
		err(1, DIR);
	pid = fork();
	if (!pid)
		child(fds[1]);
	if (read(fds[0], gfns, sizeof(gfns)) != sizeof(gfns))
		errx(1, "the child died");
	close(fds[0]);
	close(fds[1]);
	if (pthread_create(&thread, NULL, hint, NULL))
		errx(1, "no thread");
	/* Each round kills the child at another time of the move. */
	usleep(20000 + number % 8 * 10000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	busy = umount(DIR) < 0;
	if (busy && errno != EBUSY)
		err(1, "umount");
	pthread_join(thread, NULL);
	if (busy)
		umount2(DIR, MNT_DETACH);
	return busy;
}

int main(int argc, char **argv)
{
	int busy = 0;

	if (argc != 2)
		errx(2, "usage: ending ROUNDS");
	mkdir(DIR, 0700);
	for (int i = 0; i < atoi(argv[1]); i++)
		busy += round_is_busy(i);
	printf("busy=%d\n", busy);
	return !!busy;
}
