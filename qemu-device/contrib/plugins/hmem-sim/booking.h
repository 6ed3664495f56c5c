/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: books the time of one direction of a tier for those who do not ask
 * for it in the order of guest time: several machines, or several vCPUs, which
 * run one after the other.
 *
 * Time is divided into slots, and a transfer takes what is left of the slots
 * from its begin on.  A slot is much shorter than the time for which a machine
 * or a vCPU runs, so that the next one finds the time that is left.
 */

#ifndef HMEM_SIM_BOOKING_H
#define HMEM_SIM_BOOKING_H

#include "sim.h"

/* Nobody is so many slots ahead of the others. */
#define SIM_BOOKED 8192

typedef struct SimSlot {
    uint64_t number;  /* guest time / length of a slot */
    uint64_t used_ps;
} SimSlot;

/**
 * sim_book() - book time
 * @slots: SIM_BOOKED slots, 0 at first
 * @slot_ps: the length of a slot
 * @line_ps: the time that the transfer takes
 * @now_ps: guest time at which it could begin
 *
 * Returns: the time to wait for bandwidth, in picoseconds.
 */
uint64_t sim_book(SimSlot *slots, uint64_t slot_ps, uint64_t line_ps,
                  uint64_t now_ps);

#endif /* HMEM_SIM_BOOKING_H */
