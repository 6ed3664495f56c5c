// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Start processes that end while they have a file mapped: exits ROUNDS MIB
 *
 * As soon as a process has been waited for, its file system can be unmounted: a scan
 * by the driver must not keep the process's memory any longer.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIR "/tmp/exits"

static void child(size_t bytes)
{
	int fd = open(DIR "/file", O_RDWR | O_CREAT, 0600);
	char *p;

	if (fd < 0 || ftruncate(fd, bytes) < 0)
		err(1, DIR "/file");
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	/* This takes long enough for a scan to be in the middle of the memory. */
	for (int i = 0; i < 4; i++)
		for (size_t at = 0; at < bytes; at += 4096)
			p[at] = 1;
	_exit(0);
}

int main(int argc, char **argv)
{
	int status;

	if (argc != 3)
		errx(2, "usage: exits ROUNDS MIB");
	if (mkdir(DIR, 0700))
		err(1, DIR);
	for (int i = 0; i < atoi(argv[1]); i++) {
		pid_t pid;

		if (mount("exits", DIR, "tmpfs", 0, NULL))
			err(1, "mount");
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (!pid)
			child(strtoul(argv[2], NULL, 0) << 20);
		if (waitpid(pid, &status, 0) != pid || status)
			errx(1, "child: status %#x", status);
		if (umount(DIR))
			err(1, "umount after %d processes", i);
	}
	printf("%s processes\n", argv[1]);
	return 0;
}
