/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"
#include "options.h"
#include "output.h"
#include "table.h"

void table_row(struct table *t, const char *const *cells)
{
	char **row = calloc(t->columns, sizeof(*row));
	char ***rows = realloc(t->rows, (t->num_rows + 1) * sizeof(*rows));

	if (!row || !rows)
		die(EXIT_ERROR, "no memory for a table");
	for (unsigned int i = 0; i < t->columns; i++) {
		row[i] = strdup(cells[i]);
		if (!row[i])
			die(EXIT_ERROR, "no memory for a table");
	}
	t->rows = rows;
	t->rows[t->num_rows++] = row;
}

/* Print no blanks behind the last cell with contents. */
static void print_row(const struct table *t, const char *const *cells,
		      const int *width)
{
	int blanks = 0;

	for (unsigned int i = 0; i < t->columns; i++) {
		int len = strlen(cells[i]), pad = width[i] - len;

		blanks += (i ? 2 : 0) + (t->column[i].right ? pad : 0);
		if (len) {
			printf("%*s%s", blanks, "", cells[i]);
			blanks = 0;
		}
		blanks += t->column[i].right ? 0 : pad;
	}
	putchar('\n');
}

void table_print(struct table *t)
{
	const char *titles[TABLE_MAX_COLUMNS];
	int width[TABLE_MAX_COLUMNS] = { 0 };

	for (unsigned int i = 0; i < t->columns; i++) {
		if (!globals.quiet)
			width[i] = strlen(t->column[i].title);
		for (size_t r = 0; r < t->num_rows; r++) {
			int len = strlen(t->rows[r][i]);

			if (len > width[i])
				width[i] = len;
		}
	}
	for (unsigned int i = 0; i < t->columns; i++)
		titles[i] = t->column[i].title;
	if (!globals.quiet)
		print_row(t, titles, width);
	for (size_t r = 0; r < t->num_rows; r++) {
		print_row(t, (const char *const *)t->rows[r], width);
		for (unsigned int i = 0; i < t->columns; i++)
			free(t->rows[r][i]);
		free(t->rows[r]);
	}
	free(t->rows);
	t->rows = NULL;
	t->num_rows = 0;
}

const char *cell_num(json *o, const char *key, char *buf, size_t size)
{
	if (!known(o, key))
		return "-";
	snprintf(buf, size, "%" PRIu64, num_of(o, key));
	return buf;
}

const char *cell_size(json *o, const char *key, char *buf, size_t size)
{
	if (globals.raw || !known(o, key))
		return cell_num(o, key, buf, size);
	return hmem_format_size(num_of(o, key), buf, size);
}
