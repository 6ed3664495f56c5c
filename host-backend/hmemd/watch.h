/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trackers that hmemd reads by itself, from the host's kernel: which pages of
 * the QEMU process's memory were accessed.  The device ends the windows (the
 * link's tracker HOST); nobody tells which pages were written.
 *
 * Looking takes the kernel a while, so it is done a slice at a time, or in the
 * background, and a window ends for the rest of hmemd when that is through.  All
 * the while the device waits for TICK_DONE: a slow tracker gets longer windows.
 */
#ifndef HMEMD_WATCH_H
#define HMEMD_WATCH_H

#include "hmemd.h"

struct watch;

/*
 * Begin to watch @vm with @how, HMEM_TRACK_IDLE or HMEM_TRACK_DAMON, in windows
 * of @window_ms.  -errno, with what is missing in @err; -EBUSY: try again in a while.
 */
int watch_start(struct vm *vm, enum hmem_track how, uint32_t window_ms,
		struct watch **to, struct hmem_err *err);

/* Leave the kernel as it was.  A tick that is not answered stays so. */
void watch_stop(struct watch *w);

enum hmem_track watch_how(const struct watch *w);
struct hmem_tracker *watch_tracker(struct watch *w);

/*
 * A window has ended: see what was accessed in it, then call vm_watched().  If
 * the watch has not yet begun, vm_rearmed().
 */
void watch_tick(struct watch *w);

/* vm_watched() has marked what is to be rearmed: do it, then call vm_rearmed(). */
void watch_rearm(struct watch *w);

/* The VM's memory is elsewhere now. */
void watch_ranges(struct watch *w);

/* Make the next slice of each; to be called when hmemd_work() asked for it. */
void watch_step(struct hmemd *d);

/* To vm.c.  The last ends the watch, and leaves the tick unanswered. */
void vm_watched(struct vm *vm, uint64_t accessed);
void vm_rearmed(struct vm *vm);
void vm_unwatchable(struct vm *vm, const char *why);

#endif /* HMEMD_WATCH_H */
