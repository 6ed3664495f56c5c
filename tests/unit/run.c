/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

#define PATIENCE_MS	60000
#define MAX_ARGS	32

static const char *program(const char *name)
{
	const char *path = getenv(name);

	if (!path)
		fail_msg("%s must say where it is: run make check", name);
	return path;
}

/* In the child: as sd_listen_fds(3) describes. */
static void pass_sockets(const struct daemon *d)
{
	static const char *const names[] = {
		"vm", "vm:control", "vm:control:metrics", "vm:control:metrics:metrics",
	};
	char num[16];
	int n = 0;

	/* Out of the way of 3 to 6 first. */
	for (; n < 4 && d->listen_fds[n]; n++)
		dup2(d->listen_fds[n], 100 + n);
	for (int i = 0; i < n; i++)
		dup2(100 + i, 3 + i);
	snprintf(num, sizeof(num), "%d", (int)getpid());
	setenv("LISTEN_PID", num, 1);
	snprintf(num, sizeof(num), "%d", n);
	setenv("LISTEN_FDS", num, 1);
	setenv("LISTEN_FDNAMES", names[n - 1], 1);
}

static pid_t spawn(struct daemon *d, const char *const *args)
{
	const char *argv[MAX_ARGS] = {
		program("HMEMD"), "-v", "--vm-socket", d->vm_socket, "--socket",
		d->control_socket, "--config", d->config, "--policy=off",
	};
	unsigned int n = 9;
	pid_t pid;

	for (; args && *args; args++)
		argv[n++] = *args;
	pid = fork();
	assert_return_code(pid, errno);
	if (!pid) {
		int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		forbid_io_uring();
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		if (d->listen_fds[0])
			pass_sockets(d);
		if (d->obeys_modes)
			obey_modes();
		if (getenv("HMEMD_PRELOAD"))
			setenv("LD_PRELOAD", getenv("HMEMD_PRELOAD"), 1);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	return pid;
}

void forbid_io_uring(void)
{
	const struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = (struct sock_filter *)filter,
	};

	if (!getenv("NO_IO_URING"))
		return;
	assert_return_code(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), errno);
	assert_return_code(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), errno);
}

void obey_modes(void)
{
	prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
	prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
}

int process_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void daemon_restart(struct daemon *d, const char *const *args)
{
	d->pid = spawn(d, args);
	/* The VM socket appears last; it must accept connections, too. */
	for (unsigned int i = 0; ; i++) {
		struct ctl *c = test_calloc(1, sizeof(*c));
		int status;

		assert_in_range(i, 0, PATIENCE_MS / 10);
		ctl_run(c, d, NULL, "list");
		status = c->status;
		test_free(c);
		if (!status && !access(d->vm_socket, F_OK))
			return;
		assert_int_equal(waitpid(d->pid, NULL, WNOHANG), 0);
		usleep(10000);
	}
}

void daemon_start(struct daemon *d, const char *const *args)
{
	strcpy(d->dir, "/tmp/hmem-unit-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->vm_socket, sizeof(d->vm_socket), "%s/vm.sock", d->dir);
	snprintf(d->control_socket, sizeof(d->control_socket), "%s/control.sock",
		 d->dir);
	snprintf(d->log, sizeof(d->log), "%s/log", d->dir);
	snprintf(d->config, sizeof(d->config), "%s/hmemd.conf", d->dir);
	close(open(d->config, O_WRONLY | O_CREAT, 0600));
	daemon_restart(d, args);
}

static void show_log(struct daemon *d)
{
	char line[1024];
	FILE *f = fopen(d->log, "r");

	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "hmemd: %s", line);
	if (f)
		fclose(f);
}

void daemon_stop(struct daemon *d)
{
	char path[80];
	int status;

	kill(d->pid, SIGTERM);
	status = process_wait(d->pid);
	if (status)
		show_log(d);
	assert_int_equal(status, 0);
	/* The sockets have gone; the locks stay. */
	assert_int_not_equal(access(d->vm_socket, F_OK), 0);
	assert_int_not_equal(access(d->control_socket, F_OK), 0);
	snprintf(path, sizeof(path), "%s.lock", d->vm_socket);
	unlink(path);
	snprintf(path, sizeof(path), "%s.lock", d->control_socket);
	unlink(path);
	unlink(d->log);
	unlink(d->config);
	assert_return_code(rmdir(d->dir), errno);
}

void daemon_kill(struct daemon *d)
{
	kill(d->pid, SIGKILL);
	assert_int_equal(process_wait(d->pid), 128 + SIGKILL);
}

