/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: advances the guest's clock by the time that the guest waits.
 */

#ifndef HMEM_SIM_CLOCK_H
#define HMEM_SIM_CLOCK_H

#include "sim.h"

/* Waiting time that the guest's clock does not contain yet. */
extern uint64_t sim_pending_ps;

/* Guest time in picoseconds, pending time included; wraps after 213 days. */
uint64_t sim_now_ps(void);

/* Advance the guest's clock by the pending time, in whole nanoseconds. */
void sim_clock_charge(void);

/* Largest pending time: the clock advances when it is reached. */
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
