/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long pages go on as they do now.
 *
 * Some classes of pages are used more, or less, than pages like them are in the long run.
 * Later, that deviation has become smaller.  The share of it that is left after a lag is
 * the autocorrelation of the deviation.  The integral of the autocorrelation over all lags
 * is the time for which a deviation lasts: a rate that is now higher by 100 accesses per
 * second, and lasts 3 s, makes 300 accesses more.
 */
#ifndef HMEM_LASTING_H
#define HMEM_LASTING_H

/* Octaves of lags: 2^-7 s to 2^9 s. */
#define HMEM_LAGS		16u

/* All zero: nothing was measured. */
struct hmem_lasting {
	/*
	 * By lag: products of a deviation before and after the lag, and squares of the one
	 * before; of later measurements and earlier ones, which count less and less.
	 */
	struct hmem_lag {
		double products, squares;
	} lags[HMEM_LAGS];
};

/*
 * @lag_s > 0 after pages deviated by @before accesses per second, they deviated by @after.
 * That was measured over @weight page seconds.
 */
void hmem_lasting_add(struct hmem_lasting *l, double lag_s, double before, double after,
		      double weight);

/* Measurements so far at this lag are to count @keep times as much as they did. */
void hmem_lasting_age(struct hmem_lasting *l, double lag_s, double keep);

/*
 * The time, in seconds, for which a deviation lasts: the integral up to @horizon_s.  A
 * deviation lasts for @least_s in any case, as it was measured over so long.
 */
double hmem_lasting_s(const struct hmem_lasting *l, double least_s, double horizon_s);

#endif /* HMEM_LASTING_H */
