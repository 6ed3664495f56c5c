/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page table: how hot each frame of a VM is, and whether it makes sense to hint the
 * frame's page now.
 *
 * The table needs four bytes per frame, one more for rates, one bit if the guest can give up
 * frames, and 10 bits for the multi-level queue if the tracker has one.  It is indexed densely
 * over the VM's ranges, so that holes take no memory.  Frames come in blocks of 64, one word of a
 * tracker's map.  A block is not live if it is cold and has nothing else to remember; it costs a
 * window one bit.
 *
 * pages.c has the table itself, window.c applies a window to the table, and refusals.c
 * keeps the results of hints.
 *
 * Not thread-safe: one thread owns a table.
 */
#ifndef HMEM_PAGES_H
#define HMEM_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "given.h"
#include "hmem_link.h"
#include "mlq.h"
#include "rates.h"
#include "tracker.h"

/* Heat is a fixed-point average over windows: 0 .. HMEM_HEAT_MAX. */
#define HMEM_HEAT_MAX		65535u
/* Pages are sorted into buckets by the upper bits of their heat. */
#define HMEM_BUCKETS		256u
#define HMEM_BUCKET(heat)	((heat) >> 8)
/* A page with less heat is in the coldest bucket: it is idle. */
#define HMEM_HEAT_IN_USE	256u
/* How a window changes heat. */
struct hmem_heat {
	/* Heat moves by 1/2^decay of the distance to its target; 0 .. 8. */
	unsigned int decay;
	/*
	 * The target is HMEM_HEAT_MAX for a written page, this for a page that was only
	 * read, and 0 for an unused page.
	 */
	uint16_t read;
	/* Levels of the multi-level queue, 0 .. HMEM_MLQ_MAX_LEVEL; 0: none. */
	unsigned int levels;
	/*
	 * Pages that were not found may have been used: they keep their heat, and the
	 * queue does not change.
	 */
	bool incomplete;
	/*
	 * If not NULL, pages are classified by access rates, which the window may have
	 * measured, and heat is the long estimate: see rates.h.  Of the fields above, only
	 * @incomplete then matters.
	 */
	struct hmem_rates *rates;
	/* With rates: the window has observed @part, one of @parts equal parts of memory. */
	uint32_t part, parts;
	/* With rates: the window was a look at @part.  Otherwise records stay as they are. */
	bool look;
	/*
	 * With rates: the look lay within the window's scan, so the bits say nothing about earlier
	 * windows.
	 */
	bool within;
	/* With rates: clear the bits of @part for a later look. */
	bool clear;
	/* The window was too short to count for the time for which a page is refused. */
	bool brief;
	/* The frames that the guest has given up; all zero: none. */
	struct hmem_given given;
};

struct hmem_block;

/* How to treat a page that did not move. */
enum hmem_refusal {
	HMEM_REFUSED_BUSY,	/* hint again in a few windows */
	HMEM_REFUSED_FREE,	/* hint again when the frame has been used */
	HMEM_REFUSED_NACK,	/* hint again after a long time */
};

struct hmem_pages_range {
	uint64_t gfn, num;
	/* Slot of @gfn; gfn and slot are equal modulo 64. */
	uint64_t slot;
	uint32_t tier;
};

struct hmem_pages {
	struct hmem_pages_range *ranges;
	uint32_t num_ranges;
	uint32_t num_tiers;
	/* A multiple of 64; some slots at the ends of ranges stand for no frame. */
	uint64_t num_slots;
	uint16_t *heat;
	/* With rates: the recent estimate; heat is the long estimate. */
	uint8_t *recent;
	/* In flight, refused until when, and how often: see refusals.c. */
	uint16_t *state;
	/*
	 * By block: how many idle pages may be hinted at a time, 0 .. 64, in the encoding of
	 * refusals.c, where zero means that nothing is known of the block.
	 */
	uint8_t *quota;
	/* By block; for trackers that can rearm. */
	struct hmem_mlq_block *mlq;
	/*
	 * By block: the frames that were given up when the last window ended.  They have no
	 * record, and are in no count but @frames.
	 */
	uint64_t *given;
	/* One bit per block: an entry of any table, or of @state, is not zero. */
	uint64_t *live, *has_state;
	/* Frames in each tier, and those of them that are in flight. */
	uint64_t frames[HMEM_LINK_MAX_TIERS], in_flight[HMEM_LINK_MAX_TIERS];
	/* Frames by tier and bucket: see hmem_pages_bucket(). */
	uint64_t hist[HMEM_LINK_MAX_TIERS][HMEM_BUCKETS];
	/* Frames that were rearmed at the end of the last window. */
	uint64_t rearmed;
	/*
	 * With rates: bits that were clear and that the last window found set.  Each cost
	 * the guest a page walk.
	 */
	uint64_t faults;
	/* Buckets are classes of rates.  Otherwise they are heats. */
	bool by_class;
	/* Number of windows; and, without brief ones, the clock of refusals. */
	uint64_t windows, clock;
	/*
	 * The next block to search for old refusals, and how often all blocks have been
	 * searched.
	 */
	uint64_t sweep, sweeps;
	/* Where to pick pages next, so that not always the same pages are picked. */
	uint64_t cursor;
	/* Forget the queue in the next window, because there is another tracker. */
	bool rewatch;
};

