/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page table: how hot each frame of a VM is, and whether asking the guest
 * to move it makes sense now.
 *
 * Four bytes a frame, one for rates, and 10 bits for the multi-level queue where
 * the tracker has one, indexed densely over the VM's ranges, so that holes take no memory.
 * Frames come in blocks of 64, one word of a tracker's map; a block that is
 * cold and has nothing else to remember is not live, and costs a window one
 * bit.
 *
 * pages.c has the table itself, window.c what a window makes of it, and asked.c
 * what comes of asking for pages.
 *
 * Not thread-safe: one thread owns a table.
 */
#ifndef HMEM_PAGES_H
#define HMEM_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "hmem_link.h"
#include "mlq.h"
#include "rates.h"
#include "tracker.h"

/* Heat is a fixed-point average over windows: 0 .. this. */
#define HMEM_HEAT_MAX		65535u
/* Heats are sorted by their upper bits. */
#define HMEM_BUCKETS		256u
#define HMEM_BUCKET(heat)	((heat) >> 8)
/* Less is the coldest bucket's: idle pages. */
#define HMEM_HEAT_IN_USE	256u
/* Pages of tier 0 that were hot are not colder: than by one use in three looks. */
#define HMEM_HEAT_WAS_HOT	24832u

/* Which bits of a tracker that can rearm are cleared at the end of a window. */
enum hmem_rearm {
	HMEM_REARM_QUEUE,	/* as the multi-level queue says; what it leaves
				 * alone counts as used */
	/*
	 * What is left alone here is not looked at: its heat stays.  Bits that
	 * are clear anyway are looked at in every window.
	 */
	HMEM_REARM_NONE,
	HMEM_REARM_PART,	/* in the blocks of @part, of so many @parts */
	/*
	 * There, those of slower tiers as hot as @cut: the candidates.  In
	 * windows that say so, what else is there in the slower tiers stays.
	 */
	HMEM_REARM_HOT,
};

/* What a window is worth. */
struct hmem_heat {
	/* Heat moves by 1/2^this of the way; 0 .. 8. */
	unsigned int decay;
	/*
	 * To HMEM_HEAT_MAX if the page was written, to this if it was read
	 * only, to 0 if it was not used.
	 */
	uint16_t read;
	/* Levels of the multi-level queue, 0 .. HMEM_MLQ_MAX_LEVEL; 0: none. */
	unsigned int levels;
	enum hmem_rearm rearm;
	/* Not with HMEM_REARM_QUEUE: */
	uint32_t part, parts;
	uint16_t cut;
	/*
	 * The first that counts of those about the part: what is cold is so from here,
	 * and of what was hot, @forget, by block, may be cold again.
	 */
	bool first;
	uint64_t forget;
	/* The last: what is as hot as @sure is so for sure, by two censuses. */
	bool last;
	uint16_t sure;
	/* The window was about candidates, which the one before chose. */
	bool candidates;
	/* The window says nothing: all heats stay. */
	bool ignore;
	/* A census about the part begins: only what is set now was used before it. */
	bool begins;
	/*
	 * Pages that were not found may have been used: they stay as hot as they are,
	 * and the queue is left as it is.
	 */
	bool incomplete;
	/*
	 * Not NULL: pages are classified by their access rates, which the window may have
	 * measured, and heat is the long estimate: see rates.h.  Of the above, only @part
	 * and @parts matter then.
	 */
	struct hmem_rates *rates;
	/* With rates: the window was a look at @part.  If not, records stay as they are. */
	bool look;
	/* With rates: bits of @part are to be cleared for a later look. */
	bool clear;
	/* It was too short to count among those for which a page is refused. */
	bool brief;
};

/* What the last window found, except with HMEM_REARM_QUEUE. */
struct hmem_look {
	/* Bits that were clear and are set: each is a page walk of the guest's. */
	uint64_t faults;
	/* In the blocks of @part: frames looked at that were used. */
	uint64_t used;
	/* There, of the slower tiers: (candidates) that are as hot as @cut now. */
	uint64_t hot;
	/* Candidates that were used; and, of those as hot as @cut, as hot as @sure. */
	uint64_t again, sure;
	/*
	 * There, of tier 0, if they may move: used before, but not since; and used
	 * now after all.
	 */
	uint64_t cold, woken;
};

struct hmem_block;

/* How a page that did not move is to be treated. */
enum hmem_refusal {
	HMEM_REFUSED_BUSY,	/* ask again in a few windows */
	HMEM_REFUSED_FREE,	/* ask again once it has been used */
	HMEM_REFUSED_NACK,	/* ask again after a long time */
};

struct hmem_pages_range {
	uint64_t gfn, num;
	/* Of @gfn; gfn and slot are equal modulo 64. */
	uint64_t slot;
	uint32_t tier;
};

