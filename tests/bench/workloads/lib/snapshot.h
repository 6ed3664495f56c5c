/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of the guest's kernel about moved pages, and about the movers. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdint.h>

struct counters {
	uint64_t promoted, demoted;	/* pages since boot, without DAMON's */
	uint64_t anon[2];		/* anonymous pages, by node */
};

/* Reads the few counters that a sample has, which is quick. */
void read_counters(struct counters *c);

/*
 * Prints all counters as lines "bench: count MOMENT NAME NUMBER": migration and
 * NUMA balancing; DAMON's bytes; the driver's counters and access pauses; ns of
 * processor time of the kernel's threads, by name.
 */
void print_snapshot(const char *moment);

#endif /* SNAPSHOT_H */
