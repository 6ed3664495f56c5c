/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "capacity.h"
#include "log.h"
#include "numbers.h"
#include "pooling.h"
#include "vm.h"

#define SECOND_NS	UINT64_C(1000000000)
/* The moves of an idle VM take at most so many times as long as estimated. */
#define MOVES		2.0
/* Physical: the latencies of DRAM and Optane in ns, for a VM that reports none. */
#define FAST_NS		80
#define SLOW_NS		300
/* Physical: an access to DRAM of another socket takes about so many times as long. */
#define REMOTE		2

void pooling_init(struct pooling *p)
{
	struct hmem_pool_config config;

	hmem_pool_config_init(&config);
	config.num_nodes = 1;
	p->patience = config.patience;
	hmem_pool_init(&p->pool, &config);
}

void pooling_free(struct pooling *p)
{
	hmem_pool_free(&p->pool);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool can_resize(const struct vm *vm)
{
	return vm->hello.tiers[0].unit && vm->state.features >> VIRTIO_HMEM_F_RESIZE & 1;
}

/* The frames of DRAM that the VM has. */
static uint64_t has(const struct vm *vm)
{
	return vm->hello.tiers[0].unit ? frames_in(vm->sizes.tiers[0].actual) :
	       vm->placer.pages.frames[0];
}

static uint64_t default_guarantee(const struct vm *vm)
{
	const struct hmem_link_tier *t = &vm->hello.tiers[0];

	return t->unit ? frames_in(t->min) : 0;
}

/* A VM that cannot be resized has no limit, so that hmemctl pool shows what would be best. */
static uint64_t default_maximum(const struct vm *vm)
{
	const struct hmem_link_tier *t = &vm->hello.tiers[0];

	return t->unit ? frames_in(t->size) : UINT64_MAX >> VIRTIO_HMEM_GFN_SHIFT;
}

static double ratio(uint32_t a, uint32_t b)
{
	return a && b ? (double)a / b : 0;
}

/*
 * How many times as long an access to the slowest tier takes as one to tier 0.  A VM can also wait
 * for bandwidth.
 */
static double slowdown(const struct hmem_link_hello *hello)
{
	const struct hmem_link_tier *fast = &hello->tiers[0];
	const struct hmem_link_tier *slow = &hello->tiers[hello->num_tiers - 1];

	return fmax(fmax(ratio(slow->read_latency, fast->read_latency),
			 ratio(slow->write_latency, fast->write_latency)),
		    fmax(ratio(fast->read_bandwidth, slow->read_bandwidth),
			 ratio(fast->write_bandwidth, slow->write_bandwidth)));
}

void pooling_init_vm(struct vm *vm)
{
	struct hmem_pool_member *m = &vm->pooled.member;

	m->guarantee = default_guarantee(vm);
	m->maximum = default_maximum(vm);
	m->weight = 1;
	m->processors = vm->hello.num_cpus;
	m->move_ns = vm->placer.bursts.first.move_ns;
	m->slowdown = slowdown(&vm->hello);
	m->busy = 1;
	vm->pooled.cpus = vm->hello.num_cpus;
}

void pooling_remove(struct vm *vm)
{
	if (vm->pooled.is_member)
		hmem_pool_remove(&vm->d->pooling.pool, &vm->pooled.member);
	vm->pooled.is_member = false;
	/* In lockstep, this VM's clock may be ahead of all others. */
	vm->d->pooling.decided_ms = 0;
}

/* How long the VM has moved pages, as estimated.  Most of the time for a huge page is its copy. */
static double moved_ns(const struct vm *vm)
{
	const struct hmem_tier_pair *pair = &vm->placer.bursts.first;

	return (pair->move_ns - pair->copy_ns) * vm->stats.pages_moved +
	       pair->copy_ns * (vm->stats.promoted + vm->stats.demoted);
}

/*
 * Measures how many processors run, about once a second: shorter windows tell little.  Processors
 * also run to move pages.  An idle VM does not wake up because it lends DRAM, or because pages
 * come back to DRAM that is free.  How long moves take is only an estimate, so it does not make
 * other VMs look idle; and a VM that wakes up while pages move does not look idle if more than
 * one processor runs, because the driver moves pages in one thread.
 */
static void measure_cpus(struct vm *vm)
{
	struct pooled *p = &vm->pooled;
	uint64_t scans = vm->stats.scan_ns, busy = vm->stats.busy_ns;
	uint64_t ran = busy > scans ? busy - scans : 0;
	uint64_t window = vm->stats.window_ns - p->window_ns;
	double ns = ran > p->ran_ns ? ran - p->ran_ns : 0, moved = moved_ns(vm);

	if (window < SECOND_NS / 2)
		return;
	if (hmem_pool_is_idle(&p->member))
		ns = fmax(ns - fmin(MOVES * (moved - p->moved_ns), window), 0);
	p->cpus = ns / window;
	p->ran_ns = ran;
	p->moved_ns = moved;
	p->window_ns = vm->stats.window_ns;
}

/*
 * The VM's access rates are those of its last burst of looks.  Since then, the VM may have stopped
 * working, or begun again: it accesses memory only while its processors run.  So what DRAM is
 * worth follows at once, and what is known of the pages of an idle VM is of use when it works
 * again.
 */
static void revalue(struct vm *vm)
{
	const struct hmem_bursts *b = &vm->placer.bursts;
	struct pooled *p = &vm->pooled;

	p->worth = p->measured;
	if (b->rated_cpus > 0)
		hmem_worth_scale(&p->worth, p->cpus / b->rated_cpus);
	p->member.busy = fmin(p->cpus / vm->hello.num_cpus, 1);
}

/* Tells the pool the VM's size, and if the size can change. */
static void measure_size(struct vm *vm)
{
	struct hmem_pool_member *m = &vm->pooled.member;

	memset(m->actual, 0, sizeof(m->actual));
	m->actual[m->node] = has(vm);
	m->fixed = !vm_at_work(vm) || (vm->d->config.pool && !can_resize(vm));
	/* The trader alone resizes a VM that trades. */
	if (vm->d->config.pool && vm->traded.wanted && vm->traded.begun) {
		m->actual[m->node] = trading_claim(vm, m->actual[m->node]);
		m->fixed = true;
	}
}

/* Tells the pool the VM's size, if the size can change, and what DRAM is worth to the VM. */
static void look_at(struct vm *vm)
{
	struct hmem_pool_member *m = &vm->pooled.member;

	vm->pooled.is_known = true;
	measure_size(vm);
	/* The rates are complete between bursts; during a burst, those of the last one count. */
	if (vm->placer.policy.kind != HMEM_POLICY_AUTO)
		m->worth = NULL;
	else if (hmem_bursts_worth(&vm->placer.bursts, &vm->placer.pages,
				   vm->placer.plan.stays, &vm->pooled.measured))
		m->worth = &vm->pooled.worth;
	measure_cpus(vm);
	revalue(vm);
}

static void join(struct vm *vm)
{
	struct hmem_err err;

	if (vm->pooled.is_member)
		return;
	vm->pooled.is_member = !hmem_pool_add(&vm->d->pooling.pool, &vm->pooled.member, &err);
	if (!vm->pooled.is_member && !vm->pooled.told)
		log_msg(LOG_WARN, "vm '%s' is not in the pool: %s", vm->name, err.msg);
	vm->pooled.told = !vm->pooled.is_member;
}

/* The VM cannot get what was decided: it is to have @pages, with those of other nodes last. */
static void set_requested(const struct hmem_pool *p, struct hmem_pool_member *m, uint64_t pages)
{
	uint64_t left = pages;

	for (unsigned int i = 0; i < p->config.num_nodes; i++) {
		unsigned int n = (m->node + i) % p->config.num_nodes;

		m->requested[n] = smaller(m->requested[n], left);
		left -= m->requested[n];
	}
	m->requested[m->node] += left;
}

/* Sends the VM the size that the pool has decided, rounded to the tier's unit. */
static void resize(struct vm *vm)
{
	const struct hmem_link_tier *t = &vm->hello.tiers[0];
	struct hmem_pool_member *m = &vm->pooled.member;
	uint64_t pages = hmem_pool_sum(m->requested), bytes;

	if (m->fixed)
		return;
	/* The host's kernel has to put pages of one node in the place of those of another. */
	pages = smaller(pages, larger(hmem_pool_sum(m->target), hmem_pool_sum(m->actual)));
	bytes = pages << VIRTIO_HMEM_GFN_SHIFT;
	bytes = capacity_limit(vm, 0, bytes);
	bytes -= bytes % t->unit;
	bytes = bytes < t->min ? t->min : bytes > t->size ? t->size : bytes;
	set_requested(&vm->d->pooling.pool, m, frames_in(bytes));
	if (bytes == vm->sizes.tiers[0].requested)
		return;
	log_msg(LOG_INFO, "vm '%s': pool: tier 0 is to have %" PRIu64 " MiB: %s", vm->name,
		bytes >> 20, hmem_pool_why(m->why));
	vm_ask_size(vm, 0, bytes);
}

/*
 * What DRAM of another socket is worth, as a part of what DRAM of the VM's own is worth: how much
 * of the time of an access to the slowest tier it saves.
 */
static double worth_elsewhere(const struct hmem_link_hello *hello)
{
	double fast = hello->tiers[0].read_latency;
	double slow = hello->tiers[hello->num_tiers - 1].read_latency;

	if (!(fast > 0 && slow > fast)) {
		fast = FAST_NS;
		slow = SLOW_NS;
	}
	return fmax((slow - REMOTE * fast) / (slow - fast), 0);
}

/* The place of the node in the pool. */
static unsigned int place_of(const struct pooling *p, unsigned int node)
{
	return __builtin_popcountll(p->nodes & ((UINT64_C(1) << node) - 1));
}

/* Tells the pool on which of its nodes the VM has DRAM. */
static void set_node(struct vm *vm)
{
	const struct hmem_host_nodes *nodes = &vm->nodes[0];
	const struct pooling *p = &vm->d->pooling;
	struct hmem_pool_member *m = &vm->pooled.member;
	uint64_t has = hmem_pool_sum(m->actual), requested = hmem_pool_sum(m->requested);
	unsigned int node = p->nodes ? place_of(p, nodes->own) : 0;

	m->away = node < p->pool.config.num_nodes && p->nodes & (p->nodes - 1) &&
		  nodes->all == p->nodes ? worth_elsewhere(&vm->hello) : 0;
	m->node = node;
	memset(m->actual, 0, sizeof(m->actual));
	m->actual[node] = has;
	memset(m->requested, 0, sizeof(m->requested));
	m->requested[node] = requested;
}

/* Counts the DRAM of VMs on their own nodes, as far as it fits there. */
static void spread(struct hmemd *d)
{
	struct hmem_pool *pool = &d->pooling.pool;

	for (unsigned int i = 0; i < pool->num; i++) {
		struct hmem_pool_member *m = pool->members[i];
		uint64_t has = hmem_pool_sum(m->actual);

		memset(m->actual, 0, sizeof(m->actual));
		m->actual[m->node] = has;
	}
	hmem_pool_spread(pool);
}

/* Adds up the guarantees of the pool's VMs by node.  Returns the sum of all. */
static uint64_t guarantees(const struct hmemd *d, uint64_t by_node[HMEM_NODES])
{
	const struct pooling *p = &d->pooling;
	const struct vm *vm;
	uint64_t sum = 0;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm->pooled.is_member || !(p->nodes >> vm->nodes[0].own & 1))
			continue;
		by_node[place_of(p, vm->nodes[0].own)] += vm->pooled.member.guarantee;
		sum += vm->pooled.member.guarantee;
	}
	return sum;
}

