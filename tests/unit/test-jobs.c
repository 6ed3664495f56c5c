/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Long jobs: hmemctl lists them, and can stop them. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static bool out_has(struct fixture *f, const char *text)
{
	return strstr(f->ctl.out, text) || strstr(f->ctl.err, text);
}

static struct json_object *ctl_json(struct fixture *f, const char *line)
{
	char with[256];
	struct json_object *o;

	snprintf(with, sizeof(with), "-o json %s", line);
	ctl(f, 0, with);
	o = json_tokener_parse(f->ctl.out);
	assert_non_null(o);
	return o;
}

static int64_t ask(struct fixture *f, const char *line, const char *path)
{
	struct json_object *o = ctl_json(f, line);
	int64_t n = json_num_at(o, path);

	json_object_put(o);
	return n;
}

static void listed_and_cancelled(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg[PEER_BATCHES];
	char line[32];
	int64_t job;

	ctl(f, 0, "-q jobs");
	assert_string_equal(f->ctl.out, "");
	ctl(f, 0, "migrate --all --to 1");
	for (unsigned int i = 0; i < PEER_BATCHES; i++)
		peer_expect(&f->web, &msg[i], HMEM_LINK_HINTS);
	ctl(f, 0, "migrate --gfn 5 --to 1");
	job = ask(f, "jobs", "jobs.0.job");
	assert_int_equal(ask(f, "jobs web", "jobs.1.job"), job + 1);
	assert_int_equal(ask(f, "jobs", "jobs.0.pages"), PEER_TIER);
	assert_int_equal(ask(f, "jobs", "jobs.0.batches"), PEER_BATCHES);
	ctl(f, 0, "jobs");
	assert_true(out_has(f, "moving"));
	assert_true(out_has(f, "waiting"));
	ctl(f, 1, "jobs nobody");
	/*
	 * A job with batches under way ends when these are answered; a waiting job ends at
	 * once.
	 */
	snprintf(line, sizeof(line), "cancel %d", (int)job);
	ctl(f, 0, line);
	assert_true(out_has(f, "4 batches are still under way"));
	ctl(f, 0, "jobs");
	assert_true(out_has(f, "stopping"));
	snprintf(line, sizeof(line), "cancel %d", (int)job + 1);
	ctl(f, 0, line);
	while (ask(f, "jobs", "jobs.1.job") >= 0)
		;
	for (unsigned int i = 0; i < PEER_BATCHES; i++)
		peer_answer(&f->web, &msg[i]);
	while (ask(f, "jobs", "jobs.0.job") >= 0)
		;
	assert_int_equal(ask(f, "stats", "counters.demoted"),
			 PEER_BATCHES * HMEM_LINK_MAX_HINTS);
	assert_int_equal(ask(f, "stats", "counters.batches"), PEER_BATCHES);
	ctl(f, 1, line);
	assert_true(out_has(f, "no job"));
	assert_true(out_has(f, "hmemctl jobs"));
	ctl(f, 2, "cancel");
	ctl(f, 2, "cancel x");
	ctl(f, 2, "cancel 0");
	ctl(f, 2, "cancel 1 2");
}

/* Does the process handle the signal? */
static bool handles(pid_t pid, int sig)
{
	char path[32], line[128];
	unsigned long long caught = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "SigCgt: %llx", &caught);
	fclose(file);
	return caught >> (sig - 1) & 1;
}

/* After Ctrl-C, hmemctl says which job stops, waits for the batches under way, and reports. */
static void interrupted(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg[PEER_BATCHES];
	int fds[2];
	pid_t pid = ctl_start(&f->ctl, &f->d, "migrate --all --to 1 --wait", fds);

	for (unsigned int i = 0; i < PEER_BATCHES; i++)
		peer_expect(&f->web, &msg[i], HMEM_LINK_HINTS);
	while (!handles(pid, SIGINT))
		usleep(1000);
	kill(pid, SIGINT);
	for (;;) {
		ctl_run(&f->other, &f->d, NULL, "jobs");
		if (strstr(f->other.out, "stopping"))
			break;
	}
	for (unsigned int i = 0; i < PEER_BATCHES; i++)
		peer_answer(&f->web, &msg[i]);
	ctl_finish(&f->ctl, pid, fds, NULL);
	assert_int_equal(f->ctl.status, 3);
	assert_true(out_has(f, "job 1 asks for no more pages"));
	assert_true(out_has(f, "job 1 was cancelled; 2044 of 8192 pages were answered"));
	assert_true(out_has(f, "moved"));
	/* After a second Ctrl-C, hmemctl does not wait. */
	pid = ctl_start(&f->ctl, &f->d, "migrate --all --to 1 --wait", fds);
	peer_expect(&f->web, &msg[0], HMEM_LINK_HINTS);
	while (!handles(pid, SIGINT))
		usleep(1000);
	kill(pid, SIGINT);
	while (handles(pid, SIGINT))
		usleep(1000);
	kill(pid, SIGINT);
	ctl_finish(&f->ctl, pid, fds, NULL);
	assert_int_equal(f->ctl.status, 128 + SIGINT);
}

/* If a guest does not answer for a time, hmemctl and the log say so. */
static void never_answered(void **state)
{
	struct fixture *f = fixture_new((const char *[]) { "--late=1", NULL });
	struct peer_msg msg;
	char line[512] = "";
	bool logged = false;
	FILE *log;

	(void)state;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	assert_int_equal(ask(f, "list", "vms.0.oldest_batch_s"), -1);
	ctl(f, 0, "migrate --gfn 5 --to 1");
	peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	while (!ask(f, "list", "vms.0.late"))
		;
	assert_true(ask(f, "status", "vms.0.oldest_batch_s") >= 0);
	ctl(f, 0, "status");
	assert_true(out_has(f, "waiting for the guest's driver, which has not answered for"));
	doctor(f);
	assert_true(out_has(f, "1 batches are under way: see the guest's log"));
	while (!logged) {
		log = fopen(f->d.log, "r");
		assert_non_null(log);
		while (fgets(line, sizeof(line), log))
			logged |= strstr(line, "has not answered for") != NULL;
		fclose(log);
	}
	/* A stopped VM is not late, nor is a VM that has answered. */
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK);
	while (ask(f, "list", "vms.0.late"))
		;
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_answer(&f->web, &msg);
	while (ask(f, "list", "vms.0.batches"))
		;
	assert_int_equal(ask(f, "list", "vms.0.late"), 0);
	fixture_end(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, \
							   fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(listed_and_cancelled),
		TEST(interrupted),
		cmocka_unit_test(never_answered),
	};

	return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
