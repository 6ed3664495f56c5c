/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool divides the host's DRAM between the VMs, so that each page is where it saves most.
 *
 * Each VM has a share of the DRAM, by its guarantee and its weight.  In each window the pool
 * merges the VMs' curves of what DRAM is worth (worth.h) in a market (market.h).  The market
 * has one price for a page of DRAM, so no page would save more in another VM.  The rules are:
 *
 * - To the pool, a page is worth the part of its VM's time that the page saves, times the VM's
 *   weight.  No VM can wait longer than all of its time, nor longer than slow memory can delay
 *   what its processors do, so the pool scales down a curve that claims more.  Hence a guest
 *   gets at most weight / price pages beyond its guarantee, whatever it claims.
 * - No VM has less than its guarantee.  No VM has so much less than its share that the VM
 *   loses more than a set part of its time (@loss).
 * - A bid for a page that the VM has is the highest value that the measurement's error allows;
 *   a bid for a further page is the lowest value.  So pages do not move by chance.
 * - Nobody knows how long a difference will last.  A VM keeps its pages until the time that an
 *   immediate change would have saved by now is as long as the moves take.  This costs at
 *   most twice as much as if the future had been known (the ski rental problem).  A VM that
 *   gets pages does not wait: it gets what is free, or what other VMs have decided to give up.
 * - An idle VM loses nothing while it is idle, but it must move its pages back later.  It keeps
 *   its pages until it has been idle for as long as that will take.  When it works again, the
 *   pages that it had, up to its share, count as its own, and VMs with more than their share do
 *   not wait: so it gets them back at once, unless they save clearly more elsewhere.  This holds
 *   until it has them, and at most for as long as it was idle.
 * - While DRAM is scarce, a VM with less than its share earns credit: the missing pages times
 *   seconds.  A VM with more than its share runs into debt in the same way.  Credit raises a
 *   VM's weight, and debt lowers the weight, until they are paid back.
 * - In one window, a VM's size changes by a limited step.  A return to its share has no limit.
 *
 * The pool promises pages to a VM only once they are free.  A VM's claim is the pages that it
 * has or the pages that were promised, whichever are more: the sum of all claims never exceeds
 * the pages of the node, whatever the guests do.  A guest that does not do what is requested
 * keeps its pages, and no VM waits for the guest.
 *
 * The pool does no I/O and reads no clock.  Not thread-safe: one thread owns a pool.
 */
#ifndef HMEM_POOL_H
#define HMEM_POOL_H

#include "market.h"
#include "worth.h"

/*
 * Requests are rounded to this many pages (2 MiB): to give up a whole huge page costs a guest
 * a fiftieth of what its base pages would cost.
 */
#define HMEM_POOL_GRAIN		512u

/* Set by the operator. */
struct hmem_pool_config {
	/* The host's nodes with DRAM: the pages of each, and how many of them stay free. */
	unsigned int num_nodes;
	uint64_t capacity[HMEM_NODES], reserve[HMEM_NODES];
	/* A VM may lose at most this part of its time, 0 to 1, to the other VMs. */
	double loss;
	/* A VM that has lent its whole share for this many seconds has the most credit. */
	double credit_s;
	/* The most credit raises a VM's weight by this part, 0 to 1. */
	double payback;
	/* A VM can shrink from its maximum to its guarantee within this many windows. */
	unsigned int steps;
	/* A guest that has made no progress in this many windows is stuck. */
	unsigned int patience;
};

/* Why a VM has its present size. */
enum hmem_pool_why {
	HMEM_POOL_SETTLED,	/* no page would save more elsewhere */
	HMEM_POOL_PATIENT,	/* a page would, but the moves have not paid for themselves yet */
	HMEM_POOL_UNKNOWN,	/* nobody knows yet what DRAM is worth to the VM */
	HMEM_POOL_FIXED,	/* the VM's size cannot change */
	HMEM_POOL_STUCK,	/* the guest was asked to change its size, and did not */
	HMEM_POOL_GROWS,	/* DRAM saves more here than where it was */
	HMEM_POOL_WAITS,	/* the VM will grow when other VMs have given up DRAM */
	HMEM_POOL_LENDS,	/* DRAM saves more elsewhere */
	HMEM_POOL_RETURNS,	/* the VM had more than its share, and other VMs need that */
	HMEM_POOL_GUARANTEE,	/* only its guarantee keeps the VM from having less */
	HMEM_POOL_LOSS,		/* with fewer pages, the VM would lose too much time */
	HMEM_POOL_MAXIMUM,	/* the VM has its maximum */
	HMEM_POOL_WHYS
};

/* A VM.  The caller owns the member, and removes it from the pool before freeing it. */
struct hmem_pool_member {
	/*
	 * Set by the operator.  @guarantee <= @maximum, in pages.  @weight > 0: how much a part
	 * of the VM's time counts, compared to other VMs.  @processors: at least 1.  @node: the
	 * node of the VM's own socket.  @away: what DRAM of other nodes is worth, as a part of
	 * what DRAM of @node is worth; 0 if the VM cannot use DRAM of other nodes.
	 */
	uint64_t guarantee, maximum;
	double weight, processors;
	unsigned int node;
	float away;
	/* The move of a page takes so much guest time, in ns. */
	double move_ns;
	/* An access to slow memory takes so many times as long as one to DRAM; 0: unknown. */
	double slowdown;
	/*
	 * The part of its time, 0 to 1, for which the VM's processors run, on average.  @worth
	 * holds for this part.
	 */
	double busy;

