/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "placer.h"
#include "virtio_hmem.h"

/* With the other trackers, each window costs as much, so bursts would save nothing. */
bool hmem_placer_by_rates(const struct hmem_placer *p)
{
	const struct hmem_tracker *t = p->tracker;

	return t && p->policy.kind == HMEM_POLICY_AUTO &&
	       (t->ops->pay_by_page ||
		((t->ops->scans || t->ops->faults) && p->can & HMEM_CAN_REST));
}

static void begin_anew(struct hmem_placer *p)
{
	hmem_bursts_init(&p->bursts, &p->policy, p->min_window_ns, p->num_cpus, p->tiers,
			 p->num_tiers);
	hmem_bursts_set_tracker(&p->bursts, p->tracker);
}

static void set_next(struct hmem_placer *p, uint64_t ns, bool rest)
{
	p->next = (struct hmem_next_window) {
		.ns = ns < p->min_window_ns ? p->min_window_ns : ns,
		.rest = rest,
	};
}

/* --- the VM: memory, policy, tracker --- */

void hmem_placer_init(struct hmem_placer *p, const struct hmem_policy *policy,
		      const struct hmem_link_tier *tiers, uint32_t num_tiers,
		      uint64_t min_window_ns, uint32_t num_cpus)
{
	memset(p, 0, sizeof(*p));
	p->policy = *policy;
	memcpy(p->tiers, tiers, num_tiers * sizeof(*tiers));
	p->num_tiers = num_tiers;
	p->min_window_ns = min_window_ns;
	p->num_cpus = num_cpus;
	begin_anew(p);
}

static void free_all_but_table(struct hmem_placer *p)
{
	if (p->resizing)
		hmem_resize_free(&p->resize);
	p->resizing = false;
	hmem_plan_free(&p->plan);
}

void hmem_placer_free(struct hmem_placer *p)
{
	free_all_but_table(p);
	hmem_pages_free(&p->pages);
}

void hmem_placer_discard(struct hmem_placer *p, struct hmem_discard *table)
{
	free_all_but_table(p);
	hmem_discard_begin(table, &p->pages);
}

int hmem_placer_ranges(struct hmem_placer *p, const struct hmem_link_range *ranges,
		       uint32_t num, uint64_t max_frames, struct hmem_err *err)
{
	int ret;

	if (!p->pages.heat) {
		ret = hmem_pages_init(&p->pages, ranges, num, p->num_tiers, max_frames, err);
		return ret < 0 ? ret : 1;
	}
	ret = hmem_resize_begin(&p->resize, &p->pages, ranges, num, max_frames, err);
	p->resizing = !ret;
	return ret;
}

bool hmem_placer_resize(struct hmem_placer *p, uint64_t slots)
{
	if (!hmem_resize_step(&p->resize, &p->pages, slots))
		return false;
	p->resizing = false;
	/* The plan was for other ranges; the next window makes a new one. */
	hmem_plan_clear(&p->plan);
	/* The knowledge which bits are set is lost: find out in a rest. */
	p->bursts.left = 0;
	p->bursts.requests = 0;
	return true;
}

void hmem_placer_set_policy(struct hmem_placer *p, const struct hmem_policy *policy)
{
	p->policy = *policy;
	hmem_plan_clear(&p->plan);
	hmem_brake_reset(&p->brake);
	begin_anew(p);
}

void hmem_placer_set_tracker(struct hmem_placer *p, struct hmem_tracker *tracker,
			     unsigned int can)
{
	p->tracker = tracker;
	p->can = can;
	hmem_pages_rewatch(&p->pages);
	begin_anew(p);
}

void hmem_placer_adopt(struct hmem_placer *p, struct hmem_pages *pages,
		       const struct hmem_bursts *bursts, int64_t spare)
{
	struct hmem_pages old = p->pages;

	/* It is not known which bits of the tracker are set: find out in a rest. */
	pages->rewatch = true;
	p->pages = *pages;
	*pages = old;
	if (bursts) {
		p->bursts = *bursts;
		set_next(p, hmem_bursts_rest(bursts, &p->policy), hmem_bursts_rests(bursts));
	}
	p->spare = spare;
	memset(p->began_ns, 0, sizeof(p->began_ns));
	hmem_plan_clear(&p->plan);
}

