// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define ACCESSED	1u
#define DIRTY		2u
#define CHUNK		10u	/* pages of a sweep, one of them anywhere */

/*
 * As found in the simulator with its preset optane: gups does 10.3 million
 * updates a second in DRAM and 3.4 in NVM, whose bandwidth for writing limits
 * it; reading and writing whole pages goes at 0.9 and 0.25 GB/s.  A move takes
 * the guest 21 us, a rearmed page that is read and written 200 ns for each, a
 * page of a scan 75 ns.
 */
const struct model_costs model_updates = { 97, 300, 21000, 400, 75 };
const struct model_costs model_pages = { 4500, 15000, 21000, 300, 75 };

static double now(const struct model *m)
{
	return m->ns / 1e9;
}

void model_init(struct model *m, const struct model_load *load,
		unsigned int fast, unsigned int kernel, unsigned int slow)
{
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = fast, .tier = 0 },
		{ .gfn = fast, .num = slow, .tier = 1 },
	};
	unsigned int frames = fast + slow, words = frames / 64;

	memset(m, 0, sizeof(*m));
	assert_true(frames % 64 == 0 && kernel <= fast &&
		    load->pages <= frames - kernel);
	m->load = load;
	m->fast = fast;
	m->kernel = kernel;
	m->slow = slow;
	hmem_policy_init(&m->policy);
	assert_int_equal(hmem_pages_init(&m->pages, ranges, 2, 2, frames, NULL), 0);
	m->maps = calloc(HMEM_LINK_MAPS * words, sizeof(*m->maps));
	m->page_of = calloc(frames, sizeof(*m->page_of));
	m->bits = calloc(frames, sizeof(*m->bits));
	m->queue = calloc(frames, sizeof(*m->queue));
	m->frame_of = calloc(load->pages, sizeof(*m->frame_of));
	m->weight = calloc(load->pages, sizeof(*m->weight));
	assert_true(m->maps && m->page_of && m->bits && m->queue && m->frame_of && m->weight);
	hmem_tracker_sim_init(&m->sim, m->maps, words * 8);
	hmem_tracker_gpt_init(&m->gpt, m->maps, words * 8);
	for (unsigned int i = 0; i < frames; i++)
		m->page_of[i] = -1;
	/* First touch: tier 0 fills up first. */
	for (unsigned int i = 0; i < load->pages; i++) {
		m->frame_of[i] = kernel + i;
		m->page_of[kernel + i] = i;
	}
	m->rnd = 42;
	m->hot_from = load->pages - load->hot;
	m->hot_at_hand = load->move;
}

void model_free(struct model *m)
{
	hmem_plan_free(&m->plan);
	hmem_pages_free(&m->pages);
	free(m->maps);
	free(m->page_of);
	free(m->bits);
	free(m->queue);
	free(m->frame_of);
	free(m->weight);
}

static bool is_hot(const struct model *m, unsigned int page)
{
	return page - m->hot_from < m->load->hot;
}

/* Each page's share of the accesses. */
static void weigh(struct model *m)
{
	const struct model_load *l = m->load;
	double sum = 0;

	for (unsigned int i = 0; i < l->pages; i++) {
		m->weight[i] = l->zipf ? 1.0 / (l->pages - i) :
			       (1 - l->weight / 100.0) / l->pages +
			       (is_hot(m, i) ? l->weight / 100.0 / l->hot : 0);
		sum += m->weight[i];
	}
	for (unsigned int i = 0; i < l->pages; i++)
		m->weight[i] /= sum;
}

double model_fast_share(const struct model *m)
{
	double share = 0;

	weigh((struct model *)m);
	for (unsigned int i = 0; i < m->load->pages; i++) {
		if (m->frame_of[i] < m->fast)
			share += m->weight[i];
	}
	return share;
}

static double random_unit(struct model *m)
{
	return (unit_random(&m->rnd) >> 11) * 0x1p-53;
}

/* Returns whether that was the first use since the bits were cleared. */
static bool touch(struct model *m, unsigned int page, bool write)
{
	uint8_t *bits = &m->bits[m->frame_of[page]], was = *bits;

	*bits |= ACCESSED | (write ? DIRTY : 0);
	return !(was & ACCESSED);
}

