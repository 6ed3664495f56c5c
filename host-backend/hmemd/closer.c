/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "closer.h"

/* One message in the pipe; the kernel writes up to PIPE_BUF in one piece. */
struct order {
	unsigned int num;
	int fds[255];
};

/*
 * Like fork(), but the child shares the table of file descriptors.  The child may use
 * system calls, but nothing that takes a lock.
 */
static pid_t fork_sharing_files(void)
{
	return syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
}

static void close_all(const struct order *o, unsigned int *done)
{
	for (unsigned int i = 0; i < o->num; i++)
		close(o->fds[i]);
	__atomic_add_fetch(done, 1, __ATOMIC_RELEASE);
}

/* The main function of the process that forks the others. */
static void serve(int pipe, pid_t parent, unsigned int *done)
{
	struct order o;
	sigset_t all;

	/* A terminal's signals are for hmemd only; this process ends with hmemd. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "hmemd-closer");
	while (getppid() == parent) {
		ssize_t n = read(pipe, &o, sizeof(o));

		if (n != (ssize_t)sizeof(o))
			break;
		switch (fork_sharing_files()) {
		case 0:
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close_all(&o, done);
			_exit(0);
		case -1:
			/* Close them here, even if that takes long. */
			close_all(&o, done);
			break;
		default:
			break;
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	_exit(0);
}

int closer_start(struct closer *c, struct hmem_err *err)
{
	pid_t parent = getpid();
	int pipe[2];

	*c = (struct closer) { .pipe = -1 };
	c->done = mmap(NULL, sizeof(*c->done), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->done == MAP_FAILED)
		return hmem_fail(err, errno, "no memory to close files with");
	if (pipe2(pipe, O_CLOEXEC) < 0)
		return hmem_fail(err, errno, "no pipe: %s", strerror(errno));
	c->pid = fork_sharing_files();
	if (c->pid < 0)
		return hmem_fail(err, errno, "no process to close files with: %s",
				 strerror(errno));
	if (!c->pid)
		serve(pipe[0], parent, c->done);
	/* pipe[0] belongs to the child, but both share the table of descriptors. */
	c->pipe = pipe[1];
	fcntl(c->pipe, F_SETFL, O_NONBLOCK);
	return 0;
}

void closer_close(struct closer *c, const int *fds, unsigned int num)
{
	struct order o = { .num = num };

	if (!num)
		return;
	memcpy(o.fds, fds, num * sizeof(*fds));
	/* If the other process has gone or its pipe is full, close the files here. */
	if (c->pid > 0 && write(c->pipe, &o, sizeof(o)) == (ssize_t)sizeof(o)) {
		c->requested++;
		return;
	}
	for (unsigned int i = 0; i < num; i++)
		close(fds[i]);
}

bool closer_is_full(const struct closer *c)
{
	return c->requested - __atomic_load_n(c->done, __ATOMIC_ACQUIRE) >= CLOSER_MAX;
}
