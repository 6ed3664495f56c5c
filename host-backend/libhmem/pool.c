/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

/*
 * Standard errors between a bid and the most likely worth.  The bid of the VM that has a page
 * and the bid of a VM that wants the page have an error each.  The error of their difference
 * is greater by the root of 2, so the two bids are two standard errors of the difference apart:
 * chance alone makes one page in 44 move.
 */
#define STANDARD_ERRORS	M_SQRT2
/* Promises outbid everything: first guarantees, then the pages that limit a VM's loss. */
#define GUARANTEED	DBL_MAX
#define NEEDED		1e300
/* The next highest bid is for the pages that a VM keeps until a change pays. */
#define KEPT		HMEM_PROMISED
/* An unused page stays where it is unless another VM has any use for it. */
#define UNUSED		DBL_MIN
/*
 * The pages of a step of a curve differ in worth by up to half an octave.  The member bids for
 * this many equal parts of the step, at worths with equal ratios.
 */
#define PARTS		4u
#define STEP_OCTAVES	0.5
/*
 * Bids of a member: one for each part of a step, up to two more where the VM's size and bounds
 * divide a part, and one each for pages that are guaranteed, needed and unused.
 */
#define MAX_BIDS	(PARTS * HMEM_WORTH_STEPS + 3 + 2)
/* After n failures, the pool asks the VM again in 2^n windows, where n is at most this. */
#define MAX_FAILURES	10u
#define MIB_PAGES	256u
/* Statistical: a VM is idle if its processors run for less than this part of their time. */
#define IDLE		0.01
#define SECOND_NS	1e9

void hmem_pool_config_init(struct hmem_pool_config *config)
{
	*config = (struct hmem_pool_config) {
		.loss = 0.05,
		.credit_s = 60,
		.payback = 0.1,
		.steps = 2,
		.patience = 3,
	};
}

void hmem_pool_init(struct hmem_pool *p, const struct hmem_pool_config *config)
{
	memset(p, 0, sizeof(*p));
	p->config = *config;
}

void hmem_pool_free(struct hmem_pool *p)
{
	hmem_market_free(&p->market);
	free(p->members);
	free(p->sold);
	memset(p, 0, sizeof(*p));
}

uint64_t hmem_pool_sum(const uint64_t *by_node)
{
	uint64_t sum = 0;

	for (unsigned int n = 0; n < HMEM_NODES; n++)
		sum += by_node[n];
	return sum;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* a - b, but not less than 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
	return min(max(v, low), high);
}

/* --- the members --- */

static int reserve(struct hmem_pool *p, unsigned int cap, struct hmem_err *err)
{
	struct hmem_pool_member **members;
	void *sold;

	if (cap <= p->cap)
		return 0;
	cap = max(cap, 2 * p->cap);
	members = realloc(p->members, cap * sizeof(*members));
	if (members)
		p->members = members;
	sold = realloc(p->sold, cap * sizeof(*p->sold));
	if (sold)
		p->sold = sold;
	if (!members || !sold)
		return hmem_fail(err, ENOMEM, "no memory for a pool of %u VMs", cap);
	if (hmem_market_reserve(&p->market, cap * MAX_BIDS, err) < 0)
		return -ENOMEM;
	p->cap = cap;
	return 0;
}

static bool is_valid(const struct hmem_pool *p, const struct hmem_pool_member *m)
{
	return m->node < p->config.num_nodes && m->guarantee <= m->maximum &&
	       m->weight > 0 && isfinite(m->weight) && m->slowdown >= 0 &&
	       m->processors >= 1 && isfinite(m->processors) && m->busy >= 0 && m->busy <= 1 &&
	       m->away >= 0 && m->away <= 1 && m->move_ns >= 0 && isfinite(m->move_ns);
}

/* The pages that the node's members may have. */
static uint64_t usable(const struct hmem_pool *p, unsigned int node)
{
	return less(p->config.capacity[node], p->config.reserve[node]);
}

