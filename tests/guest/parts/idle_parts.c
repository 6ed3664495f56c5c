// SPDX-License-Identifier: GPL-2.0-or-later
/* When a page table counts as idle. */
#include <linux/slab.h>

#include "idle.c"
#include "parts.h"

static struct hmem_idle idle;
static struct hmem_idle_tables *tables;
static unsigned long *events;
/* The entry of the table. */
static pmd_t entry;

static bool scan(u64 bits)
{
	bool forget = hmem_idle_begin(&idle, bits, events);

	if (forget)
		memset(tables, 0, sizeof(*tables));
	return forget;
}

/* A visit of the table, which leaves something or nothing. */
static void visit(bool left)
{
	struct hmem_idle_visit visit;

	hmem_idle_visit_begin(&idle, &visit, tables, entry);
	CHECK_EQ(visit.left, idle.off);
	if (!left && !visit.left)
		hmem_idle_visit_end(&idle, &visit, &entry);
}

/* A processor uses the table. */
static void use(void)
{
	entry = __pmd(pmd_val(entry) | _PAGE_ACCESSED);
}

static bool is_idle(void)
{
	return hmem_idle_unused(&idle, tables, entry, false);
}

static bool was_not_used_in_scan(void)
{
	return hmem_idle_unused(&idle, tables, entry, true);
}

static void become_idle(void)
{
	scan(1);
	visit(false);
	CHECK(!is_idle());
	scan(1);
	CHECK(!is_idle());
	visit(false);
	CHECK(is_idle());
	scan(1);
	CHECK(is_idle());
}

static void check_marks(void)
{
	u64 cleared = idle.cleared;

	scan(1);
	CHECK(!is_idle() && !was_not_used_in_scan());
	visit(false);
	CHECK(!pmd_young(entry) && !is_idle() && was_not_used_in_scan());
	CHECK_EQ(idle.cleared, cleared + 1);
	/* A second visit in the same scan, before the flush, confirms nothing. */
	visit(false);
	CHECK(!is_idle());
	scan(1);
	visit(true);
	CHECK(!is_idle());
	become_idle();
	use();
	CHECK(!is_idle());
	visit(true);
	CHECK(!is_idle());
	/* The bit of an entry whose marks are gone is taken for set. */
	become_idle();
	memset(tables, 0, sizeof(*tables));
	CHECK(!is_idle());
	become_idle();
	/* Another table has come to the frame. */
	use();
	scan(1);
	visit(false);
	scan(1);
	CHECK(!is_idle());
	/* A scan that leaves the table out does not count. */
	scan(1);
	CHECK(!is_idle());
	use();
	become_idle();
	/* Scans for one kind of bits say nothing about another kind. */
	CHECK(!scan(1));
	CHECK(scan(3));
	CHECK(!is_idle());
	CHECK(!scan(1));
}

static void check_reclaim(void)
{
	use();
	become_idle();
	/* Without the multi-generational LRU, reclaim changes nothing. */
	idle.reclaims--;
	CHECK(!scan(1));
	CHECK(is_idle());
	idle.lru_gen = true;
	CHECK(!scan(1));
	idle.reclaims--;
	CHECK(scan(1));
	CHECK(!is_idle());
	use();
	visit(false);
	CHECK(pmd_young(entry) && !is_idle() && !was_not_used_in_scan());
	CHECK(!idle.lru_gen);
	become_idle();
}

void idle_parts(void)
{
	tables = kzalloc(sizeof(*tables), GFP_KERNEL);
	events = kcalloc(NR_VM_EVENT_ITEMS, sizeof(*events), GFP_KERNEL);
	CHECK(tables && events);
	if (tables && events) {
		entry = __pmd((5UL << PAGE_SHIFT) | _PAGE_TABLE);
		check_marks();
		check_reclaim();
	}
	kfree(tables);
	kfree(events);
}