/*
 * A pass over a table can run in steps, so that the owner of the table can do other work in
 * between.  The pass ends when a step says so.  Until then, only functions that read the
 * table may be called; all counts are those of the last window.
 *
 * This is the pass that applies a window:
 */
struct hmem_window {
	struct hmem_tracker *t;
	struct hmem_heat heat;
	/* Forget the queue. */
	bool rewatch;
	/* The first slot that the pass has not reached. */
	uint64_t next;
	/* Counts of the slots before; at the end they become the table's. */
	uint64_t hist[HMEM_LINK_MAX_TIERS][HMEM_BUCKETS];
	uint64_t rearmed, faults;
};

/*
 * A table whose memory goes back to the kernel, which takes a while as well.  The slots
 * before @next have been freed.
 */
struct hmem_discard {
	struct hmem_pages pages;
	uint64_t next;
};

/* The pass that keeps the knowledge about remaining frames when ranges change. */
struct hmem_resize {
	/* The future table. */
	struct hmem_pages fresh;
	/* Current ranges of the new and of the old table, and the next frame. */
	uint32_t i, j;
	uint64_t gfn;
	/* All is copied; now the old table is freed. */
	bool kept;
	struct hmem_discard discard;
};

/*
 * Set up @p for the frames in @ranges, which hmem_link_check_ranges() has accepted.  Returns
 * 0; -E2BIG: there are more than @max_frames; -ENOMEM.  After an error, @p is empty and may
 * be freed.
 */
int hmem_pages_init(struct hmem_pages *p, const struct hmem_link_range *ranges,
		    uint32_t num_ranges, uint32_t num_tiers,
		    uint64_t max_frames, struct hmem_err *err);

/* A new table's pages were never used.  @by_class: they are counted by classes of rates. */
void hmem_pages_all_idle(struct hmem_pages *p, bool by_class);

/*
 * Change the ranges.  Frames that stay keep their records, even in another tier.  On failure
 * @p is unchanged.
 */
int hmem_pages_resize(struct hmem_pages *p, const struct hmem_link_range *ranges,
		      uint32_t num_ranges, uint64_t max_frames,
		      struct hmem_err *err);

/*
 * The same in steps of @slots, a multiple of 64.  When a step returns true, @p has the new
 * ranges, and @r must not be freed.  hmem_resize_free() ends the pass earlier.
 */
int hmem_resize_begin(struct hmem_resize *r, const struct hmem_pages *p,
		      const struct hmem_link_range *ranges, uint32_t num_ranges,
		      uint64_t max_frames, struct hmem_err *err);
bool hmem_resize_step(struct hmem_resize *r, struct hmem_pages *p, uint64_t slots);
void hmem_resize_free(struct hmem_resize *r);

/* Memory in bytes of a table for @ranges in which every frame has been used. */
uint64_t hmem_pages_bytes_for(const struct hmem_link_range *ranges,
			      uint32_t num_ranges);

void hmem_pages_free(struct hmem_pages *p);

/* Take over @p, which becomes empty, and free it in steps of @slots; true: done. */
void hmem_discard_begin(struct hmem_discard *d, struct hmem_pages *p);
bool hmem_discard_step(struct hmem_discard *d, uint64_t slots);

/* Memory in bytes of @p if every frame has been used. */
uint64_t hmem_pages_bytes(const struct hmem_pages *p);

/* Frames in all tiers. */
static inline uint64_t hmem_pages_frames(const struct hmem_pages *p)
{
	uint64_t frames = 0;

	for (uint32_t tier = 0; tier < p->num_tiers; tier++)
		frames += p->frames[tier];
	return frames;
}

/* The number of frames of the tier that the guest has not given up. */
static inline uint64_t hmem_pages_present(const struct hmem_pages *p, uint32_t tier)
{
	uint64_t frames = 0;

	for (unsigned int b = 0; b < HMEM_BUCKETS; b++)
		frames += p->hist[tier][b];
	return frames;
}

/* Counts the frames of all tiers by bucket. */
static inline void hmem_pages_members(const struct hmem_pages *p, uint64_t members[HMEM_BUCKETS])
{
	for (unsigned int b = 0; b < HMEM_BUCKETS; b++) {
		members[b] = 0;
		for (unsigned int tier = 0; tier < HMEM_LINK_MAX_TIERS; tier++)
			members[b] += p->hist[tier][b];
	}
}

/* The range that contains @gfn, or NULL. */
const struct hmem_pages_range *hmem_pages_find(const struct hmem_pages *p,
					       uint64_t gfn);

/* Are all frames of the page in one range? */
bool hmem_pages_has(const struct hmem_pages *p, uint64_t gfn, unsigned int order);