int hmem_pool_add(struct hmem_pool *p, struct hmem_pool_member *m, struct hmem_err *err)
{
	uint64_t guaranteed = 0;
	int ret;

	if (!is_valid(p, m))
		return hmem_fail(err, EINVAL, "node %u of %u, guarantee %" PRIu64 " of %" PRIu64
				 " pages, weight %g: the VM cannot join the pool: a number is "
				 "out of range", m->node, p->config.num_nodes, m->guarantee,
				 m->maximum, m->weight);
	for (unsigned int i = 0; i < p->num; i++) {
		if (p->members[i]->node == m->node)
			guaranteed += p->members[i]->guarantee;
	}
	if (m->guarantee > less(usable(p, m->node), guaranteed))
		return hmem_fail(err, ENOSPC, "a guarantee of %" PRIu64 " MiB cannot be kept: "
				 "of %" PRIu64 " MiB of node %u, %" PRIu64 " MiB are guaranteed "
				 "to other VMs; lower a guarantee or the reserve",
				 m->guarantee / MIB_PAGES, usable(p, m->node) / MIB_PAGES,
				 m->node, guaranteed / MIB_PAGES);
	ret = reserve(p, p->num + 1, err);
	if (ret < 0)
		return ret;
	memcpy(m->requested, m->actual, sizeof(m->requested));
	memcpy(m->target, m->actual, sizeof(m->target));
	m->why = HMEM_POOL_UNKNOWN;
	m->credit = m->missed_ns = m->idle_ns = 0;
	m->toward = 0;
	m->gap = 0;
	m->waited = m->failures = m->hold_off = 0;
	m->owes = false;
	m->return_ns = 0;
	m->before = 0;
	p->members[p->num++] = m;
	return 0;
}

void hmem_pool_remove(struct hmem_pool *p, struct hmem_pool_member *m)
{
	for (unsigned int i = 0; i < p->num; i++) {
		if (p->members[i] != m)
			continue;
		/* The members stay in order, so that the market serves equal bids as before. */
		memmove(&p->members[i], &p->members[i + 1],
			(--p->num - i) * sizeof(*p->members));
		return;
	}
}

/* --- several nodes --- */

/* The pages of a node that are left over by what members have. */
static uint64_t unused(const struct hmem_pool *p, unsigned int node)
{
	uint64_t left = p->config.capacity[node];

	for (unsigned int i = 0; i < p->num; i++)
		left = less(left, p->members[i]->actual[node]);
	return left;
}

/* Moves up to @pages of the member from its own node to nodes with room. */
static uint64_t move_elsewhere(const struct hmem_pool *p, struct hmem_pool_member *m,
			       uint64_t pages)
{
	uint64_t left = pages;

	for (unsigned int n = 0; n < p->config.num_nodes && left; n++) {
		uint64_t here = n == m->node ? 0 : min(left, unused(p, n));

		m->actual[n] += here;
		m->actual[m->node] -= here;
		left -= here;
	}
	return pages - left;
}

/* Moves what is requested to the nodes where the member has its pages; the sum stays. */
static void follow(const struct hmem_pool *p, struct hmem_pool_member *m)
{
	uint64_t old[HMEM_NODES], sum = hmem_pool_sum(m->requested), left;

	memcpy(old, m->requested, sizeof(old));
	memcpy(m->requested, m->actual, sizeof(old));
	left = less(sum, hmem_pool_sum(m->actual));
	for (unsigned int i = 0; i < p->config.num_nodes; i++) {
		unsigned int n = (m->node + i) % p->config.num_nodes;
		uint64_t more = min(less(old[n], m->actual[n]), left);

		m->requested[n] += more;
		left -= more;
	}
	m->requested[m->node] += left;
	left = less(hmem_pool_sum(m->actual), sum);
	for (unsigned int i = 1; i <= p->config.num_nodes; i++) {
		unsigned int n = (m->node + i) % p->config.num_nodes;
		uint64_t by = min(m->requested[n], left);

		m->requested[n] -= by;
		left -= by;
	}
}

void hmem_pool_spread(struct hmem_pool *p)
{
	uint64_t over[HMEM_NODES] = { 0 };

	for (unsigned int i = 0; i < p->num; i++)
		over[p->members[i]->node] += p->members[i]->actual[p->members[i]->node];
	for (unsigned int n = 0; n < p->config.num_nodes; n++)
		over[n] = less(over[n], p->config.capacity[n]);
	/* The VMs that came last have found their own node used up. */
	for (unsigned int i = p->num; i--; ) {
		struct hmem_pool_member *m = p->members[i];
		unsigned int own = m->node;

		if (m->away > 0)
			over[own] -= move_elsewhere(p, m, min(over[own], m->actual[own]));
		follow(p, m);
	}
}

