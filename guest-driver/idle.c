// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells which page tables were not used, so that a scan need not read them.
 *
 * A processor that looks up a page sets the accessed bit also in the pmd entry that points to
 * the page's table.  If nobody has used the table since the driver cleared that bit, all
 * entries of the table are as the driver left them.  So the driver passes over the table, if it
 * left no entry that a scan still has to report.
 *
 * The same goes for the table of pmd entries, 1 GiB of addresses, and for the bit of the pud entry
 * that points to it.  There, nothing is left to report if all tables of base pages below are idle,
 * and there are no huge pages, whose use the driver can know without a bit.  Bits of still higher
 * levels are of no use: with four levels, a kernel that isolates its page tables from programs
 * (PTI) has two copies of each pgd entry, of which processors use either.
 *
 * Processors cache the entries that point to tables, if their accessed bits are set.  One that has
 * the entry in its cache sets bits of the table, but not that of the entry, until the flush at the
 * end of the scan.  So a table becomes idle in two scans:
 *
 *   clear    a scan reads the table and leaves nothing to report, clears the bit of the entry that
 *            points to it, and flushes the TLBs, which also flushes the caches of such entries
 *   confirm  a later scan finds that bit still clear, and nothing in the table
 *
 * Later scans pass over the table until the bit is set.  For each table there are two marks, one
 * for scans with even numbers and one for the others.  A scan sets its mark when it clears or
 * confirms.  If only the other mark is set, an earlier scan has cleared the bit, and has flushed
 * since.  If both are set, the table is idle.  A scan that stops without its flush must forget
 * all marks.
 *
 * The marks belong to the frame of the table, which can become another table: the kernel sets the
 * bit of the entry whenever it puts a table in place, so a scan reads the new table.
 *
 * The kernel clears the bit of a pmd entry at one place: the multi-generational LRU does, when
 * it walks page tables in reclaim.  It does not tell, so if this LRU is in use, a scan trusts
 * no bit if there was reclaim since the last scan.  If an administrator has the LRU walk
 * (/sys/kernel/debug/lru_gen), a use can be found late, after the next use of the table.  The
 * kernel clears no bit of a pud entry that points to a table.
 *
 * The kernel can put an entry with its bit set into a table that no processor has used:
 * mremap() does, and populating memory ahead of its use.  Such a page is found used late, too, when
 * a processor uses the table, or, if all tables of its GiB are idle, anything in this GiB.
 *
 * An operating system in a virtual machine sees the same bits whatever the hypervisor does: with
 * nested page tables, the processor sets them, and with shadow page tables, KVM write-protects the
 * tables and sets the bits of all levels itself (walk_addr_generic()).
 * tests/kvm/test_scans.py shows the former.
 */
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>
#include <linux/vmstat.h>

#include "compat.h"
#include "hmem.h"

/* A count that differs from @last, the one of the last scan, if the kernel has reclaimed memory. */
static unsigned long hmem_reclaims(unsigned long last, unsigned long *events)
{
#ifdef CONFIG_VM_EVENT_COUNTERS
	unsigned long sum;
	unsigned int zone;

	all_vm_events(events);
	sum = events[PAGEOUTRUN] + hmem_nr_scanned(events);
	for (zone = 0; zone < MAX_NR_ZONES; zone++)
		sum += events[ALLOCSTALL_NORMAL - ZONE_NORMAL + zone];
	return sum;
#else
	return last + 1;
#endif
}

bool hmem_idle_begin(struct hmem_idle *idle, u64 bits, unsigned long *events)
{
	unsigned long reclaims = hmem_reclaims(idle->reclaims, events);
	bool forget;

	idle->off = idle->lru_gen && reclaims != idle->reclaims;
	/* A scan that trusts no bit reads all tables, so it finds out again. */
	if (idle->off)
		idle->lru_gen = false;
	idle->reclaims = reclaims;
	/* Scans for other bits have left these alone. */
	forget = idle->off || bits & ~idle->bits;
	idle->bits = bits;
	idle->odd = !idle->odd;
	return forget;
}

void hmem_idle_found(struct hmem_idle *idle, struct folio *folio)
{
	idle->lru_gen |= hmem_in_lru_gen(folio);
}

static unsigned int hmem_idle_nr(pmd_t entry)
{
	return pmd_pfn(entry) % PAGES_PER_SECTION;
}

bool hmem_idle_unused(const struct hmem_idle *idle, const struct hmem_idle_tables *tables,
		      pmd_t entry, bool in_scan)
{
	unsigned int nr = hmem_idle_nr(entry);

	return !pmd_young(entry) && !idle->off && test_bit(nr, tables->marks[idle->odd]) &&
	       (in_scan || test_bit(nr, tables->marks[!idle->odd]));
}

void hmem_idle_visit_begin(const struct hmem_idle *idle, struct hmem_idle_visit *visit,
			   struct hmem_idle_tables *tables, pmd_t entry)
{
	unsigned int nr = hmem_idle_nr(entry);

	visit->pfn = pmd_pfn(entry);
	visit->tables = tables;
	/* Without marks, nothing can become idle. */
	visit->left = !tables || idle->off;
	if (visit->left)
		return;
	visit->confirms = !pmd_young(entry) && test_bit(nr, tables->marks[!idle->odd]);
	__clear_bit(nr, tables->marks[idle->odd]);
	if (!visit->confirms)
		__clear_bit(nr, tables->marks[!idle->odd]);
}

void hmem_idle_visit_end(struct hmem_idle *idle, const struct hmem_idle_visit *visit,
			 void *entryp)
{
	__set_bit(visit->pfn % PAGES_PER_SECTION, visit->tables->marks[idle->odd]);
	if (visit->confirms)
		return;
	atomic64_andnot(_PAGE_ACCESSED, entryp);
	idle->cleared++;
}
