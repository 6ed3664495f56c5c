/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "accounts.h"
#include "batches.h"
#include "capacity.h"
#include "numbers.h"
#include "pauses.h"
#include "tracking.h"
#include "vm_json.h"

const char *vm_activity(const struct vm *vm)
{
	const char *blocked = vm_blocked(vm);
	static char late[96];

	if (blocked)
		return blocked;
	if (!(vm->state.flags & HMEM_LINK_VM_RUNNING))
		return "the guest is paused, or asleep";
	if (batches_are_late(vm)) {
		snprintf(late, sizeof(late), "waiting for the guest's driver, which has not "
			 "answered for %" PRIu64 " s", batches_oldest_ms(vm) / 1000);
		return late;
	}
	if (!TAILQ_EMPTY(&vm->jobs))
		return "moving pages by hand";
	if (vm->placer.policy.kind == HMEM_POLICY_OFF)
		return "policy is off: pages move only by hand, see hmemctl migrate";
	if (!vm->track.window_ns)
		return "nothing is tracked: the VM does not offer the tracker of the policy";
	if (vm->state.flags & HMEM_LINK_SCAN_LATE)
		return "waiting for the guest's driver to report accessed pages";
	if (!vm->stats.ticks)
		return "waiting for the first window to end";
	if (vm->tick.seq && vm_lockstep(vm))
		return "waiting for the other VMs in lockstep";
	if (vm->placer.policy.kind == HMEM_POLICY_OBSERVE)
		return "policy is observe: pages move only by hand, see hmemctl migrate";
	if (vm->num_under_way)
		return "moving pages";
	switch (hmem_placer_why_idle(&vm->placer)) {
	case HMEM_PLACER_CANNOT_LOOK:
		return "waiting: the guest's driver cannot scan all of the guest's memory";
	case HMEM_PLACER_DOES_NOT_PAY:
		return "idle: moving pages does not pay";
	default:
		return "idle: tier 0 holds the hottest pages";
	}
}

static const char *driver_name(const struct vm *vm)
{
	if (vm->state.flags & HMEM_LINK_BROKEN)
		return "broken";
	return vm->state.flags & HMEM_LINK_DRIVER_OK ? "ok" : "none";
}

json *vm_json(const struct vm *vm)
{
	json *o = json_new_object();
	char uuid[37];
	json_put_str(o, "name", vm->name);
	json_put_str(o, "device", vm->hello.device);
	json_put_str(o, "uuid", vm_has_uuid(vm) ?
		     hmem_format_uuid(vm->hello.uuid, uuid) : NULL);
	json_put_u64(o, "pid", vm->conn.pid);
	json_put_u64(o, "connected_s", (loop_now() - vm->connected) / 1000);
	json_put_str(o, "driver", driver_name(vm));
	json_put_bool(o, "running", vm->state.flags & HMEM_LINK_VM_RUNNING);
	json_put_bool(o, "migrating", vm->state.flags & HMEM_LINK_MIGRATING);
	json_put_u64(o, "features", vm->state.features);
	json_put_u64(o, "num_tiers", vm->hello.num_tiers);
	json_put_u64(o, "bytes", vm_frames(vm) << VIRTIO_HMEM_GFN_SHIFT);
	json_put_str(o, "policy", hmem_policy_name(vm->placer.policy.kind));
	json_put_u64(o, "ranges", vm->num_ranges);
	json_put_u64(o, "batches", vm->num_under_way);
	json_put_u64(o, "max_batches", vm->num_batches);
	json_add(o, "oldest_batch_s", vm->num_under_way ?
		 json_new_u64(batches_oldest_ms(vm) / 1000) : NULL);
	json_put_bool(o, "late", batches_are_late(vm));
	json_put_u64(o, "jobs", vm->num_jobs);
	json_put_str(o, "activity", vm_activity(vm));
	return o;
}

/* The online size of a tier that the guest's driver reported, or null. */
static json *online_json(const struct vm *vm, unsigned int tier)
{
	uint64_t bytes = vm->placer.pages.frames[tier] << VIRTIO_HMEM_GFN_SHIFT;
	uint64_t online = vm->state.online[tier];

	if (!(vm->state.features >> VIRTIO_HMEM_F_ONLINE & 1))
		return NULL;
	/* Bound the guest's number. */
	return json_new_u64(online < bytes ? online : bytes);
}

