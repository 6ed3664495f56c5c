/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd as a service of systemd: sockets that are passed to it, and what it reports. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fixture.h"

/* A socket of this type at @path, which listens if it is a stream. */
static int bound(const char *path, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_return_code(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
	if (type == SOCK_STREAM)
		assert_return_code(listen(fd, 16), errno);
	return fd;
}

/* Read notifications until one says @what. */
static void expect(int notify, const char *what)
{
	char text[512];
	ssize_t n;

	do {
		struct pollfd p = { .fd = notify, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 60000), 1);
		n = recv(notify, text, sizeof(text) - 1, 0);
		assert_return_code(n, errno);
		text[n] = '\0';
	} while (!strstr(text, what));
}

/* hmemd reports that it is ready, alive, reloading and stopping. */
static void reports(void **state)
{
	char dir[] = "/tmp/hmem-unit-XXXXXX", path[64];
	struct fixture *f;
	int notify;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	notify = bound(path, SOCK_DGRAM);
	setenv("NOTIFY_SOCKET", path, 1);
	f = fixture_new(NULL);
	unsetenv("NOTIFY_SOCKET");
	expect(notify, "READY=1");
	expect(notify, "WATCHDOG=1");
	kill(f->d.pid, SIGHUP);
	expect(notify, "RELOADING=1\nMONOTONIC_USEC=");
	expect(notify, "READY=1");
	fixture_end(f);
	expect(notify, "STOPPING=1");
	close(notify);
	unlink(path);
	rmdir(dir);
}

/* The sockets that were passed stay, so that nobody notices a restart. */
static void passed_sockets_stay(void **state)
{
	char dir[] = "/tmp/hmem-unit-XXXXXX", vm[64], control[64];
	struct fixture *f = calloc(1, sizeof(*f));
	struct daemon *d = &f->d;
	struct peer waits = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(vm, sizeof(vm), "%s/vm", dir);
	snprintf(control, sizeof(control), "%s/control", dir);
	d->listen_fds[0] = bound(vm, SOCK_STREAM);
	d->listen_fds[1] = bound(control, SOCK_STREAM);
	f->web.fd = f->web.map_fd = -1;
	strcpy(d->dir, dir);
	strcpy(d->vm_socket, vm);
	strcpy(d->control_socket, control);
	snprintf(d->log, sizeof(d->log), "%s/log", dir);
	snprintf(d->config, sizeof(d->config), "/dev/null");
	daemon_restart(d, NULL);
	peer_handshake(&f->web, vm, "web");
	ctl(f, 0, "list");
	assert_non_null(strstr(f->ctl.out, "web"));
	kill(d->pid, SIGTERM);
	assert_int_equal(process_wait(d->pid), 0);
	peer_close(&f->web);
	/* Whoever connects now waits for the next hmemd. */
	assert_int_equal(access(vm, F_OK), 0);
	peer_connect(&waits, vm);
	daemon_restart(d, NULL);
	peer_close(&waits);
	peer_handshake(&f->web, vm, "web");
	ctl(f, 0, "list");
	assert_non_null(strstr(f->ctl.out, "web"));
	peer_close(&f->web);
	kill(d->pid, SIGTERM);
	assert_int_equal(process_wait(d->pid), 0);
	close(d->listen_fds[0]);
	close(d->listen_fds[1]);
	unlink(vm);
	unlink(control);
	unlink(d->log);
	assert_return_code(rmdir(dir), errno);
	free(f);
}

/* A TCP socket that listens at this address, at any port. */
static int bound_tcp(uint32_t ip, struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*addr = (struct sockaddr_in) { .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip) };
	assert_return_code(bind(fd, (struct sockaddr *)addr, len), errno);
	assert_return_code(listen(fd, 16), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)addr, &len), errno);
	return fd;
}

/* Sends a request for metrics, and returns the beginning of the answer. */
static char *ask_metrics(int fd)
{
	static const char get[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static char text[64];

	assert_int_equal(send(fd, get, sizeof(get) - 1, 0), sizeof(get) - 1);
	assert_true(recv(fd, text, sizeof(text) - 1, MSG_WAITALL) > 0);
	close(fd);
	return text;
}

/* Metrics are served on all sockets with that name, but not where other hosts could reach. */
static void passed_metrics_sockets(void **state)
{
	char metrics[64], dir[] = "/tmp/hmem-unit-XXXXXX";
	struct daemon d = { .pid = 0 };
	struct sockaddr_in addr;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	strcpy(d.dir, dir);
	snprintf(d.vm_socket, sizeof(d.vm_socket), "%s/vm", dir);
	snprintf(d.control_socket, sizeof(d.control_socket), "%s/control", dir);
	snprintf(metrics, sizeof(metrics), "%s/metrics", dir);
	snprintf(d.log, sizeof(d.log), "%s/log", dir);
	snprintf(d.config, sizeof(d.config), "/dev/null");
	d.listen_fds[0] = bound(d.vm_socket, SOCK_STREAM);
	d.listen_fds[1] = bound(d.control_socket, SOCK_STREAM);
	d.listen_fds[2] = bound(metrics, SOCK_STREAM);
	d.listen_fds[3] = bound_tcp(INADDR_ANY, &addr);
	assert_int_equal(daemon_second(&d), 1);
	close(d.listen_fds[3]);
	d.listen_fds[3] = bound_tcp(INADDR_LOOPBACK, &addr);
	daemon_restart(&d, NULL);
	assert_string_equal(strtok(ask_metrics(peer_socket(metrics)), "\r"),
			    "HTTP/1.1 200 OK");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_return_code(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_string_equal(strtok(ask_metrics(fd), "\r"), "HTTP/1.1 200 OK");
	kill(d.pid, SIGTERM);
	assert_int_equal(process_wait(d.pid), 0);
	for (unsigned int i = 0; i < 4; i++)
		close(d.listen_fds[i]);
	unlink(d.vm_socket);
	unlink(d.control_socket);
	unlink(metrics);
	unlink(d.log);
	assert_return_code(rmdir(dir), errno);
}

/* A descriptor that is no listening socket is refused. */
static void wrong_descriptors(void **state)
{
	struct daemon d = {
		.dir = "/tmp/hmem-unit-XXXXXX",
		.vm_socket = "/nowhere/vm", .control_socket = "/nowhere/control",
	};

	(void)state;
	assert_non_null(mkdtemp(d.dir));
	snprintf(d.log, sizeof(d.log), "%s/log", d.dir);
	snprintf(d.config, sizeof(d.config), "/dev/null");
	for (int type = 0; type < 2; type++) {
		d.listen_fds[0] = d.listen_fds[1] = type ?
			socket(AF_UNIX, SOCK_STREAM, 0) : socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(daemon_second(&d), 1);
		close(d.listen_fds[0]);
	}
	unlink(d.log);
	assert_return_code(rmdir(d.dir), errno);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports),
		cmocka_unit_test(passed_sockets_stay),
		cmocka_unit_test(passed_metrics_sockets),
		cmocka_unit_test(wrong_descriptors),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
