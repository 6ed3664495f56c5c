/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection with a VM's device: comes, goes, and is looked after. */
#ifndef HMEMD_DEVICE_H
#define HMEMD_DEVICE_H

#include "vm.h"

/* An accepted connection; takes over @fd. */
void device_accept(struct hmemd *d, int fd);

/* Once a second: rates, what is late, and peers that do not introduce themselves. */
void device_second(struct vm *vm);

#endif /* HMEMD_DEVICE_H */
