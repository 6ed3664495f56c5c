/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that takes long, done a slice at a time.
 *
 * A queue makes one slice in each turn of the loop, of one work after the other:
 * whatever else has come in by then is served between two slices, so that no work,
 * however large, holds others up.
 */
#ifndef HMEMD_WORK_H
#define HMEMD_WORK_H

#include "loop.h"

/*
 * Slots of a page table that are gone through in a slice: 1 GiB of guest memory, a few
 * million instructions at most.
 */
#define WORK_SLOTS	(UINT64_C(1) << 18)

/* Embedded in what has something to do; all zero but for the last two at first. */
struct work {
	TAILQ_ENTRY(work) link;
	/* The queue that it is in, or NULL. */
	struct work_queue *in;
	/* Make the next slice.  It is the last one if this calls work_remove(). */
	void (*slice)(struct work *work);
	/*
	 * Processor time of the slices is added here, in ns; NULL: nobody wants to know.
	 * A slice may free the work, but not this.
	 */
	uint64_t *cpu_ns;
};

struct work_queue {
	struct turn turn;
	struct loop *loop;
	TAILQ_HEAD(, work) works;
};

void work_queue_init(struct work_queue *q, struct loop *loop);

static inline bool work_queue_is_empty(const struct work_queue *q)
{
	return TAILQ_EMPTY(&q->works);
}

/* Make slices of @work, unless that is so already. */
void work_add(struct work_queue *q, struct work *work);

/* Make no more slices, if any were to be made. */
void work_remove(struct work *work);

/* Processor time that hmemd has taken so far, in ns. */
uint64_t work_cpu_ns(void);

#endif /* HMEMD_WORK_H */