/* The program runs for @ns. */
static void run_random(struct model *m, double ns)
{
	const struct model_costs *c = m->load->costs;
	double share = model_fast_share(m);
	double ops = ns / (share * c->fast + (1 - share) * c->slow);
	unsigned int faults = 0;

	for (unsigned int i = 0; i < m->load->pages; i++) {
		if (random_unit(m) < 1 - exp(-ops * m->weight[i]))
			faults += touch(m, i, !m->load->reads);
	}
	/* They cost time that was the program's. */
	m->stalled += faults * c->rearm;
	m->ops += ops * (faults * c->rearm < ns ? 1 - faults * c->rearm / ns : 0);
}

static void run_sweep(struct model *m, double ns)
{
	const struct model_load *l = m->load;

	while (ns > 0) {
		unsigned int n = (uint64_t)m->ops % CHUNK, page;
		bool write;

		if (n) {
			page = m->hot_from + m->at_hot++ % l->hot;
			write = (m->at_hot / l->hot + m->at_hot) & 1;
		} else {
			page = m->at_all++ % l->pages;
			write = (m->at_all / l->pages + m->at_all) & 1;
		}
		if (touch(m, page, write && !l->reads)) {
			ns -= l->costs->rearm;
			m->stalled += l->costs->rearm;
		}
		ns -= m->frame_of[page] < m->fast ? l->costs->fast : l->costs->slow;
		m->ops++;
	}
}

static void move_on(struct model *m)
{
	const struct model_load *l = m->load;

	if (!l->move || now(m) < m->hot_at_hand)
		return;
	m->hot_at_hand += l->move;
	m->hot_from = m->hot_from + l->hot == l->pages ? m->hot_from - l->hot :
							 l->pages - l->hot;
}

static bool scans(const struct model *m)
{
	return m->policy.track == HMEM_TRACK_GPT;
}

static void collect(struct model *m)
{
	for (unsigned int i = 0; i < m->fast + m->slow; i++) {
		m->sim.accessed[i / 64] |= (uint64_t)(m->bits[i] & ACCESSED) << (i % 64);
		m->sim.dirty[i / 64] |= (uint64_t)!!(m->bits[i] & DIRTY) << (i % 64);
	}
}

static void rearm(struct model *m)
{
	for (unsigned int i = 0; i < (m->fast + m->slow) / 64; i++) {
		for (uint64_t w = m->sim.rearm[i]; w; w &= w - 1)
			m->bits[i * 64 + __builtin_ctzll(w)] = 0;
		m->sim.rearm[i] = 0;
	}
}

static void refuse(struct model *m, uint64_t gfn, enum hmem_refusal how)
{
	hmem_pages_refused(&m->pages, gfn, 0, how);
}

/* The pages of both frames change places. */
static void exchange(struct model *m, uint64_t cold, uint64_t hot)
{
	uint16_t heat_cold = hmem_pages_heat(&m->pages, cold);
	uint16_t heat_hot = hmem_pages_heat(&m->pages, hot);
	int page = m->page_of[cold];

	m->page_of[cold] = m->page_of[hot];
	m->frame_of[m->page_of[hot]] = cold;
	m->page_of[hot] = page;
	if (page >= 0)
		m->frame_of[page] = hot;
	m->bits[cold] = m->bits[hot] = ACCESSED | DIRTY;
	m->messages++;
	hmem_pages_moved(&m->pages, cold, hot, 0, heat_cold);
	hmem_pages_moved(&m->pages, hot, cold, 0, heat_hot);
	hmem_brake_moved(&m->brake, cold, hot, heat_cold, false, m->messages);
	hmem_brake_moved(&m->brake, hot, cold, heat_hot, true, m->messages);
	m->moved += 2;
	m->moving += 2 * m->load->costs->move;
}

/* The guest does it later, and meanwhile has not answered. */
static void ask(struct model *m)
{
	struct virtio_hmem_hint hints[510];
	uint32_t n;

	while ((n = hmem_plan_batch(&m->plan, hints, 510))) {
		assert_int_equal(n % 2, 0);
		for (uint32_t i = 0; i < n; i++)
			hmem_pages_sent(&m->pages, le64toh(hints[i].gfn), 0);
		for (uint32_t i = 0; i < n / 2; i++) {
			m->queue[m->queued][0] = le64toh(hints[i].gfn);
			m->queue[m->queued++][1] = le64toh(hints[n / 2 + i].gfn);
		}
	}
}