/* --- shares and credit --- */

/*
 * Divides the node's pages that are not guaranteed between its members by weight.  A member
 * that has reached its maximum leaves the rest to the others.
 */
static void share_out(struct hmem_pool *p, unsigned int node)
{
	double weights, per_weight;
	uint64_t left;
	bool again = true;

	for (unsigned int i = 0; i < p->num; i++) {
		if (p->members[i]->node == node)
			p->members[i]->share = p->members[i]->guarantee;
	}
	/* Ends, since each round but the last brings at least one member to its maximum. */
	while (again) {
		left = usable(p, node);
		weights = 0;
		again = false;
		for (unsigned int i = 0; i < p->num; i++) {
			struct hmem_pool_member *m = p->members[i];

			if (m->node != node)
				continue;
			if (m->share == m->maximum) {
				left = less(left, m->maximum);
			} else {
				left = less(left, m->guarantee);
				weights += m->weight;
			}
		}
		per_weight = weights > 0 ? left / weights : 0;
		for (unsigned int i = 0; i < p->num; i++) {
			struct hmem_pool_member *m = p->members[i];
			double more;

			if (m->node != node || m->share == m->maximum)
				continue;
			more = m->weight * per_weight;
			if (more >= m->maximum - m->guarantee) {
				m->share = m->maximum;
				again = true;
			} else {
				m->share = m->guarantee + (uint64_t)more;
			}
		}
	}
}

/*
 * The factor that scales down a curve that claims too much.  No VM can wait longer than all of its
 * time.  If all of its pages were in DRAM, and its processors did nothing but access them, its
 * running time would be @slowdown times as long in slow memory.
 */
static double believable_part(const struct hmem_pool_member *m)
{
	double all = hmem_worth_between(m->worth, 0, UINT64_MAX);
	double most = m->processors * SECOND_NS;

	if (m->slowdown > 1)
		most *= fmin(m->busy * (m->slowdown - 1), 1);
	return all > most ? most / all : 1;
}

/* Where a page has no price, no VM wants more DRAM, so nothing is lent. */
static void settle_credit(const struct hmem_pool *p, struct hmem_pool_member *m,
			  uint64_t window_ns)
{
	double full = m->share * p->config.credit_s;
	double missing = (double)m->share - (double)hmem_pool_sum(m->actual);

	if (p->price[m->node] > 0)
		m->credit += missing * (window_ns / SECOND_NS);
	m->credit = fmin(fmax(m->credit, -full), full);
}

/* What one ns of the VM's stall counts in the pool. */
static double weight_of_ns(const struct hmem_pool *p, const struct hmem_pool_member *m)
{
	double full = m->share * p->config.credit_s;
	double credit = full > 0 ? p->config.payback * m->credit / full : 0;

	return m->weight * (1 + credit) / m->processors;
}

/* --- progress of the guests --- */

/* The number of pages by which the VM differs from what was requested. */
static uint64_t gap_of(const struct hmem_pool_member *m)
{
	uint64_t gap = 0;

	for (unsigned int n = 0; n < HMEM_NODES; n++)
		gap += max(m->actual[n], m->requested[n]) - min(m->actual[n], m->requested[n]);
	return gap;
}

/* A guest without progress is stuck: the pool leaves it alone for more and more windows. */
static void check_progress(const struct hmem_pool *p, struct hmem_pool_member *m)
{
	uint64_t gap = gap_of(m), has = hmem_pool_sum(m->actual);

	if (m->hold_off) {
		m->hold_off--;
	} else if (m->fixed || !m->gap) {
		m->waited = 0;
	} else if (gap < m->gap) {
		m->waited = 0;
		if (!gap) {
			m->failures = 0;
			m->owes = false;
		}
	} else if (++m->waited >= p->config.patience) {
		m->waited = 0;
		m->failures += m->failures < MAX_FAILURES;
		m->hold_off = 1u << m->failures;
		m->owes |= hmem_pool_sum(m->requested) < has && has > m->share;
	}
}

