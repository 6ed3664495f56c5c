/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: what most accesses get no further than.
 *
 * A direct-mapped cache of each vCPU, by virtual address.  Loads of a line
 * that it holds, and stores to one that has been stored to, change nothing in
 * the model.  Two rules keep it so:
 * - what is in it is also in the last-level cache, and in one place here;
 * - it is emptied when the guest changes its address space, and when page bits
 *   are rearmed.
 * The lines of a page lie side by side, and a frame that is mapped twice does
 * no harm.
 */

#ifndef HMEM_SIM_FILTER_H
#define HMEM_SIM_FILTER_H

#include "sim.h"

#define SIM_L1_LINES 512
#define SIM_SLOTS (SIM_L1_LINES * SIM_MAX_VCPUS)

/* Virtual line << 1, and whether stores need not be seen any more. */
extern uint64_t sim_filter[SIM_SLOTS];
/* The physical line that this was when it came. */
extern uint64_t sim_filter_line[SIM_SLOTS];

#define SIM_FILTER_NONE UINT64_MAX

static inline unsigned int sim_filter_slot(unsigned int vcpu, uint64_t vline)
{
    return vcpu * SIM_L1_LINES + vline % SIM_L1_LINES;
}

static inline bool sim_filter_has(unsigned int slot, uint64_t vline, bool store)
{
    return (sim_filter[slot] | !store) == (vline << 1 | 1);
}

static inline void sim_filter_set(unsigned int slot, uint64_t vline,
                                  uint64_t line, bool store)
{
    sim_filter[slot] = vline << 1 | store;
    sim_filter_line[slot] = line;
}

/* @line is not in the last-level cache any more, or elsewhere in the filter. */
static inline void sim_filter_drop(unsigned int slot, uint64_t line)
{
    if (sim_filter_line[slot] == line) {
        sim_filter[slot] = SIM_FILTER_NONE;
    }
}

void sim_filter_flush(unsigned int vcpu);
void sim_filter_flush_all(void);

#endif /* HMEM_SIM_FILTER_H */
