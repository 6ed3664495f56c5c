/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frees page tables that nobody needs any more as work, because that takes a while. */
#ifndef HMEMD_OLD_TABLE_H
#define HMEMD_OLD_TABLE_H

#include "pages.h"
#include "work.h"

/* Frees @table, in steps by @queue or, without memory for that, at once.  @table is then empty. */
void old_table_free(struct work_queue *queue, struct hmem_discard *table);

#endif /* HMEMD_OLD_TABLE_H */
