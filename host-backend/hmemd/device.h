/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to a VM's device: accepts, watches and closes it. */
#ifndef HMEMD_DEVICE_H
#define HMEMD_DEVICE_H

#include "vm.h"

/* Take over @fd, an accepted connection. */
void device_accept(struct hmemd *d, int fd);

/* Once per second: updates rates, and checks for late answers and silent peers. */
void device_second(struct vm *vm);

#endif /* HMEMD_DEVICE_H */
