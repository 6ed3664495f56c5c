/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd: places the memory of all VMs of this host; see hmemd(8). */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "capacity.h"
#include "control.h"
#include "device.h"
#include "doorman.h"
#include "hmemd.h"
#include "link_check.h"
#include "log.h"
#include "numbers.h"
#include "saving.h"
#include "service.h"

const char *argp_program_version = "hmemd " HMEMD_VERSION;

/* Long options without a letter; those that the configuration has come first. */
enum {
	OPT_VM_SOCKET = 256, OPT_MAX_VMS, OPT_MAX_USER, OPT_MAX_GUEST, OPT_MAX_TABLES, OPT_POOL,
	OPT_POOL_RESERVE, OPT_PRICES, OPT_MONITOR_SOCKET, OPT_METRICS_SOCKET, OPT_METRICS_ADDRESS,
	OPT_TRACKERS_SOCKET, OPT_STATE_DIRECTORY, OPT_STATE_INTERVAL, OPT_CONFIG, OPT_LOCKSTEP,
	OPT_HOST_ROOT, OPT_LATE,
};

static const struct argp_option options[] = {
	{ "config", OPT_CONFIG, "FILE", 0,
	  "Configuration file (" HMEM_CONFIG_FILE "), see hmemd.conf(5)", 0 },
	{ "socket", 's', "PATH", 0, "Control socket that hmemctl connects to", 0 },
	{ "vm-socket", OPT_VM_SOCKET, "PATH", 0, "Socket that VMs connect to", 0 },
	{ "policy", 'p', "NAME[,K=V...]", 0,
	  "Policy of a VM that connects (off, observe, writes, hmmv, hmvisor, "
	  "auto, which is the default) and its tunables", 0 },
	{ "lockstep", OPT_LOCKSTEP, "N", OPTION_ARG_OPTIONAL,
	  "Guest time stands still while hmemd decides; windows of N VMs end together", 0 },
	{ "pool", OPT_POOL, "SIZE", 0,
	  "Share SIZE of the host's DRAM among the VMs, by resizing their tiers 0", 0 },
	{ "pool-reserve", OPT_POOL_RESERVE, "SIZE", 0,
	  "DRAM of the pool that is not lent (0), so that VMs get back their shares at once", 0 },
	{ "prices", OPT_PRICES, "DRAM:NVM", 0,
	  "Prices of a MiB of tiers 0 and 1, at which VMs with trade = yes exchange memory",
	  0 },
	{ "max-vms", OPT_MAX_VMS, "N", 0, "Largest number of connected VMs (256)", 0 },
	{ "max-user-vms", OPT_MAX_USER, "N", 0,
	  "Largest number of connected VMs of one user (as for all users)", 0 },
	{ "max-guest", OPT_MAX_GUEST, "SIZE", 0,
	  "Most memory that one VM may have (16T)", 0 },
	{ "max-tables", OPT_MAX_TABLES, "SIZE", 0,
	  "Most memory for the page tables of all VMs (a 32nd of the host's memory)", 0 },
	{ "monitor-socket", OPT_MONITOR_SOCKET, "PATH", 0,
	  "Monitor socket: a control socket for clients that may change nothing", 0 },
	{ "metrics-socket", OPT_METRICS_SOCKET, "PATH", 0,
	  "Socket for metrics in the format of Prometheus, over HTTP", 0 },
	{ "metrics-address", OPT_METRICS_ADDRESS, "IP:PORT", 0,
	  "The same on a TCP port of the loopback interface", 0 },
	{ "trackers-socket", OPT_TRACKERS_SOCKET, "PATH", 0,
	  "Socket of hmemd-trackers, for the trackers idle and damon without privileges", 0 },
	{ "state-directory", OPT_STATE_DIRECTORY, "PATH", 0,
	  "Keep what is learned about VMs in this directory, for the next hmemd", 0 },
	{ "state-interval", OPT_STATE_INTERVAL, "SECONDS", 0,
	  "Save it this often, in case of a crash (600; 0: only when hmemd stops)", 0 },
	/* For tests: a directory with proc/ and mm/ instead of the kernel's. */
	{ "host-root", OPT_HOST_ROOT, "DIR", OPTION_HIDDEN, NULL, 0 },
	{ "late", OPT_LATE, "MS", OPTION_HIDDEN, NULL, 0 },
	{ "verbose", 'v', NULL, 0, "Log more", 0 },
	{ 0 }
};

