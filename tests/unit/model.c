// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "virtio_hmem.h"

#define ACCESSED	1u
#define DIRTY		2u
#define HUGE		512u	/* frames of a huge page */
#define ALONE		UINT8_MAX	/* the tier of a pair's missing cold page */
#define CHUNK		10u	/* a sweep reads so many pages, one of them from all memory */

/*
 * Measured in the simulator with the preset optane.  gups does 10.3 million updates per
 * second in DRAM, and 3.4 million in NVM, limited by the write bandwidth.  Reading and
 * writing whole pages runs at 0.9 and 0.25 GB/s.  A move takes the guest 21 us, each first
 * read and write of a rearmed page 200 ns.  An entry of a scan takes 15 instructions, and 105 more
 * if its bit is cleared (tests/guest/figures --entries); at 1 ns for each, which leaves room for
 * the misses that the page's flags cost.  An estimate: a fault of the dirty log leaves the guest,
 * and takes 2.5 us.  Tier 2 is taken to be half as fast as NVM.
 */
const struct model_costs model_updates = { 97, 300, 21000, 200, 15, 105, 2500, 600 };
const struct model_costs model_pages = { 4500, 15000, 21000, 200, 15, 105, 2500, 30000 };
const struct model_costs model_requests = { 10000, 12500, 21000, 200, 15, 105, 2500, 16000 };

static double now(const struct model *m)
{
	return m->ns / 1e9;
}

static unsigned int all_pages(const struct model_load *l)
{
	return l->pages + l->cache;
}

static unsigned int processes(const struct model_load *l)
{
	return l->processes ? l->processes : 1;
}

static unsigned int num_frames(const struct model *m)
{
	return m->fast + m->slow + m->slowest;
}

/* The time of an access to the frame, with the program's other work. */
static double access_cost(const struct model *m, unsigned int frame)
{
	const struct model_costs *c = m->load->costs;

	return frame < m->fast ? c->fast : frame < m->fast + m->slow ? c->slow : c->slowest;
}

void model_init(struct model *m, const struct model_load *load,
		unsigned int fast, unsigned int kernel, unsigned int slow,
		unsigned int slowest)
{
	unsigned int frames = fast + slow + slowest, words = frames / 64;

	memset(m, 0, sizeof(*m));
	assert_true(frames % 64 == 0 && kernel <= fast &&
		    all_pages(load) <= frames - kernel);
	m->load = load;
	m->fast = fast;
	m->kernel = kernel;
	m->slow = slow;
	m->slowest = slowest;
	m->processors = 1;
	m->min_window_ns = HMEM_LINK_MIN_WINDOW_NS;
	hmem_policy_init(&m->policy);
	m->maps = calloc(HMEM_LINK_MAPS * words, sizeof(*m->maps));
	m->page_of = calloc(frames, sizeof(*m->page_of));
	m->bits = calloc(frames, sizeof(*m->bits));
	m->split = calloc(frames / HUGE + 1, sizeof(*m->split));
	m->found = calloc(frames / HUGE + 1, sizeof(*m->found));
	m->huge_bits = calloc(frames / HUGE + 1, sizeof(*m->huge_bits));
	m->queue = calloc(frames, sizeof(*m->queue));
	m->frame_of = calloc(all_pages(load), sizeof(*m->frame_of));
	m->weight = calloc(all_pages(load), sizeof(*m->weight));
	assert_true(m->maps && m->page_of && m->bits && m->split && m->found &&
		    m->huge_bits && m->queue && m->frame_of && m->weight);
	hmem_tracker_sim_init(&m->sim, m->maps, words * 8);
	hmem_tracker_gpt_init(&m->gpt, m->maps, words * 8);
	hmem_tracker_dirty_init(&m->dirty, m->maps, words * 8);
	m->given_up = m->maps + 3 * words;
	for (unsigned int i = 0; i < frames; i++)
		m->page_of[i] = -1;
	/* First touch fills tier 0 first. */
	for (unsigned int i = 0; i < all_pages(load); i++) {
		m->frame_of[i] = kernel + i;
		m->page_of[kernel + i] = i;
	}
	m->rnd = 42;
	model_load(m, load);
}

