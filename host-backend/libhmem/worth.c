/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <string.h>

#include "worth.h"

#define STEPS_PER_OCTAVE	2
/* No processor makes more accesses per second than this. */
#define MAX_RATE		1e10

/* What one page of the class is worth; 0 if the class has no pages or no valid rate. */
static double worth_of(const struct hmem_worth_class *c, double access_ns)
{
	double ns = fmin(c->rate, MAX_RATE) * access_ns;

	return c->pages && c->rate > 0 && ns > 0 && isfinite(ns) ? ns : 0;
}

static unsigned int step_of(double ns, double most)
{
	double below = log2(most / ns) * STEPS_PER_OCTAVE;

	return below < HMEM_WORTH_STEPS - 1 ? (unsigned int)below : HMEM_WORTH_STEPS - 1;
}

/*
 * Merges the base with as many of the first steps as give the greatest average.  The result is
 * the lowest curve above the true one on which each page is worth at most as much as the page
 * before.
 */
static void add_base(struct hmem_worth *w, uint64_t base)
{
	struct hmem_worth_step first = { 0 };
	double pages = base, ns = 0, error = 0;
	unsigned int merged = 0;

	for (unsigned int i = 0; i < w->num; i++) {
		const struct hmem_worth_step *s = &w->steps[i];

		pages += s->pages;
		ns += s->pages * s->ns;
		error += s->pages * s->ns * s->error;
		if (ns / pages <= first.ns)
			break;
		first = (struct hmem_worth_step) { pages, ns / pages, error / ns };
		merged = i + 1;
	}
	if (!merged)
		return;
	memmove(&w->steps[1], &w->steps[merged], (w->num - merged) * sizeof(first));
	w->steps[0] = first;
	w->num -= merged - 1;
}

void hmem_worth_make(struct hmem_worth *w, const struct hmem_worth_class *classes,
		     unsigned int num, uint64_t base, double access_ns)
{
	struct { double pages, ns, error; } sums[HMEM_WORTH_STEPS] = { 0 };
	double most = 0;

	memset(w, 0, sizeof(*w));
	for (unsigned int i = 0; i < num; i++)
		most = fmax(most, worth_of(&classes[i], access_ns));
	for (unsigned int i = 0; i < num; i++) {
		double ns = worth_of(&classes[i], access_ns), pages = classes[i].pages;
		unsigned int at;

		if (!ns)
			continue;
		at = step_of(ns, most);
		w->steps[at].pages += classes[i].pages;
		sums[at].pages += pages;
		sums[at].ns += pages * ns;
		/* The errors of classes are not independent, so they do not cancel out. */
		sums[at].error += pages * ns * (classes[i].error > 0 ? classes[i].error : 0);
	}
	for (unsigned int i = 0; i < HMEM_WORTH_STEPS; i++) {
		if (!sums[i].pages)
			continue;
		w->steps[w->num++] = (struct hmem_worth_step) {
			.pages = w->steps[i].pages,
			.ns = sums[i].ns / sums[i].pages,
			.error = sums[i].error / sums[i].ns,
		};
	}
	add_base(w, base);
}

void hmem_worth_scale(struct hmem_worth *w, double factor)
{
	unsigned int num = 0;

	/* Pages that are worth nothing are no part of a curve. */
	for (unsigned int i = 0; i < w->num; i++) {
		struct hmem_worth_step step = w->steps[i];

		step.ns *= factor;
		if (step.ns > 0 && isfinite(step.ns))
			w->steps[num++] = step;
	}
	w->num = num;
}

double hmem_worth_between(const struct hmem_worth *w, uint64_t from, uint64_t to)
{
	uint64_t at = 0;
	double ns = 0;

	for (unsigned int i = 0; i < w->num && at < to; i++) {
		uint64_t end = at + w->steps[i].pages;
		uint64_t first = at > from ? at : from, last = end < to ? end : to;

		if (last > first)
			ns += (last - first) * w->steps[i].ns;
		at = end;
	}
	return ns;
}

uint64_t hmem_worth_least(const struct hmem_worth *w, uint64_t pages, double loss_ns)
{
	double wanted = hmem_worth_between(w, 0, pages) - loss_ns;
	uint64_t at = 0;

	for (unsigned int i = 0; i < w->num && wanted > 0 && at < pages; i++) {
		double step = w->steps[i].pages * w->steps[i].ns;

		if (step >= wanted) {
			at += ceil(wanted / w->steps[i].ns);
			break;
		}
		wanted -= step;
		at += w->steps[i].pages;
	}
	return at < pages ? at : pages;
}

double hmem_worth_error(const struct hmem_worth *w, uint64_t pages)
{
	uint64_t at = 0;

	for (unsigned int i = 0; i < w->num; i++) {
		at += w->steps[i].pages;
		if (at >= pages)
			return w->steps[i].error;
	}
	return 0;
}
