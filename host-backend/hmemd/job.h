/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs: pages to move that a person requested by hand. */
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

/* A hint that was sent and is not finished. */
struct sent_hint {
	struct hmem_hint hint;
	uint32_t answered;		/* frames with results */
	uint8_t tries;			/* earlier tries of a job */
};

struct job_retry {
	uint64_t gfn;
	uint8_t order, tries;
};

struct job;

/* Callbacks to the client that waits for a job, or to whoever else has made it. */
struct job_ops {
	/* Must the job pause, because the client does not read its results? */
	bool (*is_full)(const struct job *job);
	/* Called for each message of results if job->results is set. */
	void (*results)(struct job *job, const struct virtio_hmem_result_batch *batch);
	/* More pages have results. */
	void (*progress)(struct job *job);
	/* The job has ended, and will be freed after this call. */
	void (*done)(struct job *job);
};

struct job {
	TAILQ_ENTRY(job) link;
	/* The VM, and its page table, which exists longer than the job. */
	struct vm *vm;
	const struct hmem_pages *pages;
	/* NULL: nobody wants to know how the job goes on. */
	const struct job_ops *ops;
	/* The client that waits for the job, or NULL. */
	void *waiter;
	uint64_t id;
	uint32_t tier;
	uint32_t order;			/* largest order of a hint */
	uint32_t retries;		/* tries again of a busy page */
	bool strict;			/* the frames were named one by one */
	bool results;			/* the client wants the result of each page */
	bool cancelled;
	bool makes_room;		/* hmemd made the job, see room.c */
	const char *failed;		/* why the job ended early, or NULL */

	/* Sorted and apart; the next frame is spans[at].gfn + off. */
	struct span *spans;
	size_t num_spans, at;
	uint64_t off;
	/* Busy pages of this round; and those of the last round, which are tried again. */
	struct job_retry *busy, *again;
	size_t num_busy, size_busy, num_again, next_again;
	uint64_t not_before;		/* time of the next try, as @now_ms of job_next() */

	uint64_t total, done;		/* frames; done: those with a final result */
	uint64_t outside;		/* frames that are not guest memory */
	uint64_t hints_sent;		/* hints sent, tries again included */
	uint64_t reasons[VIRTIO_HMEM_R_MAX];	/* frames by reason */
	unsigned int in_flight;		/* batches */
	uint64_t reported;		/* loop_now() of the last progress message */
	uint64_t started;		/* loop_now() */
};

/*
 * Make a job for @num spans of the memory of @pages.  The function takes over and sorts
 * @spans, even on failure.  With @strict, frames outside guest memory count as bad-gfn, and
 * frames that are in the tier already are sent as well, because the guest knows better what
 * they contain.
 */
struct job *job_new(const struct hmem_pages *pages, struct span *spans, size_t num,
		    bool strict, uint32_t tier, uint32_t order, struct hmem_err *err);
void job_free(struct job *job);

/* Number of hints that the job needs, and of frames per source tier (@from). */
uint64_t job_count(const struct job *job, uint64_t *from);

/*
 * Fill in the next hints, in no particular order.  Returns their number, 0 if there are
 * none now.  @now_ms: milliseconds of a clock that follows the VM's time.
 */
uint32_t job_next(struct job *job, uint64_t now_ms, struct sent_hint *sent, uint32_t max);

/* Does job_next() have no hint now, but will have some after a while? */
bool job_waits(const struct job *job);

/*
 * The VM's memory has changed from @was to @is.  Frames that have gone count as outside, or
 * as bad-gfn if they were named one by one.  Frames that have come are sent.
 */
void job_ranges(struct job *job, const struct hmem_link_range *was, uint32_t num_was,
		const struct hmem_link_range *is, uint32_t num_is);

/* A page has a result.  Returns true if the page is tried again. */
bool job_answer(struct job *job, const struct sent_hint *s, uint64_t gfn,
		unsigned int order, unsigned int reason);

/* The guest has not tried the hint: send it again, without counting a try. */
void job_put_back(struct job *job, const struct sent_hint *s);

/* Is nothing under way, and nothing left to send? */
bool job_finished(const struct job *job);

/* Send nothing more.  The job is finished when all sent hints have results. */
void job_cancel(struct job *job);

#endif /* HMEMD_JOB_H */
