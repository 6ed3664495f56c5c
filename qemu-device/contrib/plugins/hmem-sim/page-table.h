/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: finds the entries of the guest's page tables (x86, 64 bits).
 */

#ifndef HMEM_SIM_PAGE_TABLE_H
#define HMEM_SIM_PAGE_TABLE_H

#include "sim.h"

/* The levels whose entries map a page of 4 KiB and one of 2 MiB. */
#define SIM_LEVEL_4K 1
#define SIM_LEVEL_2M 2

#define SIM_NO_ENTRY UINT64_MAX

/**
 * sim_page_table_entry() - find the entry that translates an address
 * @vcpu: the vCPU that executes
 * @vaddr: a virtual address that the page tables map
 * @level: SIM_LEVEL_4K or SIM_LEVEL_2M; not lower than the page's own
 *
 * Returns: the guest-physical address of the entry, in memory of a node;
 * SIM_NO_ENTRY if the guest has no such page tables, for example because it
 * executes in 32 bits.
 */
uint64_t sim_page_table_entry(unsigned int vcpu, uint64_t vaddr,
                              unsigned int level);

/* The guest has changed the page tables that @vcpu uses, or their root. */
void sim_page_table_forget(unsigned int vcpu);

#endif /* HMEM_SIM_PAGE_TABLE_H */
