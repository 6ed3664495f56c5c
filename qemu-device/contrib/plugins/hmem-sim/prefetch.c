/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the prefetcher.
 */

#include "prefetch.h"

static struct {
    /* The next line of each stream.  0: none, since line 0 follows no line. */
    uint64_t next_line[SIM_STREAMS];
    unsigned int oldest;
} vcpus[SIM_MAX_VCPUS];

bool sim_prefetched(unsigned int vcpu, uint64_t line)
{
    uint64_t *next_line = vcpus[vcpu].next_line;
    unsigned int *oldest = &vcpus[vcpu].oldest;
    unsigned int i, found = SIM_STREAMS;

    for (i = 0; i < SIM_STREAMS; i++) {
        if (next_line[i] == line) {
            found = i;
        }
    }
    if (found < SIM_STREAMS && line) {
        next_line[found] = line + 1;
        return true;
    }
    next_line[*oldest] = line + 1;
    *oldest = (*oldest + 1) % SIM_STREAMS;
    return false;
}