void hmem_placer_begin(struct hmem_placer *p)
{
	p->bursts.within = false;
	/* Do not switch the log on before its cost is known to be paid for. */
	if (hmem_placer_is_sampled(p) && hmem_placer_by_rates(p))
		set_next(p, p->min_window_ns, true);
	else if (hmem_placer_is_sampled(p))
		set_next(p, hmem_sampler_begin(&p->sampler, &p->policy, p->min_window_ns),
			 true);
	else
		set_next(p, hmem_policy_window_ns(&p->policy), false);
}

/* --- a window --- */

/* A window with a dirty log has ended. */
static void log_window(struct hmem_placer *p, const struct hmem_tick *tick)
{
	uint64_t frames = hmem_pages_frames(&p->pages), ns;

	if (!hmem_placer_by_rates(p)) {
		ns = hmem_sampler_next(&p->sampler, &p->policy, p->min_window_ns,
				       tick->times.window_ns, frames, tick->written);
		set_next(p, ns, p->sampler.rests);
		return;
	}
	hmem_sampler_count(&p->sampler, p->rested, tick->times.window_ns, frames, tick->written);
	/* Bursts decide when the window is counted: switch the log off meanwhile. */
	if (!p->rested)
		set_next(p, p->min_window_ns, true);
}

void hmem_placer_window(struct hmem_placer *p, const struct hmem_tick *tick)
{
	struct hmem_heat heat = hmem_policy_heat(&p->policy, p->tiers, p->num_tiers,
						 tick->tells_written);
	uint64_t clock = p->pages.clock;

	p->tick = *tick;
	p->time_ns += tick->times.window_ns;
	p->phase = HMEM_PLACER_COUNTS;
	p->planned = false;
	p->rested = hmem_placer_is_sampled(p) && p->next.rest;
	/* A rest of the dirty log finds nothing, so no page becomes colder. */
	p->looked = hmem_placer_by_rates(p) || !p->rested;
	if (hmem_placer_is_sampled(p))
		log_window(p, tick);
	if (!p->looked)
		return;
	heat.incomplete = tick->incomplete;
	heat.given = p->given;
	if (hmem_placer_by_rates(p))
		hmem_bursts_window(&p->bursts, &p->policy, p->tracker,
				   tick->looks_within ? p->can : p->can & ~HMEM_CAN_LOOK_WITHIN,
				   &tick->times, p->rested, tick->busy, &heat);
	hmem_window_begin(&p->window, &p->pages, p->tracker, &heat);
	if (p->pages.clock != clock)
		p->began_ns[p->pages.clock % HMEM_CAME_WINDOWS] = p->time_ns;
}

/* What the window has cost programs or the host: page walks, or faults of a dirty log. */
static uint64_t walks(const struct hmem_placer *p)
{
	if (hmem_placer_is_sampled(p))
		return p->rested ? 0 : p->sampler.last_faults;
	return p->tick.tells_walks ? p->tick.walks : p->pages.faults;
}

/* All is counted: compute the next window.  After a sample, it is known already. */
static void end_window(struct hmem_placer *p)
{
	const struct hmem_tick *tick = &p->tick;
	uint64_t ns;

	if (p->looked && hmem_placer_by_rates(p)) {
		ns = hmem_bursts_next(&p->bursts, &p->policy, &p->pages, &tick->times, walks(p));
		if (hmem_placer_is_sampled(p) && !p->rested)
			return;
		set_next(p, ns, hmem_bursts_rests(&p->bursts));
		p->next.long_looks = p->bursts.long_looks;
		p->next.within = p->bursts.within;
		if (p->bursts.within)
			p->next.ns = ns;
	} else if (p->looked) {
		hmem_brake_window(&p->brake, &p->pages, &p->window.heat);
	}
}

/* --- a plan --- */

/*
 * Do huge pages move as a whole?  The policy's rate must allow an exchange of two of them in a
 * window, otherwise none would ever move.
 */
static bool moves_whole(const struct hmem_placer *p)
{
	uint64_t window_ns = hmem_policy_window_ns(&p->policy);

	return p->tick.moves_whole &&
	       hmem_plan_budget(p->policy.rate, window_ns) >= 2u << HMEM_WHOLE_ORDER;
}

/* May pages move now? */
static bool may_plan(const struct hmem_placer *p)
{
	if (!hmem_policy_moves(&p->policy) || !p->tick.may_move)
		return false;
	/* A move writes pages: not during a sample. */
	if (hmem_placer_is_sampled(p) && !p->next.rest)
		return false;
	return !hmem_placer_by_rates(p) || hmem_bursts_may_plan(&p->bursts);
}

