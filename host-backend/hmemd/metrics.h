/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The metrics of hmemd and its VMs.  They are read from hmemd's state only: no guest is asked,
 * and nothing is tracked for them.
 */
#ifndef HMEMD_METRICS_H
#define HMEMD_METRICS_H

#include <stdbool.h>
#include <stddef.h>

struct hmem_explanation;
struct hmemd;
struct vm;

/* The values of a label. */
struct metric_by {
	const char *label;
	const char *(*value)(unsigned int i);
	/* The number of values; 0: one for each tier of the VM. */
	unsigned int num;
};

/* A label of a metric whose value is 1. */
struct metric_label {
	const char *name;		/* NULL: there are no more */
	char value[128];
};

#define METRIC_MAX_LABELS	5

#define METRIC_MAX_BUCKETS	32

/* How many values there are, and how many of them are at most @bound. */
struct metric_histogram {
	unsigned int num;		/* buckets */
	struct metric_bucket {
		double bound, count;
	} buckets[METRIC_MAX_BUCKETS];
	double count, sum;
};

/* The functions return NAN for a value that is not known. */
struct metric {
	const char *name, *help;
	bool counts;			/* a counter, not a gauge */
	/* One of these: a value of hmemd, */
	double (*all)(const struct hmemd *d);
	/* a value of hmemd for each value of @by, */
	double (*all_by)(const struct hmemd *d, unsigned int i);
	/* a value of each VM, */
	double (*vm)(const struct vm *vm);
	/* a value of each VM for each value of @by, */
	double (*vm_by)(const struct vm *vm, unsigned int i);
	const struct metric_by *by;
	/* a value of each tier, by the VM's access rates, */
	double (*rates)(const struct hmem_explanation *e, unsigned int tier);
	/* a histogram of each VM, for which the function returns false if it is not known, */
	bool (*histogram)(const struct vm *vm, struct metric_histogram *h);
	/* or labels of hmemd or of each VM, with the value 1. */
	void (*info)(struct metric_label labels[METRIC_MAX_LABELS]);
	void (*vm_info)(const struct vm *vm, struct metric_label labels[METRIC_MAX_LABELS]);
};

extern const struct metric metrics[];
extern const size_t num_metrics;
extern const struct metric_by metric_by_tier;

#endif /* HMEMD_METRICS_H */
