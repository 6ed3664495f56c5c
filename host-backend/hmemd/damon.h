/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DAMON, the kernel's sampling of accesses by region, on a process's memory
 * (Documentation/admin-guide/mm/damon/usage.rst).
 *
 * The kernel has one tree of kdamonds (threads) for all users, and their number can change
 * only while none runs.  So hmemd sets up a fixed number when it needs the first kdamond,
 * and removes them with the last.  hmemd leaves the tree alone if others have set it up.
 *
 * hmemd's kdamonds monitor fixed addresses (fvaddr).  A snapshot is the list of regions to
 * which a scheme without an action (stat) was applied.  The kernel needs up to two
 * aggregation intervals for a snapshot; hmemd does not wait for it.
 */
#ifndef HMEMD_DAMON_H
#define HMEMD_DAMON_H

#include <sys/types.h>

#include "hostpath.h"
#include "loop.h"

/* Largest number of VMs that DAMON can track at the same time. */
#define DAMON_MAX		16u
/* Samples per aggregation interval; a region has 0 .. DAMON_SAMPLES accesses. */
#define DAMON_SAMPLES		20u

/* All zero: hmemd has set up nothing. */
struct damon_admin {
	/* One bit per kdamond in use. */
	uint32_t used;
};

/* The addresses from @start up to, but without, @end. */
struct damon_region {
	uint64_t start, end;
};

struct damon;

/*
 * Remove the kdamonds that a process has left that was killed, if its note is in @paths->run.
 * This can take some seconds: call it before anything is served.
 */
void damon_recover(const struct host_paths *paths);

/*
 * Monitor @regions of process @pid, which are sorted and do not overlap; snapshots will be
 * @window_ms apart.  Returns 0; or -errno with the obstacle in @err.  -EBUSY: somebody else
 * uses the tree or the kernel itself uses DAMON, so try again later.  @paths must exist as long
 * as the kdamond.
 */
int damon_start(struct damon_admin *admin, struct loop *loop,
		const struct host_paths *paths, pid_t pid,
		const struct damon_region *regions, uint32_t num, uint32_t window_ms,
		struct damon **to, struct hmem_err *err);

/*
 * Have the kernel make a snapshot, unless it is doing so.  Later, @done is called with 0
 * or -errno.
 */
void damon_snapshot(struct damon *dm, void (*done)(void *opaque, int res),
		    void *opaque);

/* Call @fn for each region of the snapshot.  Returns -errno if it cannot be read. */
int damon_read(struct damon *dm,
	       void (*fn)(const struct damon_region *r, unsigned int accesses,
			  void *opaque),
	       void *opaque, struct hmem_err *err);

/*
 * Stop, and leave nothing behind.  @done is not called any more.  If a snapshot is under
 * way or somebody else uses the tree, this takes until they have ended: the loop must run
 * until admin->used is 0.
 */
void damon_stop(struct damon *dm);

#endif /* HMEMD_DAMON_H */
