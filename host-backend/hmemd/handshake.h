/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a device introduces itself, and is welcomed. */
#ifndef HMEMD_HANDSHAKE_H
#define HMEMD_HANDSHAKE_H

#include "vm.h"

/* HELLO has come.  -EPROTO: it breaks the rules; -ENOMEM. */
int handshake_hello(struct vm *vm, const struct hmem_link_hello *hello,
		    struct hmem_err *err);

/* All of HELLO, RANGES and STATE have come. */
void handshake_finish(struct vm *vm);

#endif /* HMEMD_HANDSHAKE_H */