json *vm_size_json(const struct vm *vm, unsigned int tier)
{
	const struct hmem_link_size *s = &vm->sizes.tiers[tier];
	const struct hmem_link_tier *t = &vm->hello.tiers[tier];
	const struct hmem_link_account_tier *a = &vm->account.tiers[tier];
	bool told = vm->state.features >> VIRTIO_HMEM_F_RESIZE & 1;
	json *o = json_new_object();
	uint64_t free;

	json_put_u64(o, "requested_bytes", s->requested);
	json_put_u64(o, "actual_bytes", s->actual);
	json_put_u64(o, "pending_bytes", s->actual > s->requested ?
		     s->actual - s->requested : s->requested - s->actual);
	json_add(o, "free_bytes", accounts_free(vm, tier, &free) ? json_new_u64(free) : NULL);
	json_add(o, "reserve_bytes", vm->have_account ? json_new_u64(a->reserve) : NULL);
	json_add(o, "usable_bytes", vm->have_account ? json_new_u64(a->total) : NULL);
	json_put_str(o, "why", s->actual == s->requested ? NULL : !told ? "no-driver" :
		     s->why ? hmem_why_name(s->why) : "under-way");
	json_put_u64(o, "min_bytes", t->min);
	json_put_u64(o, "max_bytes", t->size);
	json_put_u64(o, "unit_bytes", t->unit);
	return o;
}

/* What the guest had to read again, as its driver reports; NULL: it does not. */
static json *paging_json(const struct vm *vm)
{
	const struct hmem_link_paging *p = &vm->sizes.paging;
	json *o;

	if (!(vm->state.features >> VIRTIO_HMEM_F_PAGING & 1))
		return NULL;
	o = json_new_object();
	json_put_u64(o, "swapped_in", p->swapped_in);
	json_put_u64(o, "refaulted", p->refaulted);
	json_put_u64(o, "swapped", p->swapped);
	json_put_u64(o, "read", p->read);
	json_put_u64(o, "wait_ns", p->wait_ns);
	return o;
}

/* For how long programs could not use pages that moved; NULL: the guest's driver has not told. */
static json *pauses_json(const struct vm *vm)
{
	uint64_t pages = hmem_pauses_all(&vm->pauses);
	json *o;

	if (!vm->have_pauses)
		return NULL;
	o = json_new_object();
	json_put_u64(o, "pages", pages);
	json_put_u64(o, "sum_ns", vm->pauses.sum_ns);
	json_add(o, "p50_ns", pages ?
		 json_new_u64(hmem_pauses_percentile(&vm->pauses, 50)) : NULL);
	json_add(o, "p99_ns", pages ?
		 json_new_u64(hmem_pauses_percentile(&vm->pauses, 99)) : NULL);
	return o;
}

static json *host_nodes_json(const struct hmem_host_nodes *nodes)
{
	json *all = json_new_array();

	for (uint64_t w = nodes->all; w; w &= w - 1)
		json_append(all, json_new_u64(__builtin_ctzll(w)));
	return all;
}

