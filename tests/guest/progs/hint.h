/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For test programs in the guest: find out where a page is, and have the host send
 * hints to the guest's driver to move pages.
 */
#ifndef HINT_H
#define HINT_H

#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_hmem.h>

#define HINT_PAGE 4096ul

/* The result of the hint for one page. */
struct hint_result {
	uint64_t gfn;
	uint64_t new_gfn;
	int reason;		/* VIRTIO_HMEM_R_*; -1: the host got no result */
};

/*
 * Hint @n pages (at most HINT_MAX) to @tier and wait for the @results, which are in
 * the order of @gfns.  No hint is sent for GFN 0: its result is VIRTIO_HMEM_R_FREE.
 * Returns 0, or -1 if the host could not send the hints.  Several threads and
 * processes may call this at once.
 */
int hint_migrate(const uint64_t *gfns, size_t n, unsigned int tier,
		 struct hint_result *results);

/*
 * Store the GFNs of @n pages of this process from the page-aligned @addr on; 0 for a
 * page that is not in memory.  Needs CAP_SYS_ADMIN.
 */
void hint_gfns(const void *addr, size_t n, uint64_t *gfns);

/* Hint @n pages from @addr on to @tier.  Returns how many of them are in @tier then. */
size_t hint_move(const void *addr, size_t n, unsigned int tier);

/* Store the nodes of @n pages from @addr on; -1 for a page that is not in memory. */
void hint_nodes(const void *addr, size_t n, int *nodes);

/* Returns how many of @n pages from @addr on are on @node. */
size_t hint_on_node(const void *addr, size_t n, int node);

const char *hint_reason(int reason);

#endif /* HINT_H */