static bool is_fixed(const struct hmem_pool_member *m)
{
	return m->fixed || m->hold_off;
}

/* --- idle members --- */

bool hmem_pool_is_idle(const struct hmem_pool_member *m)
{
	return m->busy < IDLE;
}

/*
 * The pages, up to its share, that the member has lent while it was idle, and may have back.  It
 * may have them back for as long as it was idle: that is enough, because a member lends nothing
 * before it has been idle for as long as its return takes.
 */
static uint64_t owed(const struct hmem_pool_member *m)
{
	uint64_t pages = less(min(m->before, m->share), hmem_pool_sum(m->actual));

	return m->return_ns > 0 && pages >= HMEM_POOL_GRAIN ? pages : 0;
}

static bool comes_back(const struct hmem_pool_member *m)
{
	return owed(m) && !hmem_pool_is_idle(m);
}

/* Notes how long the member has been idle, and which pages it may have back later. */
static void note_idleness(struct hmem_pool_member *m, uint64_t window_ns)
{
	uint64_t has = hmem_pool_sum(m->actual);

	if (!hmem_pool_is_idle(m)) {
		m->idle_ns = 0;
		m->return_ns = fmax(m->return_ns - window_ns, 0);
		return;
	}
	if (!m->idle_ns)
		m->before = has + owed(m);
	m->idle_ns += window_ns;
	/* A moment of idleness while pages come back does not end the right to the rest. */
	if (has < m->before)
		m->return_ns = fmax(m->return_ns, m->idle_ns);
}

/*
 * The pages that count as the member's own.  These are the pages that it has, unless pages that a
 * member has lent while it was idle are to come back.
 */
static uint64_t owns(const struct hmem_pool *p, const struct hmem_pool_member *m)
{
	uint64_t has = hmem_pool_sum(m->actual);

	if (comes_back(m))
		return has + owed(m);
	return p->comes_back ? min(has, m->share) : has;
}

/* --- the market --- */

/* Member @i bids for pages of one worth. */
static void bid(struct hmem_pool *p, unsigned int i, uint64_t pages, double worth)
{
	hmem_market_bid(&p->market, &(struct hmem_bid) {
		.member = i, .node = p->members[i]->node, .away = p->members[i]->away,
		.pages = pages, .worth = worth,
	});
}

/* By how much a bid differs from what was measured with this error, see STANDARD_ERRORS. */
static double error_factor(double error)
{
	/* A little more than 1 at least: of two equal VMs, the one that has the page keeps it. */
	return fmax(exp(STANDARD_ERRORS * error), 1 + 1e-9);
}

/*
 * Bids for the pages @at to @end of the VM's curve, which are worth @ns each.  The VM owns the
 * pages before @own: for these it bids the most that they may be worth, for others the least.
 */
static void bid_step(struct hmem_pool *p, unsigned int i, const struct hmem_worth_step *step,
		     double ns, uint64_t at, uint64_t end, uint64_t own)
{
	const struct hmem_pool_member *m = p->members[i];
	double factor = error_factor(step->error);
	uint64_t held = clamp(own, at, end) - at;

	bid(p, i, held, ns * factor * weight_of_ns(p, m));
	bid(p, i, end - at - held, ns / factor * weight_of_ns(p, m));
}

/* Bids for the pages @low to @high of the VM's curve. */
static void bid_curve(struct hmem_pool *p, unsigned int i, uint64_t low, uint64_t high)
{
	const struct hmem_pool_member *m = p->members[i];
	uint64_t at = 0, has = hmem_pool_sum(m->actual), own = owns(p, m);
	double part = believable_part(m);

	for (unsigned int s = 0; s < m->worth->num && at < high; s++) {
		const struct hmem_worth_step *step = &m->worth->steps[s];
		uint64_t from = at;

		at += step->pages;
		for (unsigned int k = 0; k < PARTS; k++) {
			uint64_t first = from + step->pages * k / PARTS;
			uint64_t last = from + step->pages * (k + 1) / PARTS;
			double octaves = STEP_OCTAVES * (0.5 - (k + 0.5) / PARTS);

			first = clamp(first, low, high);
			last = clamp(last, low, high);
			bid_step(p, i, step, step->ns * exp2(octaves) * part, first, last, own);
		}
	}
	/* Pages after the curve's end are worth nothing. */
	low = clamp(at, low, high);
	bid(p, i, clamp(has, low, high) - low, UNUSED);
}

