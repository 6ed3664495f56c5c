/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numbers.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "term.h"

/* A column that would have fewer columns of the screen is not broken into lines. */
#define LEAST_WIDTH	20

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

/* Print the text from column @at on, broken at blanks into lines of the screen. */
static void print_broken(const char *text, int at, int screen)
{
	const int room = screen - at;

	while ((int)strlen(text) > room) {
		int len = room;

		while (len && text[len] != ' ')
			len--;
		/* A word that does not fit has a line of its own. */
		if (!len)
			len = strcspn(text, " ");
		printf("%.*s", len, text);
		text += len + strspn(text + len, " ");
		if (!*text)
			break;
		printf("\n%*s", at, "");
	}
	printf("%s", text);
}

/* Print no blanks behind the last cell with contents.  @screen: its columns, or 0. */
static void print_row(const struct table *t, const char *const *cells,
		      const int *width, int screen)
{
	int blanks = 0, at = 0;

	for (unsigned int i = 0; i < t->columns; i++) {
		int len = strlen(cells[i]), pad = width[i] - len;
		bool breaks = screen && i == t->columns - 1 && !t->column[i].right;

		at += i ? width[i - 1] + 2 : 0;
		blanks += (i ? 2 : 0) + (t->column[i].right ? pad : 0);
		if (len) {
			printf("%*s", blanks, "");
			if (breaks && screen - at >= LEAST_WIDTH)
				print_broken(cells[i], at, screen);
			else
				printf("%s", cells[i]);
			blanks = 0;
		}
		blanks += t->column[i].right ? 0 : pad;
	}
	putchar('\n');
}

/* The columns of the screen; 0: a program reads the output, so a row is a line. */
static int screen_width(void)
{
	unsigned int cols, lines;

	if (!isatty(STDOUT_FILENO) && !getenv("COLUMNS"))
		return 0;
	term_size(&cols, &lines);
	return cols;
}

void table_print(struct table *t)
{
	const char *titles[TABLE_MAX_COLUMNS];
	int width[TABLE_MAX_COLUMNS] = { 0 }, screen = screen_width();

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
		print_row(t, titles, width, screen);
	for (size_t r = 0; r < t->num_rows; r++) {
		print_row(t, (const char *const *)t->rows[r], width, screen);
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