void model_load(struct model *m, const struct model_load *load)
{
	m->load = load;
	m->hot_from = load->pages - load->hot;
	m->hot_at_hand = now(m) + load->move;
	m->turn_left = load->turn * 1e9;
	m->ends_at = now(m) + load->life;
}

void model_free(struct model *m)
{
	hmem_placer_free(&m->placer);
	free(m->maps);
	free(m->page_of);
	free(m->bits);
	free(m->split);
	free(m->found);
	free(m->huge_bits);
	free(m->queue);
	free(m->frame_of);
	free(m->weight);
}

static bool is_hot(const struct model *m, unsigned int page)
{
	unsigned int n = processes(m->load);

	/* The hot pages of a process are its last ones. */
	if (n > 1)
		return page % (m->load->pages / n) >= (m->load->pages - m->load->hot) / n;
	return page - m->hot_from < m->load->hot;
}

/* Compute each page's share of the accesses. */
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
		m->weight[i] *= (1 - l->streams / 100) / sum;
	for (unsigned int i = l->pages; i < all_pages(l); i++)
		m->weight[i] = l->streams / 100 / l->cache;
}

/* The mean time of an access to pages @from .. @to - 1. */
static double mean_cost(const struct model *m, unsigned int from, unsigned int to)
{
	double sum = 0, all = 0;

	for (unsigned int i = from; i < to; i++) {
		all += m->weight[i];
		sum += m->weight[i] * access_cost(m, m->frame_of[i]);
	}
	return sum / all;
}

double model_fast_share(const struct model *m)
{
	double share = 0;

	weigh((struct model *)m);
	for (unsigned int i = 0; i < all_pages(m->load); i++)
		share += m->frame_of[i] < m->fast ? m->weight[i] : 0;
	return share;
}

static bool scans(const struct model *m)
{
	return m->policy.track == HMEM_TRACK_GPT;
}

/* Does the dirty log track pages? */
static bool logs(const struct model *m)
{
	return m->policy.track == HMEM_TRACK_DIRTY;
}

static double random_unit(struct model *m)
{
	return (unit_random(&m->rnd) >> 11) * 0x1p-53;
}

static bool is_huge(const struct model *m, unsigned int frame)
{
	return m->huge && !m->split[frame / HUGE];
}

static uint8_t *bits_of(struct model *m, unsigned int frame)
{
	return is_huge(m, frame) ? &m->huge_bits[frame / HUGE] : &m->bits[frame];
}

/* Each part of a split huge page has the bits of the huge page. */
static void split(struct model *m, unsigned int frame)
{
	unsigned int first = frame / HUGE * HUGE;

	if (!is_huge(m, frame))
		return;
	memset(&m->bits[first], m->huge_bits[frame / HUGE], HUGE);
	m->split[frame / HUGE] = true;
}

/* Access a page.  Returns the time, in ns, that tracking adds to the access. */
static double touch(struct model *m, unsigned int page, bool write)
{
	const struct model_costs *c = m->load->costs;
	uint8_t *bits = bits_of(m, m->frame_of[page]), was = *bits;

	if (logs(m)) {
		*bits |= write ? DIRTY : 0;
		return *bits != was && !m->window.rest ? c->fault : 0;
	}
	/* As with HMEM_LINK_TRACK_ACCESSED, the dirty bits are left alone if nobody asks. */
	if (!hmem_policy_needs_written(&m->policy))
		write = false;
	*bits |= ACCESSED | (write ? DIRTY : 0);
	return __builtin_popcount(*bits & ~was) * c->rearm;
}

/* The short looks of a driver at huge pages, if the program has run for @at ns of the window. */
static void look(struct model *m, unsigned int page, double at)
{
	if (at >= m->look_begin && at < m->look_end)
		m->found[m->frame_of[page] / HUGE] = true;
}

