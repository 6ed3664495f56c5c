/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures in seconds how fast known workloads run under a policy, in a model of
 * a guest.  This shows what a tunable does, and what to try in the simulator.
 *
 *   bench-policy [-H] [-c CPUS] [-l LOAD] [-m TIMES] [-r RUN] [-s SECONDS] [-v]
 *                POLICY[,KEY=VALUE...]...
 *
 * With -H, the guest's pages are in huge pages.  The guest has TIMES as much memory as that of
 * the benchmark, 640 MiB, with as many processors, or with CPUS processors.  Runs with different
 * numbers RUN differ by chance.
 * POLICY can also be static (no page moves) and oracle (the best placement that
 * does not change).  Prints millions of accesses per second, over the whole time
 * without its first second, and over the last 40 % of that; the number of moved
 * pages; the percentages of time that moves and looks took; and the share of
 * accesses to tier 0 at the end.  With -v, prints figures each 100 ms.
 */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

/* The machine and the data of the benchmark in tests/bench. */
#define MIB		256u
#define FAST		(192 * MIB)
#define KERNEL		(70 * MIB)
#define SLOW		(448 * MIB)
#define DATA		(256 * MIB)
#define WINDOW_MS	100
#define STEADY		0.4
/* 1 TiB. */
#define MAX_TIMES	1638
/* As hmem_track_pass_ns() of the device: no shorter window than 12.5 ns per page. */
#define PASS_NS		12.5

static const struct model_load loads[] = {
	{ .name = "gups", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90 },
	{ .name = "gups-moving", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .move = 5 },
	{ .name = "zipf", .costs = &model_updates, .pages = DATA,
	  .zipf = true, .reads = true },
	{ .name = "uniform", .costs = &model_updates, .pages = DATA, .hot = DATA },
	{ .name = "too-large", .costs = &model_updates, .pages = DATA,
	  .hot = 200 * MIB, .weight = 90 },
	{ .name = "seq", .costs = &model_pages, .pages = DATA,
	  .hot = 51 * MIB, .sweep = true, .move = 5 },
	{ .name = "seq-still", .costs = &model_pages, .pages = DATA,
	  .hot = 51 * MIB, .sweep = true },
	{ .name = "seq-all", .costs = &model_pages, .pages = DATA,
	  .hot = DATA, .sweep = true },
	{ .name = "idle", .costs = &model_pages, .pages = DATA,
	  .hot = 150 * MIB, .weight = 100 },
	/* The hot set is a little larger than tier 0 without the kernel. */
	{ .name = "overflow", .costs = &model_updates, .pages = DATA,
	  .hot = 130 * MIB, .weight = 90 },
	{ .name = "mild", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 50 },
	/* Few pages are used much more often than all others. */
	{ .name = "core", .costs = &model_updates, .pages = DATA,
	  .hot = 12 * MIB, .weight = 60 },
	{ .name = "phases-0.5", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .move = 0.5 },
	{ .name = "phases-60", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .move = 60 },
	{ .name = "idle-99", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .busy = 1 },
	/* 3 ms: the least time that Linux lets a process run if others wait. */
	{ .name = "turns", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .processes = 4, .turn = 0.003 },
	{ .name = "short-lived", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .processes = 32, .life = 0.5 },
	{ .name = "stream", .costs = &model_updates, .pages = DATA,
	  .hot = 64 * MIB, .weight = 90, .cache = 192 * MIB, .streams = 1 },
	/* Each hot page is used eight times per second, as in redis of the benchmark. */
	{ .name = "requests", .costs = &model_requests, .pages = 200 * MIB,
	  .hot = 40 * MIB, .weight = 90 },
};

/* By how much the machine and the data are larger than those of the benchmark. */
static unsigned int times = 1;
/* The processors; 0: as many times those of the benchmark. */
static unsigned int cpus;
/* Are the pages in huge pages? */
static bool huge;
/* So many random numbers come before those of the run. */
static unsigned int skipped;

