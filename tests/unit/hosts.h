/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host whose VMs share its DRAM, in a few hundred lines: VMs with known access rates, which
 * are measured with errors; guests that follow what the pool decides, slowly, or not at all;
 * and what the best distribution of DRAM would save.  What decides is the pool that hmemd runs.
 */
#ifndef HMEM_UNIT_HOSTS_H
#define HMEM_UNIT_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

#define HOST_CLASSES	96u
#define HOST_ACCESS_NS	1760.0
/* A move of a page of 4 KiB, as the guest's driver takes for it. */
#define HOST_MOVE_NS	17500.0
#define GIB		(UINT64_C(1) << 18)

struct host_vm {
	struct hmem_pool_member member;
	/* How its pages are used, the most first; nothing is used while it is idle. */
	struct hmem_worth_class truth[HOST_CLASSES];
	unsigned int num;
	bool idle;
	/* It says that all of its pages, so many, are used so often; 0: it says the truth. */
	double lies;
	/* Of the logarithm of each rate that is measured. */
	double error;
	/* Pages that it gives up or takes in a window. */
	uint64_t speed;
	struct hmem_worth measured;
	uint64_t pages;
};

struct host {
	struct hmem_pool pool;
	struct host_vm *vms;
	unsigned int num;
	uint64_t rnd;
	/* Pages that came or went so far. */
	uint64_t moved;
};

/* What hmemd would do, on a host with one node of so many pages. */
struct hmem_pool_config host_config(uint64_t pages);

/* @num VMs without a load, which are all alike. */
void host_init(struct host *h, unsigned int num, const struct hmem_pool_config *config);
void host_free(struct host *h);

/* Loads: @hot pages have the part @weight of the accesses; by Zipf's law; or all alike. */
void host_hot_set(struct host_vm *vm, uint64_t pages, uint64_t hot, double weight);
void host_zipf(struct host_vm *vm, uint64_t pages);
/* Then: without DRAM, the VM would wait for so much of its time. */
void host_waits(struct host_vm *vm, double part);

/* All of a node have the same DRAM, and are in the pool. */
void host_begin(struct host *h);

/* All of that: VMs of 64 GiB with loads of their own, and DRAM for a quarter of it. */
void host_many(struct host *h, unsigned int num);

/* Guests do what the pool has decided; and their rates are measured. */
void host_follow(struct host *h);

/* Likewise; then the pool decides, and nobody is promised what there is not. */
void host_window(struct host *h);

static inline uint64_t host_dram(const struct host_vm *vm)
{
	return hmem_pool_sum(vm->member.actual);
}

/* The part of its time that the VM does not wait with so many pages, by its true rates. */
double host_saves(const struct host_vm *vm, uint64_t pages);
/* The same of all VMs, by their weights; and the most that it could be, if no VM may lose
 * more than @loss of its time against its share.
 */
double host_saved(const struct host *h);
double host_best(const struct host *h, double loss);

#endif /* HMEM_UNIT_HOSTS_H */
