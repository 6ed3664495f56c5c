// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counters.  Those for administrators are in sysfs, the others in debugfs.  The worker
 * writes the counters one by one: a reader sees consistent values of each, but the values
 * of different counters may be of different moments.
 */
#include <linux/debugfs.h>
#include <linux/log2.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "hmem.h"

static struct dentry *hmem_debugfs_root;

static const char * const hmem_reason_names[VIRTIO_HMEM_R_MAX] = {
	VIRTIO_HMEM_REASON_NAMES
};

static const char * const hmem_kind_names[HMEM_KINDS] = {
	[HMEM_KIND_ANON]	= "anon",
	[HMEM_KIND_LARGE]	= "large",
	[HMEM_KIND_FILE]	= "file",
};

#define HMEM_COUNTER(name)						\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	struct hmem *hm = dev_to_virtio(dev)->priv;			\
									\
	return sysfs_emit(buf, "%llu\n", READ_ONCE(hm->stats.name));	\
}									\
static DEVICE_ATTR_RO(name)

HMEM_COUNTER(batches);
HMEM_COUNTER(hints);
HMEM_COUNTER(promoted);
HMEM_COUNTER(demoted);
HMEM_COUNTER(large_moved);
HMEM_COUNTER(move_flushes);
HMEM_COUNTER(move_ipis);
HMEM_COUNTER(foreign_moves);
HMEM_COUNTER(pause_ns);
HMEM_COUNTER(resize_given);
HMEM_COUNTER(resize_huge);
HMEM_COUNTER(resize_oom);
HMEM_COUNTER(resize_taken);
HMEM_COUNTER(scans);
HMEM_COUNTER(scan_entries);
HMEM_COUNTER(scan_idle);
HMEM_COUNTER(scan_cleared);
HMEM_COUNTER(scan_cleaned);
HMEM_COUNTER(scan_flushes);
HMEM_COUNTER(scan_ipis);
HMEM_COUNTER(scan_looks);
HMEM_COUNTER(scan_looks_long);
HMEM_COUNTER(scan_segments);
HMEM_COUNTER(scan_segments_long);
HMEM_COUNTER(scan_incomplete);
HMEM_COUNTER(scan_ns);
HMEM_COUNTER(scan_skipped);

/* Huge pages that the kernel has put together from base pages since the driver started. */
static ssize_t huge_collapsed_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct hmem *hm = dev_to_virtio(dev)->priv;
	unsigned long *events = kcalloc(NR_VM_EVENT_ITEMS, sizeof(*events), GFP_KERNEL);
	unsigned long collapsed;

	if (!events)
		return -ENOMEM;
	collapsed = hmem_collapsed(events) - hm->collapsed_base;
	kfree(events);
	return sysfs_emit(buf, "%lu\n", collapsed);
}
static DEVICE_ATTR_RO(huge_collapsed);

static struct attribute *hmem_attrs[] = {
	&dev_attr_batches.attr,
	&dev_attr_hints.attr,
	&dev_attr_promoted.attr,
	&dev_attr_demoted.attr,
	&dev_attr_large_moved.attr,
	&dev_attr_huge_collapsed.attr,
	&dev_attr_move_flushes.attr,
	&dev_attr_move_ipis.attr,
	&dev_attr_foreign_moves.attr,
	&dev_attr_pause_ns.attr,
	&dev_attr_resize_given.attr,
	&dev_attr_resize_huge.attr,
	&dev_attr_resize_oom.attr,
	&dev_attr_resize_taken.attr,
	&dev_attr_scans.attr,
	&dev_attr_scan_entries.attr,
	&dev_attr_scan_idle.attr,
	&dev_attr_scan_cleared.attr,
	&dev_attr_scan_cleaned.attr,
	&dev_attr_scan_flushes.attr,
	&dev_attr_scan_ipis.attr,
	&dev_attr_scan_looks.attr,
	&dev_attr_scan_looks_long.attr,
	&dev_attr_scan_segments.attr,
	&dev_attr_scan_segments_long.attr,
	&dev_attr_scan_incomplete.attr,
	&dev_attr_scan_ns.attr,
	&dev_attr_scan_skipped.attr,
	NULL,
};

