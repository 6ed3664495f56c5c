/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address of a service for programs on this host: a TCP port of the loopback interface.
 * hmemd listens nowhere else, because it neither encrypts nor asks who connects.
 */
#ifndef HMEM_CONFIG_ADDRESS_H
#define HMEM_CONFIG_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "err.h"

/* Reads "127.0.0.1:PORT" or "[::1]:PORT".  Returns 0 or -EINVAL. */
int hmem_loopback_parse(const char *text, struct sockaddr_storage *addr, socklen_t *len,
			struct hmem_err *err);

/* Is @addr of this host only: an address of the loopback interface, or of a Unix socket? */
bool hmem_is_local(const struct sockaddr_storage *addr);

#endif /* HMEM_CONFIG_ADDRESS_H */
