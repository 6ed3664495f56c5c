/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of the host's nodes, as far as the configuration tells it, and what the VMs on each
 * node were promised of it.  hmemd lets no tier grow beyond what is left.
 *
 * A tier can be on several nodes, for example on those of two sockets.  hmemd decides how much a
 * tier has, and the host's kernel on which of these nodes: on that of the processor that touches
 * the memory first, if there is room.  So hmemd promises only what each tier finds wherever the
 * memory of the other tiers is: all tiers that can be on some of a tier's nodes have at most the
 * capacity of these nodes together.
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

/*
 * The bytes of @node that count as those of VMs: what they have, or may take at any time.  A tier
 * that can be on several nodes counts on its own node as far as it fits there, because the host's
 * kernel takes memory from there first.
 */
uint64_t capacity_promised(const struct hmemd *d, unsigned int node);

/* The bytes that the tier was promised and that count on other nodes than its own. */
uint64_t capacity_elsewhere(const struct vm *vm, unsigned int tier);

/*
 * The largest size of the tier, in bytes and at most @bytes, for which its nodes have memory; but
 * not less than what the VM was promised.
 */
uint64_t capacity_limit(const struct vm *vm, unsigned int tier, uint64_t bytes);

/*
 * The nodes on which VMs have DRAM, a bit for each; 0 if there is no VM, or if a VM's DRAM is on a
 * node of unknown capacity.
 */
uint64_t capacity_nodes_of_dram(const struct hmemd *d);

/* Room for the text of all nodes. */
#define CAPACITY_NODES_TEXT	(3 * HMEM_CONFIG_NODES)

/* The nodes as text, as in the configuration: "0", or "0+1".  Returns @buf. */
const char *capacity_format_nodes(const struct hmem_host_nodes *nodes,
				  char buf[CAPACITY_NODES_TEXT]);

/* Called once per second: tells when VMs have more of a node than it has, and when no longer. */
void capacity_second(struct hmemd *d);

#endif /* HMEMD_CAPACITY_H */