/* The same for random accesses, @each times a page's weight in the whole window. */
static void look_at_random(struct model *m, double each, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to;) {
		unsigned int huge = m->frame_of[i] / HUGE;
		double weight = 0;

		for (; i < to && m->frame_of[i] / HUGE == huge; i++)
			weight += m->weight[i];
		if (random_unit(m) < 1 - exp(-each * weight / HUGE))
			m->found[huge] = true;
	}
}

/* Run processes that share pages @from .. @to - 1, and a reader of a file, for @ns. */
static void run_pages(struct model *m, double ns, unsigned int from, unsigned int to)
{
	const struct model_load *l = m->load;
	double ops = ns / mean_cost(m, from, to);
	/* The pages of other processes are not accessed. */
	double each = ops * l->pages / (to < l->pages ? to - from : l->pages), stalled = 0;
	double weight = 0, used = 0;

	for (unsigned int i = from; i < to && i < l->pages; i++) {
		/* Neighbours are mostly used alike, and exp() takes long. */
		if (m->weight[i] != weight) {
			weight = m->weight[i];
			used = 1 - exp(-each * weight);
		}
		if (random_unit(m) < used)
			stalled += touch(m, i, !l->reads);
	}
	if (m->huge)
		look_at_random(m, each, from, to < l->pages ? to : l->pages);
	if (l->cache && to > l->pages) {
		double end = m->at_cache + ops * l->streams / 100;

		/* More than once around finds the same pages again. */
		if (end - m->at_cache > l->cache)
			m->at_cache = end - l->cache;
		for (; m->at_cache < end; m->at_cache++)
			stalled += touch(m, l->pages + (uint64_t)m->at_cache % l->cache, false);
	}
	m->stalled += stalled;
	m->ops += ops * (stalled < ns ? 1 - stalled / ns : 0);
}

/* Run the program for @ns of its processors' time. */
static void run_random(struct model *m, double ns)
{
	const struct model_load *l = m->load;
	unsigned int width = l->pages / processes(l);

	weigh(m);
	if (!l->turn) {
		run_pages(m, ns, 0, all_pages(l));
		return;
	}
	while (ns > 0) {
		double all = m->turn_left * m->processors, part = all < ns ? all : ns;

		run_pages(m, part, m->running * width, (m->running + 1) * width);
		ns -= part;
		m->turn_left -= part / m->processors;
		if (m->turn_left >= 1)
			continue;
		m->running = (m->running + 1) % processes(l);
		m->turn_left = l->turn * 1e9;
	}
}

