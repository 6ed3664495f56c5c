/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Restores the learned state of a VM that has connected again, see learned.h. */
#ifndef HMEMD_RESTORING_H
#define HMEMD_RESTORING_H

struct vm;

/*
 * The VM is ready, and its tracking was requested.  If there is a file for the VM, a pass reads it,
 * and the VM's messages wait for the pass.  Whatever is wrong with the file, the VM then goes on.
 */
void restoring_begin(struct vm *vm);

/* The VM goes. */
void restoring_forget(struct vm *vm);

#endif /* HMEMD_RESTORING_H */
