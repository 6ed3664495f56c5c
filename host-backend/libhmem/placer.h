/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The placement of one VM's memory: how hot its pages are, which of them are to move,
 * and what became of those that were asked for.
 *
 * Whoever has the connection with the VM owns a placer, and tells it what happens:
 *
 * - A window has ended: hmem_placer_window(), then hmem_placer_step() until that is
 *   through.  The window that is to follow is then in @next, and there may be hints.
 * - Hints can be sent: hmem_placer_hints(), and hmem_placer_sent() for each.
 * - Results have come: hmem_placer_results(); or none will come: hmem_placer_unsent().
 * - The VM has other memory, another policy or another tracker.
 *
 * Nothing here waits or sends, and byte order is the host's.  Pages that were asked for
 * by hand are told of in the same way, so that the two do not get in each other's way.
 *
 * Whoever owns it may read @pages, @policy and @next at any time.  Not thread-safe: one
 * thread owns a placer.
 */
#ifndef HMEM_PLACER_H
#define HMEM_PLACER_H

#include "brake.h"
#include "bursts.h"
#include "pace.h"
#include "pages.h"
#include "plan.h"
#include "policy.h"
#include "sample.h"

/* A window that has ended, of guest time, and what may be done after it. */
struct hmem_tick {
	uint64_t window_ns;
	uint64_t scan_ns;	/* of the window: the tracker's scan; 0: there was none */
	uint64_t written;	/* pages found written */
	bool incomplete;	/* pages that were not found may have been used, too */
	bool tells_written;	/* the tracker tells written pages from others */
	bool busy;		/* pages are being moved */
	bool may_move;		/* hints can be sent before the next window ends */
	uint32_t max_moves;	/* so many at most */
};

/* The window that is to follow. */
struct hmem_next_window {
	uint64_t ns;		/* of guest time; what the device can do at least */
	bool rest;		/* the tracker need not look */
};

/* How a page that was asked for was answered. */
struct hmem_answer {
	uint64_t gfn;
	uint64_t new_gfn;	/* if it has moved */
	/* As hmem_placer_hints() gave it; NULL: it was asked for by hand. */
	const struct hmem_hint *hint;
	uint8_t order;
	uint8_t reason;		/* VIRTIO_HMEM_R_* */
	/* Internal: what it had before any answer of the same message. */
	struct hmem_record record;
};

/* Frames that have come to a faster or to a slower tier. */
struct hmem_moved {
	uint64_t promoted, demoted;
};

/* What hmem_placer_step() has come to. */
enum hmem_placer_step {
	HMEM_PLACER_MORE,	/* it is to be called again */
	HMEM_PLACER_COUNTED,	/* likewise; @next is known, and what is to be rearmed */
	HMEM_PLACER_DONE,	/* so it is, and all is done */
};

/* Why pages do not move, if nothing else is in the way. */
enum hmem_placer_idle {
	HMEM_PLACER_SETTLED,		/* tier 0 holds the hottest pages */
	HMEM_PLACER_CANNOT_LOOK,	/* not all of memory could be looked at */
	HMEM_PLACER_DOES_NOT_PAY,	/* moves do not keep what they promise */
};

struct hmem_placer {
	struct hmem_policy policy;
	struct hmem_pages pages;
	struct hmem_next_window next;

	/* Internal from here on. */
	struct hmem_link_tier tiers[HMEM_LINK_MAX_TIERS];
	uint32_t num_tiers;
	uint64_t min_window_ns;
	/* NULL: nothing is tracked. */
	struct hmem_tracker *tracker;
	/* Its windows can be rests. */
	bool can_rest;

	/* The tick that is dealt with, and how far. */
	struct hmem_tick tick;
	enum { HMEM_PLACER_IDLES, HMEM_PLACER_COUNTS, HMEM_PLACER_PLANS } phase;
	/* Somebody has looked in the window: there is something to be counted. */
	bool looked;
	/* A plan with moves in it was made after the last window. */
	bool planned;
	struct hmem_window window;
	struct hmem_plan plan;
	struct hmem_pace pace;
	struct hmem_bursts bursts;
	struct hmem_brake brake;
	struct hmem_sampler sampler;
	struct hmem_resize resize;
	bool resizing;

