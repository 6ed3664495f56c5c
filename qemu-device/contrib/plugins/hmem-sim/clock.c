/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: advances the guest's clock by the time that the guest waits.
 */

#include <qemu-plugin.h>

#include "clock.h"

uint64_t sim_pending_ps[SIM_MAX_VCPUS];
uint64_t *sim_own_pending_ps = sim_pending_ps;
uint64_t sim_step_ps;

uint64_t sim_now_ps(void)
{
    return qemu_plugin_clock_ns() * 1000 + *sim_own_pending_ps;
}

void sim_clock_charge(void)
{
    uint64_t ns = *sim_own_pending_ps / 1000;

    if (ns) {
        qemu_plugin_stall_ns(ns);
        *sim_own_pending_ps -= ns * 1000;
    }
}
