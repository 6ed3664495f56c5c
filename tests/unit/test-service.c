/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd as a service of systemd: sockets that are passed to it, and what it reports. */
#include "unit.h"

#include <errno.h>
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
		cmocka_unit_test(wrong_descriptors),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
