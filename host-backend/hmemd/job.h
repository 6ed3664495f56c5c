/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that someone asked to be moved by hand. */
#ifndef HMEMD_JOB_H
#define HMEMD_JOB_H

#include <sys/queue.h>

#include "link_check.h"
#include "pages.h"
#include "plan.h"
#include "virtio_hmem.h"

#define JOB_MAX_SPANS	(1u << 18)
#define JOB_MAX_RETRIES	100u

struct span {
	uint64_t gfn, num;
};

/* A hint under way. */
struct sent_hint {
	struct hmem_hint hint;
	uint32_t answered;		/* frames */
	uint8_t tries;			/* of a job */
};

struct job_retry {
	uint64_t gfn;
	uint8_t order, tries;
};

struct job;

/* To who waits for a job. */
struct job_ops {
	/* Are more results not wanted now?  Then no more is asked for. */
	bool (*is_full)(const struct job *job);
	/* Called for each message of results, if the job's @results says so. */
	void (*results)(struct job *job, const struct virtio_hmem_result_batch *batch);
	/* Some pages more were answered. */
	void (*progress)(struct job *job);
	/* It has ended, and is freed then. */
	void (*done)(struct job *job);
};

struct job {
	TAILQ_ENTRY(job) link;
	/* The VM's, and its page table, which outlives the job. */
	struct vm *vm;
	const struct hmem_pages *pages;
	/* NULL: nobody waits for it, the log tells. */
	const struct job_ops *ops;
	void *waiter;
	uint64_t id;
	uint32_t tier;
	uint32_t order;			/* pages are asked for in one piece up to this */
	uint32_t retries;		/* of a page that is busy */
	bool strict;			/* its frames were named one by one */
	bool results;			/* the client wants each page's */
	bool cancelled;
	const char *failed;		/* why it ended early */

	/* Sorted, apart; at/off is the next frame. */
	struct span *spans;
	size_t num_spans, at;
	uint64_t off;
	/* Busy pages of this round, and of the round before, being asked again. */
	struct job_retry *busy, *again;
	size_t num_busy, size_busy, num_again, next_again;
	uint64_t not_before;		/* as job_next()'s @now_ms */

	uint64_t total, done;		/* frames; done ones have a reason */
	uint64_t outside;		/* frames that are no guest memory */
	uint64_t asked;			/* hints sent, again or not */
	uint64_t reasons[VIRTIO_HMEM_R_MAX];	/* frames */
	unsigned int in_flight;		/* batches */
	uint64_t reported;		/* loop_now() of the last progress */
	uint64_t started;		/* loop_now() */
};

/*
 * Make a job of @num spans, which it takes over (even on failure) and sorts; it is about
 * the memory of @pages.
 * @strict: frames outside guest memory count as bad-gfn, and those that are in
 * the tier already are asked for, too: the guest knows better what they hold.
 */
struct job *job_new(const struct hmem_pages *pages, struct span *spans, size_t num,
		    bool strict, uint32_t tier, uint32_t order, struct hmem_err *err);
void job_free(struct job *job);

/* How many hints it would take, and frames @from each of HMEM_LINK_MAX_TIERS tiers. */
uint64_t job_count(const struct job *job, uint64_t *from);

/*
 * Fill in the next hints, in no particular order; 0 if there are none now.  @now_ms:
 * milliseconds of a clock that goes as the VM's time does.
 */
uint32_t job_next(struct job *job, uint64_t now_ms, struct sent_hint *sent, uint32_t max);

/* job_next() has none now, but will have some when a little time has passed. */
bool job_waits(const struct job *job);

/*
 * The VM had memory @was, and has @is: what has gone counts as outside, or bad-gfn if it
 * was named frame by frame, what has come is asked for.
 */
void job_ranges(struct job *job, const struct hmem_link_range *was, uint32_t num_was,
		const struct hmem_link_range *is, uint32_t num_is);

/* A page was answered: for good, or (true) it is to be asked for again. */
bool job_answer(struct job *job, const struct sent_hint *s, uint64_t gfn,
		unsigned int order, unsigned int reason);

/* The hint was not looked at: ask again, at no cost. */
void job_put_back(struct job *job, const struct sent_hint *s);

/* Nothing is under way, and there is nothing more to ask for. */
bool job_finished(const struct job *job);

/* Stop asking; it finishes when what is under way is answered. */
void job_cancel(struct job *job);

#endif /* HMEMD_JOB_H */
