/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: a small cache that handles most accesses.
 */

#include <string.h>

#include "filter.h"

uint64_t sim_filter[SIM_SLOTS];
uint64_t sim_filter_line[SIM_SLOTS];

void sim_filter_flush(unsigned int vcpu)
{
    memset(&sim_filter[vcpu * SIM_L1_LINES], 0xff,
           SIM_L1_LINES * sizeof(*sim_filter));
}

void sim_filter_flush_all(void)
{
    memset(sim_filter, 0xff, sizeof(sim_filter));
}
