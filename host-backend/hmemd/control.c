/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: a JSON object a line each way, see hmemd(8).
 *
 * Every request is answered by a line with "final": true, or by some lines
 * without and then one with it.  Errors carry "error": { code, message }.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "control.h"
#include "doorman.h"
#include "log.h"
#include "size.h"
#include "utf8.h"
#include "vm.h"

#define MAX_REQUEST	(8u * 1024 * 1024)
#define MAX_REPLY	(32u * 1024 * 1024)
/* Jobs of a client that has this much to read wait for it. */
#define FULL		(MAX_REPLY / 16)
#define PROGRESS_MS	200
#define MAX_DEPTH	8
/* A tenth of a second apart. */
#define POLICY_TRIES	50u

/* How hot a VM's memory is, for a client. */
struct query {
	struct heat_query heat;
	struct client *client;
	const struct vm *vm;
};

struct client {
	struct conn conn;
	struct hmemd *d;
	TAILQ_ENTRY(client) link;
	/* Bytes of a request that is not whole yet, which have no end of line. */
	size_t seen;
	/* The request is to be looked at again: when a pass is through, or soon. */
	bool later;
	struct vm_waiter waiter;
	struct turn resume_soon;
	/* How often that was because what a policy needs was busy. */
	unsigned int tries;
	/* The one under way; NULL: none. */
	struct query *query;
};

typedef struct json_object json;

