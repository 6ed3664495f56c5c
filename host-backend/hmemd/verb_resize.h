/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request "resize" sets the size of a tier of a VM. */
#ifndef HMEMD_VERB_RESIZE_H
#define HMEMD_VERB_RESIZE_H

#include "client.h"

void verb_resize(struct client *client, json *req);

#endif /* HMEMD_VERB_RESIZE_H */
