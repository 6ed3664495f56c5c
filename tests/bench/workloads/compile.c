// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A compiler at work, as `make -j` would run it: Debian's tcc compiles generated
 * sources again and again.  Most of the memory that it accesses is new memory,
 * which it writes.  Sources and results are in memory.
 *
 *	files=4		number of files that are compiled at the same time
 *	functions=20000	number of functions in the largest file, about 3.6 MB; the
 *			smallest file has half of them, so that the compilers do not
 *			all end at the same time
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "bench.h"
#include "child.h"

#define MAX_FILES	64

static uint32_t files, functions;

static uint32_t functions_of(uint32_t file)
{
	return (uint64_t)functions * (files + file) / (2 * files - 1);
}

static void generate(const char *path, uint32_t number)
{
	FILE *f = fopen(path, "w");

	for (uint32_t i = 0; f && i < number; i++)
		fprintf(f, "static int g%u; int f%u(int a, int b) { int s = %u, i; "
			"for (i = 0; i < b; i++) { s += a * i + g%u; if (s & %lu) "
			"s ^= b - i; else s += f%u(s, i); } return g%u = s; }\n",
			i, i, i, i, bench_below(32) + 1, i ? i - 1 : 0, i);
	if (!f || ferror(f) || fclose(f))
		err(1, "%s", path);
}

static struct child compile(uint32_t file)
{
	char source[32], object[32];
	char *const program[] = { "/bin/tcc", "-c", source, "-o", object, NULL };

	snprintf(source, sizeof(source), "/tmp/s%u.c", file);
	snprintf(object, sizeof(object), "/tmp/s%u.o", file);
	return child_run(program, 0);
}

int main(int argc, char **argv)
{
	struct child children[MAX_FILES];

	bench_options(argc, argv);
	files = bench_option("files", 4);
	functions = bench_option("functions", 20000);
	if (!files || files > MAX_FILES)
		errx(2, "files=%u: wanted are 1 to %d", files, MAX_FILES);
	for (uint32_t i = 0; i < files; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/tmp/s%u.c", i);
		generate(path, functions_of(i));
	}
	bench_start("kfunction/s", 1e3);
	for (uint32_t i = 0; i < files; i++)
		children[i] = compile(i);
	for (;;) {
		int status;
		pid_t pid = wait(&status);
		uint32_t i = 0;

		if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			errx(1, "tcc ended with status %#x", status);
		while (children[i].pid != pid)
			i++;
		if (!bench_count(functions_of(i)))
			break;
		children[i] = compile(i);
	}
	return 0;
}
