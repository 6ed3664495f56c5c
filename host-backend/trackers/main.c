/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd-trackers: has the host's kernel track VMs for an hmemd without privileges. */
#include <argp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#include "damon.h"
#include "hmem_trackers.h"
#include "listener.h"
#include "log.h"
#include "service.h"
#include "session.h"

#define VM_SOCKET	"/run/hmemd/vm.sock"
/* Without sessions for so many seconds, a service that systemd starts on demand ends. */
#define IDLE_S		60

const char *argp_program_version = "hmemd-trackers 0.1";

enum { OPT_VM_SOCKET = 256, OPT_HOST_ROOT };

static const struct argp_option options[] = {
	{ "socket", 's', "PATH", 0, "Socket that hmemd connects to (" HMEM_TRACKERS_SOCKET ")", 0 },
	{ "vm-socket", OPT_VM_SOCKET, "PATH", 0,
	  "hmemd's socket for VMs (" VM_SOCKET "): only who has connected there is tracked", 0 },
	/* For tests: a directory with proc/ and mm/ instead of the kernel's. */
	{ "host-root", OPT_HOST_ROOT, "DIR", OPTION_HIDDEN, NULL, 0 },
	{ "verbose", 'v', NULL, 0, "Log more", 0 },
	{ 0 }
};

struct program {
	struct loop loop;
	struct work_queue scans;
	struct sessions sessions;
	struct listener listener;
	const char *socket;
	/* Once per second. */
	struct io second;
	unsigned int idle_s;
	struct io signals;
	struct signalfd_siginfo info;
	int signal_fd;
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct program *p = state->input;

	switch (key) {
	case 's':
		p->socket = arg;
		break;
	case OPT_VM_SOCKET:
		p->sessions.vm_socket = arg;
		break;
	case OPT_HOST_ROOT:
		host_paths_set(&p->sessions.trackers.paths, arg);
		break;
	case 'v':
		log_set_level(LOG_DEBUG);
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': hmemd-trackers takes options only", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.doc = "Has the host's kernel track which pages VMs use, for an hmemd without privileges.",
};

static void on_second(struct io *io, enum io_op op, int res)
{
	struct program *p = (void *)((char *)io - offsetof(struct program, second));

	(void)op, (void)res;
	service_alive();
	listener_resume(&p->listener);
	p->idle_s = p->sessions.num || p->sessions.trackers.damon.used ? 0 : p->idle_s + 1;
	/* systemd listens on, and starts a new process for the next connection. */
	if (p->listener.adopted && p->idle_s >= IDLE_S)
		p->loop.stop = true;
	loop_second(&p->loop, &p->second);
}

static void next_signal(struct program *p)
{
	struct io_uring_sqe *sqe = loop_sqe(&p->loop);

	io_uring_prep_read(sqe, p->signal_fd, &p->info, sizeof(p->info), 0);
	loop_queue(&p->loop, &p->signals, IO_SIGNAL, sqe);
}

static void on_signal(struct io *io, enum io_op op, int res)
{
	struct program *p = (void *)((char *)io - offsetof(struct program, signals));

	(void)op, (void)res;
	p->loop.stop = true;
	next_signal(p);
}

static int begin(struct program *p, struct hmem_err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	p->signals.complete = on_signal;
	p->second.complete = on_second;
	if (p->signal_fd < 0 || loop_add(&p->loop, &p->signals) < 0 ||
	    loop_add(&p->loop, &p->second) < 0)
		return hmem_fail(err, ENOMEM, "cannot watch for signals and time");
	next_signal(p);
	loop_second(&p->loop, &p->second);
	return 0;
}

static void accept_session(void *user, int fd)
{
	session_accept(user, fd);
}

static int listen_on(struct program *p, struct hmem_err *err)
{
	static char path[256];
	int fd = service_socket("trackers", 0);

	if (fd >= 0)
		return listener_adopt(&p->listener, &p->loop, fd, false, path, sizeof(path),
				      accept_session, &p->sessions, err);
	snprintf(path, sizeof(path), "%s", p->socket);
	return listener_open(&p->listener, &p->loop, path, 0600, accept_session, &p->sessions,
			     err);
}

/* Leave nothing of DAMON behind. */
static void drop_all(struct program *p)
{
	struct hmem_err err;

	listener_shut(&p->listener);
	sessions_drop(&p->sessions);
	while ((p->sessions.num || p->sessions.trackers.damon.used) &&
	       loop_turn(&p->loop, &err) >= 0)
		;
}

int main(int argc, char **argv)
{
	struct program p = {
		.socket = HMEM_TRACKERS_SOCKET,
		.listener.fd = -1,
		.sessions.vm_socket = VM_SOCKET,
		.sessions.trackers = {
			.loop = &p.loop,
			.queue = &p.scans,
			/* systemd keeps this directory when the service has ended. */
			.paths = { "/proc", "/sys/kernel/mm", getenv("RUNTIME_DIRECTORY") },
		},
	};
	struct hmem_err err = { "" };
	int ret;

	TAILQ_INIT(&p.sessions.all);
	work_queue_init(&p.scans, &p.loop);
	argp_err_exit_status = 2;
	/* argp itself exits if the user made an error. */
	if (argp_parse(&argp, argc, argv, 0, NULL, &p)) {
		log_msg(LOG_ERR, "no memory for the command line");
		return 1;
	}
	ret = closer_start(&p.sessions.closer, &err);
	if (!ret)
		ret = loop_init(&p.loop, &err);
	if (!ret)
		ret = begin(&p, &err);
	if (!ret)
		ret = listen_on(&p, &err);
	if (!ret) {
		damon_recover(&p.sessions.trackers.paths);
		service_ready();
		log_msg(LOG_INFO, "ready: hmemd connects to %s, VMs to %s", p.listener.path,
			p.sessions.vm_socket);
	}
	while (!ret && !p.loop.stop)
		ret = loop_turn(&p.loop, &err);
	service_stopping();
	if (p.loop.slots)
		drop_all(&p);
	if (ret < 0)
		log_msg(LOG_ERR, "%s", err.msg);
	listener_close(&p.listener);
	if (p.loop.slots)
		loop_exit(&p.loop);
	return ret < 0 ? 1 : 0;
}
