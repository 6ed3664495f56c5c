/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "explain.h"
#include "tracking.h"
#include "verb_explain.h"
#include "verb_pool.h"
#include "verb_trades.h"
#include "vm_json.h"

static json *rate_json(const struct hmem_known_rate *r)
{
	json *o = json_new_object();

	json_put_rate(o, "per_s", r->rate, true);
	json_put_rate(o, "factor", r->factor, true);
	return o;
}

static void put_rate(json *o, const char *key, const struct hmem_known_rate *r)
{
	json_add(o, key, r->factor ? rate_json(r) : NULL);
}

static json *tier_json(const struct hmem_explained_tier *t, uint32_t tier)
{
	json *o = json_new_object();

	json_put_u64(o, "tier", tier);
	json_put_u64(o, "pages", t->pages);
	json_put_u64(o, "idle_pages", t->idle);
	json_put_rate(o, "accesses_per_s", t->accesses, true);
	put_rate(o, "coldest", &t->coldest);
	put_rate(o, "hottest", &t->hottest);
	return o;
}

static json *page_json(const struct hmem_explained_page *p, uint64_t gfn)
{
	json *o = json_new_object();

	json_put_u64(o, "gfn", gfn);
	json_put_u64(o, "tier", p->tier);
	json_put_bool(o, "idle", p->idle);
	put_rate(o, "rate", &p->rate);
	json_put_rate(o, "long_rate_per_s", p->long_rate, true);
	json_put_bool(o, "may_move", p->may_move);
	return o;
}

static json *measured_json(const struct hmem_explanation *e, uint32_t num_tiers)
{
	json *o = json_new_object(), *tiers = json_new_array();

	json_put_u64(o, "bursts", e->bursts);
	json_put_u64(o, "looks", e->looks);
	json_put_u64(o, "next_look_ns", e->next_look_ns);
	json_put_u64(o, "owed_ns", e->owed_ns);
	json_put_rate(o, "lasts_s", e->lasts_s, true);
	json_put_rate(o, "horizon_s", e->horizon_s, true);
	json_put_rate(o, "access_ns", e->access_ns, true);
	json_put_rate(o, "move_ns", e->move_ns, true);
	json_put_rate(o, "pays_per_s", e->pays, e->access_ns > 0);
	json_put_rate(o, "pays_now_per_s", e->pays_now, e->access_ns > 0);
	json_put_u64(o, "promote", e->promote);
	json_put_u64(o, "demote", e->demote);
	json_put_rate(o, "saves_ns", e->gain_ns, true);
	for (uint32_t i = 0; i < num_tiers; i++)
		json_append(tiers, tier_json(&e->tiers[i], i));
	json_add(o, "tiers", tiers);
	return o;
}

void verb_explain(struct client *client, json *req)
{
	struct vm *vm = client_find_vm(client, req);
	struct hmem_explained_page page;
	struct hmem_explanation e;
	bool names_page = json_object_object_get_ex(req, "gfn", NULL);
	json *o, *explain;
	int64_t gfn;

	if (!vm)
		return;
	if (!json_get_num(req, "gfn", 0, INT64_MAX >> VIRTIO_HMEM_GFN_SHIFT, &gfn)) {
		client_fail(client, "usage", "explain: gfn is the number of a page");
		return;
	}
	if (names_page && hmem_pages_tier(&vm->placer.pages, gfn) < 0) {
		client_fail(client, "usage", "vm '%s' has no memory at %#" PRIx64 ": hmemctl "
			    "heatmap %s shows the addresses of its memory", vm->name,
			    (uint64_t)gfn << VIRTIO_HMEM_GFN_SHIFT, vm->name);
		return;
	}
	hmem_explain(&vm->placer, &e);
	o = json_new_object();
	explain = json_new_object();
	json_put_str(explain, "vm", vm->name);
	json_put_str(explain, "policy", hmem_policy_name(vm->placer.policy.kind));
	json_put_str(explain, "tracker", tracking_name(vm));
	json_put_str(explain, "activity", vm_activity(vm));
	json_add(explain, "measured", e.known ?
		 measured_json(&e, vm->hello.num_tiers) : NULL);
	json_add(explain, "page", names_page &&
		 hmem_explain_page(&vm->placer, gfn, &page) ?
		 page_json(&page, gfn) : NULL);
	json_add(explain, "pool", pool_member_json(vm));
	json_add(explain, "trading", trader_json(vm));
	json_add(o, "explain", explain);
	client_reply(client, o, true);
}
