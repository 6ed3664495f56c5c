/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients of the control socket can ask for. */
#ifndef HMEMD_VERBS_H
#define HMEMD_VERBS_H

#include "client.h"

/*
 * Do what the request @req asks for, whose verb is @name.  It is answered, now or later, or
 * @client->later says that it is to be run again.  False: there is no such verb.
 */
bool verbs_run(struct client *client, const char *name, json *req);

#endif /* HMEMD_VERBS_H */
