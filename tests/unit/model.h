/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of a guest that shows in a second what a policy does.  A workload uses pages in
 * frames, whose accessed and dirty bits stay set until they are rearmed.  hmemd's own
 * placer decides which pages move.  Accesses, moves and rearmed bits take time; there are
 * no caches and no kernel.  The model helps to choose experiments for the simulator, whose
 * results count.
 */
#ifndef HMEM_UNIT_MODEL_H
#define HMEM_UNIT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "placer.h"

/* Costs in ns; see model_costs for their sources. */
struct model_costs {
	double fast, slow;	/* an access, with the program's other work */
	double move;		/* the move of a page, one way */
	double rearm;		/* the access that sets a bit which was cleared */
	double scan;		/* an entry of a page table in a scan of gpt */
	double clear;		/* more for an entry whose bit the scan clears */
	double fault;		/* the first write of a page while the dirty log is on */
	double slowest;		/* an access to tier 2 */
};

/*
 * Costs of updates of random words; of reading or writing a whole page; and of requests to a
 * server, which takes most of the time for other work.
 */
extern const struct model_costs model_updates, model_pages, model_requests;

struct model;

struct model_load {
	const char *name;
	const struct model_costs *costs;
	/* Used pages; the hot pages among them; percentage of accesses to hot pages. */
	unsigned int pages, hot, weight;
	/* The last pages are hot; or the hot set changes its place every so many s. */
	double move;
	/* Accesses follow Zipf's law, most to the last page; ignores hot and weight. */
	bool zipf;
	/* Instead of random accesses, sweeps over the hot pages and over all pages. */
	bool sweep;
	/* The program only reads. */
	bool reads;
	/*
	 * So many processes share the pages and the hot pages evenly; 0: one.  The processors run
	 * one process after the other, each for @turn s, or all together if @turn is 0.  Every
	 * @life s a process ends, and another takes its place; 0: none ends.
	 */
	unsigned int processes;
	double turn, life;
	/*
	 * Besides, a file is read through the page cache: so many pages, one after the other and
	 * then anew, by this percentage of the accesses.
	 */
	unsigned int cache;
	double streams;
	/* The program runs for this percentage of the time; 0: always. */
	double busy;
};

struct model {
	const struct model_load *load;
	/* Frames of tier 0; the kernel's frames among them; frames of tier 1 and of tier 2. */
	unsigned int fast, kernel, slow, slowest;
	/* The program runs on all of them.  One scan or move at a time takes one of them. */
	unsigned int processors;
	/* The shortest window that the device offers, apart from looks within a scan. */
	uint64_t min_window_ns;
	/*
	 * The pages are in huge pages, each of which has one bit.  A huge page is split when a
	 * part of it moves.
	 */
	bool huge;

	struct hmem_policy policy;
	struct hmem_placer placer;
	/* Trackers over the same maps; the policy's track= selects one. */
	struct hmem_tracker_maps sim, gpt, dirty;
	uint64_t *maps;

	/* By frame: the page in the frame or -1, and the frame's bits. */
	int *page_of;
	uint8_t *bits;
	/* By huge page of frames: whether it was split, its bits, and what short looks found. */
	bool *split, *found;
	uint8_t *huge_bits;
	/* The begin and the end of this window's short look, in ns since the window's begin. */
	double look_begin, look_end;
	/* By page: the page's frame, and its share of the accesses. */
	unsigned int *frame_of;
	double *weight;
	unsigned int hot_from;
	double hot_at_hand;		/* seconds until the hot set changes */
	unsigned int at_hot, at_all;	/* positions of the sweeps */
	double at_cache;		/* position of the reader of the file */
	unsigned int running;		/* the process that runs, if they take turns */
	double turn_left;		/* ns of that process's turn */
	unsigned int oldest;		/* the process that ends next, at @ends_at s */
	double ends_at;

	uint64_t rnd;
	/* The map of frames that are given up; it is one of @maps. */
	uint64_t *given_up;
	/* Pairs of frames to exchange: cold, hot; or without a cold one a promotion. */
	struct hmem_hint (*queue)[2];
	unsigned int queued, done;
	/* The current window; in a rest, gpt does not scan, and the dirty log is off. */
	struct hmem_next_window window;

	/* Counted so far. */
	double ns, ops, moving, stalled;
	uint64_t moved, rearmed;
	/* Pages written in the last window, and the time for which processors were busy. */
	uint64_t written, busy_ns;
	/* Accessed bits that the last scan has cleared; those that looks within this scan clear. */
	uint64_t cleared, cleared_within;
	/* The length of the last window with its scan, and the scan's processor time; ns. */
	double elapsed_ns;
	uint64_t scan_ns;
};

/*
 * Starts with hmem_policy_init()'s policy, one processor, and the shortest window that any device
 * offers, which the caller may change then.  There is a third tier if it has frames (@slowest).
 */
void model_init(struct model *m, const struct model_load *load,
		unsigned int fast, unsigned int kernel, unsigned int slow,
		unsigned int slowest);
void model_free(struct model *m);

/* Let the program do something else from now on, with the same number of pages. */
void model_load(struct model *m, const struct model_load *load);

/* Run windows until this time has passed. */
void model_run(struct model *m, double seconds);

/*
 * Let tier 0 have its first @frames frames only, at least those of the kernel, once the model has
 * run.  Pages of the others go to tier 1.  No moves may be under way.
 */
void model_resize(struct model *m, unsigned int frames);

/* Place the most used pages in the fastest tiers, as many as fit. */
void model_place_best(struct model *m);

/* The share of the current accesses that go to tier 0. */
double model_fast_share(const struct model *m);

#endif /* HMEM_UNIT_MODEL_H */
