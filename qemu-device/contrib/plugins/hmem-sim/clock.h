/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: advances the guest's clock by the time that the guest waits.  Each
 * vCPU has a clock of its own; in a callback, it is the guest's clock.
 */

#ifndef HMEM_SIM_CLOCK_H
#define HMEM_SIM_CLOCK_H

#include "sim.h"

/* Waiting time that the clock of each vCPU does not contain yet. */
extern uint64_t sim_pending_ps[SIM_MAX_VCPUS];

/* That of the vCPU that executes. */
extern uint64_t *sim_own_pending_ps;

/* From now on, @vcpu executes. */
static inline void sim_clock_of(unsigned int vcpu)
{
    sim_own_pending_ps = &sim_pending_ps[vcpu];
}

/* Guest time in picoseconds, pending time included; wraps after 213 days. */
uint64_t sim_now_ps(void);

/* Advance the guest's clock by the pending time, in whole nanoseconds. */
void sim_clock_charge(void);

/* Largest pending time: the clock advances when it is reached. */
extern uint64_t sim_step_ps;

/* The vCPU waits for @ps picoseconds. */
static inline void sim_wait(uint64_t ps)
{
    *sim_own_pending_ps += ps;
    if (*sim_own_pending_ps >= sim_step_ps) {
        sim_clock_charge();
    }
}

#endif /* HMEM_SIM_CLOCK_H */
