/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What DRAM is worth to one VM: the waiting time per second that the VM saves because pages are
 * in tier 0 and not in the slower tier.
 *
 * Pages are sorted by use, the most used first, so each further page of DRAM is worth less than
 * the page before.  The curve is a sequence of steps; all pages of a step are worth the same.
 *
 * The base are pages that stay in DRAM although they are not used, for example pages of the
 * guest's kernel.  Other pages are in DRAM only if there is more DRAM than the base takes.  So
 * the base and the most used pages are one step, and each page of it is worth the average.
 *
 * This file depends neither on page tables, nor on other VMs, nor on how rates are measured.
 */
#ifndef HMEM_WORTH_H
#define HMEM_WORTH_H

#include <stdint.h>

/*
 * Each step is half an octave, like a level of rates.  The last step has all pages that are
 * worth less than 1/2^31 of a page of the first step.
 */
#define HMEM_WORTH_STEPS	64u

/* Pages with the same access rate. */
struct hmem_worth_class {
	uint64_t pages;
	double rate;		/* accesses per second, of each page */
	double error;		/* standard error of its natural logarithm */
};

struct hmem_worth_step {
	uint64_t pages;		/* at least 1 */
	double ns;		/* stall per second that each of them saves in DRAM */
	double error;		/* standard error of its natural logarithm */
};

struct hmem_worth {
	/* By @ns, from the greatest, which is more than 0. */
	unsigned int num;
	struct hmem_worth_step steps[HMEM_WORTH_STEPS];
};

/*
 * Makes the curve of a base of @base pages and of @num classes, which are in any order and do
 * not contain the base.  An access in DRAM saves @access_ns.  The curve leaves out pages that
 * are not used or whose rate is no number, and limits rates to what a processor can do.
 */
void hmem_worth_make(struct hmem_worth *w, const struct hmem_worth_class *classes,
		     unsigned int num, uint64_t base, double access_ns);

/*
 * The VM accesses each page @factor times as often as before, 0 or more.  @w may be any curve.
 */
void hmem_worth_scale(struct hmem_worth *w, double factor);

/*
 * How much less stall, in ns per second, the VM has with @to pages of DRAM than with @from
 * pages, where @from <= @to.
 */
double hmem_worth_between(const struct hmem_worth *w, uint64_t from, uint64_t to);

/*
 * The fewest pages of DRAM with which the VM waits at most @loss_ns per second longer than
 * with @pages.
 */
uint64_t hmem_worth_least(const struct hmem_worth *w, uint64_t pages, double loss_ns);

/*
 * The standard error of the natural logarithm of what the last of @pages is worth; 0 if that
 * page is worth nothing.
 */
double hmem_worth_error(const struct hmem_worth *w, uint64_t pages);

#endif /* HMEM_WORTH_H */