static void put_u64(json *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

/* JSON is UTF-8; what a person or a peer has named something need not be. */
static void put_str(json *o, const char *key, const char *v)
{
	char text[1024];

	if (v)
		hmem_utf8(v, text, sizeof(text));
	json_object_object_add(o, key, v && *v ? json_object_new_string(text) : NULL);
}

static void put_bool(json *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

/* A value that is not known yet is null. */
static void put_rate(json *o, const char *key, double v, bool known)
{
	json_object_object_add(o, key, known ? json_object_new_double(v) : NULL);
}

/* Send @o and free it. */
static void reply(struct client *client, json *o, bool final)
{
	const char *text;

	json_object_object_add(o, "version", json_object_new_int(1));
	if (final)
		put_bool(o, "final", true);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (text) {
		conn_send(&client->conn, text, strlen(text));
		conn_send(&client->conn, "\n", 1);
	} else {
		conn_drop(&client->conn, true, "no memory for an answer");
	}
	json_object_put(o);
}

__attribute__((format(printf, 3, 4)))
static void reply_error(struct client *client, const char *code,
			const char *fmt, ...)
{
	json *o = json_object_new_object(), *e = json_object_new_object();
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	put_str(e, "code", code);
	put_str(e, "message", msg);
	json_object_object_add(o, "error", e);
	reply(client, o, true);
}

/* --- what VMs look like --- */

static const char *driver_name(const struct vm *vm)
{
	if (vm->state.flags & HMEM_LINK_BROKEN)
		return "broken";
	return vm->state.flags & HMEM_LINK_DRIVER_OK ? "ok" : "none";
}

static json *vm_json(const struct vm *vm)
{
	json *o = json_object_new_object();
	char uuid[40] = "";
	bool has_uuid = false;

	for (unsigned int i = 0; i < 16; i++) {
		has_uuid |= vm->hello.uuid[i];
		snprintf(uuid + strlen(uuid), 4, "%s%02x",
			 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			 vm->hello.uuid[i]);
	}
	put_str(o, "name", vm->name);
	put_str(o, "device", vm->hello.device);
	put_str(o, "uuid", has_uuid ? uuid : NULL);
	put_u64(o, "pid", vm->conn.pid);
	put_u64(o, "connected_s", (loop_now() - vm->connected) / 1000);
	put_str(o, "driver", driver_name(vm));
	put_bool(o, "running", vm->state.flags & HMEM_LINK_VM_RUNNING);
	put_bool(o, "migrating", vm->state.flags & HMEM_LINK_MIGRATING);
	put_u64(o, "features", vm->state.features);
	put_u64(o, "num_tiers", vm->hello.num_tiers);
	put_u64(o, "bytes", vm_frames(vm) << VIRTIO_HMEM_GFN_SHIFT);
	put_str(o, "policy", hmem_policy_name(vm->placer.policy.kind));
	put_u64(o, "batches", vm->under_way);
	put_u64(o, "max_batches", vm->num_batches);
	json_object_object_add(o, "oldest_batch_s", vm->under_way ?
			       json_object_new_uint64(vm_oldest(vm) / 1000) : NULL);
	put_bool(o, "late", vm_is_late(vm));
	put_u64(o, "jobs", vm->num_jobs);
	put_str(o, "activity", vm_activity(vm));
	return o;
}

/* What the guest has online of a tier; null: its driver does not tell. */
static json *online_json(const struct vm *vm, unsigned int tier)
{
	uint64_t bytes = vm->placer.pages.frames[tier] << VIRTIO_HMEM_GFN_SHIFT;
	uint64_t online = vm->state.online[tier];

	if (!(vm->state.features >> VIRTIO_HMEM_F_ONLINE & 1))
		return NULL;
	/* Whatever the guest says. */
	return json_object_new_uint64(online < bytes ? online : bytes);
}

static json *tier_json(const struct vm *vm, unsigned int tier)
{
	/* By heat: below 1/16 is cold, from 1/2 on is hot. */
	static const unsigned int bands[] = { 0, HMEM_BUCKETS / 16,
					      HMEM_BUCKETS / 2, HMEM_BUCKETS };
	static const char *const names[] = { "cold", "warm", "hot" };
	const struct hmem_link_tier *t = &vm->hello.tiers[tier];
	json *o = json_object_new_object();

	put_u64(o, "tier", tier);
	put_u64(o, "pxm", t->pxm);
	put_str(o, "kind", hmem_kind_name(t->kind));
	put_u64(o, "start_bytes", t->size);
	put_u64(o, "bytes", vm->placer.pages.frames[tier] << VIRTIO_HMEM_GFN_SHIFT);
	put_u64(o, "pages", vm->placer.pages.frames[tier]);
	json_object_object_add(o, "online_bytes", online_json(vm, tier));
	json_object_object_add(o, "used", vm->placer.pages.windows ?
			       json_object_new_uint64(vm->placer.pages.frames[tier] -
						      vm->placer.pages.hist[tier][0]) :
			       NULL);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t sum = 0;

		for (unsigned int b = bands[i]; b < bands[i + 1]; b++)
			sum += vm->placer.pages.hist[tier][b];
		json_object_object_add(o, names[i], vm->placer.pages.windows ?
				       json_object_new_uint64(sum) : NULL);
	}
	put_u64(o, "read_latency_ns", t->read_latency);
	put_u64(o, "write_latency_ns", t->write_latency);
	put_u64(o, "read_bandwidth_mib_s", t->read_bandwidth);
	put_u64(o, "write_bandwidth_mib_s", t->write_bandwidth);
	return o;
}

static uint64_t min_window_ms(const struct vm *vm)
{
	return (vm->hello.min_window_ns + 999999) / 1000000;
}

/* The policy's, where windows of the dirty log are parts of it. */
static uint64_t window_ms(const struct vm *vm)
{
	uint64_t least = min_window_ms(vm);

	if (!hmem_placer_is_sampled(&vm->placer))
		return vm->track.window_ns / 1000000;
	return vm->placer.policy.window > least ? vm->placer.policy.window : least;
}

/* What the dirty log costs, and may; null: there is none, or it is always on. */
static json *dirty_log_json(const struct vm *vm)
{
	const struct hmem_sampler *s = &vm->placer.sampler;
	json *o;

	if (!hmem_placer_is_sampled(&vm->placer))
		return NULL;
	o = json_object_new_object();
	put_bool(o, "on", !s->rests);
	put_u64(o, "sample_us", s->sample_ns / 1000);
	put_u64(o, "faults_per_s", s->per_second);
	put_u64(o, "max_faults_per_s", vm->placer.policy.faults);
	return o;
}

static json *status_json(const struct vm *vm)
{
	json *o = vm_json(vm), *tiers = json_object_new_array();

	for (unsigned int i = 0; i < vm->hello.num_tiers; i++)
		json_object_array_add(tiers, tier_json(vm, i));
	json_object_object_add(o, "tiers", tiers);
	put_rate(o, "promoted_per_s", vm->promote_rate, vm->have_rates);
	put_rate(o, "demoted_per_s", vm->demote_rate, vm->have_rates);
	put_str(o, "tracker", vm_tracker_name(vm));
	put_bool(o, "lockstep", vm_lockstep(vm));
	put_u64(o, "window_ms", window_ms(vm));
	put_u64(o, "asked_window_ms", vm->placer.policy.window);
	put_u64(o, "min_window_ms", min_window_ms(vm));
	put_u64(o, "windows", vm->placer.pages.windows);
	json_object_object_add(o, "dirty_log", dirty_log_json(vm));
	put_u64(o, "vtime_ns", vm_vtime(vm));
	put_u64(o, "table_bytes", hmem_pages_bytes(&vm->placer.pages));
	put_u64(o, "daemon_ns", vm->stats.daemon_ns);
	put_u64(o, "foreign_moves", vm->foreign_moves - vm->foreign_base);
	put_u64(o, "foreign_moves_lately", hmem_lately(vm->foreign_lately, loop_now()));
	put_str(o, "order_doubt", vm_order_doubt(vm));
	put_str(o, "last_error", vm->last_error);
	return o;
}

static json *reasons_json(const uint64_t *reasons)
{
	json *o = json_object_new_object();

	for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++)
		put_u64(o, hmem_reason_name(i), reasons[i]);
	return o;
}

