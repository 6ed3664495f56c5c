/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of the control socket: what it waits for, and how it is answered. */
#ifndef HMEMD_CLIENT_H
#define HMEMD_CLIENT_H

#include "hmemd.h"
#include "jsonio.h"
#include "pass.h"

/* Bytes of answers that a client may leave unread. */
#define CLIENT_MAX_REPLY	(32u * 1024 * 1024)

struct query;

struct client {
	struct conn conn;
	struct hmemd *d;
	TAILQ_ENTRY(client) link;
	/* Bytes of a request that is not whole yet, which have no end of line. */
	size_t seen;
	/* The request is to be looked at again: when a pass is through, or soon. */
	bool later;
	struct pass_waiter waiter;
	struct turn resume_soon;
	/* How often that was because what a policy needs was busy. */
	unsigned int tries;
	/* The heat query under way; NULL: none. */
	struct query *query;
};

/* Send @o and free it.  Every request has one answer that is @final. */
void client_reply(struct client *client, json *o, bool final);

/* A final answer with "error": { code, message }. */
__attribute__((format(printf, 3, 4)))
void client_fail(struct client *client, const char *code, const char *fmt, ...);

/* The VM that a request is about; answers with an error and returns NULL if there is none. */
struct vm *client_find_vm(struct client *client, json *req);

#endif /* HMEMD_CLIENT_H */
