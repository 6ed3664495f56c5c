/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>

#include "lasting.h"

/* The shortest lag is 2^this seconds. */
#define LAG_LEAST	(-7)

static unsigned int octave_of(double lag_s)
{
	double octave = floor(log2(lag_s)) - LAG_LEAST;

	return octave < 0 ? 0 : octave > HMEM_LAGS - 1 ? HMEM_LAGS - 1 : octave;
}

static double seconds_of(unsigned int octave)
{
	return ldexp(1, (int)octave + LAG_LEAST);
}

void hmem_lasting_add(struct hmem_lasting *l, double lag_s, double before, double after,
		      double weight)
{
	struct hmem_lag *lag = &l->lags[octave_of(lag_s)];

	lag->products += weight * before * after;
	lag->squares += weight * before * before;
}

void hmem_lasting_age(struct hmem_lasting *l, double lag_s, double keep)
{
	struct hmem_lag *lag = &l->lags[octave_of(lag_s)];

	lag->products *= keep;
	lag->squares *= keep;
}

static double share_left(const struct hmem_lag *lag)
{
	double share = lag->products / lag->squares;

	return share < 0 ? 0 : share > 1 ? 1 : share;
}

double hmem_lasting_s(const struct hmem_lasting *l, double least_s, double horizon_s)
{
	unsigned int first = octave_of(least_s);
	double later[HMEM_LAGS + 1] = { 0 }, share = 1, sum = seconds_of(first);

	/* A deviation that is left after a long lag was also left after shorter lags. */
	for (unsigned int i = HMEM_LAGS; i-- > first;) {
		later[i] = later[i + 1];
		if (l->lags[i].squares > 0)
			later[i] = fmax(later[i], share_left(&l->lags[i]));
	}
	for (unsigned int i = first; i < HMEM_LAGS && seconds_of(i) < horizon_s; i++) {
		/*
		 * Where nothing was measured: if nothing is known of a duration but that it
		 * has reached a time, the odds are even that it reaches twice that time.
		 */
		if (l->lags[i].squares > 0)
			share = share_left(&l->lags[i]);
		else
			share = fmax(share / 2, later[i]);
		sum += share * fmin(seconds_of(i), horizon_s - seconds_of(i));
	}
	return fmin(sum, horizon_s);
}
