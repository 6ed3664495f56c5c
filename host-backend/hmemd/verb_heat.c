/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "tracking.h"
#include "verb_heat.h"
#include "vm_json.h"

/* A query of a client. */
struct query {
	struct heat_query heat;
	struct client *client;
	const struct vm *vm;
};

/* Add a number of pages and their heat. */
static void put_heat(json *o, uint64_t pages, uint64_t sum, uint16_t max)
{
	json_put_u64(o, "pages", pages);
	json_put_u64(o, "mean", pages ? sum / pages : 0);
	json_put_u64(o, "max", max);
}

static json *heat_tier_json(const struct query *q, uint32_t tier)
{
	const struct hmem_link_tier *t = &q->vm->hello.tiers[tier];
	uint64_t pages = 0, sum = 0;
	json *o = json_new_object();
	uint16_t max = 0;

	for (uint32_t i = 0; i < q->heat.bins.num; i++) {
		const struct hmem_heat_bin *b = &q->heat.bins.bins[i];

		if (b->tier != tier)
			continue;
		pages += b->pages;
		sum += b->sum;
		max = b->max > max ? b->max : max;
	}
	json_put_u64(o, "tier", tier);
	json_put_u64(o, "pxm", t->pxm);
	json_put_str(o, "kind", hmem_kind_name(t->kind));
	put_heat(o, pages, sum, max);
	return o;
}

void verb_heat_end(struct client *client)
{
	if (!client->query)
		return;
	heat_query_end(&client->query->heat);
	free(client->query);
	client->query = NULL;
}

static void query_done(struct heat_query *heat)
{
	struct query *q = (struct query *)heat;
	struct client *client = q->client;
	const struct vm *vm = q->vm;
	json *o = json_new_object(), *tiers = json_new_array();
	json *bins = json_new_array();

	for (uint32_t i = 0; i < vm->hello.num_tiers; i++)
		json_append(tiers, heat_tier_json(q, i));
	for (uint32_t i = 0; i < q->heat.bins.num; i++) {
		const struct hmem_heat_bin *b = &q->heat.bins.bins[i];
		json *bin = json_new_object();

		json_put_u64(bin, "gfn", b->gfn);
		json_put_u64(bin, "last", b->last);
		json_put_u64(bin, "tier", b->tier);
		put_heat(bin, b->pages, b->sum, b->max);
		json_append(bins, bin);
	}
	json_put_str(o, "vm", vm->name);
	json_put_str(o, "policy", hmem_policy_name(vm->placer.policy.kind));
	json_put_str(o, "tracker", tracking_name(vm));
	json_put_bool(o, "running", vm->state.flags & HMEM_LINK_VM_RUNNING);
	json_put_u64(o, "window_ms", vm_window_ms(vm));
	json_put_u64(o, "windows", heat->windows);
	json_put_u64(o, "vtime_ns", heat->vtime_ns);
	json_put_u64(o, "heat_max", HMEM_HEAT_MAX);
	json_put_u64(o, "pages_per_bin", q->heat.bins.per);
	json_add(o, "tiers", tiers);
	json_add(o, "bins", bins);
	verb_heat_end(client);
	/* The answer can drop the client if it does not read. */
	client_reply(client, o, true);
}

static void query_failed(struct heat_query *heat, const char *why)
{
	struct query *q = (struct query *)heat;
	struct client *client = q->client;
	const struct vm *vm = q->vm;

	verb_heat_end(client);
	client_fail(client, "blocked", "vm '%s': %s", vm->name, why);
}

static const struct heat_query_ops query_ops = {
	.done = query_done,
	.failed = query_failed,
};

static int begin_query(struct client *client, struct vm *vm, const struct heat_query *heat,
		       struct hmem_err *err)
{
	struct query *q;

	if (client->query)
		return hmem_fail(err, EBUSY, "heat: the answer to the last "
				 "request has not come yet: wait for it");
	if (heat->waits && !vm->track.window_ns)
		return hmem_fail(err, EAGAIN, "vm '%s': no window ends, as nothing is "
				 "tracked: hmemctl policy %s set name=observe",
				 vm->name, vm->name);
	q = calloc(1, sizeof(*q));
	if (!q)
		return hmem_fail(err, ENOMEM, "heat: no memory for the request");
	*q = (struct query) { .heat = *heat, .client = client, .vm = vm };
	if (heat_query_begin(&q->heat, &vm->heat_queries, vm_vtime(vm), err) < 0) {
		free(q);
		return -ENOMEM;
	}
	client->query = q;
	return 0;
}

void verb_heat(struct client *client, json *req)
{
	struct vm *vm = client_find_vm(client, req);
	struct hmem_err err;
	int64_t bins, after;
	int ret;

	if (!vm)
		return;
	if (!json_get_num(req, "bins", 64, HEAT_MAX_BINS, &bins) || !bins) {
		client_fail(client, "usage", "heat: bins is 1 to %u", HEAT_MAX_BINS);
		return;
	}
	if (!json_get_num(req, "after", 0, INT64_MAX, &after)) {
		client_fail(client, "usage", "heat: after is a number of windows");
		return;
	}
	ret = begin_query(client, vm, &(struct heat_query) {
		.ops = &query_ops,
		.max = bins,
		.per_tier = json_get_flag(req, "per_tier"),
		.waits = json_object_object_get_ex(req, "after", NULL),
		.after = after,
	}, &err);
	if (ret < 0)
		client_fail(client, ret == -EBUSY ? "busy" : "blocked", "%s", err.msg);
}
