/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: for how long the virtual processors have run.
 *
 * The processors' threads sleep while the guest is idle, so the host's kernel
 * knows this.  A processor that waits for work without leaving the guest counts
 * as running: with cpu-pm=on, or while KVM polls.
 *
 * With -icount, the guest's time does not depend on the host's.  A processor
 * runs while it executes instructions, or waits for a simulator's memory.
 */

#include "qemu/osdep.h"
#include "qemu/plugin-access-log.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "system/qtest.h"
#include "hw/virtio/virtio-hmem-compat.h"
#include "hw/virtio/virtio-hmem-track.h"

bool hmem_busy_available(void)
{
    /* Without shift=, the time that an instruction takes changes. */
    return !qtest_enabled() &&
           (!icount_enabled() || icount_enabled() == ICOUNT_PRECISE);
}

uint64_t hmem_busy_ns(void)
{
    const QemuThread *last = NULL;
    uint64_t sum = 0;
    CPUState *cpu;

    if (icount_enabled()) {
        return icount_to_ns(icount_get_raw()) + qemu_plugin_stalled_ns();
    }
    CPU_FOREACH(cpu) {
        struct timespec ran;
        clockid_t clock;

        /* Emulated processors can share one thread. */
        if (!cpu->created || cpu->thread == last) {
            continue;
        }
        last = cpu->thread;
        if (!pthread_getcpuclockid(cpu->thread->thread, &clock) &&
            !clock_gettime(clock, &ran)) {
            sum += ran.tv_sec * NANOSECONDS_PER_SECOND + ran.tv_nsec;
        }
    }
    return sum;
}
