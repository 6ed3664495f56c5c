/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the guest's clock, and how long the guest has to wait.
 */

#ifndef HMEM_SIM_CLOCK_H
#define HMEM_SIM_CLOCK_H

#include "sim.h"

/* What has not been put on the guest's clock yet. */
extern uint64_t sim_pending_ps;

/* Guest time in picoseconds, with what is pending; enough for 213 days. */
uint64_t sim_now_ps(void);

/* Put what is pending on the guest's clock, in whole nanoseconds. */
void sim_clock_charge(void);

/* How much may be pending until it is put on the guest's clock. */
extern uint64_t sim_step_ps;

/* The guest waits for @ps picoseconds. */
static inline void sim_wait(uint64_t ps)
{
    sim_pending_ps += ps;
    if (sim_pending_ps >= sim_step_ps) {
        sim_clock_charge();
    }
}

#endif /* HMEM_SIM_CLOCK_H */