/* Takes as much of @ns as it needs; returns what is left. */
static double move(struct model *m, double ns)
{
	while (m->done < m->queued && ns > 0) {
		uint64_t cold = m->queue[m->done][0];
		uint64_t hot = m->queue[m->done++][1];
		bool fails = cold < m->kernel || m->page_of[cold] < 0 ||
			     m->page_of[hot] < 0;

		if (!fails) {
			exchange(m, cold, hot);
			ns -= 2 * m->load->costs->move;
			continue;
		}
		refuse(m, cold, cold < m->kernel ? HMEM_REFUSED_NACK :
		       m->page_of[cold] < 0 ? HMEM_REFUSED_FREE : HMEM_REFUSED_BUSY);
		refuse(m, hot, m->page_of[hot] < 0 ? HMEM_REFUSED_FREE :
		       HMEM_REFUSED_BUSY);
	}
	if (m->done == m->queued)
		m->done = m->queued = 0;
	return ns;
}

/* What the scan of the window has taken. */
static uint64_t scan_ns(const struct model *m)
{
	return scans(m) && !m->rests ? m->load->pages * m->load->costs->scan : 0;
}

/* As hmemd does at the end of a window.  Returns how long the next one is. */
static uint64_t decide(struct model *m)
{
	/* Without figures. */
	static const struct hmem_link_tier tiers[2];
	struct hmem_heat heat = hmem_policy_heat(&m->policy, tiers, 2, true);
	struct hmem_plan_limits limits = {
		.hysteresis = HMEM_HEAT_MAX * m->policy.hysteresis / 100,
	};
	struct hmem_tracker *t = scans(m) ? &m->gpt.tracker : &m->sim.tracker;
	bool paced = hmem_paced(&m->policy, t);
	uint64_t next = m->window;

	if (paced)
		hmem_pace_window(&m->pace, t, m->queued, &heat);
	hmem_pages_update(&m->pages, t, &heat);
	m->rearmed += m->pages.rearmed;
	if (paced) {
		next = hmem_pace_next(&m->pace, &m->policy, &m->pages, m->window,
				      scan_ns(m));
		m->rests = hmem_pace_rests(&m->pace);
		hmem_pace_limit(&m->pace, &limits);
	} else {
		hmem_brake_window(&m->brake, &m->pages, &heat);
	}
	if (!hmem_policy_moves(&m->policy) ||
	    (paced && !hmem_pace_may_plan(&m->pace)))
		return next;
	limits.budget = hmem_plan_budget(m->policy.rate, next);
	if (!paced)
		limits.budget = hmem_brake_budget(&m->brake, limits.budget);
	assert_int_equal(hmem_plan_make(&m->plan, &m->pages, &limits, NULL), 0);
	if (paced)
		hmem_pace_planned(&m->pace, &m->plan);
	ask(m);
	return next;
}

void model_run(struct model *m, double seconds)
{
	double end = m->ns + seconds * 1e9;

	if (!m->window) {
		m->window = m->policy.window * UINT64_C(1000000);
		hmem_pace_init(&m->pace, &m->policy, 0);
	}
	while (m->ns < end) {
		/* One processor, of which moving has half while there is any. */
		double half = m->window / 2.0, left = half + move(m, half);
		uint64_t scan = scan_ns(m);

		left -= scan;
		m->stalled += scan;
		if (left > 0 && m->load->sweep)
			run_sweep(m, left);
		else if (left > 0)
			run_random(m, left);
		m->ns += m->window;
		move_on(m);
		if (scan || !scans(m))
			collect(m);
		/* A scan rearms what was asked for before it began. */
		if (scan)
			rearm(m);
		m->window = decide(m);
		if (!scans(m))
			rearm(m);
	}
}

void model_place_best(struct model *m)
{
	unsigned int at = m->kernel;
	bool *taken = calloc(m->load->pages, sizeof(*taken));

	assert_non_null(taken);
	weigh(m);
	/* The hottest are the last ones. */
	for (unsigned int i = m->load->pages; i-- && at < m->fast; at++) {
		m->frame_of[i] = at;
		m->page_of[at] = i;
		taken[i] = true;
	}
	for (unsigned int i = 0; i < m->load->pages; i++) {
		if (taken[i])
			continue;
		m->frame_of[i] = at;
		m->page_of[at++] = i;
	}
	free(taken);
}
