/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Idle page tracking of a process's memory (the kernel's
 * Documentation/admin-guide/mm/idle_page_tracking.rst).
 *
 * To arm a page, hmemd sets the page's idle flag.  If the flag is clear later, the page was
 * accessed.  The flag works like an accessed bit, but there is one for each page, not one
 * for each mapping.  Flags belong to physical pages, so each pass looks up where the pages
 * are now; a page that moves takes the flag along.  A huge page has one flag, that of its
 * first page.
 *
 * An armed page is present and on an LRU list.  A present page that is not armed counts as
 * accessed: it was accessed and not rearmed, or is new.  A page that is not present, or that
 * the kernel does not track, does not count as accessed.
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
	/* One bit per frame, as in the link's maps. */
	uint64_t *armed;
	uint64_t map_bytes;
	/* Of the pages to be armed: how many were present, and how many got armed. */
	uint64_t present, tracked;
};

/*
 * Open the files for process @pid; maps have @map_bytes.  Returns 0; or -errno, and says in
 * @err what is missing and where to get it.  After an error, do not call idle_close().
 */
int idle_open(struct idle *i, const struct host_paths *paths, pid_t pid,
	      uint64_t map_bytes, struct hmem_err *err);
void idle_close(struct idle *i);

/*
 * Check frames @gfn .. @gfn + @num - 1, which are mapped at @hva, and set the bits of
 * accessed frames.  Returns how many; or -ESRCH if the process has gone.
 */
int64_t idle_collect(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
		     uint64_t *accessed, struct hmem_err *err);

/* Arm the frames whose bits are set in @rearm, and clear these bits.  Returns alike. */
int idle_rearm(struct idle *i, uint64_t gfn, uint64_t num, uint64_t hva,
	       uint64_t *rearm, struct hmem_err *err);

/* Returns -ENOTSUP if arming has failed for most pages so far. */
int idle_check(const struct idle *i, struct hmem_err *err);

#endif /* HMEMD_IDLE_H */
