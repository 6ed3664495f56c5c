/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: a small cache that handles most accesses.
 *
 * Each vCPU has a direct-mapped cache by virtual address.  A load of a line in
 * it changes nothing in the model, nor does a store to a line in it that has
 * been stored to before.  Two rules ensure this:
 * - a line in the filter is also in the last-level cache, and in one slot of
 *   the filter only;
 * - the filter is emptied when the guest changes its address space, and when
 *   page bits are rearmed.
 * The lines of a page are in neighbouring slots.  A frame may be mapped twice.
 */

#ifndef HMEM_SIM_FILTER_H
#define HMEM_SIM_FILTER_H

#include "sim.h"

#define SIM_L1_LINES 512
#define SIM_SLOTS (SIM_L1_LINES * SIM_MAX_VCPUS)

/*
 * Virtual line << 1 | 1 if the model need not see stores to the line any more.
 */
extern uint64_t sim_filter[SIM_SLOTS];
/* The physical line of each slot when the slot was filled. */
extern uint64_t sim_filter_line[SIM_SLOTS];

#define SIM_FILTER_NONE UINT64_MAX

static inline unsigned int sim_filter_slot(unsigned int vcpu, uint64_t vline)
{
    return vcpu * SIM_L1_LINES + vline % SIM_L1_LINES;
}

static inline unsigned int sim_filter_vcpu(unsigned int slot)
{
    return slot / SIM_L1_LINES;
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

/* @line left the last-level cache or moved to another slot of the filter. */
static inline void sim_filter_drop(unsigned int slot, uint64_t line)
{
    if (sim_filter_line[slot] == line) {
        sim_filter[slot] = SIM_FILTER_NONE;
    }
}

void sim_filter_flush(unsigned int vcpu);
void sim_filter_flush_all(void);

#endif /* HMEM_SIM_FILTER_H */
