/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients of the control socket: see hmemd(8). */
#ifndef HMEMD_CONTROL_H
#define HMEMD_CONTROL_H

#include "hmemd.h"

/* An accepted connection; takes over @fd. */
void client_accept(struct hmemd *d, int fd);

#endif /* HMEMD_CONTROL_H */