static void run_sweep(struct model *m, double ns)
{
	const struct model_load *l = m->load;
	const double all = ns;

	m->look_begin = random_unit(m) * all * (HUGE - 1) / HUGE;
	m->look_end = m->look_begin + all / HUGE;
	while (ns > 0) {
		unsigned int n = (uint64_t)m->ops % CHUNK, page;
		double late;
		bool write;

		if (n) {
			page = m->hot_from + m->at_hot++ % l->hot;
			write = (m->at_hot / l->hot + m->at_hot) & 1;
		} else {
			page = m->at_all++ % l->pages;
			write = (m->at_all / l->pages + m->at_all) & 1;
		}
		late = touch(m, page, write && !l->reads);
		look(m, page, all - ns);
		ns -= late;
		m->stalled += late;
		ns -= access_cost(m, m->frame_of[page]);
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

/* The oldest process ends, and a new one gets its pages, in tier 0 if there is room. */
static void replace_process(struct model *m)
{
	const struct model_load *l = m->load;
	unsigned int width = l->pages / processes(l), page = m->oldest * width, end = page + width;

	if (!l->life || now(m) < m->ends_at)
		return;
	m->ends_at += l->life;
	m->oldest = (m->oldest + 1) % processes(l);
	for (unsigned int i = page; i < end; i++)
		m->page_of[m->frame_of[i]] = -1;
	for (unsigned int frame = m->kernel; page < end; frame++) {
		if (m->page_of[frame] >= 0)
			continue;
		m->page_of[frame] = page;
		m->frame_of[page++] = frame;
		m->bits[frame] = ACCESSED | DIRTY;
	}
}

/* The accessed bit of a frame, as the tracker finds it. */
static bool is_accessed(struct model *m, unsigned int frame)
{
	bool set = *bits_of(m, frame) & ACCESSED;

	return set && (!is_huge(m, frame) || m->window.long_looks || m->found[frame / HUGE]);
}

/*
 * The entries that a scan reads now: those of huge pages, and of each page table of which a page
 * was used since it was cleared.
 */
static uint64_t entries_to_read(struct model *m)
{
	uint64_t entries = 0;

	for (unsigned int first = 0; first < all_pages(m->load); first += HUGE) {
		unsigned int end = first + HUGE, page = first;

		if (end > all_pages(m->load))
			end = all_pages(m->load);
		while (page < end && !(*bits_of(m, m->frame_of[page]) & ACCESSED))
			page++;
		entries += is_huge(m, m->frame_of[first]) || page == end ? 1 : end - first;
	}
	return entries;
}

static void collect(struct model *m)
{
	m->written = 0;
	if ((scans(m) || logs(m)) && m->window.rest)
		return;
	for (unsigned int i = 0; i < num_frames(m); i++) {
		bool written = *bits_of(m, i) & DIRTY;

		m->written += written;
		m->sim.accessed[i / 64] |= (uint64_t)is_accessed(m, i) << (i % 64);
		m->sim.dirty[i / 64] |= (uint64_t)written << (i % 64);
	}
}

/* Looks within the scan begin: clear all bits. */
static void clear(struct model *m)
{
	for (unsigned int i = 0; i < num_frames(m); i++) {
		m->cleared_within += *bits_of(m, i) & ACCESSED;
		*bits_of(m, i) = 0;
		m->found[i / HUGE] = false;
	}
}

static void rearm(struct model *m)
{
	/* The dirty log finds the pages written in each window anew. */
	if (logs(m)) {
		for (unsigned int i = 0; i < num_frames(m); i++)
			m->bits[i] = 0;
		return;
	}
	m->cleared = m->cleared_within;
	m->cleared_within = 0;
	for (unsigned int i = 0; i < num_frames(m) / 64; i++) {
		for (uint64_t w = m->sim.rearm[i]; w; w &= w - 1) {
			unsigned int frame = i * 64 + __builtin_ctzll(w);

			m->cleared += *bits_of(m, frame) & ACCESSED;
			*bits_of(m, frame) = 0;
			m->found[frame / HUGE] = false;
		}
		m->sim.rearm[i] = 0;
	}
}

/* Exchange the pages of two frames, of which @cold can be free. */
static void exchange(struct model *m, uint64_t cold, uint64_t hot)
{
	unsigned int moves = m->page_of[cold] < 0 ? 1 : 2;
	int page = m->page_of[cold];

	split(m, cold);
	split(m, hot);
	m->page_of[cold] = m->page_of[hot];
	m->frame_of[m->page_of[hot]] = cold;
	m->page_of[hot] = page;
	if (page >= 0)
		m->frame_of[page] = hot;
	m->bits[cold] = ACCESSED | DIRTY;
	m->bits[hot] = page < 0 ? 0 : ACCESSED | DIRTY;
	m->moved += moves;
	m->moving += moves * m->load->costs->move;
}

/* Queue moves, which the guest makes later: exchanges, or moves to free frames. */
static void ask(struct model *m)
{
	struct hmem_hint hints[510];
	uint32_t n, pairs;

	while ((n = hmem_placer_hints(&m->placer, hints, 510))) {
		/* Demotions come before promotions. */
		pairs = hints[0].tier > hints[n - 1].tier ? n / 2 : 0;
		assert_true(!pairs || n % 2 == 0);
		for (uint32_t i = 0; i < n; i++)
			hmem_placer_sent(&m->placer, hints[i].gfn, 0);
		for (uint32_t i = 0; i < pairs; i++) {
			m->queue[m->queued][0] = hints[i];
			m->queue[m->queued++][1] = hints[n / 2 + i];
		}
		for (uint32_t i = 0; i < n && !pairs; i++) {
			assert_int_equal(hints[i].tier, hints[0].tier);
			m->queue[m->queued][0] = (struct hmem_hint) { .tier = ALONE };
			m->queue[m->queued++][1] = hints[i];
		}
	}
}

static struct hmem_answer answer(const struct hmem_hint *hint, unsigned int reason,
				 uint64_t new_gfn)
{
	return (struct hmem_answer) {
		.gfn = hint->gfn,
		.new_gfn = new_gfn,
		.hint = hint,
		.reason = reason,
	};
}

/* The reason why a page cannot move, apart from reasons of the other page of its pair. */
static unsigned int reason(const struct model *m, uint64_t gfn)
{
	if (gfn < m->kernel)
		return VIRTIO_HMEM_R_KERNEL;
	return m->page_of[gfn] < 0 ? VIRTIO_HMEM_R_FREE : VIRTIO_HMEM_R_PINNED;
}

static bool is_given_up(const struct model *m, uint64_t gfn)
{
	return m->given_up[gfn / 64] >> (gfn % 64) & 1;
}

/* The first free frame of @from .. @to - 1; @to: there is none. */
static uint64_t find_free(const struct model *m, uint64_t from, uint64_t to)
{
	while (from < to && (m->page_of[from] >= 0 || is_given_up(m, from)))
		from++;
	return from;
}

/* Move a page to a free frame of the hint's tier.  Returns the time that it takes, in ns. */
static double move_alone(struct model *m, const struct hmem_hint *hint)
{
	const uint64_t ends[] = { m->kernel, m->fast, m->fast + m->slow, num_frames(m) };
	uint64_t begin = hint->tier == 1 ? m->fast : ends[hint->tier], end = ends[hint->tier + 1];
	uint64_t to = find_free(m, begin, end);
	bool fails = m->page_of[hint->gfn] < 0;
	struct hmem_answer a = answer(hint, fails ? reason(m, hint->gfn) :
				      VIRTIO_HMEM_R_NO_MEMORY, 0);

	if (!fails && to < end) {
		exchange(m, to, hint->gfn);
		a = answer(hint, VIRTIO_HMEM_R_MOVED, to);
	}
	hmem_placer_results(&m->placer, &a, 1);
	return a.reason == VIRTIO_HMEM_R_MOVED ? m->load->costs->move : 0;
}

/* Make an exchange.  Returns the time that it takes, in ns. */
static double swap(struct model *m, const struct hmem_hint pair[2])
{
	uint64_t cold = pair[0].gfn, hot = pair[1].gfn;
	bool fails = cold < m->kernel || m->page_of[cold] < 0 || m->page_of[hot] < 0;
	struct hmem_answer answers[2];

	if (!fails) {
		exchange(m, cold, hot);
		answers[0] = answer(&pair[0], VIRTIO_HMEM_R_MOVED, hot);
		answers[1] = answer(&pair[1], VIRTIO_HMEM_R_MOVED, cold);
	} else {
		answers[0] = answer(&pair[0], reason(m, cold), 0);
		answers[1] = answer(&pair[1], reason(m, hot), 0);
	}
	hmem_placer_results(&m->placer, answers, 2);
	return fails ? 0 : 2 * m->load->costs->move;
}

/* Make queued moves within @ns.  Returns the rest of the time. */
static double move(struct model *m, double ns)
{
	while (m->done < m->queued && ns > 0) {
		const struct hmem_hint *pair = m->queue[m->done++];

		ns -= pair[0].tier == ALONE ? move_alone(m, &pair[1]) : swap(m, pair);
	}
	if (m->done == m->queued)
		m->done = m->queued = 0;
	return ns;
}

/* The number of bits that the scan of this window clears, if it began now. */
static uint64_t bits_to_clear(struct model *m)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < num_frames(m); i++)
		bits += (m->window.within || m->sim.rearm[i / 64] >> (i % 64) & 1) &&
			*bits_of(m, i) & ACCESSED;
	return bits;
}

