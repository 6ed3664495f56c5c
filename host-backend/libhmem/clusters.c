/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <string.h>

#include "clusters.h"

void hmem_clusters_init(struct hmem_clusters *c)
{
	memset(c, 0, sizeof(*c));
	for (unsigned int i = 0; i < HMEM_CLASSES; i++)
		c->alike[i] = 1;
}

void hmem_clusters_begin(struct hmem_clusters *c)
{
	memset(c->classes, 0, sizeof(c->classes));
	c->num_present = 0;
	c->in_whole = 0;
}

/* Adds the current cluster to the sums. */
static void end_cluster(struct hmem_clusters *c)
{
	unsigned int used = 0;

	while (c->num_present) {
		struct hmem_clusters_class *in = &c->classes[c->present[--c->num_present]];

		used += in->k;
		in->num++;
		in->kk += in->k * in->k;
		in->kn += in->k * in->n;
		in->nn += in->n * in->n;
		in->k = in->n = 0;
	}
	if (used == 1 << HMEM_CLUSTER_ORDER)
		c->in_whole += used;
}

void hmem_clusters_go(struct hmem_clusters *c, uint64_t gfn)
{
	if (gfn >> HMEM_CLUSTER_ORDER == c->current)
		return;
	end_cluster(c);
	c->current = gfn >> HMEM_CLUSTER_ORDER;
}

/* The variance of the numbers of used pages in the clusters of a class, @p of whose pages were. */
static double variance(const struct hmem_clusters_class *in, double p)
{
	/* Not below 0, which rounding could make it. */
	return fmax(0, in->kk - 2 * p * in->kn + p * p * in->nn);
}

/*
 * The same variance if pages are used independently of each other.  @p was computed from the same
 * clusters, so it fits them a little too well, and a single cluster tells nothing.
 */
static double variance_by_chance(const struct hmem_clusters_class *in, double pages, double p)
{
	return in->num ? pages * p * (1 - p) * (1 - 1.0 / in->num) : 0;
}

static double share(uint64_t used, uint64_t looked)
{
	return looked ? (double)used / looked : 0;
}

/*
 * How alike the pages of the class are.  What is known of all classes counts as much as one more
 * cluster of the class would.
 */
static double class_alike(const struct hmem_clusters *c, unsigned int class, double pages, double p)
{
	const struct hmem_clusters_class *in = &c->classes[class];
	double all = c->learned.chance > 0 ? c->learned.found / c->learned.chance : 1;
	double size, one;

	if (!in->num)
		return 1;
	size = pages / in->num;
	one = size * p * (1 - p);
	if (one > 0)
		all = (variance(in, p) + one * all) / (variance_by_chance(in, pages, p) + one);
	return all < 1 ? 1 : all > size ? size : all;
}

void hmem_clusters_end(struct hmem_clusters *c, const uint64_t looked[HMEM_CLASSES],
		       const uint64_t used[HMEM_CLASSES], double keep)
{
	struct hmem_clusters_learned *l = &c->learned;

	end_cluster(c);
	l->found *= keep;
	l->chance *= keep;
	for (unsigned int i = 0; i < HMEM_CLASSES; i++) {
		double p = share(used[i], looked[i]);

		l->found += variance(&c->classes[i], p);
		l->chance += variance_by_chance(&c->classes[i], looked[i], p);
	}
	for (unsigned int i = 0; i < HMEM_CLASSES; i++)
		c->alike[i] = class_alike(c, i, looked[i], share(used[i], looked[i]));
}