/*
 * The fewest pages with which the VM loses no more of its time than it may.  The measurement's
 * error makes this number a range: a VM within the range needs exactly the pages that it has.
 */
static uint64_t pages_needed(const struct hmem_pool *p, const struct hmem_pool_member *m,
			     uint64_t has)
{
	double loss_ns, factor;

	if (!m->worth)
		return max(m->guarantee, min(m->share, has));
	loss_ns = p->config.loss * m->processors * SECOND_NS / believable_part(m);
	factor = exp(STANDARD_ERRORS * hmem_worth_error(m->worth, m->share));
	return max(m->guarantee,
		   clamp(has, hmem_worth_least(m->worth, m->share, loss_ns * factor),
			 hmem_worth_least(m->worth, m->share, loss_ns / factor)));
}

/* Places all bids of member @i, for between the fewest and the most pages that it may have. */
static void place_bids(struct hmem_pool *p, unsigned int i)
{
	struct hmem_pool_member *m = p->members[i];
	uint64_t has = hmem_pool_sum(m->actual), low, high;
	uint64_t step = (m->maximum - m->guarantee + p->config.steps - 1) / p->config.steps;

	m->least = pages_needed(p, m, has);
	/* A VM may return to its share at once. */
	low = max(m->least, min(less(has, step), m->share));
	high = min(m->maximum, max(has + step, m->share));
	if (!m->worth)
		high = has;
	else if (m->owes)
		high = min(high, m->share);
	high = max(high, m->least);
	low = min(low, high);
	bid(p, i, m->guarantee, GUARANTEED);
	bid(p, i, less(low, m->guarantee), NEEDED);
	if (m->keeps)
		bid(p, i, clamp(has, low, high) - low, KEPT);
	else if (m->worth)
		bid_curve(p, i, low, high);
	else
		bid(p, i, high - low, UNUSED);
}

/* Do the members together have more pages of a node than they may have? */
static bool is_overcommitted(const struct hmem_pool *p)
{
	for (unsigned int n = 0; n < p->config.num_nodes; n++) {
		uint64_t sum = 0;

		for (unsigned int i = 0; i < p->num; i++)
			sum += p->members[i]->actual[n];
		if (sum > usable(p, n))
			return true;
	}
	return false;
}

/*
 * Drops a change by less than a huge page, unless the VM is outside its bounds, or is to give up
 * pages that the pool does not have: a guest can take back what it has given up, for example if
 * its driver ends.
 */
static void keep_small_change(struct hmem_pool_member *m, bool overcommitted)
{
	uint64_t has = hmem_pool_sum(m->actual), target = hmem_pool_sum(m->target);

	if (overcommitted && target < has)
		return;
	if (max(has, target) - min(has, target) < HMEM_POOL_GRAIN &&
	    has >= m->guarantee && has <= m->maximum)
		memcpy(m->target, m->actual, sizeof(m->target));
}

/*
 * A member keeps what it has of its guarantee.  The market can have too few pages for that, because
 * members that cannot change their sizes have some of the reserve, or of others' guarantees.
 */
static void keep_guarantee(struct hmem_pool_member *m)
{
	uint64_t floor = min(m->guarantee, hmem_pool_sum(m->actual));
	uint64_t missing = less(floor, hmem_pool_sum(m->target));

	for (unsigned int n = 0; n < HMEM_NODES; n++) {
		uint64_t keeps = min(less(m->actual[n], m->target[n]), missing);

		m->target[n] += keeps;
		missing -= keeps;
	}
}

