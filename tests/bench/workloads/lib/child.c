// SPDX-License-Identifier: GPL-2.0-or-later
/* See child.h. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

struct child child_run(char *const argv[], int talk)
{
	struct child c = { 0 };
	int to[2], from[2];

	fflush(NULL);
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		err(1, "pipe");
	c.pid = fork();
	if (c.pid < 0)
		err(1, "fork");
	if (!c.pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(talk ? to[0] : null, 0);
		dup2(talk ? from[1] : null, 1);
		execv(argv[0], argv);
		warn("%s", argv[0]);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	if (!talk) {
		close(to[1]);
		close(from[0]);
		return c;
	}
	c.in = fdopen(to[1], "w");
	c.out = fdopen(from[0], "r");
	if (!c.in || !c.out)
		err(1, "fdopen");
	return c;
}

void child_kill(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
}
