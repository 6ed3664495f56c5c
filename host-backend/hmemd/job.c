/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "loop.h"

#define RETRY_MS	100
/* Largest number of busy pages to try again; others are final. */
#define MAX_BUSY	(1u << 20)
/* Frames per batch if the client wants the result of each page. */
#define MAX_RESULTS	1024u
/* Frames per batch otherwise: sending and answering a batch visits all of them. */
#define MAX_FRAMES	(UINT64_C(1) << 18)

static int by_gfn(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->gfn > y->gfn) - (x->gfn < y->gfn);
}

/* Sort the spans, and join those that touch or overlap, so that each frame is sent once. */
static size_t tidy(struct span *spans, size_t num)
{
	size_t n = 0;

	qsort(spans, num, sizeof(*spans), by_gfn);
	for (size_t i = 0; i < num; i++) {
		struct span *last = n ? &spans[n - 1] : NULL;

		if (last && spans[i].gfn <= last->gfn + last->num) {
			uint64_t end = spans[i].gfn + spans[i].num;

			if (end > last->gfn + last->num)
				last->num = end - last->gfn;
		} else {
			spans[n++] = spans[i];
		}
	}
	return n;
}

/*
 * The tier of frame @gfn, or -1 for no guest memory.  *@run: how many frames from @gfn on,
 * up to @num, have the same answer.
 */
static int locate(const struct hmem_pages *p, uint64_t gfn, uint64_t num,
		  uint64_t *run)
{
	const struct hmem_pages_range *r = hmem_pages_find(p, gfn);
	uint32_t lo = 0, hi = p->num_ranges;

	*run = num;
	if (r) {
		if (*run > r->num - (gfn - r->gfn))
			*run = r->num - (gfn - r->gfn);
		return r->tier;
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (p->ranges[mid].gfn > gfn)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo < p->num_ranges && *run > p->ranges[lo].gfn - gfn)
		*run = p->ranges[lo].gfn - gfn;
	return -1;
}

struct job *job_new(const struct hmem_pages *pages, struct span *spans, size_t num,
		    bool strict, uint32_t tier, uint32_t order, struct hmem_err *err)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job) {
		free(spans);
		hmem_fail(err, ENOMEM, "no memory for a job");
		return NULL;
	}
	job->pages = pages;
	job->started = loop_now();
	job->spans = spans;
	job->num_spans = tidy(spans, num);
	job->tier = tier;
	job->order = order;
	job->strict = strict;
	for (size_t i = 0; i < job->num_spans; i++) {
		uint64_t gfn = spans[i].gfn, left = spans[i].num, run;

		for (; left; gfn += run, left -= run) {
			if (locate(pages, gfn, left, &run) >= 0)
				job->total += run;
			else
				job->outside += run;
		}
	}
	if (strict) {
		job->total += job->outside;
		job->done += job->outside;
		job->reasons[VIRTIO_HMEM_R_BAD_GFN] += job->outside;
	}
	return job;
}

void job_free(struct job *job)
{
	free(job->spans);
	free(job->busy);
	free(job->again);
	free(job);
}

/*
 * May a hint of @order be added to a batch?  If a page is split, each part has a result, and
 * a client that wants all results must be able to keep up.
 */
static bool fits(const struct job *job, uint32_t n, uint64_t *frames,
		 unsigned int order)
{
	*frames += UINT64_C(1) << order;
	return !n || *frames <= (job->results ? MAX_RESULTS : MAX_FRAMES);
}

/* Make hints for frames @gfn .. @gfn + @num - 1, as large as possible. */
static uint64_t pieces(uint64_t gfn, uint64_t num, unsigned int order)
{
	uint64_t size = UINT64_C(1) << order, first, last;

	if (!num || !order)
		return num;
	first = (gfn + size - 1) / size * size;
	last = (gfn + num) / size * size;
	if (first >= last)
		return pieces(gfn, num, order - 1);
	return pieces(gfn, first - gfn, order - 1) + (last - first) / size +
	       pieces(last, gfn + num - last, order - 1);
}

uint64_t job_count(const struct job *job, uint64_t *from)
{
	uint64_t hints = 0;

	memset(from, 0, HMEM_LINK_MAX_TIERS * sizeof(*from));
	for (size_t i = 0; i < job->num_spans; i++) {
		uint64_t gfn = job->spans[i].gfn, left = job->spans[i].num, run;

		for (; left; gfn += run, left -= run) {
			int tier = locate(job->pages, gfn, left, &run);

			if (tier < 0)
				continue;
			from[tier] += run;
			if (tier != (int)job->tier || job->strict)
				hints += pieces(gfn, run, job->order);
		}
	}
	return hints;
}

static uint32_t next_fresh(struct job *job, struct sent_hint *sent, uint32_t max)
{
	uint64_t frames = 0;
	uint32_t n = 0;

	while (n < max && job->at < job->num_spans) {
		const struct span *s = &job->spans[job->at];
		uint64_t gfn = s->gfn + job->off, run;
		unsigned int order = job->order;
		int tier;

		if (job->off == s->num) {
			job->at++;
			job->off = 0;
			continue;
		}
		tier = locate(job->pages, gfn, s->num - job->off, &run);
		if (tier < 0 || (tier == (int)job->tier && !job->strict)) {
			/* These frames need no hint. */
			if (tier >= 0) {
				job->done += run;
				job->reasons[VIRTIO_HMEM_R_ALREADY] += run;
			}
			job->off += run;
			continue;
		}
		while (gfn & ((UINT64_C(1) << order) - 1) ||
		       run < UINT64_C(1) << order)
			order--;
		if (!fits(job, n, &frames, order))
			break;
		sent[n++] = (struct sent_hint) {
			.hint = { .gfn = gfn, .order = order, .tier = job->tier },
		};
		job->off += UINT64_C(1) << order;
	}
	return n;
}

