/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"

void host_init(struct host *h, unsigned int num, const struct hmem_pool_config *config)
{
	memset(h, 0, sizeof(*h));
	hmem_pool_init(&h->pool, config);
	h->vms = calloc(num, sizeof(*h->vms));
	assert_non_null(h->vms);
	h->num = num;
	h->rnd = 42;
	for (unsigned int i = 0; i < num; i++) {
		struct hmem_pool_member *m = &h->vms[i].member;

		m->weight = 1;
		m->processors = 1;
		m->move_ns = HOST_MOVE_NS;
		m->busy = 1;
		h->vms[i].speed = UINT64_MAX;
	}
}

void host_free(struct host *h)
{
	hmem_pool_free(&h->pool);
	free(h->vms);
}

struct hmem_pool_config host_config(uint64_t pages)
{
	struct hmem_pool_config config;

	hmem_pool_config_init(&config);
	config.num_nodes = 1;
	config.capacity[0] = pages;
	return config;
}

/* Divides the pages into classes of equal widths by the logarithm of the page's rank. */
static void by_rank(struct host_vm *vm, uint64_t pages, double (*rate)(double rank, double hot,
								       double weight),
		    double hot, double weight)
{
	double end, at = 0;

	vm->num = 0;
	vm->pages = pages;
	for (unsigned int i = 0; i < HOST_CLASSES; i++) {
		end = floor(pow(pages + 1.0, (i + 1.0) / HOST_CLASSES) - 0.5);
		if (i == HOST_CLASSES - 1)
			end = pages;
		/* The end of the hot set is also the end of a class, since rates differ there. */
		if (at < hot && end > hot)
			end = hot;
		if (end <= at)
			continue;
		vm->truth[vm->num++] = (struct hmem_worth_class) {
			.pages = end - at, .rate = rate((at + end) / 2, hot, weight),
		};
		at = end;
	}
}

static double zipf_rate(double rank, double hot, double weight)
{
	(void)hot, (void)weight;
	return 1 / (rank + 1);
}

static double hot_rate(double rank, double hot, double weight)
{
	return rank < hot ? weight / hot : 0;
}

void host_zipf(struct host_vm *vm, uint64_t pages)
{
	by_rank(vm, pages, zipf_rate, 0, 0);
}

void host_hot_set(struct host_vm *vm, uint64_t pages, uint64_t hot, double weight)
{
	by_rank(vm, pages, hot_rate, hot, weight);
	for (unsigned int i = 0; i < vm->num; i++)
		vm->truth[i].rate += (1 - weight) / pages;
}

static double all_accesses(const struct host_vm *vm)
{
	double sum = 0;

	for (unsigned int i = 0; i < vm->num; i++)
		sum += vm->truth[i].pages * vm->truth[i].rate;
	return sum;
}

void host_waits(struct host_vm *vm, double part)
{
	double factor = part * vm->member.processors * 1e9 / HOST_ACCESS_NS / all_accesses(vm);

	for (unsigned int i = 0; i < vm->num; i++)
		vm->truth[i].rate *= factor;
}

void host_begin(struct host *h)
{
	struct hmem_err err = { "" };
	unsigned int sharing[HMEM_NODES] = { 0 };

	for (unsigned int i = 0; i < h->num; i++)
		sharing[h->vms[i].member.node]++;
	for (unsigned int i = 0; i < h->num; i++) {
		struct hmem_pool_member *m = &h->vms[i].member;
		unsigned int n = m->node;

		m->actual[n] = (h->pool.config.capacity[n] - h->pool.config.reserve[n]) /
			       sharing[n];
		if (hmem_pool_add(&h->pool, m, &err) < 0)
			fail_msg("%s", err.msg);
	}
}

void host_many(struct host *h, unsigned int num)
{
	struct hmem_pool_config config = host_config(num * 16 * GIB);

	host_init(h, num, &config);
	for (unsigned int i = 0; i < num; i++) {
		struct host_vm *vm = &h->vms[i];
		uint64_t hot = (unit_random(&h->rnd) % 40 + 1) * GIB;
		double part = 0.1 + unit_random(&h->rnd) % 1000 / 1250.0;

		if (i % 3)
			host_hot_set(vm, 64 * GIB, hot, 0.5 + unit_random(&h->rnd) % 45 / 100.0);
		else
			host_zipf(vm, 64 * GIB);
		vm->member.processors = 16;
		host_waits(vm, part);
		vm->error = 0.2;
		vm->member.guarantee = 2 * GIB;
		vm->member.maximum = 64 * GIB;
	}
	host_begin(h);
}

