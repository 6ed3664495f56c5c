/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides who may connect, and records who was turned away. */
#ifndef HMEMD_DOORMAN_H
#define HMEMD_DOORMAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hmemd;

/*
 * May another VM of user @uid connect?  If a limit is reached, the doorman drops a VM that
 * has not introduced itself (by HELLO):
 * - the user has --max-user-vms such VMs, or there are --max-vms / 4: the oldest of these;
 * - there are --max-vms VMs: the oldest of the user who has most such VMs.
 * Returns false if there is none to drop, so that the new VM must be turned away.
 */
bool doorman_admits(struct hmemd *d, pid_t pid, uid_t uid);

/*
 * Count a peer of user @uid that was turned away, and tell the reason as far as events_allow()
 * does.
 */
__attribute__((format(printf, 4, 5)))
void doorman_notes(struct hmemd *d, uint64_t *counter, uid_t uid, const char *fmt, ...);

/* The number of VMs that have not introduced themselves. */
unsigned int doorman_strangers(const struct hmemd *d);

#endif /* HMEMD_DOORMAN_H */