static json *stats_json(const struct vm *vm)
{
	const struct vm_stats *s = &vm->stats;
	json *o = json_object_new_object(), *c = json_object_new_object();
	json *r = json_object_new_object();

	put_u64(c, "ticks", s->ticks);
	put_u64(c, "incomplete_ticks", s->incomplete);
	put_u64(c, "dirty_pages", s->dirty);
	put_u64(c, "accessed_pages", s->accessed);
	put_u64(c, "rearmed_pages", s->rearmed);
	put_u64(c, "rearmed_last_window", vm->placer.pages.rearmed);
	put_u64(c, "log_samples", vm->placer.sampler.samples - s->log_samples);
	put_u64(c, "log_faults", vm->placer.sampler.faults - s->log_faults);
	put_u64(c, "plans", s->plans);
	put_u64(c, "brake", vm->placer.brake.steps);
	put_u64(c, "batches", s->batches);
	put_u64(c, "batches_done", s->batches_done);
	put_u64(c, "batches_lost", s->batches_lost);
	put_u64(c, "hints", s->hints);
	put_u64(c, "results", s->results);
	put_u64(c, "retries", s->retries);
	put_u64(c, "unanswered", s->unanswered);
	put_u64(c, "promoted", s->promoted);
	put_u64(c, "demoted", s->demoted);
	put_u64(c, "foreign_moves", vm->foreign_moves - vm->foreign_base);
	for (unsigned int i = 1; i <= HMEM_LINK_REJECT_INVALID; i++)
		put_u64(r, hmem_reject_name(i), s->rejects[i]);
	put_str(o, "vm", vm->name);
	json_object_object_add(o, "counters", c);
	json_object_object_add(o, "reasons", reasons_json(s->reasons));
	json_object_object_add(o, "rejects", r);
	return o;
}

/* All at one moment, for who wants to see what happens between two. */
static json *sample_json(const struct vm *vm)
{
	json *o = status_json(vm);

	json_object_object_add(o, "stats", stats_json(vm));
	return o;
}

static json *policy_json(struct vm *vm)
{
	json *o = json_object_new_object(), *p = json_object_new_object();

	put_str(p, "name", hmem_policy_name(vm->placer.policy.kind));
	for (size_t i = 0; i < hmem_num_tunables; i++) {
		const struct hmem_tunable *t = &hmem_tunables[i];
		uint32_t v = *hmem_tunable_in(&vm->placer.policy, t);

		if (t->values)
			put_str(p, t->name, t->values[v]);
		else
			put_u64(p, t->name, v);
	}
	put_str(o, "vm", vm->name);
	json_object_object_add(o, "policy", p);
	return o;
}

/* --- reading requests --- */

static json *get(json *req, const char *key, enum json_type type)
{
	json *v;

	if (!json_object_object_get_ex(req, key, &v) ||
	    !json_object_is_type(v, type))
		return NULL;
	return v;
}

static const char *get_str(json *req, const char *key)
{
	json *v = get(req, key, json_type_string);

	return v ? json_object_get_string(v) : NULL;
}

static bool get_flag(json *req, const char *key)
{
	json *v = get(req, key, json_type_boolean);

	return v && json_object_get_boolean(v);
}

/* @def if there is none; false if it is no number from 0 to @max. */
static bool get_num(json *req, const char *key, int64_t def, int64_t max,
		    int64_t *num)
{
	json *v;

	*num = def;
	if (!json_object_object_get_ex(req, key, &v))
		return def >= 0;
	if (!json_object_is_type(v, json_type_int))
		return false;
	*num = json_object_get_int64(v);
	return *num >= 0 && *num <= max;
}

/* The VM a request is about; replies with an error and returns NULL if none. */
static struct vm *find_vm(struct client *client, json *req)
{
	const char *name = get_str(req, "vm");
	struct hmemd *d = client->d;
	struct vm *vm, *only = NULL;
	unsigned int num = 0;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm))
			continue;
		if (name && !strcmp(vm->name, name))
			return vm;
		only = vm;
		num++;
	}
	if (name)
		reply_error(client, "no-such-vm", "no VM '%.80s' is connected: see "
			    "hmemctl list", name);
	else if (!num)
		reply_error(client, "no-such-vm", "no VM is connected: start QEMU with "
			    "-chardev socket,id=hmem,path=%s,reconnect-ms=1000 -device "
			    "virtio-hmem,chardev=hmem,...", d->vm_socket);
	else if (num > 1)
		reply_error(client, "which-vm", "%u VMs are connected: name one, see "
			    "hmemctl list", num);
	else
		return only;
	return NULL;
}

