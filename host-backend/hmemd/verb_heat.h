/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb heat: tells how hot a VM's memory is. */
#ifndef HMEMD_VERB_HEAT_H
#define HMEMD_VERB_HEAT_H

#include "client.h"

void verb_heat(struct client *client, json *req);

/* End the client's query, if any, without an answer. */
void verb_heat_end(struct client *client);

#endif /* HMEMD_VERB_HEAT_H */