static uint32_t at_most_max(int64_t frames)
{
	return frames < 0 ? 0 : frames < HMEM_PLAN_MAX ? frames : HMEM_PLAN_MAX;
}

/* The frames of tier 0 that are left to new pages of the guest. */
static uint32_t wanted(const struct hmem_placer *p)
{
	return p->tick.knows_room ? p->wanted : p->policy.headroom;
}

/* Limits a plan to these two tiers, with what is known of the free memory in the fast one. */
static void limit_to(const struct hmem_placer *p, struct hmem_plan_limits *l, uint32_t fast,
		     uint32_t slow)
{
	bool known = !fast && !p->no_room;

	hmem_tier_pair_set(&l->pair, p->tiers, p->num_tiers, fast, slow);
	l->pair.access_ns = hmem_bursts_access_ns(&p->bursts, &l->pair);
	l->free = known ? at_most_max(p->spare) : 0;
	if (known && p->tick.knows_room)
		l->free = at_most_max(p->spare + (int64_t)p->reserve);
	l->spare = known ? at_most_max(p->spare - wanted(p)) : 0;
}

void hmem_placer_room(struct hmem_placer *p, uint64_t free, uint64_t reserve, uint64_t used)
{
	p->reserve = reserve;
	p->spare = (int64_t)free - (int64_t)reserve;
	p->used = used;
	if (!p->used_before)
		p->used_before = used;
	if (used > p->used_before && used - p->used_before > p->grown)
		p->grown = used - p->used_before;
}

void hmem_placer_forget_room(struct hmem_placer *p)
{
	p->used_before = 0;
	p->grown = 0;
}

/*
 * A plan begins.  The guest will want room in tier 0 for as many pages as since the last plan, if
 * it goes on like that.  What it uses of all tiers counts, because when tier 0 is full, new pages
 * go elsewhere.  Free frames that nobody wants would be wasted, so there is no room otherwise.
 */
static void want_room(struct hmem_placer *p)
{
	p->wanted = p->grown < p->policy.headroom ? p->grown : p->policy.headroom;
	p->used_before = p->used;
	p->grown = 0;
}

void hmem_placer_resized(struct hmem_placer *p, int64_t frames)
{
	/* The guest can have moved pages into free frames that nobody knows of. */
	if (frames > 0)
		p->spare = (p->spare > 0 ? p->spare : 0) + frames;
	/* Only free frames are given up, but a job may have made them free. */
	else if (p->spare > 0)
		p->spare = p->spare + frames > 0 ? p->spare + frames : 0;
}

/* The limits of a plan, by default between the first two tiers. */
static struct hmem_plan_limits limits(const struct hmem_placer *p)
{
	struct hmem_plan_limits l = { 0 };

	limit_to(p, &l, 0, 1);
	if (hmem_placer_by_rates(p)) {
		/* All moves that are allowed before the next plan. */
		l.budget = hmem_plan_budget(p->policy.rate, p->next.ns);
		l.rates = &p->bursts.rates;
	} else {
		/* After a sample: all moves that are allowed in the rest that follows. */
		l.budget = hmem_brake_budget(&p->brake,
			hmem_plan_budget(p->policy.rate, hmem_placer_is_sampled(p) ?
					 p->next.ns : p->tick.times.window_ns));
		l.hysteresis = HMEM_HEAT_MAX * p->policy.hysteresis / 100;
	}
	if (l.budget > p->tick.max_moves)
		l.budget = p->tick.max_moves;
	return l;
}

/*
 * Chooses the two tiers between which pages move: those between which moves seem to gain most,
 * so that the best moves come first.  A pair whose last plan moved no page, whatever the
 * histograms say, waits until the others have had their turn.
 */
static int choose_pair(struct hmem_placer *p, struct hmem_plan_limits *l, struct hmem_err *err)
{
	struct hmem_plan_limits try = *l;
	double gain, most = 0;

	for (uint32_t slow = 1; p->num_tiers > 2 && slow < p->num_tiers; slow++) {
		/* Room in tier 0 comes first, if that is full. */
		for (uint32_t fast = 0; fast < (p->no_room ? 1 : slow); fast++) {
			limit_to(p, &try, fast, slow);
			if (p->pairs_in_vain >> hmem_tier_pair_index(&try.pair) & 1)
				continue;
			if (hmem_plan_estimate(&p->plan, &p->pages, &try, &gain, err) < 0)
				return -1;
			if (gain <= most)
				continue;
			most = gain;
			*l = try;
		}
	}
	/* If there is nothing to gain, pages can at least make room in tier 0. */
	if (!most)
		p->pairs_in_vain = 0;
	return 0;
}