	/* Set before each decision: the VM's pages on each node. */
	uint64_t actual[HMEM_NODES];
	/* What DRAM is worth to the VM; NULL if nobody knows. */
	const struct hmem_worth *worth;
	/* The VM's size cannot change, since there is no driver, or the VM is migrating. */
	bool fixed;

	/*
	 * Decided by the pool.  @requested: the pages of each node that the VM is to have now.
	 * @target: the pages that it is to have when other VMs have given up DRAM.  @ideal: the
	 * pages that it would have if moves cost nothing.
	 */
	uint64_t requested[HMEM_NODES], target[HMEM_NODES], ideal;
	enum hmem_pool_why why;
	/* The VM's share of its node, and the fewest pages that the pool leaves to the VM. */
	uint64_t share, least;
	/* The pages that the VM has lent, less those that it has borrowed, times seconds. */
	double credit;

	/*
	 * Internal.  @toward: @ideal is above (1), below (-1) or at (0) the VM's size.
	 * @missed_ns: weighted ns that @ideal would have saved since @toward changed.  @keeps:
	 * the VM keeps its pages in this window.  @idle_ns: the time since the VM has become
	 * idle, and @before the pages that it had then.  @return_ns: for so long, it may have those
	 * of them back that it has lent.
	 */
	double missed_ns, idle_ns, return_ns;
	int toward;
	bool keeps;
	uint64_t before;
	/*
	 * Internal: how the VM does what was requested.  @gap: pages that were missing or too
	 * many a window ago.  @waited: windows without progress.  @failures: how often the VM
	 * was stuck.  @hold_off: windows until the pool asks the VM again.
	 */
	uint64_t gap;
	unsigned int waited, failures, hold_off;
	/* The VM was asked to return pages beyond its share, and did not. */
	bool owes;
};

struct hmem_pool {
	struct hmem_pool_config config;
	struct hmem_pool_member **members;
	unsigned int num, cap;
	/* The price of a page of each node, in weighted ns per second. */
	double price[HMEM_NODES];

	/* Internal.  @comes_back: a member that has lent pages while it was idle gets them back. */
	struct hmem_market market;
	bool comes_back;

	/* The pages that the market has sold to each member. */
	uint64_t (*sold)[HMEM_NODES];
};

/* Sets hmemd's defaults, without any node. */
void hmem_pool_config_init(struct hmem_pool_config *config);

void hmem_pool_init(struct hmem_pool *p, const struct hmem_pool_config *config);
void hmem_pool_free(struct hmem_pool *p);

/*
 * Adds a VM, and requests what it has according to @actual.  -ENOSPC: the VMs of its node would
 * have guarantees of more than the node's pages without the reserve; the error names the
 * numbers.  -EINVAL: a number is out of range.  -ENOMEM.
 */
int hmem_pool_add(struct hmem_pool *p, struct hmem_pool_member *m, struct hmem_err *err);

/* Removes a VM; its pages are free. */
void hmem_pool_remove(struct hmem_pool *p, struct hmem_pool_member *m);

/*
 * For a caller that knows how many pages a VM has, but not on which nodes: with all pages of each
 * VM on its own node in @actual, moves those that do not fit there to nodes with room, if the VM
 * can use them.  What is requested goes to the same nodes, as far as the VM has it.
 */
void hmem_pool_spread(struct hmem_pool *p);

/*
 * Decides what each VM is to have after a window of @window_ns.  The device must not let a
 * guest grow beyond the last @requested.
 */
void hmem_pool_decide(struct hmem_pool *p, uint64_t window_ns);

/*
 * Promises pages that have become free since the last decision to the members that it has found to
 * need more.  Call this when the @actual of members has become less.
 */
void hmem_pool_promise(struct hmem_pool *p);

/* Do so few of the VM's processors run that it lends its DRAM? */
bool hmem_pool_is_idle(const struct hmem_pool_member *m);

/* Pages of all nodes together. */
uint64_t hmem_pool_sum(const uint64_t *by_node);

/* The price of a page of the node where pages cost most, in weighted ns per second. */
double hmem_pool_price(const struct hmem_pool *p);

/* What the next and the last MiB of the VM's DRAM save: ns of the VM's stall per second. */
double hmem_pool_next_mib(const struct hmem_pool_member *m);
double hmem_pool_last_mib(const struct hmem_pool_member *m);

/*
 * What a MiB must save, in the same unit, for the VM to get one more, and to keep its last one: the
 * pool's price for a VM of this weight and credit, and the error of what was measured.
 */
double hmem_pool_grows_at(const struct hmem_pool *p, const struct hmem_pool_member *m);
double hmem_pool_shrinks_at(const struct hmem_pool *p, const struct hmem_pool_member *m);

/* The reason as one word, and as a phrase. */
const char *hmem_pool_why_word(enum hmem_pool_why why);
const char *hmem_pool_why(enum hmem_pool_why why);

#endif /* HMEM_POOL_H */
