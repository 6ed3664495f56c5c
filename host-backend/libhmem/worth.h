/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What DRAM is worth to one VM: the time that the VM does not wait, in each second, because
 * pages are in tier 0 and not in the slower tier.
 *
 * The pages used most come first, so each further page of DRAM is worth less than the one
 * before.  The curve is kept as steps: so many pages, each of which is worth the same.
 *
 * Nothing here knows of page tables, of other VMs or of where the rates come from.
 */
#ifndef HMEM_WORTH_H
#define HMEM_WORTH_H

#include <stdint.h>

/*
 * Steps of half an octave, which is as fine as levels of rates are: the last one has
 * all pages that are worth less than 1/2^31 of the pages of the first.
 */
#define HMEM_WORTH_STEPS	64u

/* Pages that are used alike. */
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
 * The curve of @num classes, in any order; each access saves @access_ns in DRAM.  Pages
 * that are not used, or whose rate is no number, are worth nothing and are left out.  Rates
 * are limited to what a processor can do.
 */
void hmem_worth_make(struct hmem_worth *w, const struct hmem_worth_class *classes,
		     unsigned int num, double access_ns);

/*
 * Stall in ns per second that is saved if the VM has @to pages of DRAM, and is not with
 * @from, which are not more.  From what the VM has to one MiB more is what that would
 * save; from one MiB less, what giving that up would lose.
 */
double hmem_worth_between(const struct hmem_worth *w, uint64_t from, uint64_t to);

/*
 * The fewest pages of DRAM with which the VM waits not more than @loss_ns per second longer
 * than with @pages.
 */
uint64_t hmem_worth_least(const struct hmem_worth *w, uint64_t pages, double loss_ns);

/* The standard error of what the last of @pages is worth, as a logarithm; 0: of nothing. */
double hmem_worth_error(const struct hmem_worth *w, uint64_t pages);

#endif /* HMEM_WORTH_H */
