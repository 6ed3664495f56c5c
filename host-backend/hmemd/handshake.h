/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device introduces itself and is welcomed. */
#ifndef HMEMD_HANDSHAKE_H
#define HMEMD_HANDSHAKE_H

#include "vm.h"

/* HELLO has come.  Returns 0, -EPROTO if it breaks the rules, or -ENOMEM. */
int handshake_hello(struct vm *vm, const struct hmem_link_hello *hello,
		    struct hmem_err *err);

/* HELLO, RANGES and STATE have all come: begin to work. */
void handshake_finish(struct vm *vm);

#endif /* HMEMD_HANDSHAKE_H */
