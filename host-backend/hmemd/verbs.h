/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests of clients of the control socket. */
#ifndef HMEMD_VERBS_H
#define HMEMD_VERBS_H

#include "client.h"

/*
 * Run the request @req with the verb @name.  The request is answered now or later, or
 * @client->later says to run it again.  Returns false if there is no such verb.
 */
bool verbs_run(struct client *client, const char *name, json *req);

#endif /* HMEMD_VERBS_H */