static void run_market(struct hmem_pool *p)
{
	struct hmem_market *market = &p->market;
	const bool overcommitted = is_overcommitted(p);

	hmem_market_begin(market, p->config.num_nodes);
	for (unsigned int n = 0; n < p->config.num_nodes; n++)
		market->supply[n] = usable(p, n);
	memset(p->sold, 0, p->num * sizeof(*p->sold));
	for (unsigned int i = 0; i < p->num; i++) {
		const struct hmem_pool_member *m = p->members[i];

		if (!is_fixed(m)) {
			place_bids(p, i);
			continue;
		}
		for (unsigned int n = 0; n < p->config.num_nodes; n++)
			market->supply[n] = less(market->supply[n], m->actual[n]);
		memcpy(p->sold[i], m->actual, sizeof(m->actual));
	}
	hmem_market_clear(market, p->sold);
	for (unsigned int i = 0; i < p->num; i++) {
		memcpy(p->members[i]->target, p->sold[i], sizeof(p->sold[i]));
		keep_small_change(p->members[i], overcommitted);
		keep_guarantee(p->members[i]);
	}
}

/* --- promises --- */

/* The pages of the node that the member has or was promised, whichever are more. */
static uint64_t claim(const struct hmem_pool_member *m, unsigned int node)
{
	return max(m->actual[node], m->requested[node]);
}

/*
 * The pages of the node that the member has still to get.  @beyond: all of them; otherwise
 * only as many as the member lacks to its share.
 */
static uint64_t wanted(const struct hmem_pool_member *m, unsigned int node, bool beyond)
{
	uint64_t more, claims = 0;

	for (unsigned int n = 0; n < HMEM_NODES; n++)
		claims += claim(m, n);
	more = min(less(m->target[node], m->requested[node]), less(m->maximum, claims));
	if (beyond)
		return more;
	return node == m->node ? min(more, less(m->share, hmem_pool_sum(m->requested))) : 0;
}

/*
 * Promises the @free pages of the node to the members that want pages, in proportion.  Returns
 * the number of pages that are still free.
 */
static uint64_t promise_pages(struct hmem_pool *p, unsigned int node, uint64_t free,
			      bool beyond)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < p->num; i++)
		sum += wanted(p->members[i], node, beyond);
	for (unsigned int i = 0; i < p->num; i++) {
		struct hmem_pool_member *m = p->members[i];
		uint64_t want = wanted(m, node, beyond), get = want;

		if (sum > free) {
			get = min(want, (double)want / sum * free);
			get -= get % HMEM_POOL_GRAIN;
		}
		m->requested[node] += get;
		/* The member is not stuck because it is asked for more. */
		m->gap += get;
		free -= get;
		sum -= want;
	}
	return free;
}

/*
 * Requests that the member gives up pages, of other nodes first, of its own node last.  A member
 * that is to have pages of one node instead of another gives up the old pages only after it
 * has got the new ones, so that it never has too few.
 */
static void request_less(struct hmem_pool *p, struct hmem_pool_member *m)
{
	uint64_t left = less(hmem_pool_sum(m->actual), hmem_pool_sum(m->target));

	memcpy(m->requested, m->actual, sizeof(m->requested));
	for (unsigned int i = 1; i <= p->config.num_nodes; i++) {
		unsigned int n = (m->node + i) % p->config.num_nodes;
		uint64_t by = min(less(m->actual[n], m->target[n]), left);

		m->requested[n] -= by;
		left -= by;
	}
}

/* Promises pages that no member claims, first to members that have less than their share. */
static void request_more(struct hmem_pool *p, unsigned int node)
{
	uint64_t taken = 0, free;

	for (unsigned int i = 0; i < p->num; i++)
		taken += claim(p->members[i], node);
	free = promise_pages(p, node, less(p->config.capacity[node], taken), false);
	promise_pages(p, node, less(free, p->config.reserve[node]), true);
}

static enum hmem_pool_why reason_of(const struct hmem_pool_member *m)
{
	uint64_t has = hmem_pool_sum(m->actual), target = hmem_pool_sum(m->target);
	uint64_t requested = hmem_pool_sum(m->requested);

	if (m->fixed)
		return HMEM_POOL_FIXED;
	if (m->hold_off)
		return HMEM_POOL_STUCK;
	if (target < has)
		return target >= m->share ? HMEM_POOL_RETURNS : HMEM_POOL_LENDS;
	if (target > has)
		return requested < target ? HMEM_POOL_WAITS : HMEM_POOL_GROWS;
	if (!m->worth)
		return HMEM_POOL_UNKNOWN;
	if (m->keeps)
		return HMEM_POOL_PATIENT;
	if (has == m->maximum)
		return HMEM_POOL_MAXIMUM;
	if (has == m->guarantee)
		return HMEM_POOL_GUARANTEE;
	return has == m->least ? HMEM_POOL_LOSS : HMEM_POOL_SETTLED;
}

