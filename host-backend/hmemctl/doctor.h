/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the checks of hmemctl doctor share. */
#ifndef HMEMCTL_DOCTOR_H
#define HMEMCTL_DOCTOR_H

#include "hmemctl.h"

enum verdict { OK, WARN, FAIL };

/* Print a finding; @fmt says what was found and, unless it is OK, what to do. */
__attribute__((format(printf, 3, 4)))
void check(enum verdict v, const char *what, const char *fmt, ...);

/* The host without hmemd: its kernel, and what moves pages there. */
void check_host(void);

/* May QEMU connect to the socket at @path? */
void check_vm_socket(const char *path);

/*
 * A VM's QEMU, process @pid: are its memory backends bound to nodes of the host, are these the
 * nodes that hmemd takes for those of @tiers, and does KVM log writes in the way that costs less,
 * if @tracker is "dirty"?
 */
void check_qemu(const char *what, long pid, const char *tracker, json *tiers);

/* How many pieces of memory a VM can have: of KVM, of vhost, and of hmemd. */
void check_slots(void);
/* Has a VM with so many pieces room for more? */
void check_pieces(const char *what, unsigned long pieces);

#endif /* HMEMCTL_DOCTOR_H */
