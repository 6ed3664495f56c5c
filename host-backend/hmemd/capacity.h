/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of the host's nodes, as far as the configuration tells it, and what the VMs on each
 * node were promised of it.  hmemd lets no tier grow beyond what is left.
 *
 * A VM takes all of its memory when it is started, when its driver goes, and as much as it needs
 * before it would run out of memory: hmemd cannot refuse that, but tells it.
 */
#ifndef HMEMD_CAPACITY_H
#define HMEMD_CAPACITY_H

#include "config.h"
#include "err.h"

struct hmemd;
struct vm;

/* The configuration was read, or the VM has sent HELLO. */
void capacity_configure(struct vm *vm, const struct hmem_vm_config *config);

/* The bytes of @node that VMs have, or may take at any time. */
uint64_t capacity_promised(const struct hmemd *d, unsigned int node);

/*
 * The largest size of the tier, in bytes and at most @bytes, for which its node has memory; but
 * not less than what the VM was promised.
 */
uint64_t capacity_limit(const struct vm *vm, unsigned int tier, uint64_t bytes);

/*
 * The bytes of all nodes on which VMs have DRAM; UINT64_MAX if there is no VM, or if a VM's DRAM is
 * on a node of unknown capacity.
 */
uint64_t capacity_of_dram(const struct hmemd *d);

/* Called once per second: tells when VMs have more of a node than it has, and when no longer. */
void capacity_second(struct hmemd *d);

#endif /* HMEMD_CAPACITY_H */