static double normal(struct host *h)
{
	double u = ((unit_random(&h->rnd) >> 11) + 1) * 0x1p-53;
	double v = (unit_random(&h->rnd) >> 11) * 0x1p-53;

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static void measure(struct host *h, struct host_vm *vm)
{
	struct hmem_worth_class classes[HOST_CLASSES];
	unsigned int num = vm->idle ? 0 : vm->num;

	vm->member.busy = vm->idle ? 0 : vm->busy ? vm->busy : 1;
	memcpy(classes, vm->truth, sizeof(classes));
	for (unsigned int i = 0; i < num; i++) {
		classes[i].rate *= exp(vm->error * normal(h));
		classes[i].error = vm->error;
	}
	if (vm->lies) {
		classes[0] = (struct hmem_worth_class) { vm->pages, vm->lies, 0 };
		num = 1;
	}
	hmem_worth_make(&vm->measured, classes, num, 0, HOST_ACCESS_NS);
	vm->member.worth = &vm->measured;
}

static void follow(struct host *h, struct host_vm *vm)
{
	struct hmem_pool_member *m = &vm->member;
	uint64_t left = vm->speed;

	for (unsigned int n = 0; n < HMEM_NODES; n++) {
		uint64_t a = m->actual[n], r = m->requested[n];
		uint64_t by = a > r ? a - r : r - a;

		by = by < left ? by : left;
		left -= by;
		h->moved += by;
		m->actual[n] = a > r ? a - by : a + by;
	}
}

/* Whatever the guests do, the node has all pages that they have or were promised. */
static void check(const struct host *h)
{
	for (unsigned int n = 0; n < h->pool.config.num_nodes; n++) {
		uint64_t sum = 0;

		for (unsigned int i = 0; i < h->pool.num; i++) {
			const struct hmem_pool_member *m = h->pool.members[i];

			sum += m->actual[n] > m->requested[n] ? m->actual[n] : m->requested[n];
		}
		assert_in_range(sum, 0, h->pool.config.capacity[n]);
	}
}

void host_follow(struct host *h)
{
	for (unsigned int i = 0; i < h->num; i++) {
		follow(h, &h->vms[i]);
		measure(h, &h->vms[i]);
	}
}

void host_promise(struct host *h)
{
	hmem_pool_promise(&h->pool);
	check(h);
}

void host_window(struct host *h)
{
	host_follow(h);
	hmem_pool_decide(&h->pool, 1000000000);
	check(h);
}

double host_saves(const struct host_vm *vm, uint64_t pages)
{
	double ns = 0, left = pages;

	for (unsigned int i = 0; i < vm->num && left > 0 && !vm->idle; i++) {
		ns += fmin(left, vm->truth[i].pages) * vm->truth[i].rate * HOST_ACCESS_NS;
		left -= vm->truth[i].pages;
	}
	return ns / 1e9 / vm->member.processors;
}

double host_saved(const struct host *h)
{
	double sum = 0;

	for (unsigned int i = 0; i < h->num; i++)
		sum += h->vms[i].member.weight * host_saves(&h->vms[i], host_dram(&h->vms[i]));
	return sum;
}

/* The fewest pages that the VM may have, accurate to 1 MiB. */
static uint64_t least(const struct host_vm *vm, double loss)
{
	double wanted = host_saves(vm, vm->member.share) - loss;
	uint64_t low = vm->member.guarantee, high = vm->member.share;

	while (high > low + 256) {
		uint64_t middle = (low + high) / 2;

		if (host_saves(vm, middle) < wanted)
			low = middle;
		else
			high = middle;
	}
	return high > low && host_saves(vm, low) >= wanted ? low : high;
}

/* What @more pages of DRAM would save in the VM, times its weight; -1 beyond its maximum. */
static double gains(const struct host_vm *vm, uint64_t has, uint64_t more)
{
	if (has + more > vm->member.maximum)
		return -1;
	return vm->member.weight * (host_saves(vm, has + more) - host_saves(vm, has));
}

/* Gives the DRAM out in small parts, each to the VM where the part saves most. */
double host_best(const struct host *h, double loss)
{
	uint64_t left = h->pool.config.capacity[0] - h->pool.config.reserve[0];
	const uint64_t part = left / 4096 + 1;
	struct { uint64_t has; double gains; } *vms = calloc(h->num, sizeof(*vms));
	double sum = 0;

	assert_non_null(vms);
	for (unsigned int i = 0; i < h->num; i++) {
		vms[i].has = least(&h->vms[i], loss);
		vms[i].gains = gains(&h->vms[i], vms[i].has, part);
		left -= vms[i].has;
	}
	while (left >= part) {
		unsigned int best = 0;

		for (unsigned int i = 1; i < h->num; i++)
			best = vms[i].gains > vms[best].gains ? i : best;
		if (!(vms[best].gains > 0))
			break;
		vms[best].has += part;
		left -= part;
		vms[best].gains = gains(&h->vms[best], vms[best].has, part);
	}
	for (unsigned int i = 0; i < h->num; i++)
		sum += h->vms[i].member.weight * host_saves(&h->vms[i], vms[i].has);
	free(vms);
	return sum;
}
