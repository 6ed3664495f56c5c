/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "verb_trades.h"
#include "vm.h"

static void put_frames(json *o, const char *key, uint64_t frames)
{
	json_put_u64(o, key, frames << VIRTIO_HMEM_GFN_SHIFT);
}

/* Bytes of tier 0 and of tier 1. */
static void put_sizes(json *o, const char *key, const uint64_t frames[HMEM_TRADED_TIERS])
{
	json *sizes = json_new_array();

	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++)
		json_append(sizes, json_new_u64(frames[i] <<
						VIRTIO_HMEM_GFN_SHIFT));
	json_add(o, key, sizes);
}

static json *offer_json(const struct hmem_trade_offer *offer)
{
	json *o = json_new_object();

	json_put_u64(o, "from_tier", offer->from);
	json_put_u64(o, "to_tier", offer->to);
	put_frames(o, "given_bytes", offer->given);
	put_frames(o, "taken_bytes", offer->taken);
	json_put_rate(o, "saves_ns_per_s", offer->ns, true);
	return o;
}

/* NULL: there are none. */
static json *prices_json(const double *prices)
{
	json *o;

	if (!(prices[HMEM_NVM] > 0))
		return NULL;
	o = json_new_array();
	for (unsigned int i = 0; i < HMEM_TRADED_TIERS; i++)
		json_append(o, json_new_double(prices[i]));
	return o;
}

json *trader_json(const struct vm *vm)
{
	const struct traded *t = &vm->traded;
	const struct hmem_trader *trader = &t->trader;
	const struct hmem_trade_window *w = &t->window;
	bool begun = t->begun, looked = begun && w->ns;
	json *o = json_new_object();

	json_put_str(o, "vm", vm->name);
	json_put_bool(o, "trades", t->wanted);
	json_put_str(o, "state", trading_why_word(t->why));
	json_put_str(o, "why", trading_why(t->why));
	json_add(o, "prices", prices_json(t->prices));
	json_put_rate(o, "budget", trader->budget, begun);
	json_put_rate(o, "cost", looked ? hmem_trade_cost(trader, w->actual) : 0, looked);
	json_put_rate(o, "faults_per_s", w->faults, looked);
	json_put_rate(o, "fault_ns", w->fault_ns, looked);
	if (looked) {
		put_frames(o, "missing_bytes", w->missing);
		put_frames(o, "unused_bytes", w->unused);
	}
	json_add(o, "best", begun && trader->best.given ?
		 offer_json(&trader->best) : NULL);
	return o;
}

static json *entry_json(const struct hmem_ledger_entry *e)
{
	bool measured = e->state == HMEM_TRADE_KEPT || e->state == HMEM_TRADE_UNDONE;
	json *o = json_new_object();
	uint64_t after[HMEM_TRADED_TIERS];

	memcpy(after, e->before, sizeof(after));
	after[e->from] -= e->given;
	after[e->to] += e->taken;
	json_put_u64(o, "id", e->id);
	json_put_u64(o, "time_ns", e->when_ns);
	json_put_str(o, "vm", e->vm);
	json_put_u64(o, "from_tier", e->from);
	json_put_u64(o, "to_tier", e->to);
	put_frames(o, "given_bytes", e->given);
	put_frames(o, "taken_bytes", e->taken);
	put_sizes(o, "before_bytes", e->before);
	put_sizes(o, "after_bytes", after);
	json_put_rate(o, "faults_per_s", e->faults, true);
	json_put_rate(o, "fault_ns", e->fault_ns, true);
	json_put_rate(o, "expected_ns_per_s", e->expected_ns, true);
	json_put_rate(o, "measured_ns_per_s", e->measured_ns, measured);
	json_put_rate(o, "error_ns_per_s", e->error_ns, measured);
	json_put_str(o, "state", hmem_trade_state_word(e->state));
	json_put_str(o, "outcome", hmem_trade_state(e->state));
	return o;
}

/* The entries from the oldest to the newest: of the VM, or of all VMs without a name. */
static json *ledger_json(struct hmem_ledger *l, const char *vm)
{
	uint64_t id = l->last > HMEM_LEDGER_ENTRIES ? l->last - HMEM_LEDGER_ENTRIES : 0;
	json *all = json_new_array();

	while (++id <= l->last) {
		const struct hmem_ledger_entry *e = hmem_ledger_find(l, id);

		if (e && (!vm || !strcmp(vm, e->vm)))
			json_append(all, entry_json(e));
	}
	return all;
}

void verb_trades(struct client *client, json *req)
{
	struct hmemd *d = client->d;
	const char *name;
	json *o, *vms, *trades;
	struct vm *vm;

	if (!client_vm_name(client, req, &name))
		return;
	o = json_new_object();
	vms = json_new_array();
	/* The ledger also has VMs that have gone. */
	trades = ledger_json(&d->trading.ledger, name);
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm_ready(vm) && (!name || !strcmp(name, vm->name)))
			json_append(vms, trader_json(vm));
	}
	json_add(o, "prices", prices_json(d->config.prices));
	json_add(o, "vms", vms);
	json_add(o, "trades", trades);
	if (name && !json_object_array_length(vms) && !json_object_array_length(trades)) {
		json_object_put(o);
		client_fail(client, "no-such-vm", "no VM '%.80s' is connected or has traded: see "
			    "hmemctl list", name);
		return;
	}
	client_reply(client, o, true);
}
