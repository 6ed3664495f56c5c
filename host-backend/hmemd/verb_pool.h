/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request "pool": who has how much of the host's DRAM, what it saves, and why. */
#ifndef HMEMD_VERB_POOL_H
#define HMEMD_VERB_POOL_H

#include "client.h"

void verb_pool(struct client *client, json *req);

#endif /* HMEMD_VERB_POOL_H */
