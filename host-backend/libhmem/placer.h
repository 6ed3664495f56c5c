/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The placement of one VM's memory: how hot the pages are, which pages to move, and what
 * became of hints.
 *
 * The owner of the connection to the VM owns a placer, and tells it about events:
 *
 * - A window has ended: hmem_placer_window(), then hmem_placer_step() until it says DONE.
 *   The next window is then in @next, and there may be hints.
 * - Hints can be sent: hmem_placer_hints(), and hmem_placer_sent() for each hint.
 * - Results have come: hmem_placer_results(); or no result will come: hmem_placer_unsent().
 * - The VM has other memory, another policy or another tracker.
 *
 * A placer neither waits nor sends, and uses the host's byte order.  The owner reports pages
 * that are moved by hand in the same way, so that hand and policy do not move the same page.
 *
 * The owner may read @pages, @policy and @next at any time.  Not thread-safe: one thread owns
 * a placer.
 */
#ifndef HMEM_PLACER_H
#define HMEM_PLACER_H

#include "brake.h"
#include "bursts.h"
#include "pages.h"
#include "plan.h"
#include "policy.h"
#include "sample.h"
#include "whole.h"

/* A window of guest time that has ended, and what may follow. */
struct hmem_tick {
	struct hmem_times times;
	bool tells_walks;	/* @walks is known */
	uint64_t walks;		/* page walks that the scan will cost programs, at most */
	uint64_t written;	/* pages found written */
	bool incomplete;	/* pages that were not found may have been used, too */
	bool tells_written;	/* the tracker tells which pages were written */
	bool knows_room;	/* the guest tells, see hmem_placer_room() */
	bool moves_whole;	/* the guest moves a huge page as a whole */
	bool looks_within;	/* the driver can look at pages within a scan */
	bool busy;		/* pages are being moved */
	bool may_move;		/* hints can be sent before the next window ends */
	uint32_t max_moves;	/* largest number of such hints */
};

/* The next window. */
struct hmem_next_window {
	/* Guest time; at least the device's shortest window, unless @within. */
	uint64_t ns;
	bool rest;		/* the tracker need not observe pages */
	bool long_looks;	/* looks at huge pages last as long as those at base pages */
	/*
	 * All of the window's looks lie within the scan that ends the window, and last for @ns,
	 * or for a 512th of @ns at a huge page.  The window itself can be longer.
	 */
	bool within;
};

/* The result of a hint. */
struct hmem_answer {
	uint64_t gfn;
	uint64_t new_gfn;	/* if the page has moved */
	/* As hmem_placer_hints() gave it; NULL: the page was moved by hand. */
	const struct hmem_hint *hint;
	uint8_t order;
	uint8_t reason;		/* VIRTIO_HMEM_R_* */
	/*
	 * Internal: the record from before any result of the same message; and how many frames
	 * of the page have come to this place within the policy's horizon.
	 */
	struct hmem_record record;
	uint64_t came;
};

/*
 * Frames that have moved to a faster tier, and to a slower tier, in so many @pages of any size.  Of
 * these frames, @ping_pong have moved back within the policy's horizon: they
 * were promoted to tier 0 and left it again, or were demoted to the last tier and left that again.
 */
struct hmem_moved {
	uint64_t promoted, demoted, pages, ping_pong;
};

/* Result of hmem_placer_step(). */
enum hmem_placer_step {
	HMEM_PLACER_MORE,	/* call again */
	HMEM_PLACER_COUNTED,	/* call again; @next and the pages to rearm are known */
	HMEM_PLACER_DONE,	/* everything is known and done */
};

/* Why no page moves, if nothing outside of the placer prevents it. */
enum hmem_placer_idle {
	HMEM_PLACER_SETTLED,		/* tier 0 holds the hottest pages */
	HMEM_PLACER_CANNOT_LOOK,	/* the tracker could not observe all of memory */
	HMEM_PLACER_DOES_NOT_PAY,	/* earlier moves did not gain what they promised */
};

struct hmem_placer {
	struct hmem_policy policy;
	struct hmem_pages pages;
	struct hmem_next_window next;
	/* The frames that the guest has given up.  The owner may set this before a window. */
	struct hmem_given given;

	/* Internal from here on. */
	struct hmem_link_tier tiers[HMEM_LINK_MAX_TIERS];
	uint32_t num_tiers;
	uint64_t min_window_ns;
	uint32_t num_cpus;
	/* NULL: nothing is tracked. */
	struct hmem_tracker *tracker;
	/* The kinds of windows that the device offers: HMEM_CAN_*. */
	unsigned int can;

	/* The tick that is processed, and the current phase. */
	struct hmem_tick tick;
	enum { HMEM_PLACER_IDLES, HMEM_PLACER_COUNTS, HMEM_PLACER_PLANS,
	       HMEM_PLACER_MERGES } phase;
	/* The dirty log was off in the window. */
	bool rested;
	/* There is something to count in the window. */
	bool looked;
	/* The last window has led to a plan with moves. */
	bool planned;
	struct hmem_window window;
	struct hmem_plan plan;
	/* The tiers of the last plan; those with plans since a page was last promoted. */
	struct hmem_tier_pair pair;
	uint32_t pairs_in_vain;
	struct hmem_whole whole;
	struct hmem_bursts bursts;
	struct hmem_brake brake;
	struct hmem_sampler sampler;
	struct hmem_resize resize;
	bool resizing;

	/*
	 * Guest time, from the first window on; and when each of the last windows that were not
	 * brief began, by the page table's clock.  0: not known.
	 */
	uint64_t time_ns, began_ns[HMEM_CAME_WINDOWS];

