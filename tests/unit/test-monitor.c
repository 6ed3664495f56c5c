/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor socket, whose clients may change nothing. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

/* More than hmemd serves in all. */
#define MANY	100

static char path[64];

static int setup(void **state)
{
	*state = fixture_with_socket("monitor-socket", path, NULL);
	return 0;
}

static int teardown(void **state)
{
	fixture_end_with_socket(*state, path);
	return 0;
}

/* Runs hmemctl on the monitor socket. */
static void watch(struct fixture *f, int status, const char *line)
{
	char with_socket[256];

	snprintf(with_socket, sizeof(with_socket), "-s %s %s", path, line);
	ctl(f, status, with_socket);
}

static void may_watch(void **state)
{
	static const char *const lines[] = {
		"list", "status web", "stats web", "policy web get", "jobs", "pool",
		"events", "history web", "config show", "top -n 1 -i 0.1",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		watch(f, 0, lines[i]);
}

static void may_change_nothing(void **state)
{
	static const char *const lines[] = {
		"policy web set rate=9", "policy web reset", "stats web --reset",
		"migrate web --gfn 0-9 --to 1", "migrate web --gfn 0-9 --to 1 --dry-run",
		"cancel 1", "resize web --tier 0 --size 16M", "pool web weight=2", "reload",
	};
	struct fixture *f = *state;
	char before[4096] = "";

	ctl(f, 0, "events");
	assert_in_range(f->ctl.out_len, 1, sizeof(before) - 1);
	memcpy(before, f->ctl.out, f->ctl.out_len);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		watch(f, 1, lines[i]);
		if (!strstr(f->ctl.err, "monitor socket changes nothing") ||
		    !strstr(f->ctl.err, f->d.control_socket))
			fail_msg("%s: %s", lines[i], f->ctl.err);
	}
	ctl(f, 0, "events");
	assert_string_equal(f->ctl.out, before);
}

/*
 * Sends a request of @len bytes, the end of the line not included, and then another one.  Returns
 * the answer to the first.
 */
static struct json_object *answer_to_length(struct fixture *f, const char *at, size_t len)
{
	static const char begin[] = "{\"verb\":\"list\"";
	int fd = peer_socket(at);
	struct json_object *o, *next;
	char *line = malloc(len + 1);

	assert_non_null(line);
	memset(line, ' ', len);
	memcpy(line, begin, strlen(begin));
	memcpy(line + len - 1, "}\n", 2);
	for (size_t done = 0; done <= len;) {
		ssize_t n = send(fd, line + done, len + 1 - done, MSG_NOSIGNAL);

		assert_return_code(n, errno);
		done += n;
	}
	free(line);
	o = control_read(fd);
	control_send(fd, "{\"verb\":\"info\"}");
	next = control_read(fd);
	assert_int_equal(json_num_at(next, "hmemd.pid"), f->d.pid);
	json_object_put(next);
	close(fd);
	return o;
}

/* A parsed request can take hundreds of times as much memory as its text. */
static void long_requests_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *path;
		size_t limit;
		const char *says;
	} sockets[] = {
		{ path, 64 << 10, "at most 64 KiB: use the control socket" },
		{ f->d.control_socket, 4 << 20, "at most 4096 KiB" },
	};

	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		struct json_object *o, *at;

		o = answer_to_length(f, sockets[i].path, sockets[i].limit - 1);
		assert_true(json_at(o, "vms", &at));
		json_object_put(o);
		for (size_t len = sockets[i].limit; len <= 8 << 20; len *= 2) {
			o = answer_to_length(f, sockets[i].path, len);
			assert_true(json_at(o, "error.message", &at));
			assert_non_null(strstr(json_object_get_string(at), sockets[i].says));
			json_object_put(o);
		}
	}
}

/* However many watch, there is a place for those who control. */
static void takes_no_place(void **state)
{
	struct fixture *f = *state;
	int fds[MANY];

	for (unsigned int i = 0; i < MANY; i++)
		fds[i] = peer_socket(path);
	ctl(f, 0, "policy web set rate=9");
	watch(f, 1, "list");
	assert_non_null(strstr(f->ctl.err, "monitor clients already"));
	for (unsigned int i = 0; i < MANY; i++)
		close(fds[i]);
	do
		ctl_run(&f->ctl, &f->d, NULL, "-q list");
	while (f->ctl.status);
	ctl(f, 0, "list");
}

int main(void)
{
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(may_watch),
		TEST(may_change_nothing),
		TEST(long_requests_are_refused),
		TEST(takes_no_place),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
