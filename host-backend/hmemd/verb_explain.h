/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request "explain": why the pages of a VM are where they are. */
#ifndef HMEMD_VERB_EXPLAIN_H
#define HMEMD_VERB_EXPLAIN_H

#include "client.h"

void verb_explain(struct client *client, json *req);

#endif /* HMEMD_VERB_EXPLAIN_H */
