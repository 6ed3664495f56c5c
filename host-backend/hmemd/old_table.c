/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "old_table.h"

struct old_table {
	struct work work;
	struct hmem_discard discard;
};

static void slice(struct work *work)
{
	struct old_table *t = (struct old_table *)work;

	if (!hmem_discard_step(&t->discard, WORK_SLOTS))
		return;
	work_remove(work);
	free(t);
}

void old_table_free(struct work_queue *queue, struct hmem_discard *table)
{
	struct old_table *t = calloc(1, sizeof(*t));

	if (t) {
		t->work.slice = slice;
		t->discard = *table;
		work_add(queue, &t->work);
	} else {
		hmem_pages_free(&table->pages);
	}
	memset(table, 0, sizeof(*table));
}
