/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes room in tiers that are to get smaller.
 *
 * A guest gives up only free memory.  If a tier has no free memory, and is still larger than
 * requested, a job moves cold pages of the tier to the next tier.
 */
#ifndef HMEMD_ROOM_H
#define HMEMD_ROOM_H

#include "vm.h"

/*
 * Called once per second: if a tier needs room, and neither a job nor a pass is under way,
 * begins a pass that looks for cold pages.  The pass begins the job.
 */
void room_second(struct vm *vm);

/* Frees the search, when it has ended, or when the VM disconnects. */
void room_free(struct vm *vm);

#endif /* HMEMD_ROOM_H */
