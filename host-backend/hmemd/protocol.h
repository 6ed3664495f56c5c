/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a device says: which message is allowed when, and who deals with it. */
#ifndef HMEMD_PROTOCOL_H
#define HMEMD_PROTOCOL_H

#include "vm.h"

/* As conn_ops.received has it; @c is a VM's. */
int protocol_received(struct conn *c, struct hmem_err *err);

#endif /* HMEMD_PROTOCOL_H */