	/* Messages of results, modulo 2^32. */
	uint32_t messages;
	/*
	 * Promotions that found tier 0 full, though of this round: a round begins with a
	 * plan that is to make room.
	 */
	uint32_t no_room, round;
	/*
	 * Frames that left tier 0, less those that came, since it was found full: there
	 * may be room for as many.
	 */
	int64_t spare;
};

/*
 * A VM with these tiers, no memory yet and nothing that tracks it; no window of its
 * device is shorter than @min_window_ns.
 */
void hmem_placer_init(struct hmem_placer *p, const struct hmem_policy *policy,
		      const struct hmem_link_tier *tiers, uint32_t num_tiers,
		      uint64_t min_window_ns);

/* Free it; all zero will do. */
void hmem_placer_free(struct hmem_placer *p);

/* The same, but leave the page table to be freed in steps. */
void hmem_placer_discard(struct hmem_placer *p, struct hmem_discard *table);

/*
 * The VM has these ranges, which hmem_link_check_ranges() found good.  1: that is all; 0:
 * hmem_placer_resize() is to be called, in steps of @slots, a multiple of 64, until it
 * returns true, and nothing else meanwhile that changes the placer.  -E2BIG: they are more
 * than @max_frames; -ENOMEM; all is then as it was.
 */
int hmem_placer_ranges(struct hmem_placer *p, const struct hmem_link_range *ranges,
		       uint32_t num, uint64_t max_frames, struct hmem_err *err);
bool hmem_placer_resize(struct hmem_placer *p, uint64_t slots);

/* What was planned or learnt under the old policy counts no more. */
void hmem_placer_set_policy(struct hmem_placer *p, const struct hmem_policy *policy);

/*
 * Another tracker, or one that was started anew, from which nothing is known; NULL:
 * none.  It must live until the next call of this.
 */
void hmem_placer_set_tracker(struct hmem_placer *p, struct hmem_tracker *tracker,
			     bool can_rest);

/* Tracking begins: sets @next. */
void hmem_placer_begin(struct hmem_placer *p);

/* The tracker is on for samples only: see sample.h. */
static inline bool hmem_placer_is_sampled(const struct hmem_placer *p)
{
	return p->tracker && p->tracker->ops->faults && p->can_rest;
}

/*
 * A window has ended.  With a dirty log in samples, @next is known when this returns, so
 * that the log need not be on for as long as the steps take.
 */
void hmem_placer_window(struct hmem_placer *p, const struct hmem_tick *tick);

/*
 * Go on with what a window asks for, over the next @slots slots of the page table, a
 * multiple of 64.  A message in @err says that there was no memory for a plan; else it
 * is empty.
 */
enum hmem_placer_step hmem_placer_step(struct hmem_placer *p, uint64_t slots,
				       struct hmem_err *err);

/*
 * Take the next hints, in the order in which they are to be sent.  Returns how many; 0:
 * there are no more until after another window.
 */
uint32_t hmem_placer_hints(struct hmem_placer *p, struct hmem_hint *hints, uint32_t max);

/* Hints that were not taken are not wanted any more. */
void hmem_placer_drop_hints(struct hmem_placer *p);

/* The page was asked for, by whomever: it is not asked for again until it is answered. */
void hmem_placer_sent(struct hmem_placer *p, uint64_t gfn, unsigned int order);

/* No answer will come. */
void hmem_placer_unsent(struct hmem_placer *p, uint64_t gfn, unsigned int order);

/* One message of answers: pages in it may have changed places. */
struct hmem_moved hmem_placer_results(struct hmem_placer *p, struct hmem_answer *answers,
				      uint32_t num);

enum hmem_placer_idle hmem_placer_why_idle(const struct hmem_placer *p);

/* For the log: what the last window was and what it led to, in one line. */
const char *hmem_placer_describe(const struct hmem_placer *p, char *buf, size_t size);

#endif /* HMEM_PLACER_H */
