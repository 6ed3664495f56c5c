/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMM-V's multi-level queue (vTMM, EuroSys 2023): which frames' accessed bits
 * are cleared in which window.  Clearing a bit costs the guest a TLB refill
 * and a page walk, so a frame that is known to be hot is looked at more and
 * more seldom.
 *
 * Each frame has a level.  When a frame that was rearmed is found accessed at
 * the end of the next window, its level goes up by one, to HMEM_MLQ_MAX_LEVEL
 * at most; otherwise down by one.  At level i its bit is left alone for the
 * next 2^i - 1 windows, and it counts as accessed in each of them: the bit
 * stays set, so that whoever reads it sees just that.
 *
 * One difference from the paper: a frame that goes down is not left alone.  Its
 * bit is clear, so that watching it costs nothing until it is accessed again,
 * and one that has become cold comes down in as many windows as it has levels.
 *
 * Frames come in blocks of 64.  A counter is kept as one word for each of its
 * bits, so that a step treats 64 frames at once: 10 bits a frame.
 */
#ifndef HMEM_MLQ_H
#define HMEM_MLQ_H

#include <stdbool.h>
#include <stdint.h>

#define HMEM_MLQ_LEVEL_BITS	3
/* A frame at this level is looked at in one window of 2^this. */
#define HMEM_MLQ_MAX_LEVEL	7u

/* All zero: level 0, and watched. */
struct hmem_mlq_block {
	uint64_t level[HMEM_MLQ_LEVEL_BITS];
	/* Windows that the frame is still left alone for. */
	uint64_t wait[HMEM_MLQ_MAX_LEVEL];
};

/*
 * A window has ended, in which the frames of @accessed had their bits set,
 * from this window or before.  Returns the frames to rearm: at once, for the
 * next window, or @late, at the end of that one.  A frame at level 1 or more is
 * left alone for a window at least, so nothing is lost by being late.
 * @max_level is 0 (every bit is cleared in every window) to HMEM_MLQ_MAX_LEVEL.
 */
uint64_t hmem_mlq_step(struct hmem_mlq_block *b, uint64_t accessed,
		       unsigned int max_level, bool late);

/* Forget what is known of these frames: another page has moved in. */
void hmem_mlq_forget(struct hmem_mlq_block *b, uint64_t frames);

/* Is there anything to remember? */
bool hmem_mlq_any(const struct hmem_mlq_block *b);

/* Of one frame, 0 .. 63; for tests and people. */
unsigned int hmem_mlq_level(const struct hmem_mlq_block *b, unsigned int frame);
unsigned int hmem_mlq_wait(const struct hmem_mlq_block *b, unsigned int frame);

#endif /* HMEM_MLQ_H */
