/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "exchange.h"

struct chooser {
	struct hmem_exchange_side *hot, *cold;
	double access_ns, move_ns;
	uint32_t left;
	double gain_ns;
};

/*
 * The time that an exchange of two pages saves, less the time that it takes: while their rates
 * last (now), and until the horizon (all).  At most 0 if the exchange does not pay.
 */
static double gain_now(const struct chooser *c, unsigned int hot, unsigned int cold)
{
	return (c->hot->now[hot] - c->cold->now[cold]) * c->access_ns - 4 * c->move_ns;
}

static double gain_all(const struct chooser *c, unsigned int hot, unsigned int cold)
{
	double now = (c->hot->now[hot] - c->cold->now[cold]) * c->access_ns;
	double all = (c->hot->all[hot] - c->cold->all[cold]) * c->access_ns;

	return now > -2 * c->move_ns ? all - 2 * c->move_ns : 0;
}

/* Chooses as many pages of both ranks as both have. */
static void take(struct chooser *c, unsigned int hot, unsigned int cold, double gain_ns)
{
	uint64_t hots = c->hot->count[hot] - c->hot->take[hot];
	uint64_t colds = c->cold->count[cold] - c->cold->take[cold];
	uint64_t n = hots < colds ? hots : colds;

	if (n > c->left)
		n = c->left;
	c->hot->take[hot] += n;
	c->cold->take[cold] += n;
	c->left -= n;
	c->gain_ns += n * gain_ns;
}

static bool is_left(const struct hmem_exchange_side *side, unsigned int rank)
{
	return side->take[rank] < side->count[rank];
}

void hmem_exchange_order(const double values[HMEM_CLASSES], uint8_t order[HMEM_CLASSES])
{
	for (unsigned int i = 0; i < HMEM_CLASSES; i++) {
		unsigned int at = i;

		for (; at && values[order[at - 1]] > values[i]; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

/*
 * The hottest pages change places with the coldest pages for which that saves time.  Ranks sort
 * cold pages by their accesses until the horizon, so these decide which of the cold pages leave.
 */
static void choose(struct chooser *c, bool now)
{
	uint8_t hots[HMEM_CLASSES];

	hmem_exchange_order(now ? c->hot->now : c->hot->all, hots);
	for (unsigned int i = HMEM_CLASSES; i-- && c->left;) {
		for (unsigned int k = 0; k < HMEM_CLASSES && is_left(c->hot, hots[i]); k++) {
			double gain_ns;

			if (!is_left(c->cold, k))
				continue;
			gain_ns = now ? gain_now(c, hots[i], k) : gain_all(c, hots[i], k);
			if (gain_ns > 0)
				take(c, hots[i], k, gain_ns);
			if (!c->left)
				return;
		}
	}
}

double hmem_exchange_choose(struct hmem_exchange_side *hot, struct hmem_exchange_side *cold,
			    uint32_t pairs, double access_ns, double move_ns)
{
	struct chooser c = {
		.hot = hot, .cold = cold,
		.access_ns = access_ns, .move_ns = move_ns,
		.left = pairs,
	};

	memset(hot->take, 0, sizeof(hot->take));
	memset(cold->take, 0, sizeof(cold->take));
	choose(&c, true);
	choose(&c, false);
	return c.gain_ns;
}