int daemon_second(struct daemon *d)
{
	return process_wait(spawn(d, NULL));
}

pid_t ctl_start(struct ctl *c, struct daemon *d, const char *line, int fds[2])
{
	const char *argv[MAX_ARGS] = {
		program("HMEMCTL"), "-s", d->control_socket,
	};
	int out[2], err[2], n = 3;
	char copy[4096], *save;
	pid_t pid;

	c->out_len = c->err_len = 0;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	assert_return_code(pipe2(out, O_CLOEXEC), errno);
	assert_return_code(pipe2(err, O_CLOEXEC), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);
		struct rlimit limit = { c->file_limit, c->file_limit };

		/* hmemctl may exit early without freeing memory: no leak check. */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		if (c->locale)
			setenv("LC_ALL", c->locale, 1);
		if (c->columns)
			setenv("COLUMNS", c->columns, 1);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* A shell makes the commands that it runs in the background ignore SIGINT. */
		signal(SIGINT, SIG_DFL);
		dup2(null, STDIN_FILENO);
		if (c->to)
			dup2(open(c->to, O_WRONLY), out[1]);
		if (c->file_limit) {
			signal(SIGXFSZ, SIG_IGN);
			setrlimit(RLIMIT_FSIZE, &limit);
		}
		if (c->obeys_modes)
			obey_modes();
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	fds[0] = out[0];
	fds[1] = err[0];
	return pid;
}

static bool pump(int fd, char *buf, size_t *len, size_t size)
{
	ssize_t n;

	assert_in_range(*len, 0, size - 2);
	n = read(fd, buf + *len, size - 1 - *len);
	if (n <= 0)
		return false;
	*len += n;
	return true;
}

void ctl_finish(struct ctl *c, pid_t pid, int fds[2], struct peer *const *peers)
{
	struct pollfd pfd[8] = {
		{ .fd = fds[0], .events = POLLIN }, { .fd = fds[1], .events = POLLIN },
	};
	unsigned int n = 2;

	for (; peers && peers[n - 2]; n++)
		pfd[n] = (struct pollfd) { .fd = peers[n - 2]->fd, .events = POLLIN };
	while (pfd[0].fd >= 0 || pfd[1].fd >= 0) {
		if (poll(pfd, n, PATIENCE_MS) <= 0)
			fail_msg("hmemctl does not end");
		if (pfd[0].revents &&
		    !pump(fds[0], c->out, &c->out_len, sizeof(c->out)))
			pfd[0].fd = -1;
		if (pfd[1].revents &&
		    !pump(fds[1], c->err, &c->err_len, sizeof(c->err)))
			pfd[1].fd = -1;
		for (unsigned int i = 2; i < n; i++) {
			if (pfd[i].revents)
				peer_serve(peers[i - 2]);
		}
	}
	close(fds[0]);
	close(fds[1]);
	c->out[c->out_len] = c->err[c->err_len] = '\0';
	c->status = process_wait(pid);
}

void ctl_run(struct ctl *c, struct daemon *d, struct peer *const *peers,
	     const char *line)
{
	int fds[2];
	pid_t pid = ctl_start(c, d, line, fds);

	ctl_finish(c, pid, fds, peers);
}

/* The golden file's text under "== @name"; with GOLDEN_UPDATE=1, @got. */
static void read_golden(const char *name, const char *got, char *want, size_t size)
{
	const char *path = getenv("GOLDEN");
	const char *wish = getenv("GOLDEN_UPDATE");
	bool update = wish && *wish, in = false;
	FILE *file = fopen(path, update ? "a" : "r");
	char line[256], title[64];

	if (!file)
		fail_msg("cannot open %s", path);
	if (update) {
		fprintf(file, "== %s\n%s", name, got);
		snprintf(want, size, "%s", got);
	}
	snprintf(title, sizeof(title), "== %s\n", name);
	while (!update && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "== ", 3))
			in = !strcmp(line, title);
		else if (in)
			snprintf(want + strlen(want), size - strlen(want), "%s", line);
	}
	fclose(file);
}

void golden_check(const char *name, const char *text)
{
	static char want[1 << 16];
	const bool json = *text == '{';

	*want = '\0';

	for (const char *p = text; *p; ) {
		const char *end = strchr(p, '\n');

		assert_non_null(end);
		assert_in_range(end - p, 0, json ? 4096 : 80);
		assert_true(end == p || end[-1] != ' ');
		p = end + 1;
	}
	read_golden(name, text, want, sizeof(want));
	assert_string_equal(text, want);
}
