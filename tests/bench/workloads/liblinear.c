// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Debian's liblinear-train with generated sparse data (L2-loss SVM, primal; -s 2
 * as in the papers).  An operation is an iteration of conjugate gradients, which
 * reads all of the data.  The data file is in memory, too.
 *
 *	rows=60000	number of examples
 *	features=60	number of features of each example
 *	columns=1000000	number of possible features; low ones are more frequent
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "child.h"

#define FILE_NAME	"/tmp/data"
#define MAX_FEATURES	256

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void put_number(FILE *f, uint32_t n)
{
	char digits[10];
	int i = 0;

	do
		digits[i++] = '0' + n % 10;
	while (n /= 10);
	while (i)
		putc_unlocked(digits[--i], f);
}

/* Writes numbers without printf(), which would take longer than the training. */
static void generate(uint32_t rows, uint32_t features, uint32_t columns)
{
	FILE *f = fopen(FILE_NAME, "w");
	uint32_t column[MAX_FEATURES];

	for (uint32_t r = 0; f && r < rows; r++) {
		for (uint32_t i = 0; i < features; i++) {
			uint64_t x = bench_below(1 << 20), y = x * x >> 20;

			column[i] = (y * x >> 20) * columns >> 20;
		}
		qsort(column, features, sizeof(*column), by_number);
		fputs(bench_random() >> 63 ? "+1" : "-1", f);
		for (uint32_t i = 0; i < features; i++)
			if (!i || column[i] != column[i - 1]) {
				putc_unlocked(' ', f);
				put_number(f, column[i] + 1);
				putc_unlocked(':', f);
				put_number(f, bench_below(10));
			}
		putc_unlocked('\n', f);
	}
	if (!f || ferror(f) || fclose(f))
		err(1, FILE_NAME);
}

int main(int argc, char **argv)
{
	/* The training never reaches this tolerance, so it runs until time is up. */
	char *const program[] = {
		"/bin/liblinear-train", "-s", "2", "-e", "1e-30", FILE_NAME,
		"/tmp/model", NULL
	};
	uint32_t features;
	struct child c;
	bool started = false;
	char line[512];

	bench_options(argc, argv);
	features = bench_option("features", 60);
	if (!features || features > MAX_FEATURES)
		errx(2, "features=%u: wanted are 1 to %d", features, MAX_FEATURES);
	generate(bench_option("rows", 60000), features, bench_option("columns", 1e6));
	c = child_run(program, 1);
	for (;;) {
		const char *cg;

		if (!fgets(line, sizeof(line), c.out))
			errx(1, "liblinear-train has ended: give it more data");
		cg = strstr(line, " CG ");
		if (!cg)
			continue;
		/* The program prints the first iteration when it has read the data. */
		if (!started)
			bench_start("iteration/s", 1);
		else if (!bench_count(atoi(cg + 4)))
			break;
		started = true;
	}
	child_kill(&c);
	return 0;
}