/* The key of the configuration that an option sets; NULL: none. */
static const char *config_key(int key)
{
	static const char *const keys[] = {
		"vm-socket", "max-vms", "max-user-vms", "max-guest", "max-tables", "pool",
		"pool-reserve", "prices", "monitor-socket", "metrics-socket", "metrics-address",
		"trackers-socket", "state-directory", "state-interval",
	};

	switch (key) {
	case 's':
		return "socket";
	case 'p':
		return "policy";
	case 'v':
		return "log";
	default:
		return key >= OPT_VM_SOCKET && key <= OPT_STATE_INTERVAL ?
			keys[key - OPT_VM_SOCKET] : NULL;
	}
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	const char *config = config_key(key);
	struct hmemd *d = state->input;
	struct hmem_err err;
	uint64_t num;

	if (config) {
		if (settings_add(&d->settings, config, arg ? arg : "debug", &err) < 0)
			argp_error(state, "%s", err.msg);
		return 0;
	}
	switch (key) {
	case OPT_CONFIG:
		d->settings.file = arg;
		d->settings.file_given = true;
		break;
	case OPT_LOCKSTEP:
		num = 1;
		if (arg && (hmem_parse_num(arg, strlen(arg), &num, &err) < 0 ||
			    !num || num > 65536))
			argp_error(state, "--lockstep: 1 to 65536 VMs, not '%s'", arg);
		d->lockstep.min = num;
		break;
	case OPT_LATE:
		if (hmem_parse_num(arg, strlen(arg), &num, &err) < 0)
			argp_error(state, "--late: %s", err.msg);
		d->late_ms = num;
		break;
	case OPT_HOST_ROOT:
		host_paths_set(&d->host_trackers.paths, arg);
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': hmemd takes options only", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.doc = "Places the memory of the VMs on this host in its tiers.",
};

/* --- time --- */

static void on_second(struct io *io, enum io_op op, int res)
{
	struct hmemd *d = (void *)((char *)io - offsetof(struct hmemd, second));
	struct vm *vm, *next;

	(void)op, (void)res;
	for (vm = TAILQ_FIRST(&d->vms); vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		device_second(vm);
	}
	/* In lockstep, seconds are those of guest time: see device.c. */
	if (!d->lockstep.min) {
		pooling_second(d);
		trading_second(d);
	}
	capacity_second(d);
	saving_second(d);
	service_alive();
	http_second(&d->http);
	listener_resume(&d->vm_listener);
	listener_resume(&d->control_listener);
	listener_resume(&d->monitor_listener);
	loop_second(&d->loop, &d->second);
}

/* --- signals --- */

struct signals {
	struct io io;
	struct hmemd *d;
	int fd;
	struct signalfd_siginfo info;
	/* The second signal: exit without closing connections properly. */
	bool at_once;
};

static void next_signal(struct signals *s)
{
	struct io_uring_sqe *sqe = loop_sqe(&s->d->loop);

	io_uring_prep_read(sqe, s->fd, &s->info, sizeof(s->info), 0);
	loop_queue(&s->d->loop, &s->io, IO_SIGNAL, sqe);
}

static void on_signal(struct io *io, enum io_op op, int res)
{
	struct signals *s = (struct signals *)io;
	struct hmem_err err;

	(void)op;
	if (res == sizeof(s->info) && s->info.ssi_signo == SIGHUP) {
		settings_reload(s->d, NULL, &err);
	} else if (res == sizeof(s->info)) {
		s->at_once = s->d->loop.stop;
		s->d->loop.stop = true;
	}
	next_signal(s);
}

/* While hmemd stops: has somebody asked again, so that it is to stop at once? */
static bool is_asked_again(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM));
}

static int watch_signals(struct signals *s, struct hmemd *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	s->d = d;
	s->io.complete = on_signal;
	s->fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (s->fd < 0 || loop_add(&d->loop, &s->io) < 0)
		return -1;
	next_signal(s);
	return 0;
}

/* Each VM needs a descriptor, and those that are being closed have some, too. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* --- who comes in --- */

static void accept_vm(void *user, int fd)
{
	struct hmemd *d = user;
	struct ucred cred;

	conn_peer(fd, &cred);
	if (doorman_admits(d, cred.pid, cred.uid))
		device_accept(d, fd);
	else
		close(fd);
}

static void accept_client(void *user, int fd)
{
	client_accept(user, fd, false);
}

static void accept_monitor(void *user, int fd)
{
	client_accept(user, fd, true);
}

/* Close all connections, and wait until the kernel uses no buffer any more. */
static void drop_all(struct hmemd *d, const struct signals *s)
{
	struct hmem_err err;

	/* Stop listening first, or peers that reconnect would keep hmemd here. */
	listener_shut(&d->vm_listener);
	listener_shut(&d->control_listener);
	listener_shut(&d->monitor_listener);
	while (!TAILQ_EMPTY(&d->clients))
		conn_drop((struct conn *)TAILQ_FIRST(&d->clients), false,
			  "hmemd stops");
	saving_stop(d, is_asked_again);
	while (!TAILQ_EMPTY(&d->vms))
		conn_drop(&TAILQ_FIRST(&d->vms)->conn, false, "hmemd stops");
	while ((d->loop.num_conns || d->num_restoring || d->saving.io.pending ||
		d->host_trackers.damon.used ||
		!work_queue_is_empty(&d->discards)) &&
	       !s->at_once &&
	       loop_turn(&d->loop, &err) >= 0)
		;
}

