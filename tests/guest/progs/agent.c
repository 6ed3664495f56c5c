// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's first process: it runs commands for the test on the host, and passes
 * page moves that guest programs request on to the test.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define MAX_PEERS 64

/* A command that runs, or a connection of a program that requests page moves. */
struct peer {
	int fd;			/* output pipe or connection; -1: closed */
	pid_t pid;		/* of a command; 0: a connection */
	uint32_t id;
	int status;		/* once the command has ended */
	int ended;
};

static struct peer peers[MAX_PEERS];
static int port;

static void put(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;		/* the reader is gone */
		p += n;
		len -= n;
	}
}

/* Returns 0 if all @len bytes came, -1 if the other side is gone. */
static int get(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= n;
	}
	return 0;
}

static void send_host(uint32_t type, uint32_t id, const void *data, uint32_t len)
{
	struct agent_header h = { type, id, len };

	put(port, &h, sizeof(h));
	put(port, data, len);
}

static struct peer *add_peer(int fd, pid_t pid, uint32_t id)
{
	for (struct peer *p = peers; p < peers + MAX_PEERS; p++) {
		if (p->fd < 0 && !p->pid) {
			*p = (struct peer){ .fd = fd, .pid = pid, .id = id };
			return p;
		}
	}
	return NULL;
}

static struct peer *find_peer(uint32_t id, int command)
{
	for (struct peer *p = peers; p < peers + MAX_PEERS; p++)
		if ((p->fd >= 0 || p->pid) && p->id == id && !p->pid == !command)
			return p;
	return NULL;
}

static void run(uint32_t id, const char *command)
{
	int out[2];
	uint32_t status = 127 << 8;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		setsid();
		dup2(null, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(out[1]);
	if (!add_peer(out[0], pid, id)) {
		kill(-pid, SIGKILL);
		close(out[0]);
		send_host(AGENT_EXIT, id, &status, sizeof(status));
	}
}

/*
 * A command is over when its process has ended.  Processes that the command left in
 * the background keep running; their output is dropped.
 */
static void finish(struct peer *p)
{
	uint32_t status = p->status;
	char buf[4096];
	ssize_t n;

	if (p->fd >= 0) {
		fcntl(p->fd, F_SETFL, O_NONBLOCK);
		while ((n = read(p->fd, buf, sizeof(buf))) > 0)
			send_host(AGENT_OUTPUT, p->id, buf, n);
		close(p->fd);
	}
	send_host(AGENT_EXIT, p->id, &status, sizeof(status));
	*p = (struct peer){ .fd = -1 };
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (struct peer *p = peers; p < peers + MAX_PEERS; p++) {
			if (p->pid == pid) {
				p->status = status;
				finish(p);
			}
		}
	}
}

/* Read and handle one message from the host.  Returns -1 if the host is gone. */
static int from_host(void)
{
	struct agent_header h;
	struct peer *p;
	char *data;

	if (get(port, &h, sizeof(h)) < 0)
		return -1;
	data = malloc(h.len + 1);
	if (!data)
		errx(1, "no memory for a message of %u bytes", h.len);
	if (get(port, data, h.len) < 0) {
		free(data);
		return -1;
	}
	data[h.len] = 0;
	p = find_peer(h.id, h.type != AGENT_ANSWER);
	switch (h.type) {
	case AGENT_RUN:
		run(h.id, data);
		break;
	case AGENT_KILL:
		if (p)
			kill(-p->pid, SIGKILL);
		break;
	case AGENT_ANSWER:
		if (p) {
			put(p->fd, &h.len, sizeof(h.len));
			put(p->fd, data, h.len);
		}
		break;
	default:
		warnx("unknown message %u from the host", h.type);
	}
	free(data);
	return 0;
}

static void from_peer(struct peer *p)
{
	static char buf[65536];
	uint32_t len;
	ssize_t n;
	char *data;

	if (p->pid) {
		n = read(p->fd, buf, sizeof(buf));
		if (n > 0) {
			send_host(AGENT_OUTPUT, p->id, buf, n);
		} else {
			close(p->fd);
			p->fd = -1;
		}
		return;
	}
	if (get(p->fd, &len, sizeof(len)) == 0 &&
	    len <= sizeof(struct hint_request) + HINT_MAX * sizeof(uint64_t) &&
	    (data = malloc(len))) {
		if (get(p->fd, data, len) == 0) {
			send_host(AGENT_HINT, p->id, data, len);
			free(data);
			return;
		}
		free(data);
	}
	close(p->fd);
	*p = (struct peer){ .fd = -1 };
}

/* Open the port's device file as soon as the driver has made it. */
static int open_port(void)
{
	const char *dir = "/sys/class/virtio-ports";

	for (;;) {
		DIR *d = opendir(dir);
		struct dirent *e;

		while (d && (e = readdir(d))) {
			char path[512], name[64] = "";
			FILE *f;
			int fd;

			snprintf(path, sizeof(path), "%s/%s/name", dir, e->d_name);
			f = fopen(path, "r");
			if (!f)
				continue;
			if (!fgets(name, sizeof(name), f))
				name[0] = 0;
			fclose(f);
			if (strcmp(name, AGENT_PORT "\n"))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", e->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd >= 0) {
				closedir(d);
				return fd;
			}
		}
		if (d)
			closedir(d);
		usleep(20000);
	}
}

static int listen_hints(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path + 1, HINT_SOCKET, sizeof(HINT_SOCKET) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a,
			   offsetof(struct sockaddr_un, sun_path) +
			   sizeof(HINT_SOCKET)) < 0 || listen(fd, 16) < 0)
		err(1, "hint socket");
	return fd;
}

static void on_child(int sig)
{
	(void)sig;	/* only to interrupt ppoll() */
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_child };
	uint32_t next_hint = 0;
	sigset_t child, none;
	int hints;

	for (int i = 0; i < MAX_PEERS; i++)
		peers[i].fd = -1;
	sigaction(SIGCHLD, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	hints = listen_hints();
	port = open_port();
	send_host(AGENT_READY, 0, NULL, 0);

	for (;;) {
		struct pollfd fds[2 + MAX_PEERS];

		/* This goes first: it closes descriptors whose numbers are then used again. */
		reap();
		fds[0] = (struct pollfd){ port, POLLIN, 0 };
		fds[1] = (struct pollfd){ hints, POLLIN, 0 };
		for (int i = 0; i < MAX_PEERS; i++)
			fds[2 + i] = (struct pollfd){ peers[i].fd, POLLIN, 0 };
		if (ppoll(fds, 2 + MAX_PEERS, NULL, &none) < 0)
			continue;
		if (fds[0].revents & (POLLIN | POLLHUP) && from_host() < 0)
			usleep(100000);		/* wait for a host to connect again */
		for (int i = 0; i < MAX_PEERS; i++)
			if (fds[2 + i].revents && peers[i].fd == fds[2 + i].fd)
				from_peer(&peers[i]);
		if (fds[1].revents & POLLIN) {
			int fd = accept4(hints, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0 && !add_peer(fd, 0, next_hint++))
				close(fd);
		}
	}
}
