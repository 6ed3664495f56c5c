/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A market for the DRAM of a host.  Members bid for pages.  The market serves the highest bids
 * until a node has no more pages; the price of a page of the node is then the highest bid that
 * was not served.  While members take DRAM of their own nodes only, no other distribution of
 * the pages is worth more to all members together.
 *
 * The member's own node serves a bid first, and other nodes do so if the member can use them.
 */
#ifndef HMEM_MARKET_H
#define HMEM_MARKET_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* At most so many NUMA nodes of the host have DRAM. */
#define HMEM_NODES	8u
/* A bid of this worth or more stands for a promise, and sets no price. */
#define HMEM_PROMISED	1e200

struct hmem_bid {
	/* What each page is worth to the member; more than 0. */
	double worth;
	uint64_t pages;
	uint32_t member;
	uint8_t node;
	/* What a page of another node is worth, as a part of @worth; 0: the member wants none. */
	float away;
};

struct hmem_market {
	/* A heap with the highest bid first; @cap bids are allocated. */
	struct hmem_bid *bids;
	unsigned int num, cap;
	unsigned int num_nodes;
	/* Pages of each node that are not sold yet. */
	uint64_t supply[HMEM_NODES];
	/* What one more page of each node would be worth; 0: the node has pages left. */
	double price[HMEM_NODES];
	/* Bids that the market looked at; one that other nodes served counts twice. */
	uint64_t served;
};

/*
 * Allocates room for @cap bids.  A market that is all zero has no room.  -ENOMEM: the market
 * keeps the room that it had.
 */
int hmem_market_reserve(struct hmem_market *m, unsigned int cap, struct hmem_err *err);

void hmem_market_free(struct hmem_market *m);

/* Starts a market without bids and pages.  @num_nodes: at most HMEM_NODES. */
void hmem_market_begin(struct hmem_market *m, unsigned int num_nodes);

/* Adds a bid, for which there must be room.  Ignores a bid of no pages or no worth. */
void hmem_market_bid(struct hmem_market *m, const struct hmem_bid *bid);

/*
 * Serves all bids, and adds the pages that each member gets of each node to @sold.  Sets
 * @price, and leaves in @supply the pages that nobody wanted.
 */
void hmem_market_clear(struct hmem_market *m, uint64_t (*sold)[HMEM_NODES]);

#endif /* HMEM_MARKET_H */
