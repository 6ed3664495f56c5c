/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A market for the DRAM of a host: members bid for pages, the highest bids are served until
 * a node has no more, and what the best bid that was not served would have paid is the price
 * of a page there.  No other distribution of the pages is worth more to all bidders
 * together, as long as each takes DRAM of its own node only.
 *
 * A bidder is served by its own node first, and by the others if it wants that.
 */
#ifndef HMEM_MARKET_H
#define HMEM_MARKET_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* NUMA nodes of the host that have DRAM. */
#define HMEM_NODES	8u
/* A bid from here on is a promise: it sets no price. */
#define HMEM_PROMISED	1e200

struct hmem_bid {
	/* What each page is worth, more than 0. */
	double worth;
	uint64_t pages;
	uint32_t member;
	uint8_t node;
	/* A page of another node is worth so much of that, 0 to 1; 0: it is not wanted. */
	float away;
};

struct hmem_market {
	/* A heap, the highest bid first; @cap of it is allocated. */
	struct hmem_bid *bids;
	unsigned int num, cap;
	unsigned int num_nodes;
	/* Pages of each node that are not sold yet. */
	uint64_t supply[HMEM_NODES];
	/* What one more page would be worth; 0: there are more than are wanted. */
	double price[HMEM_NODES];
	/* Bids that were served, in part, or not; those that went elsewhere count twice. */
	uint64_t served;
};

/* Room for @cap bids; all zero has none.  -ENOMEM: it has the room that it had. */
int hmem_market_reserve(struct hmem_market *m, unsigned int cap, struct hmem_err *err);

void hmem_market_free(struct hmem_market *m);

/* No bids and no pages; @num_nodes nodes, at most HMEM_NODES. */
void hmem_market_begin(struct hmem_market *m, unsigned int num_nodes);

/* A bid of no pages, or that is worth nothing, is none.  There must be room. */
void hmem_market_bid(struct hmem_market *m, const struct hmem_bid *bid);

/*
 * Serve all bids: to what @sold has, by member and node, add the pages that each gets.  Sets
 * @price, and leaves in @supply what nobody wanted.
 */
void hmem_market_clear(struct hmem_market *m, uint64_t (*sold)[HMEM_NODES]);

#endif /* HMEM_MARKET_H */
