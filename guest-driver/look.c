// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One short look at a group of entries of one page table: clears their bits, and after a
 * given time reads which bits the processor has set again.
 *
 * The time must be exact: a look of twice the length finds twice as many accesses.  A
 * sleeping worker is not exact, because the scheduler can wake it milliseconds late.  So
 * a timer's interrupt reads the entries.  Meanwhile the worker sleeps, and its CPU runs
 * the programs that use the pages.
 *
 * The caller holds the mmap lock for reading from hmem_look_begin() until
 * hmem_look_wait() returns.  The lock keeps the tables of huge pages in place, but the
 * entries can change at any time.
 */
#include <linux/ktime.h>
#include <linux/pgtable.h>

#include "compat.h"
#include "hmem.h"

/*
 * Time to interrupt all CPUs and flush their TLBs, on top of the requested time: 10 us,
 * the order of magnitude of an interprocessor interrupt's round trip in a VM.
 */
#define HMEM_LOOK_FLUSH_NS	(10 * NSEC_PER_USEC)

static enum hrtimer_restart hmem_look_end(struct hrtimer *timer)
{
	struct hmem_look *look = container_of(timer, struct hmem_look, timer);
	unsigned int i;

	for (i = 0; i < look->nr; i++)
		look->entries[i].found = READ_ONCE(*look->entries[i].pmdp);
	look->end = ktime_get_ns();
	complete(&look->done);
	return HRTIMER_NORESTART;
}

void hmem_look_init(struct hmem_look *look)
{
	init_completion(&look->done);
	hmem_hrtimer_setup(&look->timer, hmem_look_end);
}

void hmem_look_begin(struct hmem_look *look, u64 ns)
{
	look->nr = 0;
	look->ns = ns;
}

void hmem_look_add(struct hmem_look *look, pmd_t *pmdp, pmd_t pmd, u64 bits)
{
	look->entries[look->nr++] = (struct hmem_look_entry) {
		.pmdp = pmdp,
		.pmd = pmd,
		.bits = bits,
	};
}

void hmem_look_clear(struct hmem_look *look)
{
	unsigned int i;

	look->begin = ktime_get_ns();
	for (i = 0; i < look->nr; i++) {
		struct hmem_look_entry *entry = &look->entries[i];

		/* The look at the first entries must not get much longer. */
		if (i && ktime_get_ns() - look->begin > look->ns / 4)
			break;
		if (entry->bits)
			atomic64_andnot(entry->bits, (atomic64_t *)entry->pmdp);
	}
	look->nr = i;
}

void hmem_look_wait(struct hmem_look *look)
{
	u64 begin = hmem_running_ns();

	reinit_completion(&look->done);
	hrtimer_start(&look->timer, ns_to_ktime(look->ns),
		      HRTIMER_MODE_REL_PINNED);
	wait_for_completion(&look->done);
	look->waited += hmem_running_ns() - begin;
}

bool hmem_look_too_long(const struct hmem_look *look)
{
	return look->end - look->begin > 2 * look->ns + HMEM_LOOK_FLUSH_NS;
}