/*
 * Sums over all members that would grow to their ideal: pages, what the pages are worth (weighted
 * ns per second), and their moves (weighted ns).
 */
struct exchange {
	double got, gained, gain_moves;
};

/* What the pages between the VM's size and its ideal are worth: weighted ns per second. */
static double worth_of_change(const struct hmem_pool *p, const struct hmem_pool_member *m,
			      uint64_t has)
{
	return hmem_worth_between(m->worth, min(has, m->ideal), max(has, m->ideal)) *
	       believable_part(m) * weight_of_ns(p, m);
}

/* Takes the market's result as the member's ideal, and adds the change to the sums. */
static void add_ideal(const struct hmem_pool *p, struct hmem_pool_member *m,
		      struct exchange *e)
{
	uint64_t has = hmem_pool_sum(m->actual);

	m->ideal = hmem_pool_sum(m->target);
	if (!m->worth || m->ideal <= has)
		return;
	e->got += m->ideal - has;
	e->gained += worth_of_change(p, m, has);
	e->gain_moves += (m->ideal - has) * m->move_ns * weight_of_ns(p, m);
}

/*
 * Adds to @missed_ns what the member would have saved other members in this window with its ideal
 * size.  Returns true once that is as much as the moves take, both its own and those of the members
 * that would get its pages.  Their pages are taken to be average ones of all that such members get.
 */
static bool has_paid(const struct hmem_pool *p, struct hmem_pool_member *m,
		     const struct exchange *e, uint64_t window_ns)
{
	uint64_t has = hmem_pool_sum(m->actual), change = has - m->ideal;
	/* Moves delay the VM's programs only while they run. */
	double moves = change * m->move_ns * m->busy * weight_of_ns(p, m), ns = 0;

	if (e->got) {
		ns = e->gained / e->got * change - worth_of_change(p, m, has);
		moves += e->gain_moves / e->got * change;
	}
	m->missed_ns += fmax(ns, 0) * (window_ns / SECOND_NS);
	return m->missed_ns >= moves;
}

/* Decides if the member keeps its pages for now, though its ideal size is a smaller one. */
static void wait_until_it_pays(const struct hmem_pool *p, struct hmem_pool_member *m,
			       const struct exchange *e, uint64_t window_ns)
{
	uint64_t has = hmem_pool_sum(m->actual);
	int toward = (m->ideal > has) - (m->ideal < has);

	if (toward != m->toward)
		m->missed_ns = 0;
	m->toward = toward;
	note_idleness(m, window_ns);
	m->keeps = false;
	if (toward >= 0 || !m->worth)
		return;
	if (hmem_pool_is_idle(m))
		m->keeps = m->idle_ns < (has - m->ideal) * m->move_ns;
	else if (!p->comes_back || has <= m->share)
		m->keeps = !has_paid(p, m, e, window_ns);
}

void hmem_pool_decide(struct hmem_pool *p, uint64_t window_ns)
{
	struct exchange exchange = { 0 };

	if (!p->num) {
		memset(p->price, 0, sizeof(p->price));
		return;
	}
	for (unsigned int n = 0; n < p->config.num_nodes; n++)
		share_out(p, n);
	p->comes_back = false;
	for (unsigned int i = 0; i < p->num; i++) {
		settle_credit(p, p->members[i], window_ns);
		check_progress(p, p->members[i]);
		p->members[i]->keeps = false;
		p->comes_back |= comes_back(p->members[i]);
	}
	run_market(p);
	memcpy(p->price, p->market.price, sizeof(p->price));
	for (unsigned int i = 0; i < p->num; i++)
		add_ideal(p, p->members[i], &exchange);
	for (unsigned int i = 0; i < p->num; i++)
		wait_until_it_pays(p, p->members[i], &exchange, window_ns);
	run_market(p);
	for (unsigned int i = 0; i < p->num; i++)
		request_less(p, p->members[i]);
	for (unsigned int n = 0; n < p->config.num_nodes; n++)
		request_more(p, n);
	for (unsigned int i = 0; i < p->num; i++) {
		p->members[i]->why = reason_of(p->members[i]);
		p->members[i]->gap = gap_of(p->members[i]);
	}
}

