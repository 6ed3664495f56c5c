/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs migrate, jobs and cancel, for moving pages by hand. */
#ifndef HMEMD_VERB_JOBS_H
#define HMEMD_VERB_JOBS_H

#include "client.h"

void verb_migrate(struct client *client, json *req);
void verb_jobs(struct client *client, json *req);
void verb_cancel(struct client *client, json *req);

/* The client goes.  End jobs whose client was waiting for them. */
void verb_jobs_end(struct client *client);

#endif /* HMEMD_VERB_JOBS_H */
