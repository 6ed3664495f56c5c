/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Measures hints per second through hmemd, of real time and of hmemd's processor time. */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define ROUNDS	40

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* User and system time of a process, in seconds. */
static double cpu_seconds(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64], line[1024], *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	at = strrchr(line, ')');
	assert_int_equal(sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
				"%lu %lu", &user, &system), 2);
	return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

static void bench(void **state)
{
	struct ctl *c = calloc(1, sizeof(*c));
	static struct peer p;
	struct daemon d = { 0 };
	double start, cpu;

	(void)state;
	daemon_start(&d, NULL);
	peer_handshake(&p, d.vm_socket, "web");
	cpu = cpu_seconds(d.pid);
	start = seconds();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ctl_run(c, &d, (struct peer *[]) { &p, NULL },
			i % 2 ? "migrate --all --to 0 --wait" :
			"migrate --all --to 1 --wait");
		assert_int_equal(c->status, 0);
	}
	start = seconds() - start;
	cpu = cpu_seconds(d.pid) - cpu;
	printf("%u hints in %u batches: %.0f a second, ", p.hints, p.batches,
	       p.hints / start);
	if (cpu > 0)
		printf("%.0f a second of hmemd's own\n", p.hints / cpu);
	else
		printf("hmemd took no time that shows\n");
	peer_close(&p);
	daemon_stop(&d);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bench) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
