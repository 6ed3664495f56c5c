/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "market.h"

/* In bid->node: the bid's own node could not serve it, so all other nodes may. */
#define ANY_NODE	UINT8_MAX

int hmem_market_reserve(struct hmem_market *m, unsigned int cap, struct hmem_err *err)
{
	struct hmem_bid *bids;

	if (cap <= m->cap)
		return 0;
	bids = realloc(m->bids, cap * sizeof(*bids));
	if (!bids)
		return hmem_fail(err, ENOMEM, "no memory for %u bids for DRAM", cap);
	m->bids = bids;
	m->cap = cap;
	return 0;
}

void hmem_market_free(struct hmem_market *m)
{
	free(m->bids);
	memset(m, 0, sizeof(*m));
}

void hmem_market_begin(struct hmem_market *m, unsigned int num_nodes)
{
	m->num = 0;
	m->served = 0;
	m->num_nodes = num_nodes;
	memset(m->supply, 0, sizeof(m->supply));
	memset(m->price, 0, sizeof(m->price));
}

void hmem_market_bid(struct hmem_market *m, const struct hmem_bid *bid)
{
	if (bid->pages && bid->worth > 0)
		m->bids[m->num++] = *bid;
}

/* Does @a come before @b?  Equal bids are in the order of members, so that runs repeat. */
static bool before(const struct hmem_bid *a, const struct hmem_bid *b)
{
	return a->worth != b->worth ? a->worth > b->worth : a->member < b->member;
}

/* Restores the order of the heap, where the bid at @i may be lower than bids below it. */
static void sink(struct hmem_market *m, unsigned int i)
{
	struct hmem_bid bid = m->bids[i];

	for (;;) {
		unsigned int best = 2 * i + 1;

		if (best >= m->num)
			break;
		if (best + 1 < m->num && before(&m->bids[best + 1], &m->bids[best]))
			best++;
		if (!before(&m->bids[best], &bid))
			break;
		m->bids[i] = m->bids[best];
		i = best;
	}
	m->bids[i] = bid;
}

static void raise_price(double *price, double worth)
{
	if (worth > *price && worth < HMEM_PROMISED)
		*price = worth;
}

/* Sells pages of the node.  Returns the number of the bid's pages that the node has not. */
static uint64_t serve(struct hmem_market *m, unsigned int node, const struct hmem_bid *bid,
		      uint64_t (*sold)[HMEM_NODES])
{
	uint64_t pages = bid->pages < m->supply[node] ? bid->pages : m->supply[node];

	m->supply[node] -= pages;
	sold[bid->member][node] += pages;
	return bid->pages - pages;
}

void hmem_market_clear(struct hmem_market *m, uint64_t (*sold)[HMEM_NODES])
{
	for (unsigned int i = m->num / 2; i--; )
		sink(m, i);
	while (m->num) {
		struct hmem_bid *bid = &m->bids[0];

		m->served++;
		if (bid->node != ANY_NODE) {
			bid->pages = serve(m, bid->node, bid, sold);
			if (bid->pages && bid->away > 0 && m->num_nodes > 1) {
				/* One more page here would save the member this loss. */
				raise_price(&m->price[bid->node], bid->worth * (1 - bid->away));
				bid->worth *= bid->away;
				bid->node = ANY_NODE;
				sink(m, 0);
				continue;
			}
			if (bid->pages)
				raise_price(&m->price[bid->node], bid->worth);
		} else {
			for (unsigned int n = 0; n < m->num_nodes && bid->pages; n++)
				bid->pages = serve(m, n, bid, sold);
			for (unsigned int n = 0; n < m->num_nodes && bid->pages; n++)
				raise_price(&m->price[n], bid->worth);
		}
		m->bids[0] = m->bids[--m->num];
		if (m->num)
			sink(m, 0);
	}
}