/* Divides @pages between the nodes in proportion to their capacities, and adds them. */
static void divide(const struct hmemd *d, uint64_t pages, uint64_t by_node[HMEM_NODES])
{
	double left = 0;
	unsigned int n = 0;

	for (uint64_t w = d->pooling.nodes; w; w &= w - 1)
		left += d->config.capacity[__builtin_ctzll(w)];
	for (uint64_t w = d->pooling.nodes; w; w &= w - 1) {
		double capacity = d->config.capacity[__builtin_ctzll(w)];

		uint64_t part = pages * (capacity / left);

		by_node[n] = smaller(by_node[n] + part, frames_in(capacity));
		n++;
		left -= capacity;
		pages -= part;
	}
}

/* Sets the nodes of the pool, and the DRAM of each.  All VMs together have @all pages. */
static void set_capacity(struct hmemd *d, uint64_t all)
{
	struct hmem_pool_config *c = &d->pooling.pool.config;
	uint64_t nodes = d->config.pool ? capacity_nodes_of_dram(d) : 0, most = 0, guaranteed;

	if (__builtin_popcountll(nodes) > (int)HMEM_NODES)
		nodes = 0;
	d->pooling.nodes = nodes;
	c->num_nodes = nodes ? __builtin_popcountll(nodes) : 1;
	memset(c->capacity, 0, sizeof(c->capacity));
	memset(c->reserve, 0, sizeof(c->reserve));
	if (!nodes) {
		c->capacity[0] = d->config.pool ? frames_in(d->config.pool) : all;
		c->reserve[0] = d->config.pool ? frames_in(d->config.pool_reserve) : 0;
		return;
	}
	for (uint64_t w = nodes; w; w &= w - 1)
		most += frames_in(d->config.capacity[__builtin_ctzll(w)]);
	/* What is guaranteed on a node comes first, and the rest is divided. */
	most = smaller(frames_in(d->config.pool), most);
	guaranteed = guarantees(d, c->capacity);
	if (guaranteed > most) {
		memset(c->capacity, 0, sizeof(c->capacity));
		guaranteed = 0;
	}
	divide(d, most - guaranteed, c->capacity);
	divide(d, frames_in(d->config.pool_reserve), c->reserve);
}

