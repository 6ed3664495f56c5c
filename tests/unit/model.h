/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest in a few hundred lines, to see in a second what a policy does: pages
 * that are used as a workload says, in frames whose accessed and dirty bits stay
 * until they are rearmed.  What moves is decided by the placer that hmemd runs.  Time is what its accesses, moves and rearmed bits
 * take.  No caches, no kernel: the simulator has the last word, this one is
 * for choosing what to try there.
 */
#ifndef HMEM_UNIT_MODEL_H
#define HMEM_UNIT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "placer.h"

/* In ns; see model_costs for where they come from. */
struct model_costs {
	double fast, slow;	/* an access, with what the program does besides */
	double move;		/* of a page, one way */
	double rearm;		/* the first use after a bit was cleared */
	double scan;		/* of gpt, each page */
};

/* Updates of random words; and a page read, or written, from end to end. */
extern const struct model_costs model_updates, model_pages;

struct model;

struct model_load {
	const char *name;
	const struct model_costs *costs;
	/* Pages used, the hot ones among them, and in how many of 100 accesses. */
	unsigned int pages, hot, weight;
	/* The hot ones are the last, or in turn also those before, for so many s. */
	double move;
	/* By Zipf's law, the last page most; hot and weight do not matter. */
	bool zipf;
	/* Not at random: hot pages, and all, are swept from end to end. */
	bool sweep;
	/* Nothing is written. */
	bool reads;
};

struct model {
	const struct model_load *load;
	/* Frames of tier 0, those of the kernel among them, and of tier 1. */
	unsigned int fast, kernel, slow;

	struct hmem_policy policy;
	struct hmem_placer placer;
	/* Over the same maps; the policy's track= says which. */
	struct hmem_tracker_maps sim, gpt;
	uint64_t *maps;

	/* By frame: the page in it or -1, and its bits. */
	int *page_of;
	uint8_t *bits;
	/* By page: where it is, and its share of the accesses. */
	unsigned int *frame_of;
	double *weight;
	unsigned int hot_from;
	double hot_at_hand;		/* seconds until they move on */
	unsigned int at_hot, at_all, round;	/* of the sweeps */

	uint64_t rnd;
	/* Pairs of frames that are to be exchanged: cold, hot. */
	struct hmem_hint (*queue)[2];
	unsigned int queued, done;
	/* The window that is under way; gpt does not scan at the end of a rest. */
	struct hmem_next_window window;

	/* So far. */
	double ns, ops, moving, stalled;
	uint64_t moved, rearmed;
};

/* With the policy that hmem_policy_init() says, which may be changed then. */
void model_init(struct model *m, const struct model_load *load,
		unsigned int fast, unsigned int kernel, unsigned int slow);
void model_free(struct model *m);

/* Windows, until so much time has passed. */
void model_run(struct model *m, double seconds);

/* The pages used most are placed in tier 0, as many as fit. */
void model_place_best(struct model *m);

/* The share, of the accesses now, that go to tier 0. */
double model_fast_share(const struct model *m);

#endif /* HMEM_UNIT_MODEL_H */
