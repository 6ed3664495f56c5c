/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest's kernel knows of moved pages and of what moves them. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdint.h>

struct counters {
	uint64_t promoted, demoted;	/* pages, since boot; not those of DAMON */
	uint64_t anon[2];		/* anonymous pages, by node */
};

/* Quickly, for a sample. */
void read_counters(struct counters *c);

/*
 * Everything, as lines "bench: count MOMENT NAME NUMBER": counters of migration
 * and NUMA balancing; DAMON's bytes; the driver's counters and access pauses;
 * ns of processor time of the kernel's threads, by name.
 */
void print_snapshot(const char *moment);

#endif /* SNAPSHOT_H */