static json *tier_json(const struct vm *vm, unsigned int tier)
{
/* Frames by heat: cold is below 1/16 of the full heat, hot is from 1/2 on. */
	static const unsigned int bands[] = { 0, HMEM_BUCKETS / 16,
					      VM_HOT_BUCKET, HMEM_BUCKETS };
	static const char *const names[] = { "cold", "warm", "hot" };
	const struct hmem_link_tier *t = &vm->hello.tiers[tier];
	const struct hmem_host_nodes *nodes = &vm->nodes[tier];
	json *o = json_new_object();

	json_put_u64(o, "tier", tier);
	json_put_u64(o, "pxm", t->pxm);
	json_put_str(o, "kind", hmem_kind_name(t->kind));
	json_put_u64(o, "start_bytes", t->size);
	json_put_u64(o, "bytes", vm->placer.pages.frames[tier] << VIRTIO_HMEM_GFN_SHIFT);
	json_put_u64(o, "pages", vm->placer.pages.frames[tier]);
	json_add(o, "online_bytes", online_json(vm, tier));
	json_add(o, "size", vm_size_json(vm, tier));
	json_add(o, "host_node", nodes->all ? json_new_u64(nodes->own) : NULL);
	json_add(o, "host_nodes", host_nodes_json(nodes));
	json_add(o, "elsewhere_bytes", nodes->all ?
		 json_new_u64(capacity_elsewhere(vm, tier)) : NULL);
	json_add(o, "used", vm->placer.pages.windows ?
		 json_new_u64(hmem_pages_present(&vm->placer.pages, tier) -
			      vm->placer.pages.hist[tier][0]) :
		 NULL);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t sum = 0;

		for (unsigned int b = bands[i]; b < bands[i + 1]; b++)
			sum += vm->placer.pages.hist[tier][b];
		json_add(o, names[i], vm->placer.pages.windows ?
			 json_new_u64(sum) : NULL);
	}
	json_put_u64(o, "read_latency_ns", t->read_latency);
	json_put_u64(o, "write_latency_ns", t->write_latency);
	json_put_u64(o, "read_bandwidth_mib_s", t->read_bandwidth);
	json_put_u64(o, "write_bandwidth_mib_s", t->write_bandwidth);
	return o;
}

static uint64_t min_window_ms(const struct vm *vm)
{
	return (vm->hello.min_window_ns + 999999) / 1000000;
}

/* What the operator has set, or else the default, which large memory lengthens. */
uint64_t vm_asked_window_ms(const struct vm *vm)
{
	const struct hmem_policy *policy = &vm->placer.policy;
	uint64_t ms = hmem_policy_window_ms(policy), least = min_window_ms(vm);

	return policy->window || ms > least ? ms : least;
}

uint64_t vm_window_ms(const struct vm *vm)
{
	uint64_t least = min_window_ms(vm);

	if (!hmem_placer_is_sampled(&vm->placer))
		return vm->track.window_ns / 1000000;
	return vm_asked_window_ms(vm) > least ? vm_asked_window_ms(vm) : least;
}

/* The costs of the dirty log and its limits; null: it is not used, or is always on. */
static json *dirty_log_json(const struct vm *vm)
{
	const struct hmem_sampler *s = &vm->placer.sampler;
	json *o;

	if (!hmem_placer_is_sampled(&vm->placer))
		return NULL;
	o = json_new_object();
	json_put_bool(o, "on", !vm->placer.next.rest);
	json_put_u64(o, "sample_us", s->sample_ns / 1000);
	json_put_u64(o, "faults_per_s", s->per_second);
	json_put_u64(o, "max_faults_per_s", vm->placer.policy.faults);
	return o;
}

json *vm_status_json(const struct vm *vm)
{
	json *o = vm_json(vm), *tiers = json_new_array();

	for (unsigned int i = 0; i < vm->hello.num_tiers; i++)
		json_append(tiers, tier_json(vm, i));
	json_add(o, "tiers", tiers);
	json_add(o, "paging", paging_json(vm));
	json_add(o, "pauses", pauses_json(vm));
	json_put_rate(o, "promoted_per_s", vm->promote_rate, vm->have_rates);
	json_put_rate(o, "demoted_per_s", vm->demote_rate, vm->have_rates);
	json_put_str(o, "tracker", tracking_name(vm));
	json_put_bool(o, "lockstep", vm_lockstep(vm));
	json_put_u64(o, "window_ms", vm_window_ms(vm));
	json_put_u64(o, "asked_window_ms", vm_asked_window_ms(vm));
	json_put_u64(o, "min_window_ms", min_window_ms(vm));
	json_put_bool(o, "scan_late", vm->state.flags & HMEM_LINK_SCAN_LATE);
	json_put_u64(o, "windows", vm->placer.pages.windows);
	json_add(o, "dirty_log", dirty_log_json(vm));
	json_put_u64(o, "vtime_ns", vm_vtime(vm));
	json_put_u64(o, "table_bytes", hmem_pages_bytes(&vm->placer.pages));
	json_put_u64(o, "daemon_ns", vm->stats.daemon_ns);
	json_put_u64(o, "foreign_moves", vm->foreign_moves - vm->foreign_base);
	json_put_u64(o, "foreign_moves_lately", hmem_lately(vm->foreign_lately, loop_now()));
	json_put_str(o, "order_doubt", vm_order_doubt(vm));
	json_put_str(o, "last_error", vm->last_error);
	return o;
}