/* A VM outside the pool has DRAM as well, which is not the pool's. */
static void leave_out(const struct vm *vm)
{
	struct hmem_pool_config *c = &vm->d->pooling.pool.config;
	uint64_t pages = trading_claim(vm, has(vm));

	for (unsigned int i = 0; i < c->num_nodes; i++) {
		unsigned int n = (vm->pooled.member.node + i) % c->num_nodes;
		uint64_t here = smaller(pages, c->capacity[n]);

		c->capacity[n] -= here;
		pages -= here;
	}
}

/* Decides on what look_at() has found. */
static void decide(struct hmemd *d)
{
	struct pooling *p = &d->pooling;
	uint64_t all = 0;
	struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm))
			continue;
		/* A VM in lockstep that has not ticked yet. */
		if (!vm->pooled.is_known)
			look_at(vm);
		all += has(vm);
	}
	set_capacity(d, all);
	/* Without a pool hmemd asks no guest to change its size, so no guest can be stuck. */
	p->pool.config.patience = d->config.pool ? p->patience : UINT_MAX;
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm))
			continue;
		set_node(vm);
		join(vm);
	}
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm_ready(vm) && !vm->pooled.is_member)
			leave_out(vm);
	}
	spread(d);
	hmem_pool_decide(&p->pool, SECOND_NS);
	p->decisions++;
}