const struct attribute_group hmem_attr_group = {
	.name = "hmem",
	.attrs = hmem_attrs,
};

/* Prints "reason pages" for each reason. */
static int reasons_show(struct seq_file *m, void *unused)
{
	struct hmem *hm = m->private;
	unsigned int i;

	for (i = 0; i < VIRTIO_HMEM_R_MAX; i++)
		seq_printf(m, "%-12s %llu\n", hmem_reason_names[i],
			   READ_ONCE(hm->stats.reasons[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(reasons);

/* Prints "kind at-most-ns pages" for each bucket of the histogram that is not empty. */
static int pause_show(struct seq_file *m, void *unused)
{
	struct hmem *hm = m->private;
	unsigned int kind, i;
	u64 nr;

	for (kind = 0; kind < HMEM_KINDS; kind++) {
		for (i = 0; i < VIRTIO_HMEM_PAUSE_BUCKETS; i++) {
			nr = READ_ONCE(hm->stats.pause[kind][i]);
			if (nr)
				seq_printf(m, "%s %llu %llu\n",
					   hmem_kind_names[kind],
					   1ULL << i, nr);
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pause);

void hmem_stats_pause(struct hmem *hm, enum hmem_kind kind, u64 ns,
		      unsigned int nr)
{
	unsigned int bucket = order_base_2(ns);

	bucket = min_t(unsigned int, bucket, VIRTIO_HMEM_PAUSE_BUCKETS - 1);
	hm->stats.pause[kind][bucket] += nr;
	hm->stats.pause_ns += ns * nr;
}

void hmem_stats_pauses(struct hmem *hm, struct virtio_hmem_pauses *pauses)
{
	unsigned int kind, i;

	pauses->sum_ns = cpu_to_le64(hm->stats.pause_ns);
	for (i = 0; i < VIRTIO_HMEM_PAUSE_BUCKETS; i++) {
		u64 nr = 0;

		for (kind = 0; kind < HMEM_KINDS; kind++)
			nr += hm->stats.pause[kind][i];
		pauses->pauses[i] = cpu_to_le64(nr);
	}
}

unsigned long hmem_foreign_moves(struct hmem *hm)
{
#ifdef CONFIG_VM_EVENT_COUNTERS
	unsigned long *events = hm->area->events;
	unsigned long moves;

	all_vm_events(events);
	moves = hmem_nr_demoted(events);
#ifdef CONFIG_NUMA_BALANCING
	moves += events[NUMA_PAGE_MIGRATE];
#endif
	return moves;
#else
	return 0;
#endif
}

unsigned long hmem_collapsed(unsigned long *events)
{
#if defined(CONFIG_VM_EVENT_COUNTERS) && defined(CONFIG_TRANSPARENT_HUGEPAGE)
	all_vm_events(events);
	return events[THP_COLLAPSE_ALLOC];
#else
	return 0;
#endif
}

void hmem_stats_add(struct hmem *hm)
{
	hm->debugfs = debugfs_create_dir(dev_name(&hm->vdev->dev),
					 hmem_debugfs_root);
	debugfs_create_file("reasons", 0400, hm->debugfs, hm, &reasons_fops);
	debugfs_create_file("pause", 0400, hm->debugfs, hm, &pause_fops);
}

void hmem_stats_remove(struct hmem *hm)
{
	debugfs_remove_recursive(hm->debugfs);
}

void hmem_stats_init(void)
{
	hmem_debugfs_root = debugfs_create_dir("virtio_hmem", NULL);
}

void hmem_stats_exit(void)
{
	debugfs_remove_recursive(hmem_debugfs_root);
}
