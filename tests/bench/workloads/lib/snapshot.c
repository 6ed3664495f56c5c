// SPDX-License-Identifier: GPL-2.0-or-later
/* See snapshot.h.  Without DAMON or the driver, their counters are left out. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

#define HMEM		"/sys/bus/virtio/devices/*/hmem/"
#define DAMON		"/sys/kernel/mm/damon/admin/kdamonds/"
#define THREADS		64

/* Call see(name, number) for the lines "NAME NUMBER" of a file. */
static void each_line(const char *path, void (*see)(void *, const char *, uint64_t),
		      void *data)
{
	FILE *f = fopen(path, "r");
	unsigned long long n;
	char line[256], name[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%127s %llu", name, &n) == 2)
			see(data, name, n);
	if (f)
		fclose(f);
}

static bool read_word(const char *path, char *word)
{
	FILE *f = fopen(path, "r");
	bool got = f && fscanf(f, "%63s", word) == 1;

	if (f)
		fclose(f);
	return got;
}

static uint64_t read_number(const char *path)
{
	char word[64];

	return read_word(path, word) ? strtoull(word, NULL, 10) : 0;
}

static uint64_t sum_of(const char *pattern)
{
	uint64_t n = 0;
	glob_t g;

	if (!glob(pattern, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			n += read_number(g.gl_pathv[i]);
		globfree(&g);
	}
	return n;
}

static void see_moves(void *data, const char *name, uint64_t n)
{
	struct counters *c = data;

	if (!strcmp(name, "pgpromote_success"))
		c->promoted += n;
	else if (!strncmp(name, "pgdemote_", 9))
		c->demoted += n;
}

static void see_anon(void *data, const char *name, uint64_t n)
{
	if (!strcmp(name, "nr_anon_pages"))
		*(uint64_t *)data = n;
}

void read_counters(struct counters *c)
{
	memset(c, 0, sizeof(*c));
	each_line("/proc/vmstat", see_moves, c);
	each_line("/sys/devices/system/node/node0/vmstat", see_anon, &c->anon[0]);
	each_line("/sys/devices/system/node/node1/vmstat", see_anon, &c->anon[1]);
	c->promoted += sum_of(HMEM "promoted");
	c->demoted += sum_of(HMEM "demoted");
}

static void see_vm(void *data, const char *name, uint64_t n)
{
	if (!strncmp(name, "pgpromote", 9) || !strncmp(name, "pgdemote", 8) ||
	    !strncmp(name, "pgmigrate", 9) || !strncmp(name, "numa_", 5))
		printf("bench: count %s %s %lu\n", (const char *)data, name, n);
}

/* DAMON updates its statistics only on request. */
static void print_damon(const char *moment)
{
	glob_t g;

	if (!glob(DAMON "[0-9]*/state", 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++) {
			FILE *f = fopen(g.gl_pathv[i], "w");

			if (!f)
				continue;
			fputs("update_schemes_stats", f);
			fclose(f);
		}
		globfree(&g);
	}
	if (!glob(DAMON "[0-9]*/contexts/0/schemes/[0-9]*", 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++) {
			static const char * const names[] = { "applied", "tried" };
			char path[256], action[64];

			snprintf(path, sizeof(path), "%s/action", g.gl_pathv[i]);
			if (!read_word(path, action))
				continue;
			for (int k = 0; k < 2; k++) {
				snprintf(path, sizeof(path), "%s/stats/sz_%s",
					 g.gl_pathv[i], names[k]);
				printf("bench: count %s damon_%s_%s %lu\n", moment,
				       names[k], action, read_number(path));
			}
		}
		globfree(&g);
	}
}

static void see_reason(void *data, const char *name, uint64_t n)
{
	if (n)
		printf("bench: count %s reason_%s %lu\n", (const char *)data, name, n);
}

static void print_hmem(const char *moment)
{
	glob_t g;

	if (!glob(HMEM "*", 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			printf("bench: count %s hmem_%s %lu\n", moment,
			       strrchr(g.gl_pathv[i], '/') + 1,
			       read_number(g.gl_pathv[i]));
		globfree(&g);
	}
	if (!glob("/sys/kernel/debug/virtio_hmem/*/reasons", 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			each_line(g.gl_pathv[i], see_reason, (void *)moment);
		globfree(&g);
	}
	if (!glob("/sys/kernel/debug/virtio_hmem/*/pause", 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++) {
			FILE *f = fopen(g.gl_pathv[i], "r");
			unsigned long long below, pages;
			char kind[16];

			while (f && fscanf(f, "%15s %llu %llu", kind, &below, &pages) == 3)
				printf("bench: count %s pause_%s_%llu %llu\n", moment,
				       kind, below, pages);
			if (f)
				fclose(f);
		}
		globfree(&g);
	}
}

/* A thread without a command line is one of the kernel's. */
static void print_threads(const char *moment)
{
	static struct thread {
		char name[32];
		uint64_t ns;
	} threads[THREADS];
	DIR *d = opendir("/proc");
	struct dirent *e;
	int num = 0;

	while (d && (e = readdir(d))) {
		char path[300], name[64];
		uint64_t ns;
		FILE *f;
		int i;

		if (!isdigit(e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		i = getc(f);
		fclose(f);
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		if (i != EOF || !read_word(path, name))
			continue;
		name[strcspn(name, "/.0123456789")] = 0;
		snprintf(path, sizeof(path), "/proc/%s/schedstat", e->d_name);
		ns = read_number(path);
		for (i = 0; i < num && strcmp(threads[i].name, name); i++)
			;
		if (i == num) {
			if (num == THREADS)
				continue;
			snprintf(threads[i].name, sizeof(threads[i].name), "%.31s", name);
			threads[num++].ns = 0;
		}
		threads[i].ns += ns;
	}
	if (d)
		closedir(d);
	for (int i = 0; i < num; i++)
		printf("bench: count %s thread_%s %lu\n", moment, threads[i].name,
		       threads[i].ns);
}

void print_snapshot(const char *moment)
{
	each_line("/proc/vmstat", see_vm, (void *)moment);
	print_damon(moment);
	print_hmem(moment);
	print_threads(moment);
	fflush(stdout);
}