struct hmem_pages {
	struct hmem_pages_range *ranges;
	uint32_t num_ranges;
	uint32_t num_tiers;
	/* A multiple of 64; a few at the ends of ranges stand for no frame. */
	uint64_t num_slots;
	uint16_t *heat;
	/* With rates: the recent estimate; heat is the long one. */
	uint8_t *recent;
	/* In flight, refused until when, how often: see asked.c. */
	uint16_t *state;
	/*
	 * By block: of idle pages, how many are asked for at a time, 0 .. 64; as
	 * asked.c keeps it, so that zero is a block that nothing is known of.
	 */
	uint8_t *quota;
	/* By block, a bit a page: of tier 0, was hot, and may be so again. */
	uint64_t *was_hot;
	/* By block; of trackers that can rearm. */
	struct hmem_mlq_block *mlq;
	/* One bit a block: something of it in the tables is not zero; in @state. */
	uint64_t *live, *asked;
	/* Frames in each tier. */
	uint64_t frames[HMEM_LINK_MAX_TIERS];
	/* Frames by tier and bucket: see hmem_pages_bucket(). */
	uint64_t hist[HMEM_LINK_MAX_TIERS][HMEM_BUCKETS];
	/* Frames that were rearmed at the end of the last window. */
	uint64_t rearmed;
	struct hmem_look look;
	/*
	 * With rates: bits that the last window found set anew.  Each has cost the guest a
	 * page walk.
	 */
	uint64_t faults;
	/* Buckets are classes of rates.  If not, they are heats. */
	bool by_class;
	/* Windows so far; and without brief ones: the clock of refusals. */
	uint64_t windows, clock;
	/*
	 * Next block whose refusals are looked through for old ones, and how often
	 * all have been.
	 */
	uint64_t sweep, sweeps;
	/* Where to pick from next, so that not always the same pages are. */
	uint64_t cursor;
	/* The next window begins by forgetting the queue: there is another tracker. */
	bool rewatch;
};

/*
 * A pass over a table can be made a part at a time, so that whoever owns the table
 * can do something else meanwhile: it ends when a step says so.  Until then only
 * what reads the table may be called on it, as all that is counted is about the
 * window before.
 *
 * The pass that a window makes:
 */
struct hmem_window {
	struct hmem_tracker *t;
	struct hmem_heat heat;
	/* Not by the queue: it is a census or a rest. */
	bool paced;
	/* The queue is to be forgotten. */
	bool rewatch;
	/* The first slot that is still to be looked at. */
	uint64_t next;
	/* Of the slots before that; these become the table's. */
	uint64_t hist[HMEM_LINK_MAX_TIERS][HMEM_BUCKETS];
	uint64_t rearmed, faults;
};

/*
 * A table that is given back to the kernel, which takes a while, too: the slots before
 * @next have been.
 */
struct hmem_discard {
	struct hmem_pages pages;
	uint64_t next;
};

/* The pass that keeps what is known of the frames that stay, when ranges change. */
struct hmem_resize {
	/* What the table will be. */
	struct hmem_pages fresh;
	/* Ranges of the new and of the old table, and the frame to go on with. */
	uint32_t i, j;
	uint64_t gfn;
	/* All is kept; the table that was is given back. */
	bool kept;
	struct hmem_discard discard;
};

/*
 * Set up @p for the frames in @ranges, which hmem_link_check_ranges() found
 * good.  Fails with -E2BIG if they are more than @max_frames and with -ENOMEM;
 * @p is then empty, and may be freed all the same.
 */
int hmem_pages_init(struct hmem_pages *p, const struct hmem_link_range *ranges,
		    uint32_t num_ranges, uint32_t num_tiers,
		    uint64_t max_frames, struct hmem_err *err);

/*
 * The VM has other ranges now: frames that stay keep what is known of them,
 * even if their tier is another.  On failure @p is as it was.
 */
int hmem_pages_resize(struct hmem_pages *p, const struct hmem_link_range *ranges,
		      uint32_t num_ranges, uint64_t max_frames,
		      struct hmem_err *err);

/*
 * The same in steps of @slots, a multiple of 64.  True: it is through, @p is what
 * it will be, and @r is not to be freed.  hmem_resize_free() ends a pass before.
 */
int hmem_resize_begin(struct hmem_resize *r, const struct hmem_pages *p,
		      const struct hmem_link_range *ranges, uint32_t num_ranges,
		      uint64_t max_frames, struct hmem_err *err);
bool hmem_resize_step(struct hmem_resize *r, struct hmem_pages *p, uint64_t slots);
void hmem_resize_free(struct hmem_resize *r);

/* Bytes of memory that a table for @ranges takes when every frame has been used. */
uint64_t hmem_pages_bytes_for(const struct hmem_link_range *ranges,
			      uint32_t num_ranges);

void hmem_pages_free(struct hmem_pages *p);

/* Take over @p, which is empty then, to be freed in steps of @slots; true: it is. */
void hmem_discard_begin(struct hmem_discard *d, struct hmem_pages *p);
bool hmem_discard_step(struct hmem_discard *d, uint64_t slots);

/* Bytes of memory that @p takes when every frame has been used. */
uint64_t hmem_pages_bytes(const struct hmem_pages *p);

/* Frames in all tiers. */
static inline uint64_t hmem_pages_frames(const struct hmem_pages *p)
{
	uint64_t frames = 0;

	for (uint32_t tier = 0; tier < p->num_tiers; tier++)
		frames += p->frames[tier];
	return frames;
}

