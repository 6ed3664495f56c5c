/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor socket, whose clients may change nothing. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
		TEST(takes_no_place),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
