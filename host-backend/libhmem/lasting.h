/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures how long the present access rates of pages last.
 *
 * Some classes of pages are used more, or less, than pages like them are in the long run.
 * Later, that deviation has become smaller.  The share of it that is left after a lag is
 * the autocorrelation of the deviation.  The integral of the autocorrelation over all lags
 * is the time for which a deviation lasts: a rate that is now higher by 100 accesses per
 * second, and lasts 3 s, makes 300 accesses more.
 */
#ifndef HMEM_LASTING_H
#define HMEM_LASTING_H

/* Octaves of lags: 2^-7 s to 2^11 s, which is in the octave of the longest horizon. */
#define HMEM_LAGS		18u

/* All zero: nothing was measured. */
struct hmem_lasting {
	/*
	 * By lag: the sum of products of deviations before and after the lag, and of squares of
	 * those before.  Older measurements count less.
	 */
	struct hmem_lag {
		double products, squares;
	} lags[HMEM_LAGS];
};

/*
 * Adds a measurement over @weight page seconds: pages that deviated by @before accesses per
 * second deviated by @after after @lag_s > 0.
 */
void hmem_lasting_add(struct hmem_lasting *l, double lag_s, double before, double after,
		      double weight);

/* Makes the measurements so far at this lag count @keep times as much as before. */
void hmem_lasting_age(struct hmem_lasting *l, double lag_s, double keep);

/*
 * The time, in seconds, for which a deviation lasts: the integral up to @horizon_s.  A
 * deviation lasts for @least_s in any case, as it was measured over so long.
 */
double hmem_lasting_s(const struct hmem_lasting *l, double least_s, double horizon_s);

#endif /* HMEM_LASTING_H */
