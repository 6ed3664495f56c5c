/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
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

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* a - b, but not less than 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
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

/* --- which tiers can take each other's memory --- */

/* The capacity of all nodes of the tier; 0: not known. */
static uint64_t capacity_for(const struct vm *vm, unsigned int tier)
{
	uint64_t bytes = 0;

	for (uint64_t w = vm->nodes[tier].all; w; w &= w - 1) {
		uint64_t capacity = vm->d->config.capacity[__builtin_ctzll(w)];

		if (!capacity)
			return 0;
		bytes += capacity;
	}
	return bytes;
}

/* What all tiers that can be on some of these nodes were promised, wherever it is now. */
static uint64_t promised_near(const struct hmemd *d, uint64_t nodes)
{
	const struct vm *vm;
	uint64_t bytes = 0;

	TAILQ_FOREACH(vm, &d->vms, link) {
		for (unsigned int i = 0; vm_ready(vm) && i < vm->hello.num_tiers; i++) {
			if (vm->nodes[i].all & nodes)
				bytes += promised_to(vm, i);
		}
	}
	return bytes;
}

/* Sets of nodes that were looked at; a set that does not fit is looked at again. */
struct seen {
	uint64_t nodes[8];
	unsigned int num;
};

/* Returns true if @nodes were seen, and notes them otherwise. */
static bool were_seen(struct seen *s, uint64_t nodes)
{
	for (unsigned int i = 0; i < s->num; i++) {
		if (s->nodes[i] == nodes)
			return true;
	}
	if (s->num < sizeof(s->nodes) / sizeof(s->nodes[0]))
		s->nodes[s->num++] = nodes;
	return false;
}

/*
 * The bytes by which a tier on these nodes can grow, so that each tier that can be on some of them
 * still finds its memory, wherever the host's kernel has put the memory of the others.
 */
static uint64_t left_for(const struct hmemd *d, uint64_t nodes)
{
	struct seen seen = { .num = 0 };
	uint64_t left = UINT64_MAX;
	const struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		for (unsigned int i = 0; vm_ready(vm) && i < vm->hello.num_tiers; i++) {
			uint64_t capacity = capacity_for(vm, i), all = vm->nodes[i].all;

			if (capacity && all & nodes && !were_seen(&seen, all))
				left = smaller(left, less(capacity, promised_near(d, all)));
		}
	}
	return left;
}

uint64_t capacity_limit(const struct vm *vm, unsigned int tier, uint64_t bytes)
{
	uint64_t unit = vm->hello.tiers[tier].unit, mine, more;

	if (!capacity_for(vm, tier))
		return bytes;
	mine = promised_to(vm, tier);
	more = smaller(left_for(vm->d, vm->nodes[tier].all), UINT64_MAX - mine);
	if (unit)
		more = larger((mine + more) / unit * unit, mine) - mine;
	return smaller(bytes, mine + more);
}

/* --- on which node memory counts --- */

/* What is counted of each node, and what is left of its capacity. */
struct count {
	uint64_t taken[HMEM_CONFIG_NODES], left[HMEM_CONFIG_NODES];
};

static void take(struct count *c, unsigned int node, uint64_t bytes)
{
	c->left[node] = less(c->left[node], bytes);
	c->taken[node] += bytes;
}

static bool has_one_node(const struct hmem_host_nodes *nodes)
{
	return !(nodes->all & (nodes->all - 1));
}

/* Takes what fits on the tier's own node, which is all if there is no other.  Returns that. */
static uint64_t take_own(struct count *c, const struct hmem_host_nodes *nodes, uint64_t bytes)
{
	if (!has_one_node(nodes))
		bytes = smaller(bytes, c->left[nodes->own]);
	take(c, nodes->own, bytes);
	return bytes;
}

/* Takes @bytes of other nodes than the tier's own; what fits nowhere is on its own. */
static void take_others(struct count *c, const struct hmem_host_nodes *nodes, uint64_t bytes)
{
	for (uint64_t w = nodes->all; w; w &= w - 1) {
		unsigned int node = __builtin_ctzll(w);
		uint64_t here = smaller(bytes, c->left[node]);

		take(c, node, here);
		bytes -= here;
	}
	take(c, nodes->own, bytes);
}

typedef void (*count_fn)(struct count *c, const struct vm *vm, unsigned int tier, void *arg);

/* Calls @fn for each tier that has one node only, or for each that has several. */
static void each_tier(const struct hmemd *d, bool one, count_fn fn, struct count *c, void *arg)
{
	const struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		for (unsigned int i = 0; vm_ready(vm) && i < vm->hello.num_tiers; i++) {
			if (vm->nodes[i].all && has_one_node(&vm->nodes[i]) == one)
				fn(c, vm, i, arg);
		}
	}
}

static void own_fn(struct count *c, const struct vm *vm, unsigned int tier, void *arg)
{
	(void)arg;
	take_own(c, &vm->nodes[tier], promised_to(vm, tier));
}

/* The tier whose part on its own node is wanted, and that part; and a count of own nodes only. */
struct others {
	const struct vm *vm;
	unsigned int tier;
	uint64_t own;
	struct count again;
};

static void others_fn(struct count *c, const struct vm *vm, unsigned int tier, void *arg)
{
	uint64_t bytes = promised_to(vm, tier);
	struct others *o = arg;
	uint64_t own = take_own(&o->again, &vm->nodes[tier], bytes);

	take_others(c, &vm->nodes[tier], bytes - own);
	if (vm == o->vm && tier == o->tier)
		o->own = own;
}

/* Own nodes come first, and on them the tiers that can be nowhere else. */
static void count(const struct hmemd *d, struct count *c, struct others *o)
{
	*c = (struct count) { .taken = { 0 } };
	for (unsigned int i = 0; i < HMEM_CONFIG_NODES; i++)
		c->left[i] = d->config.capacity[i] ? d->config.capacity[i] : UINT64_MAX;
	each_tier(d, true, own_fn, c, NULL);
	o->again = *c;
	each_tier(d, false, own_fn, c, NULL);
	each_tier(d, false, others_fn, c, o);
}

uint64_t capacity_promised(const struct hmemd *d, unsigned int node)
{
	struct others o = { .vm = NULL };
	struct count c;

	count(d, &c, &o);
	return c.taken[node];
}

uint64_t capacity_elsewhere(const struct vm *vm, unsigned int tier)
{
	struct others o = { .vm = vm, .tier = tier, .own = promised_to(vm, tier) };
	struct count c;

	count(vm->d, &c, &o);
	return promised_to(vm, tier) - o.own;
}

uint64_t capacity_nodes_of_dram(const struct hmemd *d)
{
	const struct vm *vm;
	bool known = true;
	uint64_t nodes = 0;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm))
			continue;
		nodes |= vm->nodes[0].all;
		known &= capacity_for(vm, 0) > 0;
	}
	return known ? nodes : 0;
}

const char *capacity_format_nodes(const struct hmem_host_nodes *nodes,
				  char buf[CAPACITY_NODES_TEXT])
{
	uint64_t others = nodes->all & ~(UINT64_C(1) << nodes->own);
	size_t at = snprintf(buf, CAPACITY_NODES_TEXT, "%d", nodes->own);

	for (uint64_t w = others; w && at < CAPACITY_NODES_TEXT; w &= w - 1)
		at += snprintf(buf + at, CAPACITY_NODES_TEXT - at, "+%d", __builtin_ctzll(w));
	return buf;
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
