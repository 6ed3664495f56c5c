/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of a host whose VMs share its DRAM.  The VMs' access rates are known, and are
 * measured with errors.  Guests do what the pool requests at once, slowly, or not at all.  The
 * pool is the real one.  The model also computes what the best distribution of the DRAM would
 * save.
 */
#ifndef HMEM_UNIT_HOSTS_H
#define HMEM_UNIT_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

#define HOST_CLASSES	96u
#define HOST_ACCESS_NS	1760.0
/* The guest's driver takes so long to move a page of 4 KiB. */
#define HOST_MOVE_NS	17500.0
#define GIB		(UINT64_C(1) << 18)

struct host_vm {
	struct hmem_pool_member member;
	/* The true access rates of the VM's pages, the highest first; an idle VM uses no page. */
	struct hmem_worth_class truth[HOST_CLASSES];
	unsigned int num;
	bool idle;
	/* The part of its time for which the VM's processors run unless it is idle; 0: all. */
	double busy;
	/* If not 0, the VM claims that each of its @pages pages is used at this rate. */
	double lies;
	/* The standard error of the natural logarithm of each measured rate. */
	double error;
	/* Pages that the guest can give up or take in one window. */
	uint64_t speed;
	struct hmem_worth measured;
	uint64_t pages;
};

struct host {
	struct hmem_pool pool;
	struct host_vm *vms;
	unsigned int num;
	uint64_t rnd;
	/* Pages that guests have given up or taken so far. */
	uint64_t moved;
};

/* hmemd's configuration on a host that has one node with @pages pages. */
struct hmem_pool_config host_config(uint64_t pages);

/* Makes @num equal VMs that use no page. */
void host_init(struct host *h, unsigned int num, const struct hmem_pool_config *config);
void host_free(struct host *h);

/*
 * Loads.  Hot set: @hot pages get the part @weight of the accesses, and the rest of the
 * accesses goes to all pages.  Zipf: the accesses follow Zipf's law.
 */
void host_hot_set(struct host_vm *vm, uint64_t pages, uint64_t hot, double weight);
void host_zipf(struct host_vm *vm, uint64_t pages);
/* Scales the rates of a load: without DRAM, the VM would wait for @part of its time. */
void host_waits(struct host_vm *vm, double part);

/* Divides the DRAM of each node equally between the node's VMs, and adds them to the pool. */
void host_begin(struct host *h);

/* Does all of the above: VMs of 64 GiB with different loads, and DRAM for a quarter of them. */
void host_many(struct host *h, unsigned int num);

/* Runs a window without a decision: guests do what was requested, and rates are measured. */
void host_follow(struct host *h);

/* Runs a window with the pool's decision.  Checks that the pool promises no page twice. */
void host_window(struct host *h);

/* Has the pool promise what is free, without a decision.  Checks that it promises no page twice. */
void host_promise(struct host *h);

static inline uint64_t host_dram(const struct host_vm *vm)
{
	return hmem_pool_sum(vm->member.actual);
}

/* The part of its time that the VM saves with @pages pages of DRAM, by its true rates. */
double host_saves(const struct host_vm *vm, uint64_t pages);
/*
 * The sum of host_saves() over all VMs, times their weights: with the present distribution of
 * DRAM, and with the best one in which no VM loses more than @loss of its time against its
 * share.
 */
double host_saved(const struct host *h);
double host_best(const struct host *h, double loss);

#endif /* HMEM_UNIT_HOSTS_H */