/* The tier of a frame, or -1 if it is not guest memory. */
int hmem_pages_tier(const struct hmem_pages *p, uint64_t gfn);

/* The record of a page's use; it moves with the page. */
struct hmem_record {
	uint16_t heat;
	uint8_t recent;
};

/* Both return zero for a frame that is not guest memory. */
struct hmem_record hmem_pages_record(const struct hmem_pages *p, uint64_t gfn);
uint16_t hmem_pages_heat(const struct hmem_pages *p, uint64_t gfn);

/*
 * Apply a window: take the samples from @t, warm used pages and cool unused pages, and rearm
 * the pages to observe in the next window.
 */
void hmem_pages_update(struct hmem_pages *p, struct hmem_tracker *t,
		       const struct hmem_heat *h);

/* The same in steps of @slots, a multiple of 64; true: the pass has ended. */
void hmem_window_begin(struct hmem_window *w, struct hmem_pages *p,
		       struct hmem_tracker *t, const struct hmem_heat *h);
bool hmem_window_step(struct hmem_window *w, struct hmem_pages *p, uint64_t slots);

/* There is another tracker: decide anew which pages to rearm. */
void hmem_pages_rewatch(struct hmem_pages *p);

/* A page has been hinted: send no other hint for the page before its result. */
void hmem_pages_sent(struct hmem_pages *p, uint64_t gfn, unsigned int order);

/* No result will come: forget the hint. */
void hmem_pages_unsent(struct hmem_pages *p, uint64_t gfn, unsigned int order);

/* The page did not move. */
void hmem_pages_refused(struct hmem_pages *p, uint64_t gfn, unsigned int order,
			enum hmem_refusal how);

/*
 * The page moved: its record moves along, and the old frames have no history.  @record is the
 * record of a single page from before any result of the same message was applied, so that the
 * order of results in an exchange (A to B, B to A) does not matter.  For @order > 0, the
 * function ignores @record and uses the table.
 */
void hmem_pages_moved(struct hmem_pages *p, uint64_t gfn, uint64_t new_gfn,
		      unsigned int order, struct hmem_record record);

/* For so many windows, a table knows to which frames pages have moved. */
#define HMEM_CAME_WINDOWS	128u

/*
 * Of the frames of a page that was hinted, the number of those to which a hint has brought their
 * pages in the last @windows windows, not counting brief ones: 1 .. HMEM_CAME_WINDOWS, where 1 is
 * the time since the last window began.  Pages that the guest has refused since do not count.
 * Call this before any result of the same message is applied.
 */
uint64_t hmem_pages_came(const struct hmem_pages *p, uint64_t gfn, unsigned int order,
			 unsigned int windows);

/* At most 64 frames, all of one range. */
struct hmem_block {
	uint64_t slot;		/* of the block's first frame, a multiple of 64 */
	uint64_t gfn;		/* of the same frame */
	uint64_t all;		/* the frames that belong to the range */
	uint64_t mask;		/* the frames of @all that the guest has not given up */
	uint32_t tier;
	bool live;		/* otherwise all pages are cold and have no state */
	bool has_state;		/* a page may have a state; otherwise all are eligible */
};

/* Most blocks are whole, and counting bits is a function call on baseline machines. */
static inline unsigned int hmem_block_frames(const struct hmem_block *b)
{
	return b->mask == UINT64_MAX ? 64 : __builtin_popcountll(b->mask);
}

/* Set a bit of @map, which has one bit per block. */
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

/* The pages of the block that may be hinted. */
uint64_t hmem_pages_eligible(const struct hmem_pages *p, const struct hmem_block *b);

/*
 * The pages that are also likely to move.  A page that was refused for good or repeatedly is
 * left out for a hundred to a thousand windows.  A tier is full of frames that are cold because
 * they are free or belong to the kernel, and these would always be demoted first.
 */
uint64_t hmem_pages_willing(const struct hmem_pages *p, const struct hmem_block *b);

/*
 * How many idle pages of the block of @slot may be hinted at a time.  Frames that are free or
 * belong to the kernel are idle, too, and are in the same blocks.
 */
unsigned int hmem_pages_quota(const struct hmem_pages *p, uint64_t slot);

/*
 * Call @fn for every block with slots in [@from, @to), by rising GFN, until it returns false.
 * Returns false if it did.
 */
bool hmem_pages_walk(const struct hmem_pages *p, uint64_t from, uint64_t to,
		     bool (*fn)(const struct hmem_pages *p,
				const struct hmem_block *b, void *arg),
		     void *arg);

/* The bucket of a page: its class of rates, or the upper bits of its heat. */
static inline unsigned int hmem_pages_bucket(const struct hmem_pages *p, uint64_t slot)
{
	return p->by_class ? hmem_class(p->heat[slot], p->recent[slot]) :
			     HMEM_BUCKET(p->heat[slot]);
}

#endif /* HMEM_PAGES_H */
