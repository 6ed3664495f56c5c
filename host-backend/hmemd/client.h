/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of the control socket: its pending request, and how it gets answers. */
#ifndef HMEMD_CLIENT_H
#define HMEMD_CLIENT_H

#include "hmemd.h"
#include "jsonio.h"
#include "pass.h"

/* Largest number of bytes of answers that a client may leave unread. */
#define CLIENT_MAX_REPLY	(32u * 1024 * 1024)

struct query;

struct client {
	struct conn conn;
	struct hmemd *d;
	TAILQ_ENTRY(client) link;
	/* The client may change nothing. */
	bool monitor;
	/* Bytes of an incomplete request that were searched for the end of the line. */
	size_t seen;
	/* The incomplete request is too long, and has its answer. */
	bool refused;
	/* Run the request again later: when a pass has ended, or soon. */
	bool later;
	struct pass_waiter waiter;
	struct turn resume_soon;
	/* How often it was run again because something that a policy needs was busy. */
	unsigned int tries;
	/* The heat query that runs for this client, or NULL. */
	struct query *query;
	/* The client gets new events; the id of the next one, and the only VM of interest. */
	bool follows;
	uint64_t next_event;
	char event_vm[80];
};

/* Send @o and free it.  A request gets exactly one answer with @final set. */
void client_reply(struct client *client, json *o, bool final);

/* Send a final answer with "error": { code, message }. */
__attribute__((format(printf, 3, 4)))
void client_fail(struct client *client, const char *code, const char *fmt, ...);

/*
 * Sets *@name to the name of the VM that a request names, maybe by its UUID; to the request's word
 * if no such VM is connected; or to NULL.  Fails the request and returns false if the request
 * can mean several VMs.
 */
bool client_vm_name(struct client *client, json *req, const char **name);

/* The VM that a request names; or, after an error answer, NULL. */
struct vm *client_find_vm(struct client *client, json *req);

#endif /* HMEMD_CLIENT_H */
