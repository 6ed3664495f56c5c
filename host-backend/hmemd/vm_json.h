/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients of the control socket see of a VM, see hmemd(8).  The caller frees it. */
#ifndef HMEMD_VM_JSON_H
#define HMEMD_VM_JSON_H

#include "jsonio.h"
#include "vm.h"

/* A page is hot from half of the full heat on. */
#define VM_HOT_BUCKET	(HMEM_BUCKETS / 2)

/* Each of these contains all of the one before. */
json *vm_json(const struct vm *vm);
json *vm_status_json(const struct vm *vm);
/* Status and statistics of the same moment, for clients that compare two samples. */
json *vm_sample_json(const struct vm *vm);

json *vm_stats_json(const struct vm *vm);
json *vm_policy_json(struct vm *vm);

/* @reasons: numbers of frames, VIRTIO_HMEM_R_MAX of them. */
json *reasons_json(const uint64_t *reasons);

/* The policy's window; windows of the dirty log are parts of it. */
uint64_t vm_window_ms(const struct vm *vm);

/* The length that the operator has set, or else the default, which large memory lengthens. */
uint64_t vm_asked_window_ms(const struct vm *vm);

/* The sizes of a tier. */
json *vm_size_json(const struct vm *vm, unsigned int tier);

/* For a person: what hmemd does with the VM or waits for.  Valid until the next call. */
const char *vm_activity(const struct vm *vm);

#endif /* HMEMD_VM_JSON_H */
