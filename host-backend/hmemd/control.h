/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accepts clients of the control socket: see hmemd(8). */
#ifndef HMEMD_CONTROL_H
#define HMEMD_CONTROL_H

#include "hmemd.h"

/* Take over @fd, an accepted connection. */
void client_accept(struct hmemd *d, int fd, bool monitor);

#endif /* HMEMD_CONTROL_H */
