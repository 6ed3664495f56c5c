/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "doorman.h"
#include "log.h"
#include "pass.h"
#include "tracking.h"
#include "verb_events.h"
#include "verb_explain.h"
#include "verb_heat.h"
#include "verb_jobs.h"
#include "verb_pool.h"
#include "verb_resize.h"
#include "verb_trades.h"
#include "verbs.h"
#include "vm_json.h"

/* Tries, a tenth of a second apart. */
#define POLICY_TRIES	50u

static void do_info(struct client *client, json *req)
{
	json *o = json_new_object(), *h = json_new_object();
	struct hmemd *d = client->d;

	(void)req;
	json_put_str(h, "version", HMEMD_VERSION);
	json_put_u64(h, "pid", getpid());
	json_put_u64(h, "uptime_s", (loop_now() - d->started) / 1000);
	json_put_str(h, "vm_socket", d->vm_socket);
	json_put_str(h, "control_socket", d->control_socket);
	json_put_str(h, "policy", hmem_policy_name(d->config.policy.kind));
	json_put_u64(h, "max_vms", d->config.max_vms);
	json_put_u64(h, "max_guest_bytes", d->config.max_frames << VIRTIO_HMEM_GFN_SHIFT);
	json_put_u64(h, "dropped", d->dropped);
	json_put_str(h, "last_fault", d->last_fault);
	json_put_u64(h, "turned_away", d->turned_away.vms);
	json_put_u64(h, "clients_turned_away", d->turned_away.clients);
	json_put_str(h, "last_turned_away", d->turned_away.last);
	json_put_u64(h, "vms", d->num_vms);
	json_put_u64(h, "not_introduced", doorman_strangers(d));
	json_put_u64(h, "clients", d->num_clients);
	json_put_u64(h, "max_clients", HMEM_MAX_CLIENTS);
	json_put_u64(h, "max_tables_bytes", d->config.max_tables);
	json_put_u64(h, "log_lines_lost", log_lost());
	json_put_u64(h, "turns", d->loop.num_turns);
	json_add(o, "hmemd", h);
	client_reply(client, o, true);
}

/* Apply @json_of to each VM, or to the named one. */
static void do_vms(struct client *client, json *req,
		   json *(*json_of)(const struct vm *))
{
	json *o, *vms;
	struct vm *vm;

	if (json_get_str(req, "vm")) {
		vm = client_find_vm(client, req);
		if (!vm)
			return;
		vms = json_new_array();
		json_append(vms, json_of(vm));
	} else {
		vms = json_new_array();
		TAILQ_FOREACH(vm, &client->d->vms, link) {
			if (vm_ready(vm))
				json_append(vms, json_of(vm));
		}
	}
	o = json_new_object();
	json_put_u64(o, "time_ms", loop_now());
	json_add(o, "vms", vms);
	client_reply(client, o, true);
}

static void do_list(struct client *client, json *req)
{
	do_vms(client, req, vm_json);
}

static void do_status(struct client *client, json *req)
{
	do_vms(client, req, json_get_flag(req, "stats") ? vm_sample_json : vm_status_json);
}

static void do_stats(struct client *client, json *req)
{
	struct vm *vm = client_find_vm(client, req);

	if (!vm)
		return;
	client_reply(client, vm_stats_json(vm), true);
	if (json_get_flag(req, "reset"))
		vm_reset_stats(vm);
}

/* The tunables that a client sets, as ", KEY VALUE...". */
static const char *describe_set(json *set, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	json_object_object_foreach(set, key, value) {
		if (strcmp(key, "name") && len < size)
			len += snprintf(buf + len, size - len, ", %s %s", key,
					json_word(value));
	}
	return buf;
}

static void do_policy(struct client *client, json *req)
{
	struct vm *vm = client_find_vm(client, req);
	json *set = json_get(req, "set", json_type_object);
	bool reset = json_get_flag(req, "reset");
	struct hmem_policy policy;
	struct hmem_err err;
	char text[128];
	int ret;

	if (!vm)
		return;
	if ((set || reset) && vm->pass) {
		client->later = true;
		pass_wait(vm, &client->waiter);
		return;
	}
	if (reset) {
		vm_forget_policy(vm);
		settings_apply(vm);
		vm_tell(vm, LOG_INFO, "policy", &client->conn, "policy reset: %s, from %s",
			hmem_policy_name(vm->placer.policy.kind), vm->policy_from);
	}
	if (set) {
		policy = vm->placer.policy;
		json_object_object_foreach(set, key, value) {
			if (hmem_policy_set(&policy, key, json_word(value), &err) < 0) {
				client_fail(client, "usage", "%s", err.msg);
				return;
			}
		}
		ret = tracking_set_policy(vm, &policy, &err);
		if (ret == -EBUSY && client->tries++ < POLICY_TRIES) {
			client->later = true;
			loop_soon(&client->d->loop, &client->resume_soon);
			return;
		}
		client->tries = 0;
		if (ret < 0) {
			client_fail(client, "unsupported", "vm '%s': %s", vm->name,
				    err.msg);
			return;
		}
		vm_tell(vm, LOG_INFO, "policy", &client->conn, "policy %s%s",
			hmem_policy_name(policy.kind), describe_set(set, text, sizeof(text)));
		vm_keep_policy(vm);
	}
	client_reply(client, vm_policy_json(vm), true);
}

static void do_reload(struct client *client, json *req)
{
	struct hmem_err err;

	(void)req;
	if (settings_reload(client->d, &client->conn, &err) < 0) {
		client_fail(client, "usage", "the configuration stays as it was: %s", err.msg);
		return;
	}
	client_reply(client, json_new_object(), true);
}

static const struct {
	const char *name;
	void (*run)(struct client *client, json *req);
	/* The verb changes something, whatever the request is. */
	bool changes;
} verbs[] = {
	{ "info", do_info, false },
	{ "list", do_list, false },
	{ "status", do_status, false },
	{ "stats", do_stats, false },
	{ "heat", verb_heat, false },
	{ "policy", do_policy, false },
	{ "migrate", verb_migrate, true },
	{ "jobs", verb_jobs, false },
	{ "cancel", verb_cancel, true },
	{ "resize", verb_resize, true },
	{ "pool", verb_pool, false },
	{ "trades", verb_trades, false },
	{ "explain", verb_explain, false },
	{ "events", verb_events, false },
	{ "history", verb_history, false },
	{ "reload", do_reload, true },
};

/* Other verbs change something only with "set" or "reset". */
static bool changes(size_t verb, json *req)
{
	return verbs[verb].changes || json_get(req, "set", json_type_object) ||
	       json_get_flag(req, "reset");
}

bool verbs_run(struct client *client, const char *name, json *req)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(name, verbs[i].name))
			continue;
		if (client->monitor && changes(i, req))
			client_fail(client, "denied", "the monitor socket changes nothing: use "
				    "hmemd's control socket, %s", client->d->control_socket);
		else
			verbs[i].run(client, req);
		return true;
	}
	return false;
}