/* --- verbs --- */

static void do_info(struct client *client, json *req)
{
	json *o = json_object_new_object(), *h = json_object_new_object();
	struct hmemd *d = client->d;

	(void)req;
	put_str(h, "version", HMEMD_VERSION);
	put_u64(h, "pid", getpid());
	put_u64(h, "uptime_s", (loop_now() - d->started) / 1000);
	put_str(h, "vm_socket", d->vm_socket);
	put_str(h, "control_socket", d->control_socket);
	put_str(h, "policy", hmem_policy_name(d->policy.kind));
	put_u64(h, "max_vms", d->max_vms);
	put_u64(h, "max_guest_bytes", d->max_frames << VIRTIO_HMEM_GFN_SHIFT);
	put_u64(h, "dropped", d->dropped);
	put_str(h, "last_fault", d->last_fault);
	put_u64(h, "turned_away", d->turned_away.vms);
	put_u64(h, "clients_turned_away", d->turned_away.clients);
	put_str(h, "last_turned_away", d->turned_away.last);
	put_u64(h, "vms", d->num_vms);
	put_u64(h, "not_introduced", doorman_strangers(d));
	put_u64(h, "clients", d->num_clients);
	put_u64(h, "max_clients", HMEM_MAX_CLIENTS);
	put_u64(h, "max_tables_bytes", d->max_tables);
	put_u64(h, "log_lines_lost", log_lost());
	json_object_object_add(o, "hmemd", h);
	reply(client, o, true);
}

/* @json_of each VM, or of the one named. */
static void do_vms(struct client *client, json *req,
		   json *(*json_of)(const struct vm *))
{
	json *o, *vms;
	struct vm *vm;

	if (get_str(req, "vm")) {
		vm = find_vm(client, req);
		if (!vm)
			return;
		vms = json_object_new_array();
		json_object_array_add(vms, json_of(vm));
	} else {
		vms = json_object_new_array();
		TAILQ_FOREACH(vm, &client->d->vms, link) {
			if (vm_ready(vm))
				json_object_array_add(vms, json_of(vm));
		}
	}
	o = json_object_new_object();
	put_u64(o, "time_ms", loop_now());
	json_object_object_add(o, "vms", vms);
	reply(client, o, true);
}

static void do_list(struct client *client, json *req)
{
	do_vms(client, req, vm_json);
}

static void do_status(struct client *client, json *req)
{
	do_vms(client, req, get_flag(req, "stats") ? sample_json : status_json);
}

static void do_stats(struct client *client, json *req)
{
	struct vm *vm = find_vm(client, req);

	if (!vm)
		return;
	reply(client, stats_json(vm), true);
	if (get_flag(req, "reset"))
		vm_reset_stats(vm);
}

static const struct heat_query_ops query_ops;

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

static void do_heat(struct client *client, json *req)
{
	struct vm *vm = find_vm(client, req);
	struct hmem_err err;
	int64_t bins, after;
	int ret;

	if (!vm)
		return;
	if (!get_num(req, "bins", 64, HEAT_MAX_BINS, &bins) || !bins) {
		reply_error(client, "usage", "heat: bins is 1 to %u", HEAT_MAX_BINS);
		return;
	}
	if (!get_num(req, "after", 0, INT64_MAX, &after)) {
		reply_error(client, "usage", "heat: after is a number of windows");
		return;
	}
	ret = begin_query(client, vm, &(struct heat_query) {
		.ops = &query_ops,
		.max = bins,
		.per_tier = get_flag(req, "per_tier"),
		.waits = json_object_object_get_ex(req, "after", NULL),
		.after = after,
	}, &err);
	if (ret < 0)
		reply_error(client, ret == -EBUSY ? "busy" : "blocked", "%s", err.msg);
}

static void do_policy(struct client *client, json *req)
{
	struct vm *vm = find_vm(client, req);
	json *set = get(req, "set", json_type_object);
	struct hmem_policy policy;
	struct hmem_err err;
	int ret;

	if (!vm)
		return;
	if (set && vm->pass) {
		client->later = true;
		vm_wait(vm, &client->waiter);
		return;
	}
	if (set) {
		policy = vm->placer.policy;
		json_object_object_foreach(set, key, value) {
			const char *text = json_object_get_string(value);

			if (hmem_policy_set(&policy, key, text ? text : "", &err) < 0) {
				reply_error(client, "usage", "%s", err.msg);
				return;
			}
		}
		ret = vm_set_policy(vm, &policy, &err);
		if (ret == -EBUSY && client->tries++ < POLICY_TRIES) {
			client->later = true;
			loop_soon(&client->d->loop, &client->resume_soon);
			return;
		}
		client->tries = 0;
		if (ret < 0) {
			reply_error(client, "unsupported", "vm '%s': %s", vm->name,
				    err.msg);
			return;
		}
		log_msg(LOG_INFO, "vm '%s': policy %s", vm->name,
			hmem_policy_name(policy.kind));
		vm_keep_policy(vm);
	}
	reply(client, policy_json(vm), true);
}

