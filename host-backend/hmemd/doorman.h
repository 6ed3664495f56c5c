/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may come in, and a record of who was turned away. */
#ifndef HMEMD_DOORMAN_H
#define HMEMD_DOORMAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hmemd;

/*
 * May another VM of @uid come in?  If not, one that has not introduced itself has to go:
 * where there are --max-user-vms of one user, or a quarter of --max-vms that are such, the
 * first of these; and where there are --max-vms in all, the first of the user who has most
 * of them.  False: there is none, and it is turned away.
 */
bool doorman_admits(struct hmemd *d, pid_t pid, uid_t uid);

/* One was turned away: count it, and have the log tell, once a second at most. */
__attribute__((format(printf, 3, 4)))
void doorman_notes(struct hmemd *d, uint64_t *counter, const char *fmt, ...);

/* VMs that have not introduced themselves. */
unsigned int doorman_strangers(const struct hmemd *d);

#endif /* HMEMD_DOORMAN_H */
