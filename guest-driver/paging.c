// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts what the guest reads because it has too little memory.  The host can exchange
 * memory of a fast tier for more memory of a slow tier if the guest loses time by such
 * reads.
 */
#include <linux/cpumask.h>
#include <linux/kernel_stat.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/swap.h>
#include <linux/tick.h>
#include <linux/time64.h>
#include <linux/vmstat.h>

#include "hmem.h"

/* VM events count sectors of this size. */
#define HMEM_SECTORS_PER_PAGE	(PAGE_SIZE / 512)

bool hmem_paging_possible(void)
{
	return IS_ENABLED(CONFIG_VM_EVENT_COUNTERS) && IS_ENABLED(CONFIG_SWAP);
}

/*
 * Count the pages of processes that are in swap.  The kernel exports no count of all pages in
 * swap, so pages of tmpfs are missing.  This visits all processes, so it is only for a report.
 */
void hmem_paging_count_swapped(struct virtio_hmem_paging *paging)
{
	struct task_struct *process, *t;
	u64 nr = 0;

	rcu_read_lock();
	for_each_process(process) {
		/* The first thread may have ended. */
		for_each_thread(process, t) {
			struct mm_struct *mm;

			task_lock(t);
			mm = t->flags & PF_KTHREAD ? NULL : t->mm;
			if (mm)
				nr += get_mm_counter(mm, MM_SWAPENTS);
			task_unlock(t);
			if (mm)
				break;
		}
	}
	rcu_read_unlock();
	paging->swapped = cpu_to_le64(nr);
}

/* Time for which processors were idle while a task waited for storage, in ns. */
static u64 hmem_wait_ns(void)
{
	u64 ns = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		u64 us = get_cpu_iowait_time_us(cpu, NULL);

		/* The kernel counts in this way only if it stops the tick of idle processors. */
		ns += us == U64_MAX ? kcpustat_cpu(cpu).cpustat[CPUTIME_IOWAIT] :
				      us * NSEC_PER_USEC;
	}
	return ns;
}

void hmem_paging_read(struct virtio_hmem_paging *paging, unsigned long *events)
{
#if defined(CONFIG_VM_EVENT_COUNTERS) && defined(CONFIG_SWAP)
	all_vm_events(events);
	paging->swapped_in = cpu_to_le64(events[PSWPIN]);
	paging->refaulted = cpu_to_le64(global_node_page_state(WORKINGSET_REFAULT_FILE));
	paging->read = cpu_to_le64(events[PGPGIN] / HMEM_SECTORS_PER_PAGE);
	paging->wait_ns = cpu_to_le64(hmem_wait_ns());
#endif
}