/* If tier 0 was found full, or will be, the plan makes room there. */
static void make_room(struct hmem_placer *p, struct hmem_plan_limits *l)
{
	if (l->pair.fast)
		return;
	if (!p->no_room) {
		/* Before the guest misses it. */
		if (p->tick.knows_room && p->spare < p->wanted)
			l->room = p->wanted - at_most_max(p->spare);
		return;
	}
	l->room = p->policy.headroom;
	p->no_room = 0;
	p->spare = 0;
	p->round++;
}

static enum hmem_placer_step done(struct hmem_placer *p)
{
	p->phase = HMEM_PLACER_IDLES;
	return HMEM_PLACER_DONE;
}

static enum hmem_placer_step begin_plan(struct hmem_placer *p, struct hmem_err *err)
{
	struct hmem_plan_limits l;

	if (!may_plan(p))
		return done(p);
	want_room(p);
	l = limits(p);
	if (choose_pair(p, &l, err) < 0)
		return done(p);
	make_room(p, &l);
	p->pair = l.pair;
	if (moves_whole(p))
		hmem_whole_prepare(&p->pages);
	if (hmem_plan_begin(&p->plan, &p->pages, &l, err) < 0)
		return done(p);
	p->phase = HMEM_PLACER_PLANS;
	return HMEM_PLACER_COUNTED;
}

/* The plan is complete. */
static enum hmem_placer_step planned(struct hmem_placer *p)
{
	if (hmem_placer_by_rates(p))
		hmem_bursts_planned(&p->bursts, &p->plan);
	p->planned = p->plan.num_promote || p->plan.num_demote;
	p->pairs_in_vain |= 1u << hmem_tier_pair_index(&p->pair);
	return done(p);
}

enum hmem_placer_step hmem_placer_step(struct hmem_placer *p, uint64_t slots,
				       struct hmem_err *err)
{
	int ret;

	err->msg[0] = '\0';
	switch (p->phase) {
	case HMEM_PLACER_COUNTS:
		if (p->looked && !hmem_window_step(&p->window, &p->pages, slots))
			return HMEM_PLACER_MORE;
		end_window(p);
		return begin_plan(p, err);
	case HMEM_PLACER_PLANS:
		ret = hmem_plan_step(&p->plan, &p->pages, slots, err);
		if (!ret)
			return HMEM_PLACER_MORE;
		if (ret < 0)
			return done(p);
		if (!moves_whole(p))
			return planned(p);
		hmem_whole_begin(&p->whole, &p->plan);
		p->phase = HMEM_PLACER_MERGES;
		return HMEM_PLACER_MORE;
	case HMEM_PLACER_MERGES:
		if (!hmem_whole_step(&p->whole, &p->plan, &p->pages, slots))
			return HMEM_PLACER_MORE;
		return planned(p);
	case HMEM_PLACER_IDLES:
		break;
	}
	return done(p);
}

/* --- hints and results --- */

uint32_t hmem_placer_hints(struct hmem_placer *p, struct hmem_hint *hints, uint32_t max)
{
	uint32_t n = hmem_plan_batch(&p->plan, hints, max);

	for (uint32_t i = 0; i < n; i++)
		hints[i].round = p->round;
	return n;
}

void hmem_placer_drop_hints(struct hmem_placer *p)
{
	hmem_plan_clear(&p->plan);
}

void hmem_placer_sent(struct hmem_placer *p, uint64_t gfn, unsigned int order)
{
	hmem_pages_sent(&p->pages, gfn, order);
}

void hmem_placer_unsent(struct hmem_placer *p, uint64_t gfn, unsigned int order)
{
	hmem_pages_unsent(&p->pages, gfn, order);
}