/* All memory but what is in the tier asked for. */
static struct span *all_spans(const struct vm *vm, uint32_t tier, size_t *num)
{
	struct span *spans = calloc(vm->placer.pages.num_ranges + 1, sizeof(*spans));

	*num = 0;
	for (uint32_t i = 0; spans && i < vm->placer.pages.num_ranges; i++) {
		const struct hmem_pages_range *r = &vm->placer.pages.ranges[i];

		if (r->tier != tier)
			spans[(*num)++] = (struct span) { r->gfn, r->num };
	}
	return spans;
}

static struct span *read_spans(json *ranges, size_t *num, struct hmem_err *err)
{
	size_t n = ranges ? json_object_array_length(ranges) : 0;
	struct span *spans;

	if (!n || n > JOB_MAX_SPANS) {
		hmem_fail(err, EINVAL, "migrate: name 1 to %u ranges of frames, or all",
			  JOB_MAX_SPANS);
		return NULL;
	}
	spans = calloc(n, sizeof(*spans));
	if (!spans) {
		hmem_fail(err, ENOMEM, "migrate: no memory for %zu ranges", n);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		json *r = json_object_array_get_idx(ranges, i);
		int64_t v[2];

		for (size_t k = 0; k < 2; k++) {
			json *x = r && json_object_is_type(r, json_type_array) &&
				  json_object_array_length(r) == 2 ?
				  json_object_array_get_idx(r, k) : NULL;

			v[k] = x && json_object_is_type(x, json_type_int) ?
			       json_object_get_int64(x) : -1;
		}
		if (v[0] < 0 || v[1] < 1 || v[0] >= (int64_t)HMEM_MAX_GFN ||
		    v[1] > (int64_t)HMEM_MAX_GFN - v[0]) {
			hmem_fail(err, EINVAL, "migrate: range %zu is not [ first frame, "
				  "number of frames ] below frame %#" PRIx64, i,
				  HMEM_MAX_GFN);
			free(spans);
			return NULL;
		}
		spans[i] = (struct span) { v[0], v[1] };
	}
	*num = n;
	return spans;
}

static json *job_json(const struct job *job)
{
	json *o = json_object_new_object();

	put_str(o, "vm", job->vm->name);
	put_u64(o, "job", job->id);
	put_u64(o, "to", job->tier);
	put_u64(o, "pages", job->total);
	put_u64(o, "done", job->done);
	put_u64(o, "outside", job->outside);
	put_u64(o, "hints", job->asked);
	return o;
}

static const char *job_state(const struct job *job)
{
	if (job->cancelled)
		return "stopping";
	return job->in_flight ? "moving" : "waiting";
}

/* As those who did not start it see it. */
static json *job_entry_json(const struct job *job)
{
	json *o = job_json(job);

	put_u64(o, "moved", job->reasons[VIRTIO_HMEM_R_MOVED]);
	put_str(o, "state", job_state(job));
	put_u64(o, "batches", job->in_flight);
	put_u64(o, "age_s", (loop_now() - job->started) / 1000);
	put_bool(o, "waited_for", job->ops);
	return o;
}

static void do_jobs(struct client *client, json *req)
{
	json *o, *jobs;
	const struct vm *vm, *only = NULL;
	const struct job *job;

	if (get_str(req, "vm")) {
		only = find_vm(client, req);
		if (!only)
			return;
	}
	jobs = json_object_new_array();
	TAILQ_FOREACH(vm, &client->d->vms, link) {
		if (only && vm != only)
			continue;
		TAILQ_FOREACH(job, &vm->jobs, link)
			json_object_array_add(jobs, job_entry_json(job));
	}
	o = json_object_new_object();
	json_object_object_add(o, "jobs", jobs);
	reply(client, o, true);
}

static struct job *find_job(struct hmemd *d, uint64_t id)
{
	struct vm *vm;
	struct job *job;

	TAILQ_FOREACH(vm, &d->vms, link) {
		TAILQ_FOREACH(job, &vm->jobs, link) {
			if (job->id == id)
				return job;
		}
	}
	return NULL;
}

