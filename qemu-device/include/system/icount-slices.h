/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs that run side by side in guest time, with -icount.
 *
 * With -icount, all vCPUs take turns in one thread, and each instruction moves
 * the one clock on.  So two busy vCPUs do as much per second of guest time as
 * one does alone.  With slices, each vCPU has a clock of its own, which its own
 * instructions and stalls move on.  In each round, all vCPUs that are not idle
 * run until their clocks have reached the end of the round, one after the
 * other.  Then the machine's clock goes there, and timers fire.
 *
 * While a vCPU executes, the guest's clock is the vCPU's own.  At all other
 * times it is the machine's, and never goes back.
 */

#ifndef SYSTEM_ICOUNT_SLICES_H
#define SYSTEM_ICOUNT_SLICES_H

#include "hw/core/cpu.h"

/**
 * icount_slices_enable() - let vCPUs run side by side from the next round on
 * @ns: the length of a round in guest time
 *
 * Needs -icount with a fixed shift.  A round must have 1024 to 32768
 * instructions: more than the longest translation block, so that a vCPU always
 * gets on, and so few that they can be counted in 16 bits.
 *
 * Returns: false if @ns is not in these limits, or with record and replay.
 */
bool icount_slices_enable(int64_t ns);

bool icount_slices_enabled(void);

/**
 * icount_slices_round() - begin a round
 *
 * Returns: the vCPU that runs first, or NULL if all are idle.
 */
CPUState *icount_slices_round(void);

/**
 * icount_slices_next() - which vCPU runs now
 * @cpu: the vCPU that ran last
 *
 * This depends on guest time only, so that runs repeat: a vCPU that something
 * on the host has interrupted goes on until its slice is over.
 *
 * Returns: the vCPU, or NULL if the round is over.
 */
CPUState *icount_slices_next(CPUState *cpu);

/**
 * icount_slices_begin() - the guest's clock becomes that of a vCPU
 * @cpu: the vCPU, which executes next
 *
 * Returns: the number of instructions in the rest of its slice.
 */
int64_t icount_slices_begin(CPUState *cpu);

/**
 * icount_slices_end() - the guest's clock becomes the machine's
 * @cpu: the vCPU, which has executed; its instructions are accounted
 */
void icount_slices_end(CPUState *cpu);

/**
 * icount_slices_stall() - the executing vCPU waits, and its slice ends earlier
 * @ns: how long it waits
 *
 * Returns: false if no vCPU executes a slice.
 */
bool icount_slices_stall(int64_t ns);

/* How long the executing vCPU has waited in this slice. */
int64_t icount_slices_stalled(void);

/**
 * icount_slices_give_up() - leave out the instructions of a slice that are left
 * @cpu: the executing vCPU
 *
 * For the end of a slice that is in the midst of a translation block: the vCPU
 * makes up for it in the next round, and no shorter block is translated.
 *
 * Returns: false if @cpu does not execute a slice.
 */
bool icount_slices_give_up(CPUState *cpu);

#endif /* SYSTEM_ICOUNT_SLICES_H */