/*
 * The time of one processor that the scan of this window takes, if it began now.  With looks
 * within, it reads the entries twice.
 */
static uint64_t scan_ns(struct model *m)
{
	if (!scans(m) || m->window.rest)
		return 0;
	return entries_to_read(m) * m->load->costs->scan * (m->window.within ? 2 : 1) +
	       bits_to_clear(m) * m->load->costs->clear;
}

static void begin(struct model *m)
{
	/* With two tiers without latencies, so that the policy uses its defaults. */
	static const struct hmem_link_tier tiers[3], known[] = {
		{ .read_latency = 80 }, { .read_latency = 300 }, { .read_latency = 600 },
	};
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = m->fast, .tier = 0 },
		{ .gfn = m->fast, .num = m->slow, .tier = 1 },
		{ .gfn = m->fast + m->slow, .num = m->slowest, .tier = 2 },
	};
	const unsigned int num = m->slowest ? 3 : 2;
	const unsigned int looks = HMEM_CAN_LOOK_LONG | HMEM_CAN_LOOK_WITHIN;

	hmem_placer_init(&m->placer, &m->policy, m->slowest ? known : tiers, num,
			 m->min_window_ns, m->processors);
	assert_int_equal(hmem_placer_ranges(&m->placer, ranges, num, num_frames(m), NULL), 1);
	hmem_placer_set_tracker(&m->placer, scans(m) ? &m->gpt.tracker :
				logs(m) ? &m->dirty.tracker : &m->sim.tracker,
				HMEM_CAN_REST | (scans(m) ? looks : 0));
	m->placer.given = hmem_given_of(m->maps, num_frames(m) / 8);
	hmem_placer_begin(&m->placer);
	m->window = m->placer.next;
}

