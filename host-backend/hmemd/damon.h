/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DAMON, the kernel's sampling of accesses by region, on a process's memory
 * (Documentation/admin-guide/mm/damon/usage.rst).
 *
 * The kernel has one tree of kdamonds (threads) for everybody, whose number can
 * only be changed while none runs: hmemd sets up a fixed number when the first
 * is needed, and removes them with the last.  It leaves alone what others have
 * set up.
 *
 * A kdamond works on addresses that stay as they are given (fvaddr).  A snapshot
 * is the regions that a scheme which does nothing (stat) was tried on; the
 * kernel takes up to two aggregation intervals for it, and we do not wait.
 */
#ifndef HMEMD_DAMON_H
#define HMEMD_DAMON_H

#include <sys/types.h>

#include "hostpath.h"
#include "loop.h"

/* VMs that can be tracked so at a time. */
#define DAMON_MAX		16u
/* Samples in an aggregation interval: a region's accesses are 0 .. this. */
#define DAMON_SAMPLES		20u

/* All zero: nothing is set up. */
struct damon_admin {
	/* A bit for each kdamond in use. */
	uint32_t used;
};

/* Addresses, from @start up to before @end. */
struct damon_region {
	uint64_t start, end;
};

struct damon;

/*
 * Monitor these regions of process @pid; they are sorted, and do not overlap.
 * @window_ms is how often there will be snapshots.  -errno, with what is in the way in
 * @err; -EBUSY: somebody is at the tree, or the kernel itself uses DAMON, try again in
 * a while.
 */
int damon_start(struct damon_admin *admin, struct loop *loop,
		const struct host_paths *paths, pid_t pid,
		const struct damon_region *regions, uint32_t num, uint32_t window_ms,
		struct damon **to, struct hmem_err *err);

/*
 * Have the kernel make a snapshot, if that is not under way.  @done is called
 * later, with 0 or -errno.
 */
void damon_snapshot(struct damon *dm, void (*done)(void *opaque, int res),
		    void *opaque);

/* Call @fn for the snapshot's regions.  -errno if it cannot be read. */
int damon_read(struct damon *dm,
	       void (*fn)(const struct damon_region *r, unsigned int accesses,
			  void *opaque),
	       void *opaque, struct hmem_err *err);

/*
 * Stop, and leave nothing behind; @done is not called any more.  With a snapshot
 * under way, or somebody at the tree, it takes until that is through: the loop must go
 * on while admin->used is not 0.
 */
void damon_stop(struct damon *dm);

#endif /* HMEMD_DAMON_H */