static void do_cancel(struct client *client, json *req)
{
	struct job *job;
	int64_t id;
	json *o;

	if (!get_num(req, "job", -1, INT64_MAX, &id)) {
		reply_error(client, "usage", "cancel: job is a number, see hmemctl jobs");
		return;
	}
	job = find_job(client->d, id);
	if (!job) {
		reply_error(client, "no-such-job", "no job %" PRId64 " is under way: it has "
			    "ended, or there was none; see hmemctl jobs", id);
		return;
	}
	job_cancel(job);
	o = json_object_new_object();
	json_object_object_add(o, "cancel", job_entry_json(job));
	reply(client, o, true);
	/* One with nothing under way has ended with that. */
	vm_feed_soon(job->vm);
}

static void dry_run(struct client *client, struct job *job)
{
	json *o = json_object_new_object(), *m = job_json(job);
	json *tiers = json_object_new_array();
	uint64_t from[HMEM_LINK_MAX_TIERS], hints = job_count(job, from);
	const struct vm *vm = job->vm;

	for (uint32_t i = 0; i < vm->hello.num_tiers; i++)
		json_object_array_add(tiers, json_object_new_uint64(from[i]));
	put_u64(m, "hints", hints);
	json_object_object_add(m, "from_tiers", tiers);
	put_bool(m, "dry_run", true);
	json_object_object_add(o, "migrate", m);
	reply(client, o, true);
}

static const struct job_ops job_ops;

static void do_migrate(struct client *client, json *req)
{
	int64_t to, order, retries;
	const char *blocked;
	struct hmem_err err;
	struct span *spans;
	struct job *job;
	struct vm *vm = find_vm(client, req);
	size_t num;

	if (!vm)
		return;
	if (!get_num(req, "to", -1, vm->hello.num_tiers - 1, &to)) {
		reply_error(client, "usage", "migrate: vm '%s' has tiers 0 to %" PRIu32
			    ": name one of them", vm->name, vm->hello.num_tiers - 1);
		return;
	}
	if (!get_num(req, "order", 0, VIRTIO_HMEM_MAX_ORDER, &order) ||
	    !get_num(req, "retries", 3, JOB_MAX_RETRIES, &retries)) {
		reply_error(client, "usage", "migrate: order is 0 to %d, retries 0 to %u",
			    VIRTIO_HMEM_MAX_ORDER, JOB_MAX_RETRIES);
		return;
	}
	blocked = vm_blocked(vm);
	if (blocked && !get_flag(req, "dry_run")) {
		reply_error(client, "blocked", "vm '%s': %s", vm->name, blocked);
		return;
	}
	if (vm->num_jobs >= VM_MAX_JOBS) {
		reply_error(client, "busy", "vm '%s': %u jobs are under way: wait for "
			    "one to end", vm->name, vm->num_jobs);
		return;
	}
	if (get_flag(req, "all")) {
		spans = all_spans(vm, to, &num);
		if (!spans)
			hmem_fail(&err, ENOMEM, "migrate: no memory for the ranges");
	} else {
		spans = read_spans(get(req, "ranges", json_type_array), &num, &err);
	}
	job = spans ? job_new(&vm->placer.pages, spans, num, get_flag(req, "strict"), to, order,
			      &err) : NULL;
	if (!job) {
		reply_error(client, "usage", "%s", err.msg);
		return;
	}
	if (!job->total) {
		reply_error(client, "usage", "vm '%s': no guest memory is in the range: "
			    "see hmemctl status", vm->name);
		job_free(job);
		return;
	}
	job->retries = retries;
	job->id = ++client->d->jobs;
	job->vm = vm;
	if (get_flag(req, "dry_run")) {
		dry_run(client, job);
		job_free(job);
		return;
	}
	job->results = get_flag(req, "results");
	TAILQ_INSERT_TAIL(&vm->jobs, job, link);
	vm->num_jobs++;
	if (get_flag(req, "wait")) {
		job->ops = &job_ops;
		job->waiter = client;
		/* Its number, so that it can be cancelled. */
		job->ops->progress(job);
	} else {
		json *o = json_object_new_object();

		json_object_object_add(o, "migrate", job_json(job));
		reply(client, o, true);
	}
	vm_feed(vm);
}

/* --- what becomes of jobs and queries --- */

/* The client reads slower than the results come. */
static bool job_is_full(const struct job *job)
{
	const struct client *client = job->waiter;

	return conn_queued(&client->conn) > FULL;
}

static void job_progress(struct job *job)
{
	json *o, *p;

	if (loop_now() < job->reported + PROGRESS_MS || job_is_full(job))
		return;
	job->reported = loop_now();
	o = json_object_new_object();
	p = json_object_new_object();
	put_u64(p, "job", job->id);
	put_u64(p, "pages", job->total);
	put_u64(p, "done", job->done);
	json_object_object_add(o, "progress", p);
	reply(job->waiter, o, false);
}

