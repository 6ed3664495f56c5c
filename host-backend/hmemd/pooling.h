/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All VMs share the host's DRAM.  The pool (pool.h) decides once per second how much each VM is
 * to have; with --lockstep, once per second of guest time.  DRAM that becomes free in between goes
 * at once to the VMs that wait for it.  If a pool is configured, hmemd
 * resizes the VMs accordingly; otherwise `hmemctl pool` shows the sizes that the VMs would
 * have.
 */
#ifndef HMEMD_POOLING_H
#define HMEMD_POOLING_H

#include "config.h"
#include "err.h"
#include "pool.h"

struct hmemd;
struct vm;

struct pooling {
	struct hmem_pool pool;
	/* With --lockstep: vm_now() of the VM with whose tick the pool has last decided. */
	uint64_t decided_ms;
	/* The nodes of the host that are the pool's, a bit for each; 0: they are not known. */
	uint64_t nodes;
	/* How often the pool has decided. */
	uint64_t decisions;
	/* The pool's default patience, which holds while a pool is configured. */
	unsigned int patience;
};

/* What the pool knows of a VM.  @member is in the pool only while @is_member. */
struct pooled {
	struct hmem_pool_member member;
	/* What DRAM was worth to the VM in the last burst of looks, and what it is worth now. */
	struct hmem_worth measured, worth;
	/*
	 * How many of the VM's processors ran in the last second of its time, on average, without
	 * scans; and for how long they had run and moved pages at the end of that second.
	 */
	double cpus, moved_ns;
	uint64_t ran_ns, window_ns;
	bool is_member;
	/* @member tells what the VM has and needs. */
	bool is_known;
	/* A client has set the bounds or the weight, so the configuration does not apply. */
	bool by_hand;
	/* The pool has refused the VM, and the log says so. */
	bool told;
};

void pooling_init(struct pooling *p);
void pooling_free(struct pooling *p);

/* Sets the VM's defaults, for which the VM's tiers must be known. */
void pooling_init_vm(struct vm *vm);

/*
 * Give the VM the bounds and the weight that are configured for it, unless a client has set
 * them.  Logs a warning if that is not possible.
 */
void pooling_configure(struct vm *vm, const struct hmem_vm_config *config);

/* Removes a VM that disconnects. */
void pooling_remove(struct vm *vm);

/* Runs the pool; called once per second, but not with --lockstep. */
void pooling_second(struct hmemd *d);

/*
 * With --lockstep: the VM's time stands still until its tick is answered.  Only at its own
 * ticks, hmemd learns about the VM and requests a size: messages that come and go at other
 * times arrive at a random guest time.
 */
void pooling_tick(struct vm *vm);

/*
 * The VM has less of tier 0 than before: the pool promises that memory to VMs that wait for it.
 * With --lockstep, the next tick does so.
 */
void pooling_freed(struct vm *vm);

/*
 * Sets "guarantee" (a size), "maximum" (a size) or "weight" (1 to 1000) of the VM from text.
 * -EINVAL: the value is wrong.  -ENOSPC: the guarantee cannot be kept.  After an error nothing
 * has changed.
 */
int pooling_set(struct vm *vm, const char *key, const char *value, struct hmem_err *err);

#endif /* HMEMD_POOLING_H */