/* The guest tells how much of tier 0 is free; in the model it keeps nothing for itself. */
static void tell_room(struct model *m)
{
	uint64_t free = 0;

	for (unsigned int gfn = m->kernel; gfn < m->fast; gfn++)
		free += m->page_of[gfn] < 0 && !is_given_up(m, gfn);
	hmem_placer_room(&m->placer, free, 0, all_pages(m->load));
}

/* End the window. */
static void decide(struct model *m)
{
	const struct hmem_tick tick = {
		.times = {
			.window_ns = m->elapsed_ns,
			.busy_ns = m->busy_ns,
			.scan_ns = m->scan_ns,
		},
		.tells_walks = m->scan_ns,
		.walks = m->cleared,
		.written = m->written,
		.tells_written = true,
		.looks_within = true,
		.busy = m->queued,
		.knows_room = true,
		.may_move = true,
		.max_moves = UINT32_MAX,
	};
	struct hmem_err err;

	/* Then hmemd does not track. */
	if (m->policy.kind == HMEM_POLICY_OFF)
		return;
	tell_room(m);
	hmem_placer_window(&m->placer, &tick);
	while (hmem_placer_step(&m->placer, UINT64_MAX, &err) != HMEM_PLACER_DONE)
		;
	assert_string_equal(err.msg, "");
	m->rearmed += m->placer.pages.rearmed;
	m->window = m->placer.next;
	if (m->placer.planned)
		ask(m);
}

/* Run the program for @ns. */
static void run(struct model *m, double ns)
{
	if (ns > 0 && m->load->sweep)
		run_sweep(m, ns);
	else if (ns > 0)
		run_random(m, ns);
}

/*
 * Run the program for @ns, of which a scan takes @scan ns of one processor.  While there are moves,
 * and no scan, they get half of a processor's time.
 */