static void job_results(struct job *job, const struct virtio_hmem_result_batch *batch)
{
	json *o = json_object_new_object(), *a = json_object_new_array();

	for (uint32_t i = 0; i < le32toh(batch->num_results); i++) {
		const struct virtio_hmem_result *res = &batch->results[i];
		json *r = json_object_new_object();

		put_u64(r, "gfn", le64toh(res->gfn));
		put_u64(r, "new_gfn", le64toh(res->new_gfn));
		put_u64(r, "order", res->order);
		put_str(r, "reason", hmem_reason_name(res->reason));
		json_object_array_add(a, r);
	}
	json_object_object_add(o, "results", a);
	reply(job->waiter, o, false);
}

static void job_done(struct job *job)
{
	json *o = json_object_new_object(), *m = job_json(job);

	json_object_object_add(m, "reasons", reasons_json(job->reasons));
	put_str(m, "failed", job->failed);
	put_bool(m, "cancelled", job->cancelled);
	json_object_object_add(o, "migrate", m);
	reply(job->waiter, o, true);
}

static const struct job_ops job_ops = {
	.is_full = job_is_full,
	.results = job_results,
	.progress = job_progress,
	.done = job_done,
};

/* Pages, and how hot they are. */
static void put_heat(json *o, uint64_t pages, uint64_t sum, uint16_t max)
{
	put_u64(o, "pages", pages);
	put_u64(o, "mean", pages ? sum / pages : 0);
	put_u64(o, "max", max);
}

static json *heat_tier_json(const struct query *q, uint32_t tier)
{
	const struct hmem_link_tier *t = &q->vm->hello.tiers[tier];
	uint64_t pages = 0, sum = 0;
	json *o = json_object_new_object();
	uint16_t max = 0;

	for (uint32_t i = 0; i < q->heat.bins.num; i++) {
		const struct hmem_bin *b = &q->heat.bins.bins[i];

		if (b->tier != tier)
			continue;
		pages += b->pages;
		sum += b->sum;
		max = b->max > max ? b->max : max;
	}
	put_u64(o, "tier", tier);
	put_u64(o, "pxm", t->pxm);
	put_str(o, "kind", hmem_kind_name(t->kind));
	put_heat(o, pages, sum, max);
	return o;
}

static void end_query(struct client *client)
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
	json *o = json_object_new_object(), *tiers = json_object_new_array();
	json *bins = json_object_new_array();

	for (uint32_t i = 0; i < vm->hello.num_tiers; i++)
		json_object_array_add(tiers, heat_tier_json(q, i));
	for (uint32_t i = 0; i < q->heat.bins.num; i++) {
		const struct hmem_bin *b = &q->heat.bins.bins[i];
		json *bin = json_object_new_object();

		put_u64(bin, "gfn", b->gfn);
		put_u64(bin, "last", b->last);
		put_u64(bin, "tier", b->tier);
		put_heat(bin, b->pages, b->sum, b->max);
		json_object_array_add(bins, bin);
	}
	put_str(o, "vm", vm->name);
	put_str(o, "policy", hmem_policy_name(vm->placer.policy.kind));
	put_str(o, "tracker", vm_tracker_name(vm));
	put_bool(o, "running", vm->state.flags & HMEM_LINK_VM_RUNNING);
	put_u64(o, "window_ms", window_ms(vm));
	put_u64(o, "windows", heat->windows);
	put_u64(o, "vtime_ns", heat->vtime_ns);
	put_u64(o, "heat_max", HMEM_HEAT_MAX);
	put_u64(o, "pages_per_bin", q->heat.bins.per);
	json_object_object_add(o, "tiers", tiers);
	json_object_object_add(o, "bins", bins);
	end_query(client);
	/* The client may have to be dropped over the answer. */
	reply(client, o, true);
}

static void query_failed(struct heat_query *heat, const char *why)
{
	struct query *q = (struct query *)heat;
	struct client *client = q->client;
	const struct vm *vm = q->vm;

	end_query(client);
	reply_error(client, "blocked", "vm '%s': %s", vm->name, why);
}

static const struct heat_query_ops query_ops = {
	.done = query_done,
	.failed = query_failed,
};

/* --- the connection --- */

static const struct {
	const char *name;
	void (*run)(struct client *client, json *req);
} verbs[] = {
	{ "info", do_info },
	{ "list", do_list },
	{ "status", do_status },
	{ "stats", do_stats },
	{ "heat", do_heat },
	{ "policy", do_policy },
	{ "migrate", do_migrate },
	{ "jobs", do_jobs },
	{ "cancel", do_cancel },
};

