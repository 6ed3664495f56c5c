/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints tables, and formats their cells. */
#ifndef HMEMCTL_TABLE_H
#define HMEMCTL_TABLE_H

#include "client.h"

#define TABLE_MAX_COLUMNS	10

struct table {
	unsigned int columns;
	struct column {
		const char *title;
		bool right;
	} column[TABLE_MAX_COLUMNS];
	char ***rows;
	size_t num_rows;
};

/*
 * Print @t and free its rows.  Prints no titles with --quiet.  On a terminal, or with $COLUMNS, the
 * text of the last column is broken into lines.
 */
void table_print(struct table *t);

/* Add a row with t->columns strings; copies them. */
void table_row(struct table *t, const char *const *cells);

/* A number; or a size, humanised unless --raw; "-" if not known. */
const char *cell_num(json *o, const char *key, char *buf, size_t size);
const char *cell_size(json *o, const char *key, char *buf, size_t size);

#endif /* HMEMCTL_TABLE_H */