static void apply(struct vm *vm)
{
	if (vm->d->config.pool && vm->pooled.is_member)
		resize(vm);
}

void pooling_second(struct hmemd *d)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm_ready(vm))
			look_at(vm);
	}
	decide(d);
	TAILQ_FOREACH(vm, &d->vms, link)
		apply(vm);
}

void pooling_tick(struct vm *vm)
{
	struct pooling *p = &vm->d->pooling;
	uint64_t now = vm_now(vm);

	look_at(vm);
	/* The clocks of VMs differ: the VM that is the first to reach a second counts. */
	if (now >= p->decided_ms + SECOND_MS) {
		p->decided_ms = now;
		decide(vm->d);
	} else {
		spread(vm->d);
		hmem_pool_promise(&p->pool);
	}
	apply(vm);
}

/* Has the pool promised the VM more than it was asked to have? */
static bool gets_more(const struct vm *vm)
{
	uint64_t pages = hmem_pool_sum(vm->pooled.member.requested);

	return frames_in(vm->sizes.tiers[0].requested) < pages &&
	       frames_in(vm->asked[0]) < pages;
}

void pooling_freed(struct vm *vm)
{
	struct hmemd *d = vm->d;

	if (!d->config.pool || !vm->pooled.is_member || d->lockstep.min)
		return;
	measure_size(vm);
	spread(d);
	hmem_pool_promise(&d->pooling.pool);
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm->pooled.is_member && gets_more(vm))
			resize(vm);
	}
}

