// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Debian's sqlite3 with a database in memory: nine statements in ten access the
 * rows that were inserted last.  Half of the statements read a row, half update
 * a row.
 *
 *	rows=200000	number of rows, of 1000 bytes and a key
 *	hot=40000	number of hot rows
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "child.h"

#define DEPTH	50	/* statements in a batch */

static void wait_for(struct child *c, const char *what)
{
	char line[4096];

	while (fgets(line, sizeof(line), c->out))
		if (line[0] == '=')
			return;
	errx(1, "sqlite3 has ended while it %s", what);
}

int main(int argc, char **argv)
{
	char *const program[] = { "/bin/sqlite3", "-batch", ":memory:", NULL };
	uint32_t rows, hot, n = 0;
	struct child c;

	bench_options(argc, argv);
	rows = bench_option("rows", 200000);
	hot = bench_option("hot", 40000);
	if (!hot || hot > rows)
		errx(2, "wanted: 0 < hot <= rows");
	c = child_run(program, 1);
	fprintf(c.in, "CREATE TABLE t(k INTEGER PRIMARY KEY, n INTEGER, v BLOB);\n"
		"WITH RECURSIVE i(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM i "
		"WHERE x < %u - 1) INSERT INTO t SELECT x, 0, zeroblob(1000) FROM i;\n"
		"SELECT '=';\n", rows);
	fflush(c.in);
	wait_for(&c, "was filled");
	bench_start("kstatement/s", 1e3);
	do {
		for (int i = 0; i < DEPTH; i++) {
			uint32_t k = bench_below(10) ? rows - 1 - bench_below(hot)
						     : bench_below(rows);

			if (bench_random() >> 63)
				fprintf(c.in, "SELECT n, length(v) FROM t WHERE k=%u;\n", k);
			else
				fprintf(c.in, "UPDATE t SET n=n+1, v=zeroblob(1000) "
					"WHERE k=%u;\n", k);
		}
		fputs("SELECT '=';\n", c.in);
		fflush(c.in);
		wait_for(&c, "worked");
	} while (bench_count(n++ ? DEPTH : 0));
	child_kill(&c);
	return 0;
}
