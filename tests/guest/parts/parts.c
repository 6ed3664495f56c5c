// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the checks when it is loaded.  Loading fails if a check does.  The driver must not be
 * loaded at the same time.
 */
#include <linux/mm.h>
#include <linux/module.h>

#include "hmem.h"
#include "parts.h"

unsigned int parts_checked, parts_failed;

static void stats_parts(void)
{
	static const struct {
		u64 ns;
		unsigned int bucket;
	} cases[] = {
		{ 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 5, 3 }, { 1 << 20, 20 },
		{ (1 << 20) + 1, 21 }, { 1ULL << 31, 31 }, { (1ULL << 31) + 1, 31 },
		{ 1ULL << 40, 31 },
	};
	static struct hmem hm;
	struct virtio_hmem_pauses pauses;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&hm.stats, 0, sizeof(hm.stats));
		hmem_stats_pause(&hm, HMEM_KIND_FILE, cases[i].ns, 3);
		hmem_stats_pause(&hm, HMEM_KIND_ANON, cases[i].ns, 1);
		hmem_stats_pauses(&hm, &pauses);
		CHECK_EQ(le64_to_cpu(pauses.pauses[cases[i].bucket]), 4);
		CHECK_EQ(le64_to_cpu(pauses.sum_ns), 4 * cases[i].ns);
	}
}

static int __init parts_init(void)
{
	batch_parts();
	anon_parts();
	hide_parts();
	access_parts();
	idle_parts();
	resize_parts();
	share_parts();
	stats_parts();
	pr_info("%u checks, %u failed\n", parts_checked, parts_failed);
	return parts_failed ? -EINVAL : 0;
}
module_init(parts_init);

static void __exit parts_exit(void)
{
}
module_exit(parts_exit);

MODULE_DESCRIPTION("Checks of static functions of virtio_hmem");
MODULE_LICENSE("GPL");
