/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For test programs in the guest: where a page is, and asking the host to hint
 * the guest's driver to move it.
 */
#ifndef HINT_H
#define HINT_H

#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_hmem.h>

#define HINT_PAGE 4096ul

/* What became of one page. */
struct hint_result {
	uint64_t gfn;
	uint64_t new_gfn;
	int reason;		/* VIRTIO_HMEM_R_*; -1: the host got no result */
};

/*
 * Ask for n pages (at most HINT_MAX) to be moved to the tier and wait for the
 * results, which come in the order of gfns.  GFN 0 is left out: its result is
 * VIRTIO_HMEM_R_FREE.  Returns 0, or -1 if the host could not pass it on.  Safe
 * to call from several threads and processes at once.
 */
int hint_migrate(const uint64_t *gfns, size_t n, unsigned int tier,
		 struct hint_result *results);

/*
 * The GFNs of n pages of this process from addr on, which is page aligned; 0
 * for a page that is not in memory.  Needs CAP_SYS_ADMIN.
 */
void hint_gfns(const void *addr, size_t n, uint64_t *gfns);

/* All in one: n pages from addr on to the tier.  Returns how many are there. */
size_t hint_move(const void *addr, size_t n, unsigned int tier);

/* The nodes of n pages from addr on; -1 for a page that is not in memory. */
void hint_nodes(const void *addr, size_t n, int *nodes);

/* How many of n pages from addr on are on the node. */
size_t hint_on_node(const void *addr, size_t n, int node);

const char *hint_reason(int reason);

#endif /* HINT_H */
