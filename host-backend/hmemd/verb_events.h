/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs events and history: see hmemd(8). */
#ifndef HMEMD_VERB_EVENTS_H
#define HMEMD_VERB_EVENTS_H

#include "client.h"

void verb_events(struct client *client, json *req);
void verb_history(struct client *client, json *req);

/* The kernel has taken all that was sent to the client: send a follower more. */
void verb_events_sent(struct client *client);

/* The client has gone. */
void verb_events_end(struct client *client);

#endif /* HMEMD_VERB_EVENTS_H */
