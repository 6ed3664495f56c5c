/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of a device: checks which is allowed when, and passes them on. */
#ifndef HMEMD_PROTOCOL_H
#define HMEMD_PROTOCOL_H

#include "vm.h"

/* conn_ops.received for the connection @c of a VM. */
int protocol_received(struct conn *c, struct hmem_err *err);

#endif /* HMEMD_PROTOCOL_H */
