/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients of the control socket see of a VM, see hmemd(8); the answers are the caller's. */
#ifndef HMEMD_VM_JSON_H
#define HMEMD_VM_JSON_H

#include "jsonio.h"
#include "vm.h"

/* In the order of their length: the second has the first, and so on. */
json *vm_json(const struct vm *vm);
json *vm_status_json(const struct vm *vm);
/* Status and statistics, at one moment, for who wants to see what happens between two. */
json *vm_sample_json(const struct vm *vm);

json *vm_stats_json(const struct vm *vm);
json *vm_policy_json(struct vm *vm);

/* @reasons: VIRTIO_HMEM_R_MAX numbers of frames. */
json *reasons_json(const uint64_t *reasons);

/* The policy's window, where those of the dirty log are parts of that. */
uint64_t vm_window_ms(const struct vm *vm);

#endif /* HMEMD_VM_JSON_H */
