/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a program of Debian for a workload. */
#ifndef CHILD_H
#define CHILD_H

#include <stdio.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	FILE *in;	/* the program's standard input; NULL without talk */
	FILE *out;	/* the program's standard output; NULL without talk */
};

/*
 * Runs a program, with pipes if talk is not zero, otherwise without input and
 * output.  If that fails, the child ends with status 127.
 */
struct child child_run(char *const argv[], int talk);

/* Kills the program. */
void child_kill(struct child *c);

#endif /* CHILD_H */