void hmem_pool_promise(struct hmem_pool *p)
{
	for (unsigned int n = 0; n < p->config.num_nodes; n++)
		request_more(p, n);
	for (unsigned int i = 0; i < p->num; i++) {
		struct hmem_pool_member *m = p->members[i];

		if (m->why == HMEM_POOL_WAITS)
			m->why = reason_of(m);
	}
}

/* --- texts and figures for people --- */

double hmem_pool_price(const struct hmem_pool *p)
{
	double most = 0;

	for (unsigned int n = 0; n < p->config.num_nodes; n++)
		most = fmax(most, p->price[n]);
	return most;
}

double hmem_pool_next_mib(const struct hmem_pool_member *m)
{
	uint64_t has = hmem_pool_sum(m->actual);

	return m->worth ? hmem_worth_between(m->worth, has, has + MIB_PAGES) : 0;
}

double hmem_pool_last_mib(const struct hmem_pool_member *m)
{
	uint64_t has = hmem_pool_sum(m->actual);

	return m->worth ? hmem_worth_between(m->worth, less(has, MIB_PAGES), has) : 0;
}

/* What the pool's price of a MiB is in ns of the VM's stall per second. */
static double price_for(const struct hmem_pool *p, const struct hmem_pool_member *m)
{
	return p->price[m->node] * MIB_PAGES / (weight_of_ns(p, m) * believable_part(m));
}

static double factor_at_size(const struct hmem_pool_member *m)
{
	return error_factor(hmem_worth_error(m->worth, hmem_pool_sum(m->actual)));
}

double hmem_pool_grows_at(const struct hmem_pool *p, const struct hmem_pool_member *m)
{
	return m->worth ? price_for(p, m) * factor_at_size(m) : 0;
}

double hmem_pool_shrinks_at(const struct hmem_pool *p, const struct hmem_pool_member *m)
{
	return m->worth ? price_for(p, m) / factor_at_size(m) : 0;
}

const char *hmem_pool_why_word(enum hmem_pool_why why)
{
	static const char *const words[HMEM_POOL_WHYS] = {
		[HMEM_POOL_SETTLED] = "settled",
		[HMEM_POOL_PATIENT] = "patient",
		[HMEM_POOL_UNKNOWN] = "unknown",
		[HMEM_POOL_FIXED] = "fixed",
		[HMEM_POOL_STUCK] = "stuck",
		[HMEM_POOL_GROWS] = "grows",
		[HMEM_POOL_WAITS] = "waits",
		[HMEM_POOL_LENDS] = "lends",
		[HMEM_POOL_RETURNS] = "returns",
		[HMEM_POOL_GUARANTEE] = "guarantee",
		[HMEM_POOL_LOSS] = "loss",
		[HMEM_POOL_MAXIMUM] = "maximum",
	};

	return words[why];
}

const char *hmem_pool_why(enum hmem_pool_why why)
{
	static const char *const words[HMEM_POOL_WHYS] = {
		[HMEM_POOL_SETTLED] = "settled: no page would save more elsewhere",
		[HMEM_POOL_PATIENT] = "waits until a change would pay for its moves",
		[HMEM_POOL_UNKNOWN] = "has no measured access rates yet",
		[HMEM_POOL_FIXED] = "cannot change its size",
		[HMEM_POOL_STUCK] = "was asked to change its size, and did not",
		[HMEM_POOL_GROWS] = "grows: DRAM saves more here",
		[HMEM_POOL_WAITS] = "waits for other VMs to give up DRAM",
		[HMEM_POOL_LENDS] = "lends: DRAM saves more in other VMs",
		[HMEM_POOL_RETURNS] = "returns DRAM that other VMs need",
		[HMEM_POOL_GUARANTEE] = "has its guarantee",
		[HMEM_POOL_LOSS] = "would lose too much time with less DRAM",
		[HMEM_POOL_MAXIMUM] = "has its maximum",
	};

	return words[why];
}