/* False: it has to wait. */
static bool request(struct client *client, const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
	json *req = tok ? json_tokener_parse_ex(tok, line, len) : NULL;
	const char *verb = NULL;
	json *version;

	client->later = false;
	if (!tok || !req || !json_object_is_type(req, json_type_object) ||
	    json_tokener_get_parse_end(tok) != len) {
		reply_error(client, "protocol", "a request is one JSON object on one "
			    "line: %s", !tok ? "no memory" : req ? "this is more or less" :
			    json_tokener_error_desc(json_tokener_get_error(tok)));
		goto out;
	}
	if (json_object_object_get_ex(req, "version", &version) &&
	    json_object_get_int(version) != 1) {
		reply_error(client, "protocol", "this hmemd speaks version 1: use "
			    "hmemctl and hmemd of one release");
		goto out;
	}
	verb = get_str(req, "verb");
	for (size_t i = 0; verb && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(verb, verbs[i].name)) {
			verbs[i].run(client, req);
			goto out;
		}
	}
	reply_error(client, "unsupported", "this hmemd knows no verb '%.40s'",
		    verb ? verb : "");
out:
	json_object_put(req);
	if (tok)
		json_tokener_free(tok);
	return !client->later;
}

static int client_received(struct conn *c, struct hmem_err *err)
{
	struct client *client = (struct client *)c;
	const char *line = conn_data(c);
	const char *end = memchr(line + client->seen, '\n', conn_len(c) - client->seen);
	size_t len;

	(void)err;
	if (!end) {
		client->seen = conn_len(c);
		return CONN_MORE;
	}
	client->seen = 0;
	len = end - line;
	if (len && !request(client, line, len))
		return CONN_LATER;
	conn_consume(c, len + 1);
	return CONN_AGAIN;
}

static void resume(struct turn *turn)
{
	conn_resume(&((struct client *)((char *)turn -
					offsetof(struct client, resume_soon)))->conn);
}

static void client_closed(struct conn *c, const char *why, bool fault)
{
	struct client *client = (struct client *)c;
	struct hmemd *d = client->d;
	struct vm *vm;
	struct job *job;

	log_msg(fault ? LOG_WARN : LOG_DEBUG, "control client (process %d): %s",
		(int)c->pid, why);
	end_query(client);
	vm_wait_no_more(&client->waiter);
	/* Who does not wait any more does not want the rest of it. */
	TAILQ_FOREACH(vm, &d->vms, link) {
		TAILQ_FOREACH(job, &vm->jobs, link) {
			if (job->ops && job->waiter == client) {
				job->ops = NULL;
				job_cancel(job);
				vm_feed_soon(vm);
			}
		}
	}
	TAILQ_REMOVE(&d->clients, client, link);
	d->num_clients--;
}

static void client_release(struct conn *c)
{
	loop_forget(&((struct client *)c)->resume_soon);
	free(c);
}

static const struct conn_ops client_ops = {
	.received = client_received,
	.closed = client_closed,
	.release = client_release,
};

/* So that hmemctl has something to say: as reply_error() would, if there were a client. */
static void turn_away(struct hmemd *d, int fd)
{
	static const char answer[] =
		"{\"error\":{\"code\":\"busy\",\"message\":\"hmemd serves %u control "
		"clients already: end one, see hmemctl doctor\"},\"version\":1,"
		"\"final\":true}\n";
	char line[sizeof(answer) + 16];
	struct ucred cred;
	int len = snprintf(line, sizeof(line), answer, HMEM_MAX_CLIENTS);

	conn_peer(fd, &cred);
	(void)!send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
	doorman_notes(d, &d->turned_away.clients, "a control client (process %d of user "
		      "%d): %u are connected", (int)cred.pid, (int)cred.uid,
		      d->num_clients);
}

void client_accept(struct hmemd *d, int fd)
{
	struct client *client;

	if (d->num_clients >= HMEM_MAX_CLIENTS) {
		turn_away(d, fd);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (!client) {
		log_msg(LOG_ERR, "a control client is turned away: no memory");
		close(fd);
		return;
	}
	client->d = d;
	client->waiter.conn = &client->conn;
	client->resume_soon.take = resume;
	client->conn.ops = &client_ops;
	client->conn.in_max = MAX_REQUEST;
	client->conn.out_max = MAX_REPLY;
	if (conn_init(&client->conn, &d->loop, fd) < 0) {
		log_msg(LOG_ERR, "a control client is turned away: no memory");
		free(client);
		return;
	}
	TAILQ_INSERT_TAIL(&d->clients, client, link);
	d->num_clients++;
}