/* Without the directory, hmemd does all the same, but a restart costs what was learned. */
static void open_learned_dir(struct hmemd *d)
{
	const char *path = d->config.state_directory ? d->config.state_directory :
			   service_state_directory();
	struct hmem_err err;

	if (!path)
		return;
	if (learned_dir_open(&d->learned_dir, path, &d->closer, &err) < 0)
		log_msg(LOG_WARN, "what is learned is not saved: state-directory %s", err.msg);
	else if (saving_start(d) < 0)
		learned_dir_close(&d->learned_dir);
}

/* The paths of the sockets stay the same when the configuration is read again. */
static char vm_path[256], control_path[256], monitor_path[256];

/* Listen on the socket that systemd has passed as @name; or on @path, or a default. */
static int listen_on(struct hmemd *d, struct listener *l, const char *name, const char *path,
		     char *buf, mode_t mode, void (*accept)(void *user, int fd),
		     struct hmem_err *err)
{
	int fd = service_socket(name, 0), ret;
	char dir[100];

	if (fd >= 0)
		return listener_adopt(l, &d->loop, fd, false, buf, sizeof(vm_path), accept, d,
				      err);
	if (path) {
		snprintf(buf, sizeof(vm_path), "%s", path);
	} else {
		ret = listener_default_dir(dir, sizeof(dir), err);
		if (ret < 0)
			return ret;
		snprintf(buf, sizeof(vm_path), "%s/%s.sock", dir, name);
	}
	return listener_open(l, &d->loop, buf, mode, accept, d, err);
}

/* Listen at the monitor socket, if that is configured. */
static int listen_for_monitors(struct hmemd *d, struct hmem_err *err)
{
	if (!d->config.monitor_socket && service_socket("monitor", 0) < 0)
		return 0;
	d->monitor_socket = monitor_path;
	return listen_on(d, &d->monitor_listener, "monitor", d->config.monitor_socket,
			 monitor_path, 0660, accept_monitor, err);
}

int main(int argc, char **argv)
{
	struct signals signals = { 0 };
	struct hmem_err err = { "" };
	struct hmemd d;
	int ret;

	hmemd_init(&d);
	d.vm_socket = vm_path;
	d.control_socket = control_path;
	argp_err_exit_status = 2;
	/* argp itself exits if the user made an error. */
	if (argp_parse(&argp, argc, argv, 0, NULL, &d)) {
		log_msg(LOG_ERR, "no memory for the command line");
		return 1;
	}
	ret = settings_load(&d, &err);
	policy_store_init(&d.policies, d.config.max_vms);
	if (ret < 0)
		goto fail;
	d.started = loop_now();

	ret = settings_listening(&d, &err);
	if (!ret)
		ret = closer_start(&d.closer, &err);
	if (!ret)
		ret = loop_init(&d.loop, &err);
	if (ret < 0)
		goto fail;
	d.second.complete = on_second;
	if (watch_signals(&signals, &d) < 0 || loop_add(&d.loop, &d.second) < 0) {
		ret = hmem_fail(&err, ENOMEM, "cannot watch for signals and time");
		goto fail;
	}
	ret = listen_on(&d, &d.control_listener, "control", d.config.socket, control_path,
			0600, accept_client, &err);
	if (!ret)
		ret = listen_on(&d, &d.vm_listener, "vm", d.config.vm_socket, vm_path, 0660,
				accept_vm, &err);
	if (!ret)
		ret = listen_for_monitors(&d, &err);
	if (!ret)
		ret = http_start(&d.http, &d, &err);
	if (ret < 0)
		goto fail;
	open_learned_dir(&d);
	loop_second(&d.loop, &d.second);
	raise_file_limit();
	service_ready();
	events_tell(&d.events, LOG_INFO, "started", NULL, NULL,
		    "ready: VMs connect to %s, hmemctl to %s", d.vm_socket, d.control_socket);

	while (!d.loop.stop && !ret)
		ret = loop_turn(&d.loop, &err);
	service_stopping();
	log_msg(LOG_INFO, "stopping");
	drop_all(&d, &signals);
fail:
	if (ret < 0)
		log_msg(LOG_ERR, "%s", err.msg);
	listener_shut(&d.vm_listener);
	listener_shut(&d.control_listener);
	http_stop(&d.http);
	listener_shut(&d.monitor_listener);
	listener_close(&d.monitor_listener);
	listener_close(&d.vm_listener);
	listener_close(&d.control_listener);
	saving_end(&d);
	policy_store_free(&d.policies);
	pooling_free(&d.pooling);
	settings_free(&d.settings);
	hmem_config_free(&d.config);
	if (d.loop.slots)
		loop_exit(&d.loop);
	return ret < 0 ? 1 : 0;
}
