/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool: the VMs of a host share its DRAM, so that DRAM is where it saves most.
 *
 * Each VM has a share of the DRAM, by its guarantee and its weight.  In each window the
 * curves of what DRAM is worth to the VMs (worth.h) are merged in a market (market.h), which
 * has one price for a page of DRAM, so that no page would save more in another VM.  In terms
 * of that market:
 *
 * - A page is worth, to the pool, the part of its VM's time that it saves, times the VM's
 *   weight.  A VM cannot wait longer than all of its time, so a curve that claims more is
 *   scaled down.  Hence, whatever a guest claims, it gets no more pages beyond its guarantee
 *   than its weight divided by the price: as many as its weight can buy.
 * - Less than its guarantee no VM has.  Nor so much less than its share that it loses more
 *   than a set part of its time (@loss).
 * - A page that a VM has is offered for what it may be worth at most, and bids are what a page
 *   is worth at least, given the errors of both: nothing moves by chance.
 * - How long a difference will last, nobody knows.  A VM keeps what it has until it would have
 *   saved, had it changed at once, as much as the moves take.  So whatever happens then, this
 *   costs at most twice as much as if the future had been known (the ski rental problem).
 * - Who has less than its share while DRAM is scarce is credited with what is missing, page by
 *   page and second by second, and who has more is charged with that.  A credit raises the
 *   weight of a VM until it is paid back, and a debt lowers the weight.
 * - A VM changes by a bounded step in a window, except on the way back to its share.
 *
 * Pages are promised only once they are free: the sum over all VMs of what each has, or was
 * promised if that is more, never exceeds what the node has, whatever the guests do.  A guest
 * that does not follow keeps what it has, and nobody waits for it.
 *
 * Nothing here does I/O or has a clock.  Not thread-safe: one thread owns a pool.
 */
#ifndef HMEM_POOL_H
#define HMEM_POOL_H

#include "market.h"
#include "worth.h"

/*
 * What is asked for is rounded to so many pages, 2 MiB: the guest gives up whole huge pages
 * at a fiftieth of the cost.
 */
#define HMEM_POOL_GRAIN		512u

/* The operator's. */
struct hmem_pool_config {
	/* The host's nodes with DRAM, in pages; of them, those that are kept free. */
	unsigned int num_nodes;
	uint64_t capacity[HMEM_NODES], reserve[HMEM_NODES];
	/* The part of its time, 0 to 1, that a VM may lose to the others at most. */
	double loss;
	/* A VM whose whole share has been lent for so long has the most credit. */
	double credit_s;
	/* The most credit raises a VM's weight by this part, 0 to 1. */
	double payback;
	/* In so many windows a VM can come from its maximum to its guarantee. */
	unsigned int steps;
	/* Windows without progress after which a guest is stuck. */
	unsigned int patience;
};

/* Why a VM has what it has. */
enum hmem_pool_why {
	HMEM_POOL_SETTLED,	/* no page would save more elsewhere */
	HMEM_POOL_PATIENT,	/* one would, but not for long enough to pay for a move */
	HMEM_POOL_UNKNOWN,	/* what DRAM is worth to it is not known yet */
	HMEM_POOL_FIXED,	/* it cannot change */
	HMEM_POOL_STUCK,	/* it was asked to, and did not */
	HMEM_POOL_GROWS,	/* DRAM saves more here than where it was */
	HMEM_POOL_WAITS,	/* it is to grow when others have given up DRAM */
	HMEM_POOL_LENDS,	/* DRAM saves more elsewhere */
	HMEM_POOL_RETURNS,	/* it had more than its share, and others need it */
	HMEM_POOL_GUARANTEE,	/* it has its guarantee, and would have less */
	HMEM_POOL_LOSS,		/* with less, it would lose more time than it may */
	HMEM_POOL_MAXIMUM,	/* it has all that it may have */
	HMEM_POOL_WHYS
};

/* A VM.  Whoever has it owns it, and removes it from the pool before freeing it. */
struct hmem_pool_member {
	/*
	 * The operator's: pages, where guarantee <= maximum; what a part of its time is worth
	 * compared to that of others, more than 0; its processors, at least 1; the node of its
	 * own socket; and what DRAM of other nodes is worth compared to that, 0 if it cannot
	 * have it.
	 */
	uint64_t guarantee, maximum;
	double weight, processors;
	unsigned int node;
	float away;
	/* Guest time that the move of a page takes, in ns. */
	double move_ns;

	/* To be set before each decision: what it has, by node. */
	uint64_t actual[HMEM_NODES];
	/* NULL: it is not known what DRAM is worth to it. */
	const struct hmem_worth *worth;
	/* It cannot change: there is no driver, or it is migrating. */
	bool fixed;

	/*
	 * Decided: what is asked of it now, by node; what it is to have when others have given
	 * up what it gets; what it would have if moves were for nothing; and why.
	 */
	uint64_t requested[HMEM_NODES], target[HMEM_NODES], ideal;
	enum hmem_pool_why why;
	/* Its share of its node, and the least that it has to be left with. */
	uint64_t share, least;
	/* What it has lent, less what it has borrowed: pages times seconds. */
	double credit;

	/*
	 * Internal: weighted ns that it would have saved with @ideal since it has been above
	 * (1) or below (-1) what it has; what it has is kept.
	 */
	double missed_ns;
	int toward;
	bool keeps;
	/* Internal: how it follows what was requested. */
	uint64_t gap;
	unsigned int waited, failures, hold_off;
	/* It was to return what it had beyond its share, and did not. */
	bool owes;
};

struct hmem_pool {
	struct hmem_pool_config config;
	struct hmem_pool_member **members;
	unsigned int num, cap;
	/* Of a page of each node: weighted ns per second. */
	double price[HMEM_NODES];

	/* Internal. */
	struct hmem_market market;

	/* What it has sold, by member. */
	uint64_t (*sold)[HMEM_NODES];
};

/* What hmemd does unless it is told otherwise; no nodes. */
void hmem_pool_config_init(struct hmem_pool_config *config);

void hmem_pool_init(struct hmem_pool *p, const struct hmem_pool_config *config);
void hmem_pool_free(struct hmem_pool *p);

/*
 * A VM comes, with @actual as it is; what was decided is what it has.  -ENOSPC, with an error
 * that names the numbers: the guarantees would be more than its node has, less the reserve.
 * -EINVAL: its numbers make no sense.  -ENOMEM.
 */
int hmem_pool_add(struct hmem_pool *p, struct hmem_pool_member *m, struct hmem_err *err);

/* It goes, and what it had is free. */
void hmem_pool_remove(struct hmem_pool *p, struct hmem_pool_member *m);

/*
 * A window of @window_ns has ended: decide what each member is to have.  The device must not
 * let a guest grow beyond what is requested from it last.
 */
void hmem_pool_decide(struct hmem_pool *p, uint64_t window_ns);

/* Pages of all nodes together. */
uint64_t hmem_pool_sum(const uint64_t *by_node);

/* What the next and the last MiB of its DRAM save: ns of the VM's stall per second. */
double hmem_pool_next_mib(const struct hmem_pool_member *m);
double hmem_pool_last_mib(const struct hmem_pool_member *m);

/* In a word, and in more. */
const char *hmem_pool_why_word(enum hmem_pool_why why);
const char *hmem_pool_why(enum hmem_pool_why why);

#endif /* HMEM_POOL_H */
