/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the time that the guest waits for translations of addresses.
 *
 * Each vCPU has a TLB of two levels, with entries for 4 KiB and for 2 MiB.  A
 * miss in both walks the guest's page tables and, if the model is that of a
 * virtual machine (walks=nested), those of the host.  The entries that a walk
 * reads are lines of the last-level cache and of memory like others.
 */

#ifndef HMEM_SIM_TLB_H
#define HMEM_SIM_TLB_H

#include "sim.h"

/* Read the parameters from the options. */
void sim_tlb_init(unsigned int num_vcpus);

/**
 * sim_tlb_access() - charge the guest for the translation of an access
 * @vcpu: the vCPU
 * @vaddr: the virtual address
 * @gpa: the guest-physical address, in memory of a node
 * @page_shift: log2 of the size of the guest's page
 * @cause: who accesses the address
 */
void sim_tlb_access(unsigned int vcpu, uint64_t vaddr, uint64_t gpa,
                    unsigned int page_shift, SimCause cause);

/* @vcpu has emptied its TLB. */
void sim_tlb_flush(unsigned int vcpu);

/*
 * @vcpu has flushed a page.  A TLB entry that has become wrong is noticed, but
 * a processor also drops what it knows of upper levels of the page tables.
 */
void sim_tlb_flush_page(unsigned int vcpu);

#endif /* HMEM_SIM_TLB_H */