/* Give the VM these bounds, in frames.  Nothing has changed after an error. */
static int set_bounds(struct vm *vm, uint64_t guarantee, uint64_t maximum,
		      struct hmem_err *err)
{
	struct hmem_pool_member *m = &vm->pooled.member, old = *m;
	struct hmem_pool *pool = &vm->d->pooling.pool;
	int ret;

	if (guarantee > maximum)
		return hmem_fail(err, EINVAL, "the guarantee of vm '%s' would be more than its "
				 "maximum: set the other one first", vm->name);
	m->guarantee = guarantee;
	m->maximum = maximum;
	if (!vm->pooled.is_member)
		return 0;
	/*
	 * Only a VM that joins is checked: so let the VM leave the pool and join again, with the
	 * size that it has now.
	 */
	pooling_remove(vm);
	measure_size(vm);
	ret = hmem_pool_add(pool, m, err);
	if (ret < 0) {
		*m = old;
		vm->pooled.is_member = !hmem_pool_add(pool, m, NULL);
		return ret;
	}
	vm->pooled.is_member = true;
	m->credit = old.credit;
	return 0;
}

void pooling_configure(struct vm *vm, const struct hmem_vm_config *config)
{
	uint64_t guarantee = config->guarantee == UINT64_MAX ? default_guarantee(vm) :
			     frames_in(config->guarantee);
	uint64_t maximum = config->maximum == UINT64_MAX ? default_maximum(vm) :
			   frames_in(config->maximum);
	struct hmem_err err;

	if (vm->pooled.by_hand)
		return;
	vm->pooled.member.weight = config->weight ? config->weight : 1;
	if (set_bounds(vm, guarantee, maximum, &err) < 0)
		log_msg(LOG_WARN, "vm '%s': its pool-guarantee and pool-maximum are not in "
			"force: %s", vm->name, err.msg);
}

static int set(struct vm *vm, const char *key, const char *value, struct hmem_err *err)
{
	struct hmem_vm_config c = { .guarantee = UINT64_MAX, .maximum = UINT64_MAX };
	struct hmem_pool_member *m = &vm->pooled.member;
	char full_key[64];
	int ret;

	snprintf(full_key, sizeof(full_key), "pool-%.48s", key);
	ret = hmem_config_set_pool(&c, full_key, value, err);
	if (ret == -ENOENT)
		return hmem_fail(err, EINVAL, "unknown key '%s': guarantee, maximum and weight "
				 "can be set", key);
	if (ret < 0)
		return ret;
	if (c.weight) {
		m->weight = c.weight;
		return 0;
	}
	return set_bounds(vm, c.guarantee == UINT64_MAX ? m->guarantee : frames_in(c.guarantee),
			  c.maximum == UINT64_MAX ? m->maximum : frames_in(c.maximum), err);
}

int pooling_set(struct vm *vm, const char *key, const char *value, struct hmem_err *err)
{
	int ret = set(vm, key, value, err);

	vm->pooled.by_hand |= !ret;
	return ret;
}
