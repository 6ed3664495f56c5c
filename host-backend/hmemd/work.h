/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work, done in slices.
 *
 * A queue makes one slice per turn of the loop, one work after the other.  Between slices,
 * hmemd serves everything else that has come in, so that no work delays others, however
 * large it is.
 */
#ifndef HMEMD_WORK_H
#define HMEMD_WORK_H

#include "loop.h"

/*
 * Number of page-table slots in a slice: 1 GiB of guest memory, which takes a few million
 * instructions at most.
 */
#define WORK_SLOTS	(UINT64_C(1) << 18)

/* Embedded in whatever has work to do; at first all zero except @slice and @cpu_ns. */
struct work {
	TAILQ_ENTRY(work) link;
	/* The queue that contains the work, or NULL. */
	struct work_queue *in;
	/* Make the next slice.  If it calls work_remove(), it was the last one. */
	void (*slice)(struct work *work);
	/*
	 * The queue adds the processor time of slices here, in ns, unless this is NULL.  A
	 * slice may free the work, but not this counter.
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

/* Make slices of @work, if that is not so already. */
void work_add(struct work_queue *q, struct work *work);

/* Make no more slices of @work. */
void work_remove(struct work *work);

/* Processor time that hmemd has used so far, in ns. */
uint64_t work_cpu_ns(void);

#endif /* HMEMD_WORK_H */
