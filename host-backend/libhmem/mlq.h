/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMM-V's multi-level queue (vTMM, EuroSys 2023): decides in which window to clear which
 * frames' accessed bits.  Clearing a bit costs the guest a TLB refill and a page walk, so a
 * frame that is known to be hot is observed more and more rarely.
 *
 * Each frame has a level.  If a rearmed frame is found accessed at the end of the next
 * window, its level rises by one, up to HMEM_MLQ_MAX_LEVEL; otherwise it falls by one.  At
 * level i the frame's bit is left alone for the next 2^i - 1 windows.  The frame counts as
 * accessed in each of them, because the bit stays set.
 *
 * One difference from the paper: a frame whose level falls is not left alone.  Its bit is
 * clear, so observing the frame costs nothing until it is accessed again, and a frame that
 * has become cold reaches level 0 in as many windows as it has levels.
 *
 * Frames come in blocks of 64.  A counter of the frames is stored as one word per bit, so
 * that one step processes 64 frames.  A frame needs 10 bits.
 */
#ifndef HMEM_MLQ_H
#define HMEM_MLQ_H

#include <stdbool.h>
#include <stdint.h>

#define HMEM_MLQ_LEVEL_BITS	3
/* The highest level: a frame there is observed in one of 2^7 windows. */
#define HMEM_MLQ_MAX_LEVEL	7u

/* All zero: level 0, and observed in each window. */
struct hmem_mlq_block {
	uint64_t level[HMEM_MLQ_LEVEL_BITS];
	/* Number of windows for which the frame is still left alone. */
	uint64_t wait[HMEM_MLQ_MAX_LEVEL];
};

/*
 * A window has ended.  The frames of @accessed have their bits set, from this window or an
 * earlier one.  Returns the frames to rearm: now, for the next window; or with @late, at the
 * end of the next window.  A frame at level 1 or more is left alone for at least one window,
 * so being late loses nothing.  @max_level is 0 (clear every bit in every window) to
 * HMEM_MLQ_MAX_LEVEL.
 */
uint64_t hmem_mlq_step(struct hmem_mlq_block *b, uint64_t accessed,
		       unsigned int max_level, bool late);

/* Forget these frames, because other pages have moved there. */
void hmem_mlq_forget(struct hmem_mlq_block *b, uint64_t frames);

/* Is any frame not at its initial state? */
bool hmem_mlq_any(const struct hmem_mlq_block *b);

/* The level of one frame, 0 .. 63; for tests and people. */
unsigned int hmem_mlq_level(const struct hmem_mlq_block *b, unsigned int frame);
unsigned int hmem_mlq_wait(const struct hmem_mlq_block *b, unsigned int frame);

#endif /* HMEM_MLQ_H */
