/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs that run side by side in guest time, with -icount.
 *
 * All of this runs in the vCPUs' thread.  The main loop moves the clock on as
 * well, when all vCPUs are idle, perhaps in the moment before the last of them
 * ends its slice.  So the clock is changed by differences only.
 */

#include "qemu/osdep.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/cpus.h"
#include "system/icount-slices.h"
#include "system/replay.h"

#define MIN_INSNS 1024
#define MAX_INSNS 32768

typedef struct Own {
    int64_t ns; /* the vCPU's clock, as long as the vCPU is not idle */
    bool awake; /* was not idle when last looked at */
    bool over;  /* has executed its slice of this round */
} Own;

static struct {
    int64_t length_ns; /* 0: no slices */
    GArray *own;       /* by the vCPU's index */

    /* The round. */
    CPUState *first;   /* only to be compared: may be unplugged */
    unsigned int left; /* number of vCPUs that have not had their turn */
    int64_t end_ns;
    int64_t reached_ns; /* clock of the vCPU that ran last */
    bool awake;         /* a vCPU was not idle */

    /* The vCPU that executes. */
    CPUState *running;
    int64_t ahead_ns; /* of the machine's clock, when its slice began */
    int64_t icount;   /* when its slice began */
    int64_t stalled_ns;
} slices;

static Own *own(const CPUState *cpu)
{
    if (cpu->cpu_index >= slices.own->len) {
        g_array_set_size(slices.own, cpu->cpu_index + 1);
    }
    return &g_array_index(slices.own, Own, cpu->cpu_index);
}

bool icount_slices_enable(int64_t ns)
{
    if (ns < icount_to_ns(MIN_INSNS) || ns > icount_to_ns(MAX_INSNS) ||
        replay_mode != REPLAY_MODE_NONE) {
        return false;
    }
    if (!slices.own) {
        slices.own = g_array_new(false, true, sizeof(Own));
    }
    slices.length_ns = ns;
    return true;
}

bool icount_slices_enabled(void)
{
    return slices.length_ns;
}

static void move_clock(int64_t ns)
{
    seqlock_write_lock(&timers_state.vm_clock_seqlock,
                       &timers_state.vm_clock_lock);
    qatomic_set_i64(&timers_state.qemu_icount_bias,
                    timers_state.qemu_icount_bias + ns);
    seqlock_write_unlock(&timers_state.vm_clock_seqlock,
                         &timers_state.vm_clock_lock);
}

/*
 * A vCPU that was idle goes on where the vCPU is that ran last, because that
 * one may have woken it.
 */
static bool has_turn(CPUState *cpu)
{
    Own *o = own(cpu);

    if (cpu_thread_is_idle(cpu)) {
        o->awake = false;
        return false;
    }
    if (!o->awake) {
        o->awake = true;
        o->ns = MAX(o->ns, slices.reached_ns);
    }
    slices.awake = true;
    return o->ns < slices.end_ns;
}

static CPUState *following(CPUState *cpu)
{
    return CPU_NEXT(cpu) ?: first_cpu;
}

static void end_round(void)
{
    int64_t now = icount_get();

    if (slices.awake && now < slices.end_ns) {
        move_clock(slices.end_ns - now);
    }
}

static CPUState *find_next(CPUState *cpu)
{
    while (slices.left) {
        slices.left--;
        if (has_turn(cpu)) {
            return cpu;
        }
        cpu = following(cpu);
    }
    end_round();
    return NULL;
}

/*
 * Each round begins with another vCPU.  No round goes beyond the next timer, so
 * that only timers that a vCPU sets within the round can be late.
 */
CPUState *icount_slices_round(void)
{
    int64_t deadline = qemu_clock_deadline_ns_all(QEMU_CLOCK_VIRTUAL,
                                                  QEMU_TIMER_ATTR_ALL);
    int64_t now = icount_get();
    CPUState *cpu, *first = first_cpu;

    slices.end_ns = now + (deadline > 0 ? MIN(deadline, slices.length_ns)
                                        : slices.length_ns);
    slices.reached_ns = now;
    slices.awake = false;
    slices.left = 0;
    CPU_FOREACH(cpu) {
        Own *o = own(cpu);

        o->ns = MAX(o->ns, now);
        o->awake = !cpu_thread_is_idle(cpu);
        o->over = false;
        slices.left++;
        if (cpu == slices.first) {
            first = following(cpu);
        }
    }
    slices.first = first;
    return find_next(first);
}

CPUState *icount_slices_next(CPUState *cpu)
{
    Own *o = own(cpu);

    if (!slices.first) {
        return NULL; /* slices were enabled while it executed */
    }
    o->awake = !cpu_thread_is_idle(cpu);
    if (o->awake && !o->over) {
        return cpu;
    }
    return find_next(following(cpu));
}

int64_t icount_slices_begin(CPUState *cpu)
{
    Own *o = own(cpu);
    int64_t now = icount_get();

    o->ns = MAX(o->ns, now);
    slices.ahead_ns = o->ns - now;
    move_clock(slices.ahead_ns);
    slices.icount = icount_get_raw();
    slices.stalled_ns = 0;
    slices.running = cpu;
    return MAX(icount_round(slices.end_ns - o->ns), 1);
}

void icount_slices_end(CPUState *cpu)
{
    int64_t executed_ns;
    Own *o;

    if (slices.running != cpu) {
        return; /* no slices, or they were enabled while it executed */
    }
    o = own(cpu);
    executed_ns = icount_to_ns(icount_get_raw() - slices.icount);
    move_clock(-slices.ahead_ns - executed_ns);
    o->ns += executed_ns + slices.stalled_ns;
    o->over = !cpu->icount_budget;
    slices.reached_ns = o->ns;
    slices.stalled_ns = 0;
    slices.running = NULL;
}

bool icount_slices_stall(int64_t ns)
{
    CPUState *cpu = slices.running;
    int64_t left, cut;

    if (!cpu) {
        return false;
    }
    slices.stalled_ns += ns;
    left = cpu->neg.icount_decr.u16.low + cpu->icount_extra;
    cut = MIN(left, icount_round(ns));
    left -= cut;
    cpu->icount_budget -= cut;
    cpu->neg.icount_decr.u16.low = left;
    cpu->icount_extra = 0;
    return true;
}

int64_t icount_slices_stalled(void)
{
    return slices.stalled_ns;
}

bool icount_slices_give_up(CPUState *cpu)
{
    if (slices.running != cpu) {
        return false;
    }
    cpu->icount_budget = 0;
    cpu->neg.icount_decr.u16.low = 0;
    cpu->icount_extra = 0;
    return true;
}
