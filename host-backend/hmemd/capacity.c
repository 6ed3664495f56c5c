/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "capacity.h"
#include "log.h"
#include "numbers.h"
#include "vm.h"

void capacity_configure(struct vm *vm, const struct hmem_vm_config *config)
{
	memcpy(vm->nodes, config->nodes, sizeof(vm->nodes));
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The bytes of the tier that the VM has or may take without asking hmemd again. */
static uint64_t promised_to(const struct vm *vm, unsigned int tier)
{
	const struct hmem_link_size *s = &vm->sizes.tiers[tier];
	const struct traded *t = &vm->traded;
	uint64_t bytes;

	if (!vm->hello.tiers[tier].unit)
		return vm->placer.pages.frames[tier] << VIRTIO_HMEM_GFN_SHIFT;
	/* What SIZES tells can be from before the last request. */
	bytes = larger(s->actual, larger(s->requested, vm->asked[tier]));
	if (tier >= HMEM_TRADED_TIERS || !t->begun)
		return bytes;
	/* In a pool, a VM may buy back the DRAM that it has sold. */
	if (tier == HMEM_DRAM && t->wanted && vm->d->config.pool)
		bytes = larger(bytes, t->trader.most[tier] << VIRTIO_HMEM_GFN_SHIFT);
	/* A trade that is a loss is undone. */
	if (t->trader.entry || t->trader.returns)
		bytes = larger(bytes, t->trader.before[tier] << VIRTIO_HMEM_GFN_SHIFT);
	return bytes;
}

uint64_t capacity_promised(const struct hmemd *d, unsigned int node)
{
	const struct vm *vm;
	uint64_t bytes = 0;

	TAILQ_FOREACH(vm, &d->vms, link) {
		for (unsigned int i = 0; vm_ready(vm) && i < vm->hello.num_tiers; i++) {
			if (vm->nodes[i] == (int)node)
				bytes += promised_to(vm, i);
		}
	}
	return bytes;
}

/* The capacity of the tier's node; 0: not known. */
static uint64_t capacity_for(const struct vm *vm, unsigned int tier)
{
	return vm->nodes[tier] < 0 ? 0 : vm->d->config.capacity[vm->nodes[tier]];
}

uint64_t capacity_limit(const struct vm *vm, unsigned int tier, uint64_t bytes)
{
	uint64_t capacity = capacity_for(vm, tier), unit = vm->hello.tiers[tier].unit;
	uint64_t mine, others, left;

	if (!capacity)
		return bytes;
	mine = promised_to(vm, tier);
	others = capacity_promised(vm->d, vm->nodes[tier]) - mine;
	left = capacity > others ? capacity - others : 0;
	left = larger(unit ? left - left % unit : left, mine);
	return bytes < left ? bytes : left;
}

uint64_t capacity_of_dram(const struct hmemd *d)
{
	bool seen[HMEM_CONFIG_NODES] = { false };
	const struct vm *vm;
	uint64_t bytes = 0;
	bool any = false;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm))
			continue;
		any = true;
		if (!capacity_for(vm, 0))
			return UINT64_MAX;
		if (!seen[vm->nodes[0]])
			bytes += capacity_for(vm, 0);
		seen[vm->nodes[0]] = true;
	}
	return any ? bytes : UINT64_MAX;
}

void capacity_second(struct hmemd *d)
{
	for (unsigned int i = 0; i < HMEM_CONFIG_NODES; i++) {
		uint64_t capacity = d->config.capacity[i];
		uint64_t promised = capacity ? capacity_promised(d, i) : 0;
		char has[32], want[32];

		/* The configuration no longer tells whether the node is large enough. */
		if (!capacity)
			d->node_short[i] = false;
		if ((promised > capacity) == d->node_short[i])
			continue;
		d->node_short[i] = promised > capacity;
		hmem_format_size(capacity, has, sizeof(has));
		hmem_format_size(promised, want, sizeof(want));
		if (d->node_short[i])
			events_tell(&d->events, LOG_WARN, "node-short", NULL, NULL,
				    "node %u has %s, and the VMs there have %s: see hmemctl pool",
				    i, has, want);
		else
			events_tell(&d->events, LOG_INFO, "node-suffices", NULL, NULL,
				    "node %u is large enough again for the VMs there", i);
	}
}
