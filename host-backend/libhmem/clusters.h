/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How alike neighbouring pages are.
 *
 * The rate of a class of pages is as sure as the number of its used pages only if pages are used
 * independently of each other.  They often are not: the pages of a huge page share one accessed
 * bit, and a program that reads its memory from begin to end uses neighbours together.  So pages
 * are counted by clusters of 2 MiB.  If the numbers of used pages vary by more from cluster to
 * cluster than chance allows, pages are alike, and a class tells as much as a smaller one whose
 * pages are not.  This is the design effect of cluster sampling (Kish, Survey Sampling, 1965).
 */
#ifndef HMEM_CLUSTERS_H
#define HMEM_CLUSTERS_H

#include <stdbool.h>
#include <stdint.h>

/* The number of classes of pages, see rates.h. */
#define HMEM_CLASSES	256u

/* The order of a cluster: a huge page. */
#define HMEM_CLUSTER_ORDER	9u

/*
 * The clusters of a class in the current look.  A cluster has @n pages of the class, of which the
 * look has found @k used.
 */
struct hmem_clusters_class {
	uint16_t n, k;			/* in the current cluster */
	uint64_t num, kk, kn, nn;	/* all others: their number, and sums of products */
};

/* What stays from look to look. */
struct hmem_clusters_learned {
	/* The variances of @k that were found, and those by chance: sums over all classes. */
	double found, chance;
};

struct hmem_clusters {
	struct hmem_clusters_class classes[HMEM_CLASSES];
	/* The current cluster, and the classes of its pages. */
	uint64_t current;
	unsigned int num_present;
	uint8_t present[HMEM_CLASSES];
	/* The pages of clusters of which the current look has found all 512 pages used. */
	uint64_t in_whole;
	struct hmem_clusters_learned learned;
	/* Result, by class: so many pages tell as much as one page would by itself; at least 1. */
	double alike[HMEM_CLASSES];
};

void hmem_clusters_init(struct hmem_clusters *c);

/* A look begins. */
void hmem_clusters_begin(struct hmem_clusters *c);

/* The pages that are taken from now on are in the cluster of @gfn. */
void hmem_clusters_go(struct hmem_clusters *c, uint64_t gfn);

/* Take @n pages of @class, of which the look has found @used used. */
static inline void hmem_clusters_take(struct hmem_clusters *c, unsigned int class,
				      unsigned int used, unsigned int n)
{
	struct hmem_clusters_class *in = &c->classes[class];

	if (!in->n)
		c->present[c->num_present++] = class;
	in->n += n;
	in->k += used;
}

/*
 * Take a cluster of @n pages that have never been used.  No huge page that is used contains such a
 * page, so they share no bit, and a block of 64 frames serves as a cluster.
 */
static inline void hmem_clusters_unused(struct hmem_clusters *c, unsigned int class, unsigned int n)
{
	c->classes[class].num++;
	c->classes[class].nn += n * n;
}

/*
 * The look has ended, in which @looked pages of each class were taken, @used of them used:
 * computes @alike.  The results of earlier looks count @keep times as much as before.
 */
void hmem_clusters_end(struct hmem_clusters *c, const uint64_t looked[HMEM_CLASSES],
		       const uint64_t used[HMEM_CLASSES], double keep);

#endif /* HMEM_CLUSTERS_H */
