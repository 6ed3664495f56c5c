/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes room in tiers that are to get smaller, and in tier 0 of a guest that swaps.
 *
 * A guest gives up only free memory.  If a tier has no free memory, and is still larger than
 * requested, a job moves cold pages of the tier to the next tier.  If a guest reads pages from
 * swap, although tier 1 has free memory for them, a job moves as many cold pages of tier 0 there.
 */
#ifndef HMEMD_ROOM_H
#define HMEMD_ROOM_H

#include "vm.h"

/*
 * Called once per second: if a tier needs room, and neither a job nor a pass is under way,
 * begins a pass that looks for cold pages.  The pass begins the job.  In a second, jobs have as
 * many pages as the policy's rate allows.
 */
void room_second(struct vm *vm);

/*
 * A tier has become full, or a job has ended: look again within a tenth of a second, or, with
 * --lockstep, when the VM's next tick is answered.  If only few pages are missing, that can wait
 * for the next second.
 */
void room_needed(struct vm *vm);

/* With --lockstep: called at ticks; does what room_needed() has asked for. */
void room_now(struct vm *vm);

/* The VM disconnects. */
void room_free(struct vm *vm);

#endif /* HMEMD_ROOM_H */