/* How many of the last windows began within the policy's horizon. */
static unsigned int windows_in_horizon(const struct hmem_placer *p)
{
	const uint64_t horizon_ns = p->policy.horizon * UINT64_C(1000000000);
	unsigned int n = 0;

	while (n < HMEM_CAME_WINDOWS && n <= p->pages.clock) {
		uint64_t ns = p->began_ns[(p->pages.clock - n) % HMEM_CAME_WINDOWS];

		if (!ns || p->time_ns - ns > horizon_ns)
			break;
		n++;
	}
	return n;
}

static void moved(struct hmem_placer *p, const struct hmem_answer *a, struct hmem_moved *sum)
{
	int from = hmem_pages_tier(&p->pages, a->gfn);
	int to = hmem_pages_tier(&p->pages, a->new_gfn);
	uint64_t frames = UINT64_C(1) << a->order;

	hmem_pages_moved(&p->pages, a->gfn, a->new_gfn, a->order, a->record);
	/* One of the frames may have gone since. */
	sum->pages += from >= 0 && to >= 0 && from != to;
	if (to >= 0 && from > to)
		sum->promoted += frames;
	else if (from >= 0 && from < to)
		sum->demoted += frames;
	/* Pages come to the first and to the last tier from one direction only. */
	if (to >= 0 && from != to && (from == 0 || from == (int)p->num_tiers - 1))
		sum->ping_pong += a->came;
	if (!a->hint)
		return;
	if (to >= 0 && from > to) {
		hmem_bursts_moved(&p->bursts);
		p->pairs_in_vain = 0;
	}
	hmem_brake_moved(&p->brake, a->gfn, a->new_gfn, a->record.heat, from > to, p->messages);
	if (from == 0 && to > 0)
		p->spare += frames;
	else if (from > 0 && to == 0)
		p->spare -= frames;
}

static void answered(struct hmem_placer *p, const struct hmem_answer *a,
		     struct hmem_moved *sum)
{
	uint64_t frames = UINT64_C(1) << a->order;

	switch (virtio_hmem_status(a->reason)) {
	case VIRTIO_HMEM_S_OK:
		if (a->reason == VIRTIO_HMEM_R_MOVED)
			moved(p, a, sum);
		else
			hmem_pages_unsent(&p->pages, a->gfn, a->order);
		break;
	case VIRTIO_HMEM_S_BUSY:
		/*
		 * The page gets a hint again as soon as there is room.  For a huge page, there
		 * may be room in pieces only: its next hints are for small pages.
		 */
		if (a->hint && !a->hint->tier && !a->hint->order &&
		    a->reason == VIRTIO_HMEM_R_NO_MEMORY) {
			hmem_pages_unsent(&p->pages, a->gfn, a->order);
			p->no_room += a->hint->round == p->round ? frames : 0;
		} else {
			hmem_pages_refused(&p->pages, a->gfn, a->order, HMEM_REFUSED_BUSY);
		}
		break;
	default:
		hmem_pages_refused(&p->pages, a->gfn, a->order,
				   a->reason == VIRTIO_HMEM_R_FREE ?
				   HMEM_REFUSED_FREE : HMEM_REFUSED_NACK);
		break;
	}
}

struct hmem_moved hmem_placer_results(struct hmem_placer *p, struct hmem_answer *answers,
				      uint32_t num)
{
	const unsigned int windows = windows_in_horizon(p);
	struct hmem_moved sum = { 0 };

	p->messages++;
	for (uint32_t i = 0; i < num; i++) {
		struct hmem_answer *a = &answers[i];

		a->record = hmem_pages_record(&p->pages, a->gfn);
		if (a->reason == VIRTIO_HMEM_R_MOVED)
			a->came = hmem_pages_came(&p->pages, a->gfn, a->order, windows);
	}
	for (uint32_t i = 0; i < num; i++)
		answered(p, &answers[i], &sum);
	return sum;
}

/* --- for people --- */

enum hmem_placer_idle hmem_placer_why_idle(const struct hmem_placer *p)
{
	if (p->bursts.given_up)
		return HMEM_PLACER_CANNOT_LOOK;
	if (p->brake.steps == HMEM_BRAKE_MAX)
		return HMEM_PLACER_DOES_NOT_PAY;
	return HMEM_PLACER_SETTLED;
}

const char *hmem_placer_describe(const struct hmem_placer *p, char *buf, size_t size)
{
	if (hmem_placer_by_rates(p))
		hmem_bursts_describe(&p->bursts, &p->pages, &p->plan, buf, size);
	else
		snprintf(buf, size, "brake %" PRIu32, p->brake.steps);
	return buf;
}
