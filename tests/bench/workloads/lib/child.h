/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs of Debian's that a workload runs and talks to. */
#ifndef CHILD_H
#define CHILD_H

#include <stdio.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	FILE *in;	/* its standard input; NULL unless asked for */
	FILE *out;	/* its standard output; NULL unless asked for */
};

/*
 * Run a program, with pipes if talk is not zero, else without input and output.
 * One that cannot be run ends with status 127.
 */
struct child child_run(char *const argv[], int talk);

/* End it at once. */
void child_kill(struct child *c);

#endif /* CHILD_H */
