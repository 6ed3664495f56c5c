/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the device, or hmemd itself, tracks a VM with, and what the device is told of it. */
#ifndef HMEMD_TRACKING_H
#define HMEMD_TRACKING_H

#include "vm.h"

/* Track as the VM's policy asks: at first, and when what is offered may have changed. */
void tracking_update(struct vm *vm);

/* Try that again, if it failed and may succeed now; to be called now and then. */
void tracking_again(struct vm *vm);

/* Track no more; @again: tracking_again() may try. */
void tracking_stop(struct vm *vm, bool again);

/*
 * Have @policy take effect.  -ENOTSUP, and all is as it was, if the VM does
 * not offer what it asks for; -EBUSY likewise, if that may be so in a while.
 */
int tracking_set_policy(struct vm *vm, const struct hmem_policy *policy,
			struct hmem_err *err);

/* Tell the device how long the window that is under way is to be, if that is new. */
void tracking_next_window(struct vm *vm);

/* Tell the device that tick @seq has been dealt with. */
void tracking_answer(struct vm *vm, uint64_t seq);

/* The VM's tick has come, or is to be forgotten: may VMs in lockstep go on now? */
void tracking_check_lockstep(struct vm *vm);

/* Does the tracker tell written pages from others? */
bool tracking_tells_written(const struct vm *vm);

/* "dirty", "sim", "gpt", "idle" or "damon"; NULL: nothing is tracked. */
const char *tracking_name(const struct vm *vm);

#endif /* HMEMD_TRACKING_H */