json *reasons_json(const uint64_t *reasons)
{
	json *o = json_new_object();

	for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++)
		json_put_u64(o, hmem_reason_name(i), reasons[i]);
	return o;
}

/* A count of the guest; null: its driver has not told. */
static void put_count(json *o, const char *name, uint64_t count, const struct vm *vm)
{
	json_add(o, name, vm->had_account ? json_new_u64(count) : NULL);
}

json *vm_stats_json(const struct vm *vm)
{
	const struct vm_stats *s = &vm->stats;
	json *o = json_new_object(), *c = json_new_object();
	json *r = json_new_object();

	json_put_u64(c, "ticks", s->ticks);
	json_put_u64(c, "incomplete_ticks", s->incomplete);
	json_put_u64(c, "dirty_pages", s->dirty);
	json_put_u64(c, "accessed_pages", s->accessed);
	json_put_u64(c, "rearmed_pages", s->rearmed);
	json_put_u64(c, "rearmed_last_window", vm->placer.pages.rearmed);
	put_count(c, "scan_entries", s->scan_entries, vm);
	put_count(c, "scan_skipped", s->scan_skipped, vm);
	put_count(c, "scan_left_out", s->scan_left_out, vm);
	put_count(c, "huge_collapsed", s->collapsed, vm);
	json_put_u64(c, "log_samples", vm->placer.sampler.samples - s->log_samples);
	json_put_u64(c, "log_faults", vm->placer.sampler.faults - s->log_faults);
	json_put_u64(c, "plans", s->plans);
	json_put_u64(c, "brake", vm->placer.brake.steps);
	json_put_u64(c, "batches", s->batches);
	json_put_u64(c, "batches_done", s->batches_done);
	json_put_u64(c, "batches_lost", s->batches_lost);
	json_put_u64(c, "hints", s->hints);
	json_put_u64(c, "results", s->results);
	json_put_u64(c, "retries", s->retries);
	json_put_u64(c, "unanswered", s->unanswered);
	json_put_u64(c, "promoted", s->promoted);
	json_put_u64(c, "demoted", s->demoted);
	json_put_u64(c, "ping_pong", s->ping_pong);
	json_put_u64(c, "foreign_moves", vm->foreign_moves - vm->foreign_base);
	for (unsigned int i = 1; i <= HMEM_LINK_REJECT_INVALID; i++)
		json_put_u64(r, hmem_reject_name(i), s->rejects[i]);
	json_put_str(o, "vm", vm->name);
	json_add(o, "counters", c);
	json_add(o, "reasons", reasons_json(s->reasons));
	json_add(o, "rejects", r);
	return o;
}

json *vm_sample_json(const struct vm *vm)
{
	json *o = vm_status_json(vm);

	json_add(o, "stats", vm_stats_json(vm));
	return o;
}

json *vm_policy_json(struct vm *vm)
{
	json *o = json_new_object(), *p = json_new_object();
	struct hmem_policy policy = vm->placer.policy;

	policy.window = vm_asked_window_ms(vm);
	json_put_str(p, "name", hmem_policy_name(policy.kind));
	for (size_t i = 0; i < hmem_num_tunables; i++) {
		const struct hmem_tunable *t = &hmem_tunables[i];
		uint32_t v = *hmem_tunable_in(&policy, t);

		if (t->values)
			json_put_str(p, t->name, t->values[v]);
		else
			json_put_u64(p, t->name, v);
	}
	json_put_str(o, "vm", vm->name);
	json_add(o, "policy", p);
	json_put_str(o, "from", vm->policy_from);
	return o;
}
