/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request "pool": who has how much of the host's DRAM, what it saves, and why. */
#ifndef HMEMD_VERB_POOL_H
#define HMEMD_VERB_POOL_H

#include "client.h"

struct vm;

/* What the pool knows of a VM, as an object. */
json *pool_member_json(const struct vm *vm);

void verb_pool(struct client *client, json *req);

#endif /* HMEMD_VERB_POOL_H */
