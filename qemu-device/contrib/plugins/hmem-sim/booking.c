/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: books the time of one direction of a tier.
 */

#include <glib.h>

#include "booking.h"

uint64_t sim_book(SimSlot *slots, uint64_t slot_ps, uint64_t line_ps,
                  uint64_t now_ps)
{
    uint64_t number = now_ps / slot_ps, left = line_ps, end;
    SimSlot *slot;

    for (;; number++) {
        uint64_t take;

        slot = &slots[number % SIM_BOOKED];
        if (slot->number != number) {
            slot->number = number;
            slot->used_ps = 0;
        }
        take = MIN(left, slot_ps - slot->used_ps);
        slot->used_ps += take;
        left -= take;
        if (!left) {
            break;
        }
    }
    end = number * slot_ps + slot->used_ps;
    return end > now_ps + line_ps ? end - now_ps - line_ps : 0;
}