	/* Number of result messages, modulo 2^32. */
	uint32_t messages;
	/*
	 * Promotions of this round that found tier 0 full.  A round begins with a plan that
	 * makes room.
	 */
	uint32_t no_room, round;
	/*
	 * The frames of tier 0 for which there is room, as far as is known: what the guest told
	 * last, or none since tier 0 was found full; then those that have left, less those that
	 * have come, and those that the guest has taken back.  If the guest tells, @reserve more
	 * frames are free, which it keeps for itself.
	 */
	int64_t spare;
	uint64_t reserve;
	/*
	 * If the guest tells: the frames of all tiers that it used at the last plan (0: it had not
	 * told), that it uses now, and by how many more it has used since that plan at the most;
	 * and the frames that stay free in tier 0 for those that it may need before the next plan.
	 */
	uint64_t used_before, used, grown;
	uint32_t wanted;
};

/*
 * Begin with a VM with these tiers, without memory and without a tracker.  @min_window_ns is
 * the shortest window of the device, and @num_cpus, at least 1, the number of the VM's virtual
 * processors.
 */
void hmem_placer_init(struct hmem_placer *p, const struct hmem_policy *policy,
		      const struct hmem_link_tier *tiers, uint32_t num_tiers,
		      uint64_t min_window_ns, uint32_t num_cpus);

/* Free the placer; a placer that is all zero is allowed. */
void hmem_placer_free(struct hmem_placer *p);

/* The same, but put the page table into @table, to be freed in steps. */
void hmem_placer_discard(struct hmem_placer *p, struct hmem_discard *table);

/*
 * The VM has these ranges, which hmem_link_check_ranges() has accepted.  Returns 1: done; 0:
 * call hmem_placer_resize() in steps of @slots, a multiple of 64, until it returns true, and
 * nothing else meanwhile that changes the placer.  On an error nothing has changed: -E2BIG:
 * there are more than @max_frames; -ENOMEM.
 */
int hmem_placer_ranges(struct hmem_placer *p, const struct hmem_link_range *ranges,
		       uint32_t num, uint64_t max_frames, struct hmem_err *err);
bool hmem_placer_resize(struct hmem_placer *p, uint64_t slots);

/* Change the policy.  Drops what was planned or learnt under the old policy. */
void hmem_placer_set_policy(struct hmem_placer *p, const struct hmem_policy *policy);

/*
 * Use another tracker, or one that was restarted and knows nothing; NULL: none.  @tracker must
 * exist until the next call.  @can: HMEM_CAN_*.
 */
void hmem_placer_set_tracker(struct hmem_placer *p, struct hmem_tracker *tracker,
			     unsigned int can);

/* Are pages classified by access rates? */
bool hmem_placer_by_rates(const struct hmem_placer *p);

/*
 * Continues where another placer for the same pages has ended, see learned.h.  Takes over @pages,
 * a table of the same ranges; the placer's own table goes to @pages.  @bursts, if not NULL, have
 * been restored; then @next is new.  @spare is the other placer's.
 */
void hmem_placer_adopt(struct hmem_placer *p, struct hmem_pages *pages,
		       const struct hmem_bursts *bursts, int64_t spare);

/*
 * The guest has taken @frames of tier 0 back, or given them up if the number is negative.  Frames
 * that come back are free, so promotions need no demotion for them.
 */
void hmem_placer_resized(struct hmem_placer *p, int64_t frames);

/*
 * The guest has told how many frames of tier 0 are free, that it keeps @reserve of these for
 * itself, so that new pages go to another tier when no more are free, and how many frames of all
 * tiers it uses.
 */
void hmem_placer_room(struct hmem_placer *p, uint64_t free, uint64_t reserve, uint64_t used);

/* What the guest tells from now on has nothing to do with what it told before. */
void hmem_placer_forget_room(struct hmem_placer *p);

/* Tracking begins: set @next. */
void hmem_placer_begin(struct hmem_placer *p);

/* Is the tracker on for samples only?  See sample.h. */
static inline bool hmem_placer_is_sampled(const struct hmem_placer *p)
{
	return p->tracker && p->tracker->ops->faults && p->can & HMEM_CAN_REST;
}

/*
 * A window has ended.  If the dirty log takes samples, @next is known on return, so that the
 * log can be switched off before the steps.
 */
void hmem_placer_window(struct hmem_placer *p, const struct hmem_tick *tick);

/*
 * Process the window further, over the next @slots slots of the page table, a multiple of 64.
 * A message in @err says that there was no memory for a plan; otherwise @err is empty.
 */
enum hmem_placer_step hmem_placer_step(struct hmem_placer *p, uint64_t slots,
				       struct hmem_err *err);

/*
 * Take the next hints, in the order of sending.  Returns how many; 0: there are no more until
 * after another window.
 */
uint32_t hmem_placer_hints(struct hmem_placer *p, struct hmem_hint *hints, uint32_t max);

/* Drop the hints that were not taken. */
void hmem_placer_drop_hints(struct hmem_placer *p);

/* A page was hinted, by policy or by hand: it gets no other hint before its result. */
void hmem_placer_sent(struct hmem_placer *p, uint64_t gfn, unsigned int order);

/* No result will come for the page. */
void hmem_placer_unsent(struct hmem_placer *p, uint64_t gfn, unsigned int order);

/* Process one message of results; pages in it may have changed places. */
struct hmem_moved hmem_placer_results(struct hmem_placer *p, struct hmem_answer *answers,
				      uint32_t num);

enum hmem_placer_idle hmem_placer_why_idle(const struct hmem_placer *p);

/* For the log: describe the last window and what it led to, in one line. */
const char *hmem_placer_describe(const struct hmem_placer *p, char *buf, size_t size);

#endif /* HMEM_PLACER_H */
