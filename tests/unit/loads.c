/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loads.h"

const struct model_costs quarter_updates = {
	4 * 97, 4 * 300, 4 * 21000, 200, 15, 105, 2500, 4 * 600,
};
const struct model_costs quarter_pages = {
	4 * 4500, 4 * 15000, 4 * 21000, 200, 15, 105, 2500, 4 * 30000,
};

const struct model_load hot_set = {
	.costs = &quarter_updates, .pages = DATA, .hot = 64 * MIB, .weight = 90,
};
const struct model_load moving = {
	.costs = &quarter_updates, .pages = DATA, .hot = 64 * MIB, .weight = 90,
	.move = 5,
};
const struct model_load zipf = {
	.costs = &quarter_updates, .pages = DATA, .zipf = true, .reads = true,
};
const struct model_load uniform = {
	.costs = &quarter_updates, .pages = DATA, .hot = DATA,
};
const struct model_load too_large = {
	.costs = &quarter_updates, .pages = DATA, .hot = 200 * MIB, .weight = 90,
};
const struct model_load sweep = {
	.costs = &quarter_pages, .pages = DATA, .hot = DATA, .sweep = true,
};
const struct model_load hot_sweep = {
	.costs = &quarter_pages, .pages = DATA, .hot = 51 * MIB, .sweep = true,
};
const struct model_costs quarter_requests = {
	4 * 10000, 4 * 12500, 4 * 21000, 200, 15, 105, 2500, 4 * 16000,
};
const struct model_load requests = {
	.costs = &quarter_requests, .pages = 200 * MIB, .hot = 40 * MIB, .weight = 90,
};

const struct model_load seldom = {
	.costs = &quarter_pages, .pages = DATA, .hot = 110 * MIB, .weight = 100,
};

void loads_begin(struct model *m, const struct model_load *load,
		 enum hmem_policy_kind kind)
{
	model_init(m, load, FAST, KERNEL, SLOW, 0);
	m->policy.kind = kind;
	m->policy.window = 100;
	m->policy.rate = 1000;
}

double loads_speed(struct model *m, double seconds)
{
	double ops = m->ops, ns = m->ns;

	model_run(m, seconds);
	return (m->ops - ops) / (m->ns - ns) * 1e3;
}

double loads_best(const struct model_load *load)
{
	struct model m;
	double s;

	loads_begin(&m, load, HMEM_POLICY_OFF);
	model_place_best(&m);
	s = loads_speed(&m, 2);
	model_free(&m);
	return s;
}

double loads_first_touch(const struct model_load *load, double seconds)
{
	struct model m;
	double s;

	loads_begin(&m, load, HMEM_POLICY_OFF);
	s = loads_speed(&m, seconds);
	model_free(&m);
	return s;
}
