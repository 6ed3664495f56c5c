/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <string.h>

#include "link_check.h"
#include "verb_events.h"
#include "vm.h"

/* A follower that has so many bytes to read gets no more events for now. */
#define MAX_UNREAD	65536u

static json *event_json(const struct event *e)
{
	json *o = json_new_object(), *by = NULL;
	char time[32];

	json_put_u64(o, "id", e->id);
	json_put_str(o, "time", events_time(e->when_ms, time));
	json_put_u64(o, "time_ms", e->when_ms);
	json_put_str(o, "event", e->what);
	json_put_str(o, "vm", e->vm);
	json_put_str(o, "text", e->text);
	if (e->pid) {
		by = json_new_object();
		json_put_u64(by, "pid", e->pid);
		json_put_u64(by, "uid", e->uid);
	}
	json_add(o, "by", by);
	return o;
}

static void send_event(struct client *client, const struct event *e)
{
	json *o;

	if (client->event_vm[0] && strcmp(client->event_vm, e->vm))
		return;
	o = json_new_object();
	json_add(o, "event", event_json(e));
	client_reply(client, o, false);
}

/* Send events from client->next_event on, as long as the client reads them. */
static void feed(struct client *client)
{
	const struct events *e = &client->d->events;

	if (client->next_event < events_first(e)) {
		json *o = json_new_object();

		json_put_u64(o, "lost", events_first(e) - client->next_event);
		client->next_event = events_first(e);
		client_reply(client, o, false);
	}
	while (client->next_event <= e->last && !client->conn.closing &&
	       (!client->follows || conn_queued(&client->conn) < MAX_UNREAD))
		send_event(client, events_find(e, client->next_event++));
}

static void feed_all(struct turn *turn)
{
	struct events *e = (struct events *)((char *)turn - offsetof(struct events, turn));
	struct hmemd *d = (struct hmemd *)((char *)e - offsetof(struct hmemd, events));
	struct client *client, *next;

	for (client = TAILQ_FIRST(&d->clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (client->follows)
			feed(client);
	}
}

void verb_events(struct client *client, json *req)
{
	struct events *e = &client->d->events;
	const char *vm;
	int64_t after;
	json *o;

	if (client->follows) {
		client_fail(client, "busy", "this connection follows the events already");
		return;
	}
	if (!json_get_num(req, "after", 0, INT64_MAX, &after)) {
		client_fail(client, "usage", "events: after is the id of an event");
		return;
	}
	if (!client_vm_name(client, req, &vm))
		return;
	client->next_event = after && (uint64_t)after <= e->last ? (uint64_t)after + 1 :
			     events_first(e);
	snprintf(client->event_vm, sizeof(client->event_vm), "%s", vm ? vm : "");
	if (json_get_flag(req, "follow")) {
		client->follows = true;
		e->loop = &client->d->loop;
		e->turn.take = feed_all;
		e->followers++;
		feed(client);
		return;
	}
	feed(client);
	o = json_new_object();
	json_put_u64(o, "last", e->last);
	client_reply(client, o, true);
}

void verb_events_sent(struct client *client)
{
	if (client->follows)
		feed(client);
}

void verb_events_end(struct client *client)
{
	if (client->follows)
		client->d->events.followers--;
	client->follows = false;
}

static json *entry_json(const struct history_entry *h)
{
	static const char *const whys[] = {
		[HISTORY_PLAN] = "plan", [HISTORY_JOB] = "job", [HISTORY_ROOM] = "room",
	};
	json *o = json_new_object(), *reasons = json_new_object();
	uint64_t stayed = 0;
	char time[32];

	for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++) {
		if (i == VIRTIO_HMEM_R_MOVED || !h->reasons[i])
			continue;
		json_put_u64(reasons, hmem_reason_name(i), h->reasons[i]);
		stayed += h->reasons[i];
	}
	json_put_str(o, "time", events_time(h->when_ms, time));
	json_put_u64(o, "time_ms", h->when_ms);
	json_put_str(o, "why", whys[h->why]);
	json_put_u64(o, "number", h->number);
	json_put_str(o, "policy", h->why == HISTORY_PLAN ? h->policy : NULL);
	json_put_u64(o, "promoted", h->promoted);
	json_put_u64(o, "demoted", h->demoted);
	json_put_u64(o, "stayed", stayed);
	json_add(o, "reasons", reasons);
	json_add(o, "planned_promotions", h->why != HISTORY_PLAN ? NULL :
		 json_new_u64(h->promotions));
	json_add(o, "planned_demotions", h->why != HISTORY_PLAN ? NULL :
		 json_new_u64(h->demotions));
	json_put_rate(o, "gain_ns", h->gain_ns, h->gain_ns > 0);
	return o;
}

void verb_history(struct client *client, json *req)
{
	struct vm *vm = client_find_vm(client, req);
	const struct history_entry *h;
	json *o, *all;

	if (!vm)
		return;
	o = json_new_object();
	all = json_new_array();
	for (unsigned int i = 0; (h = history_get(&vm->history, i)); i++)
		json_append(all, entry_json(h));
	json_put_str(o, "vm", vm->name);
	json_add(o, "history", all);
	client_reply(client, o, true);
}