static void run_for(struct model *m, double ns, double scan)
{
	const double half = scan ? 0 : ns / 2, all = m->processors * ns;
	double left = all - half + move(m, half) - scan;

	m->stalled += scan;
	m->busy_ns += all;
	if (m->load->busy) {
		m->busy_ns -= left * (1 - m->load->busy / 100);
		left *= m->load->busy / 100;
	}
	m->elapsed_ns += ns;
	m->ns += ns;
	run(m, left);
}

/*
 * Run until the window ends, and then until its scan has ended.  The scan visits a page after half
 * of its time, on average.  It rearms the frames that were requested before it began.
 */
static void run_window(struct model *m)
{
	double scan;

	m->busy_ns = m->elapsed_ns = 0;
	run_for(m, m->window.ns, 0);
	scan = scan_ns(m) / 2.0;
	run_for(m, scan, scan);
	collect(m);
	if (scans(m) && !m->window.rest)
		rearm(m);
	run_for(m, scan, scan);
	m->scan_ns = 2 * scan;
}

/*
 * Run until the scan with looks in it has ended.  The driver clears the bits of as many pages as it
 * can in half of a look, and waits for the time of a look.
 */
static void run_looks_within(struct model *m)
{
	const double ns = m->window.ns, scan = scan_ns(m), looks = ceil(scan / ns);

	m->busy_ns = m->elapsed_ns = 0;
	run_for(m, scan + (looks - 1) * ns, scan);
	clear(m);
	run_for(m, ns, 0);
	collect(m);
	rearm(m);
	m->scan_ns = scan;
}

void model_run(struct model *m, double seconds)
{
	double end = m->ns + seconds * 1e9;

	if (!m->window.ns)
		begin(m);
	while (m->ns < end) {
		if (m->window.within)
			run_looks_within(m);
		else
			run_window(m);
		move_on(m);
		replace_process(m);
		decide(m);
		if (!scans(m))
			rearm(m);
	}
}

/* Tier 1 takes the page of a frame of tier 0, as for a job of hmemd. */
static void demote(struct model *m, uint64_t gfn)
{
	uint64_t to = find_free(m, m->fast, m->fast + m->slow);
	struct hmem_answer a = {
		.gfn = gfn, .new_gfn = to, .reason = VIRTIO_HMEM_R_MOVED,
	};

	assert_true(to < m->fast + m->slow);
	exchange(m, to, gfn);
	hmem_placer_sent(&m->placer, gfn, 0);
	hmem_placer_results(&m->placer, &a, 1);
}

void model_resize(struct model *m, unsigned int frames)
{
	int64_t more = 0;

	assert_true(frames >= m->kernel && frames <= m->fast);
	for (unsigned int gfn = m->kernel; gfn < m->fast; gfn++) {
		bool give_up = gfn >= frames;

		if (give_up == is_given_up(m, gfn))
			continue;
		if (give_up && m->page_of[gfn] >= 0)
			demote(m, gfn);
		m->given_up[gfn / 64] ^= UINT64_C(1) << (gfn % 64);
		more += give_up ? -1 : 1;
	}
	hmem_placer_resized(&m->placer, more);
}

struct ranked {
	double weight;
	unsigned int page;
};

static int by_weight(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1) :
	       x->page < y->page ? 1 : -1;
}

void model_place_best(struct model *m)
{
	unsigned int at = m->kernel;
	unsigned int pages = all_pages(m->load);
	struct ranked *order = calloc(pages, sizeof(*order));

	assert_non_null(order);
	weigh(m);
	for (unsigned int i = 0; i < pages; i++)
		order[i] = (struct ranked) { .weight = m->weight[i], .page = i };
	qsort(order, pages, sizeof(*order), by_weight);
	for (unsigned int i = 0; i < pages; i++, at++) {
		m->frame_of[order[i].page] = at;
		m->page_of[at] = order[i].page;
	}
	free(order);
}
