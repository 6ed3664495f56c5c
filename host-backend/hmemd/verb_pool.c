/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "capacity.h"
#include "log.h"
#include "verb_pool.h"
#include "vm.h"

#define MIB_FRAMES	(1u << (20 - VIRTIO_HMEM_GFN_SHIFT))

static void put_frames(json *o, const char *key, uint64_t frames)
{
	json_put_u64(o, key, frames << VIRTIO_HMEM_GFN_SHIFT);
}

json *pool_member_json(const struct vm *vm)
{
	const struct hmem_pool *p = &vm->d->pooling.pool;
	const struct hmem_pool_member *m = &vm->pooled.member;
	json *o = json_new_object();
	bool in = vm->pooled.is_member;

	json_put_str(o, "vm", vm->name);
	put_frames(o, "bytes", hmem_pool_sum(m->actual));
	json_put_u64(o, "elsewhere_bytes", capacity_elsewhere(vm, 0));
	put_frames(o, "guarantee_bytes", m->guarantee);
	put_frames(o, "maximum_bytes", m->maximum);
	json_put_rate(o, "weight", m->weight, true);
	put_frames(o, "share_bytes", m->share);
	put_frames(o, "requested_bytes", hmem_pool_sum(m->requested));
	put_frames(o, "ideal_bytes", m->ideal);
	json_put_rate(o, "next_mib_ns_per_s", hmem_pool_next_mib(m), m->worth);
	json_put_rate(o, "last_mib_ns_per_s", hmem_pool_last_mib(m), m->worth);
	json_put_rate(o, "grows_at_ns_per_s", hmem_pool_grows_at(p, m), m->worth && in);
	json_put_rate(o, "shrinks_at_ns_per_s", hmem_pool_shrinks_at(p, m), m->worth && in);
	json_put_rate(o, "error", m->worth ?
		      hmem_worth_error(m->worth, hmem_pool_sum(m->actual)) : 0, m->worth);
	json_put_rate(o, "credit_mib_s", m->credit / MIB_FRAMES, in);
	json_put_str(o, "state", in ? hmem_pool_why_word(m->why) : "outside");
	json_put_str(o, "why", in ? hmem_pool_why(m->why) :
		     "is not in the pool: its guarantee cannot be kept");
	return o;
}

/* Sets all pairs, or none.  Returns false if the client got an error. */
static bool set(struct client *client, json *req, json *pairs)
{
	struct vm *vm = client_find_vm(client, req);
	struct hmem_pool_member *m, old;
	struct hmem_err err;

	if (!vm)
		return false;
	m = &vm->pooled.member;
	old = *m;
	json_object_object_foreach(pairs, key, value) {
		if (pooling_set(vm, key, json_word(value), &err) < 0) {
			/* Take back the pairs before this one. */
			m->guarantee = old.guarantee;
			m->maximum = old.maximum;
			m->weight = old.weight;
			client_fail(client, "usage", "%s", err.msg);
			return false;
		}
	}
	json_object_object_foreach(pairs, set_key, set_value) {
		vm_tell(vm, LOG_INFO, "pool", &client->conn, "pool: %s %s", set_key,
			json_word(set_value));
	}
	return true;
}

/* The nodes whose capacity is configured. */
static json *nodes_json(const struct hmemd *d)
{
	json *nodes = json_new_array();

	for (unsigned int i = 0; i < HMEM_CONFIG_NODES; i++) {
		json *o;

		if (!d->config.capacity[i])
			continue;
		o = json_new_object();
		json_put_u64(o, "node", i);
		json_put_u64(o, "capacity_bytes", d->config.capacity[i]);
		json_put_u64(o, "promised_bytes", capacity_promised(d, i));
		json_append(nodes, o);
	}
	return nodes;
}

void verb_pool(struct client *client, json *req)
{
	const struct pooling *p = &client->d->pooling;
	json *pairs = json_get(req, "set", json_type_object), *o, *pool, *vms;
	struct vm *vm;

	if (pairs && !set(client, req, pairs))
		return;
	o = json_new_object();
	pool = json_new_object();
	vms = json_new_array();
	json_put_bool(pool, "acts", client->d->config.pool);
	put_frames(pool, "bytes", hmem_pool_sum(p->pool.config.capacity));
	put_frames(pool, "reserve_bytes", hmem_pool_sum(p->pool.config.reserve));
	json_put_rate(pool, "mib_price_ns_per_s", hmem_pool_price(&p->pool) * MIB_FRAMES, true);
	TAILQ_FOREACH(vm, &client->d->vms, link) {
		if (vm_ready(vm))
			json_append(vms, pool_member_json(vm));
	}
	json_add(pool, "vms", vms);
	json_add(pool, "nodes", nodes_json(client->d));
	json_add(o, "pool", pool);
	client_reply(client, o, true);
}
