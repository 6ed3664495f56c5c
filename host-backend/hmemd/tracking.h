/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tracker of a VM, in the device or in hmemd, and the tracking requests to the device. */
#ifndef HMEMD_TRACKING_H
#define HMEMD_TRACKING_H

#include "vm.h"

/* Track as the VM's policy says.  Called at first and when the offer may have changed. */
void tracking_update(struct vm *vm);

/* Repeat tracking_update() if it failed and may succeed now.  Called now and then. */
void tracking_again(struct vm *vm);

/* Stop tracking.  @again: tracking_again() may start it again. */
void tracking_stop(struct vm *vm, bool again);

/*
 * Put @policy into effect.  Returns 0; or an error, with nothing changed.  -ENOTSUP: the VM
 * does not offer what the policy needs.  -EBUSY: not now, but maybe in a moment.  -ENOTCONN:
 * hmemd-trackers does not listen.
 */
int tracking_set_policy(struct vm *vm, const struct hmem_policy *policy,
			struct hmem_err *err);

/* Tell the device the length of the current window, if it has changed. */
void tracking_next_window(struct vm *vm);

/* Answer tick @seq. */
void tracking_answer(struct vm *vm, uint64_t seq);

/* The VM has ticked, or its tick is dropped: check if VMs in lockstep can continue. */
void tracking_check_lockstep(struct vm *vm);

/* Does the tracker tell which pages were written? */
bool tracking_tells_written(const struct vm *vm);

/* "dirty", "sim", "gpt", "idle" or "damon"; NULL: nothing is tracked. */
const char *tracking_name(const struct vm *vm);

#endif /* HMEMD_TRACKING_H */
