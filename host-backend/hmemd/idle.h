/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Idle page tracking of a process's memory (the kernel's
 * Documentation/admin-guide/mm/idle_page_tracking.rst).
 *
 * A page is armed by setting its idle flag, and found accessed when the flag is
 * gone: an accessed bit, for each page rather than for each mapping.  Flags go
 * by physical page, so that every pass looks up where the pages are now; one
 * that has moved has taken its flag along.  A huge page has one flag, its first
 * page's.
 *
 * A page that is armed is present and on an LRU list.  One that is there and is
 * not armed counts as accessed: it was found so and not rearmed, or has come
 * since.  One that is not there, or that the kernel does not track, does not.
 */
#ifndef HMEMD_IDLE_H
#define HMEMD_IDLE_H

#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "hostpath.h"

struct idle {
	int pagemap, bitmap, flags;
	pid_t pid;
	/* By frame, as the link's maps. */
	uint64_t *armed;
	uint64_t map_bytes;
	/* Pages that were to be armed: those present, and those armed. */
	uint64_t present, tracked;
};

/*
 * Of process @pid, with maps of @map_bytes.  -errno, with what is missing and
 * where to get it; @i need not be closed then.
 */
int idle_open(struct idle *i, const struct host_paths *paths, pid_t pid,
	      uint64_t map_bytes, struct hmem_err *err);
void idle_close(struct idle *i);

/*
 * Of frames @gfn .. @gfn + @num - 1, which are at @hva, set the bits of those
 * that were accessed.  Returns how many; -ESRCH if the process is gone.
 */
int64_t idle_collect(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
		     uint64_t *accessed, struct hmem_err *err);

/* Arm the frames whose bits are set in @rearm, and clear these; likewise. */
int idle_rearm(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
	       uint64_t *rearm, struct hmem_err *err);

/* -ENOTSUP if most of the pages that were to be armed so far could not be. */
int idle_check(const struct idle *i, struct hmem_err *err);

#endif /* HMEMD_IDLE_H */
