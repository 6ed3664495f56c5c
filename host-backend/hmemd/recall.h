/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policies that were set by hand, for VMs that come back.
 *
 * A VM is known by its device's name and what QEMU calls the VM: with a UUID,
 * by that and QEMU's name; without, by the name that hmemd gave it.  There are
 * at most hmemd.max_vms policies: the one that was set or taken up least
 * recently makes room.
 */
#ifndef HMEMD_RECALL_H
#define HMEMD_RECALL_H

#include "vm.h"

/* @vm's policy was set by hand.  Without memory for it, the log says so. */
void recall_keep(const struct vm *vm);

/* Give @vm, whose HELLO has come, the policy that was set for it, if any. */
bool recall_policy(struct vm *vm);

void recall_free(struct hmemd *d);

#endif /* HMEMD_RECALL_H */
