/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room in tiers that are to get smaller.
 *
 * A guest gives up free memory only.  If a tier has none left and is still larger than
 * requested, cold pages of the tier move to the next tier, as a job.
 */
#ifndef HMEMD_ROOM_H
#define HMEMD_ROOM_H

#include "vm.h"

/*
 * Called once per second: if a tier needs room, and neither a job nor a pass is under way,
 * begins a pass that looks for cold pages.  The pass begins the job.
 */
void room_second(struct vm *vm);

/* The VM goes, or the search has ended. */
void room_free(struct vm *vm);

#endif /* HMEMD_ROOM_H */