static __attribute__((noreturn)) void usage(void)
{
	fprintf(stderr, "usage: bench-policy [-H] [-c CPUS] [-l LOAD] [-m TIMES] [-r RUN] "
		"[-s SECONDS] [-v] POLICY[,KEY=VALUE...]...\nloads:");
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++)
		fprintf(stderr, " %s", loads[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static void set(struct hmem_policy *policy, const char *key, const char *value)
{
	struct hmem_err err;

	if (hmem_policy_set(policy, key, value, &err) < 0) {
		fprintf(stderr, "bench-policy: %s\n", err.msg);
		exit(2);
	}
}

static void configure(struct model *m, const char *config)
{
	char *text = strdup(config), *save, *word = strtok_r(text, ",", &save);

	if (!word)
		usage();
	m->policy.window = WINDOW_MS;
	m->policy.kind = HMEM_POLICY_OFF;
	if (!strcmp(word, "oracle"))
		model_place_best(m);
	else if (strcmp(word, "static"))
		set(&m->policy, "name", word);
	while ((word = strtok_r(NULL, ",", &save))) {
		char *value = strchr(word, '=');

		if (!value)
			usage();
		*value++ = '\0';
		set(&m->policy, word, value);
	}
	free(text);
}

static double mops(const struct model *m, const struct model *since)
{
	return (m->ops - since->ops) / (m->ns - since->ns) * 1e3;
}

static void report(const struct model *m, const struct model *since)
{
	double ns = m->ns - since->ns;

	printf("%9lu %6.2f %6.2f %6.3f", (unsigned long)(m->moved - since->moved),
	       (m->moving - since->moving) / ns * 100,
	       (m->stalled - since->stalled) / ns * 100, model_fast_share(m));
}

static void run(const struct model_load *one, const char *config, double seconds,
		bool verbose)
{
	/* These copies are only for their figures; their pointers belong to @m. */
	struct model m, warm, late;
	struct model_load larger = *one, boot;
	const struct model_load *load = &larger;
	char text[256];

	larger.pages *= times;
	larger.hot *= times;
	larger.cache *= times;
	boot = (struct model_load) {
		.costs = larger.costs,
		.pages = larger.pages,
		.cache = larger.cache,
		.hot = larger.pages / 100,
		.weight = 100,
	};
	model_init(&m, load, times * FAST, times * KERNEL, times * SLOW, 0);
	for (unsigned int i = 0; i < skipped; i++)
		unit_random(&m.rnd);
	m.processors = cpus ? cpus : times;
	m.min_window_ns = fmax(m.min_window_ns, times * (FAST + SLOW) * PASS_NS);
	m.huge = huge;
	configure(&m, config);
	/* A machine boots before the program begins, and hmemd looks at that, too. */
	model_load(&m, &boot);
	m.hot_from = 0;
	model_run(&m, 5);
	model_load(&m, load);
	warm = late = m;
	/* model_run() ends with a window, so it can run for longer than 0.1 s. */
	for (double at; (at = (m.ns - warm.ns) / 1e9) < seconds;) {
		struct model before = m;

		if (at <= seconds * (1 - STEADY))
			late = m;
		model_run(&m, 0.1);
		if (!verbose)
			continue;
		printf("%8.2f s %8.4f ", m.ns / 1e9, mops(&m, &before));
		report(&m, &before);
		printf(" %s\n", hmem_placer_describe(&m.placer, text, sizeof(text)));
	}
	printf("%-12s %-24s %8.4f %8.4f ", load->name, config, mops(&m, &warm),
	       mops(&m, &late));
	report(&m, &warm);
	printf("\n");
	fflush(stdout);
	model_free(&m);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	double seconds = 20;
	bool verbose = false;
	int opt;

	while ((opt = getopt(argc, argv, "Hc:l:m:r:s:v")) != -1) {
		if (opt == 'H')
			huge = true;
		else if (opt == 'c')
			cpus = atoi(optarg);
		else if (opt == 'l')
			only = optarg;
		else if (opt == 'r')
			skipped = strtoul(optarg, NULL, 10);
		else if (opt == 'm')
			times = atoi(optarg);
		else if (opt == 's')
			seconds = atof(optarg);
		else if (opt == 'v')
			verbose = true;
		else
			usage();
	}
	if (optind == argc || seconds <= 0 || cpus > 512 || times < 1 || times > MAX_TIMES)
		usage();
	printf("%-12s %-24s %8s %8s %9s %6s %6s %6s\n", "load", "policy", "all",
	       "steady", "moved", "move%", "stall%", "share");
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++) {
		if (only && strcmp(only, loads[i].name))
			continue;
		for (int k = optind; k < argc; k++)
			run(&loads[i], argv[k], seconds, verbose);
	}
	return 0;
}