/* How many of the frames that were not sent yet are in @ranges?  Both are sorted. */
static uint64_t left_in(const struct job *job, const struct hmem_link_range *ranges,
			uint32_t num)
{
	uint64_t sum = 0;
	uint32_t r = 0;

	for (size_t i = job->at; i < job->num_spans; i++) {
		uint64_t from = job->spans[i].gfn + (i == job->at ? job->off : 0);
		uint64_t to = job->spans[i].gfn + job->spans[i].num;

		while (r < num && ranges[r].gfn + ranges[r].num <= from)
			r++;
		for (uint32_t k = r; k < num && ranges[k].gfn < to; k++) {
			uint64_t end = ranges[k].gfn + ranges[k].num;

			sum += (end < to ? end : to) -
			       (ranges[k].gfn > from ? ranges[k].gfn : from);
		}
	}
	return sum;
}

void job_ranges(struct job *job, const struct hmem_link_range *was, uint32_t num_was,
		const struct hmem_link_range *is, uint32_t num_is)
{
	uint64_t before = left_in(job, was, num_was), now = left_in(job, is, num_is);

	/* These counts can also become smaller. */
	if (job->strict) {
		job->done += before - now;
		job->reasons[VIRTIO_HMEM_R_BAD_GFN] += before - now;
	} else {
		job->total -= before - now;
		job->outside += before - now;
	}
}

static uint32_t next_again(struct job *job, struct sent_hint *sent, uint32_t max)
{
	uint64_t frames = 0;
	uint32_t n = 0;

	for (; n < max && job->next_again < job->num_again; job->next_again++) {
		const struct job_retry *r = &job->again[job->next_again];

		/* The page, or a part of it, has gone since. */
		if (!hmem_pages_has(job->pages, r->gfn, r->order)) {
			job->done += UINT64_C(1) << r->order;
			job->reasons[VIRTIO_HMEM_R_BAD_GFN] += UINT64_C(1) << r->order;
			continue;
		}
		if (!fits(job, n, &frames, r->order))
			break;
		sent[n++] = (struct sent_hint) {
			.hint = { .gfn = r->gfn, .order = r->order, .tier = job->tier },
			.tries = r->tries,
		};
	}
	return n;
}

uint32_t job_next(struct job *job, uint64_t now_ms, struct sent_hint *sent, uint32_t max)
{
	uint32_t n;

	if (job->cancelled)
		return 0;
	n = next_fresh(job, sent, max);
	if (!n)
		n = next_again(job, sent, max);
	if (!n && !job->in_flight && job->num_busy) {
		/* The round is over: wait a moment before the busy pages are tried again. */
		if (!job->not_before)
			job->not_before = now_ms + RETRY_MS;
		if (now_ms < job->not_before)
			return 0;
		free(job->again);
		job->again = job->busy;
		job->num_again = job->num_busy;
		job->next_again = 0;
		job->busy = NULL;
		job->num_busy = job->size_busy = 0;
		job->not_before = 0;
		n = next_again(job, sent, max);
	}
	job->hints_sent += n;
	return n;
}

bool job_waits(const struct job *job)
{
	return job->not_before && !job->cancelled;
}

static bool add_busy(struct job *job, uint64_t gfn, unsigned int order,
		     unsigned int tries)
{
	if (job->num_busy == job->size_busy) {
		size_t size = job->size_busy ? job->size_busy * 2 : 256;
		struct job_retry *busy;

		if (size > MAX_BUSY)
			return false;
		busy = realloc(job->busy, size * sizeof(*busy));
		if (!busy)
			return false;
		job->busy = busy;
		job->size_busy = size;
	}
	job->busy[job->num_busy++] = (struct job_retry) {
		.gfn = gfn,
		.order = order,
		.tries = tries,
	};
	return true;
}

bool job_answer(struct job *job, const struct sent_hint *s, uint64_t gfn,
		unsigned int order, unsigned int reason)
{
	if (virtio_hmem_status(reason) == VIRTIO_HMEM_S_BUSY &&
	    reason != VIRTIO_HMEM_R_STOPPED && s->tries < job->retries &&
	    !job->cancelled && add_busy(job, gfn, order, s->tries + 1))
		return true;
	job->done += UINT64_C(1) << order;
	job->reasons[reason] += UINT64_C(1) << order;
	return false;
}

void job_put_back(struct job *job, const struct sent_hint *s)
{
	if (!job->cancelled && !add_busy(job, s->hint.gfn, s->hint.order, s->tries))
		job->cancelled = true;
}

bool job_finished(const struct job *job)
{
	if (job->in_flight)
		return false;
	return job->cancelled ||
	       (job->at == job->num_spans && job->next_again == job->num_again &&
		!job->num_busy);
}

void job_cancel(struct job *job)
{
	job->cancelled = true;
}