/* The range that @gfn is in, or NULL. */
const struct hmem_pages_range *hmem_pages_find(const struct hmem_pages *p,
					       uint64_t gfn);

/* Are all frames of the page in one range? */
bool hmem_pages_has(const struct hmem_pages *p, uint64_t gfn, unsigned int order);

/* The tier of a frame, or -1 if it is not guest memory. */
int hmem_pages_tier(const struct hmem_pages *p, uint64_t gfn);

/* What is known of a page's use; it moves with the page. */
struct hmem_record {
	uint16_t heat;
	uint8_t recent;
};

/* Zero for what is not guest memory. */
struct hmem_record hmem_pages_record(const struct hmem_pages *p, uint64_t gfn);
uint16_t hmem_pages_heat(const struct hmem_pages *p, uint64_t gfn);

/*
 * A window has ended: take the samples from @t, warm what was used and cool
 * what was not, and rearm what is to be looked at in the next one.
 */
void hmem_pages_update(struct hmem_pages *p, struct hmem_tracker *t,
		       const struct hmem_heat *h);

/* The same in steps of @slots, a multiple of 64; true: it is through. */
void hmem_window_begin(struct hmem_window *w, struct hmem_pages *p,
		       struct hmem_tracker *t, const struct hmem_heat *h);
bool hmem_window_step(struct hmem_window *w, struct hmem_pages *p, uint64_t slots);

/* There is another tracker now: what is to be rearmed is found out anew. */
void hmem_pages_rewatch(struct hmem_pages *p);

/* A page has been asked for: until it is answered, do not ask again. */
void hmem_pages_sent(struct hmem_pages *p, uint64_t gfn, unsigned int order);

/* No answer will come: forget that it was asked for. */
void hmem_pages_unsent(struct hmem_pages *p, uint64_t gfn, unsigned int order);

/* The page did not move. */
void hmem_pages_refused(struct hmem_pages *p, uint64_t gfn, unsigned int order,
			enum hmem_refusal how);

/*
 * The page moved: what is known of it moves with it, and the frames it left
 * have no history.  @record is what to carry over: a single page's record as it
 * was before any result of the same message was applied, so that the order of
 * results in an exchange (A to B, B to A) does not matter.  Ignored, and taken
 * from the table, for @order > 0.
 */
void hmem_pages_moved(struct hmem_pages *p, uint64_t gfn, uint64_t new_gfn,
		      unsigned int order, struct hmem_record record);

/* 64 frames at most, all of one range. */
struct hmem_block {
	uint64_t slot;		/* of the block's first frame, a multiple of 64 */
	uint64_t gfn;		/* likewise */
	uint64_t mask;		/* which of the 64 are the range's */
	uint32_t tier;
	bool live;		/* if not: all are cold, and none was asked for */
	bool asked;		/* if not: none was, of late: all are eligible */
};

/* Most are whole, and counting bits is a call on machines of the baseline. */
static inline unsigned int hmem_block_frames(const struct hmem_block *b)
{
	return b->mask == UINT64_MAX ? 64 : __builtin_popcountll(b->mask);
}

/* One bit a block, in @map. */
static inline void hmem_block_set(uint64_t *map, uint64_t slot, bool value)
{
	uint64_t bit = UINT64_C(1) << (slot / 64 % 64);

	if (value)
		map[slot / 64 / 64] |= bit;
	else
		map[slot / 64 / 64] &= ~bit;
}

static inline bool hmem_block_get(const uint64_t *map, uint64_t slot)
{
	return map[slot / 64 / 64] >> (slot / 64 % 64) & 1;
}

/* Which pages of the block may be asked for? */
uint64_t hmem_pages_eligible(const struct hmem_pages *p, const struct hmem_block *b);

/*
 * Which are likely to move, too?  Not those that were refused as ones that will
 * not, or again and again, for a hundred to a thousand windows: a tier is full of
 * frames that are cold because they are free or the kernel's, and these would always
 * be the first to be demoted.
 */
uint64_t hmem_pages_willing(const struct hmem_pages *p, const struct hmem_block *b);

/*
 * How many idle pages of the block of @slot may be asked for at a time: frames
 * that are free or the kernel's are idle, too, and in the same blocks.
 */
unsigned int hmem_pages_quota(const struct hmem_pages *p, uint64_t slot);

/*
 * Call @fn for every block with slots in [@from, @to), by rising GFN, until it
 * returns false; returns false then.
 */
bool hmem_pages_walk(const struct hmem_pages *p, uint64_t from, uint64_t to,
		     bool (*fn)(const struct hmem_pages *p,
				const struct hmem_block *b, void *arg),
		     void *arg);

/* By what pages are sorted: classes of rates, or the upper bits of their heat. */
static inline unsigned int hmem_pages_bucket(const struct hmem_pages *p, uint64_t slot)
{
	return p->by_class ? hmem_class(p->heat[slot], p->recent[slot]) :
			     HMEM_BUCKET(p->heat[slot]);
}

#endif /* HMEM_PAGES_H */
