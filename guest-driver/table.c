// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds page tables of user address spaces, locks them, and flushes what processors know
 * of them.  The kernel exports none of its own functions for that.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/smp.h>

#include <asm/invpcid.h>
#include <asm/special_insns.h>

#include "compat.h"
#include "hmem.h"

bool hmem_flush_possible(void)
{
	/* A Xen PV guest controls neither its CR4 nor its TLB. */
	return boot_cpu_has(X86_FEATURE_PGE) && !boot_cpu_has(X86_FEATURE_XENPV);
}

void hmem_flush_cpu(void *unused)
{
	unsigned long cr4;

	if (boot_cpu_has(X86_FEATURE_INVPCID)) {
		invpcid_flush_all_nonglobals();
		return;
	}
	cr4 = native_read_cr4();
	asm volatile("mov %0, %%cr4" : : "r" (cr4 ^ X86_CR4_PGE) : "memory");
	asm volatile("mov %0, %%cr4" : : "r" (cr4) : "memory");
}

/*
 * Flushes work like flush_tlb_mm_range().  They interrupt each CPU that runs the address
 * space, or keeps it for the idle task or a kernel thread: the kernel hides from modules
 * which do that.  A CPU that runs another address space has left mm_cpumask(), and compares
 * the generation when it comes back.
 *
 * Incrementing the generation is also the barrier between the change of the page table and
 * reading the mask.  Where the kernel has the processor broadcast flushes, CPUs do not compare
 * the generation, so all CPUs are interrupted.
 */
static const struct cpumask *hmem_flush_cpus(struct mm_struct *mm)
{
	return hmem_tlb_broadcast() ? cpu_online_mask : mm_cpumask(mm);
}

unsigned int hmem_flush_now(const struct cpumask *cpus)
{
	unsigned int here = get_cpu(), others = 0, cpu;

	/* The mask can change meanwhile, so ask for each CPU once. */
	for_each_cpu(cpu, cpus)
		others += cpu != here;
	on_each_cpu_mask(cpus, hmem_flush_cpu, NULL, true);
	put_cpu();
	return others;
}

unsigned int hmem_flush_mm(struct mm_struct *mm)
{
	atomic64_inc_return(&mm->context.tlb_gen);
	return hmem_flush_now(hmem_flush_cpus(mm));
}

void hmem_flush_later(struct mm_struct *mm, struct cpumask *cpus)
{
	atomic64_inc_return(&mm->context.tlb_gen);
	cpumask_or(cpus, cpus, hmem_flush_cpus(mm));
}

pmd_t *hmem_pmd_of(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (!pgd_present(READ_ONCE(*pgd)))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(READ_ONCE(*p4d)))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (!pud_present(READ_ONCE(*pud)) || pud_leaf(READ_ONCE(*pud)))
		return NULL;
	return pmd_offset(pud, addr);
}

/*
 * The page table must not be freed while @visit runs.  The mmap lock is held for reading
 * and the VMA is attached, so free_pgtables() cannot run, nor can that of exit_mmap(): see
 * owner.c.  Other code that frees tables of ptes:
 *
 * - Linux 6.1: khugepaged and MADV_COLLAPSE, for anonymous memory and for files
 *   (retract_page_tables(), collapse_pte_mapped_thp()).  They hold the mmap lock for
 *   writing, so they cannot run.
 * - Linux 6.12 (since 6.5): for files, they no longer hold the mmap lock.  They clear the
 *   pmd with the page table's lock held, and free the table by RCU (pte_free_defer()).
 * - Linux 7.3 (since 6.14, CONFIG_PT_RECLAIM): zap_pte_range() frees empty tables with the
 *   mmap lock held for reading, in the same way: it clears the pmd with both locks held,
 *   and frees the table and its lock by RCU (tlb_remove_table_free(),
 *   __tlb_remove_table_one()).
 *
 * So do as pte_offset_map_lock() does, which is not exported: read the pmd in an RCU
 * section, which keeps the table and its lock in memory; take the lock; check that the pmd
 * still points to the table.  It does so until the lock is released.  If the pmd is another
 * one, read it again: a processor can have set its accessed bit.  Only free_pgtables() frees
 * tables of pmds.
 */
bool hmem_table_visit(struct mm_struct *mm, pmd_t *pmdp, unsigned long addr,
		      void (*visit)(pte_t *ptep, void *arg), void *arg)
{
	bool found = false;
	spinlock_t *ptl;		/* lock of the page table */
	pmd_t pmd;

	rcu_read_lock();
	while (!found) {
		pmd = READ_ONCE(*pmdp);
		if (!pmd_present(pmd) || pmd_leaf(pmd) || pmd_bad(pmd))
			break;
		ptl = pte_lockptr(mm, &pmd);
		spin_lock(ptl);
		found = pmd_same(pmd, READ_ONCE(*pmdp));
		if (found)
			visit(pte_offset_kernel(&pmd, addr), arg);
		spin_unlock(ptl);
	}
	rcu_read_unlock();
	return found;
}
