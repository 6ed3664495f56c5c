// SPDX-License-Identifier: GPL-2.0-or-later
/* What a scan takes from the device's request, and how its findings become reports. */
#include "access.c"
#include "parts.h"

static void check_look(void)
{
	struct hmem_scan *scan = kzalloc(sizeof(*scan), GFP_KERNEL);

	CHECK(scan);
	if (!scan)
		return;
	CHECK_EQ(hmem_look_ns(scan, 1 << 20), 0);
	scan->flags = VIRTIO_HMEM_SCAN_REPORT;
	CHECK_EQ(hmem_look_ns(scan, 0), 0);
	CHECK_EQ(hmem_look_ns(scan, 1), 1);
	CHECK_EQ(hmem_look_ns(scan, 1000 * HPAGE_PMD_NR), 1000);
	CHECK_EQ(hmem_look_ns(scan, U64_MAX), HMEM_SCAN_SLICE_NS);
	kfree(scan);
}

static void take(struct hmem_scan *scan, u64 gfn, u64 mask)
{
	const struct virtio_hmem_frames frames = {
		.gfn = cpu_to_le64(gfn),
		.mask = cpu_to_le64(mask),
	};

	hmem_take_frames(scan, &frames);
}

/* Frames without memory, and numbers that are no multiple of 64, are left out. */
static void check_frames(struct hmem_scan *scan, struct hmem_section *section)
{
	const u64 first = PAGES_PER_SECTION;

	take(scan, first + 1, U64_MAX);
	take(scan, first + 63, U64_MAX);
	take(scan, 0, U64_MAX);
	take(scan, first - 64, U64_MAX);
	take(scan, 2 * first, U64_MAX);
	take(scan, 1ULL << 52, U64_MAX);
	take(scan, U64_MAX - 63, U64_MAX);
	CHECK(!scan->rearm);
	CHECK(bitmap_empty(section->rearm, PAGES_PER_SECTION));

	take(scan, first, 5);
	take(scan, first, 8);
	take(scan, 2 * first - 64, 1ULL << 63);
	CHECK(scan->rearm);
	CHECK_EQ(section->rearm[0], 13);
	CHECK_EQ(bitmap_weight(section->rearm, PAGES_PER_SECTION), 4);
	CHECK(test_bit(PAGES_PER_SECTION - 1, section->rearm));
}

/* Findings in each word of the section do not fit into one report. */
static void check_report(struct hmem_scan *scan, struct hmem_section *section)
{
	const unsigned int words = PAGES_PER_SECTION / 64;
	struct virtio_hmem_access *report = scan->bufs[0];
	struct virtio_hmem_frames *frames = report->frames;
	unsigned int i, nr = 0;
	bool end;

	for (i = 0; i < words; i++)
		section->found[HMEM_WRITTEN][i] = 3ULL << i % 63;
	hmem_report_begin(scan, HMEM_WRITTEN);
	do {
		end = hmem_report_fill(scan, report, frames);
		for (i = 0; i < le32_to_cpu(report->num_frames); i++, nr++) {
			CHECK_EQ(le64_to_cpu(frames[i].gfn), PAGES_PER_SECTION + 64 * nr);
			CHECK_EQ(le64_to_cpu(frames[i].mask), 3ULL << nr % 63);
		}
		CHECK_EQ(i, min(words - (nr - i), (unsigned int)HMEM_REPORT_FRAMES));
	} while (!end && i);
	CHECK_EQ(nr, words);
	CHECK_EQ(scan->found[HMEM_WRITTEN], 2 * words);

	hmem_report_begin(scan, HMEM_ACCESSED);
	CHECK(hmem_report_fill(scan, report, frames));
	CHECK_EQ(report->num_frames, 0);
}

void access_parts(void)
{
	static struct hmem hm;
	struct hmem_section *section = kvzalloc(sizeof(*section), GFP_KERNEL);
	struct hmem_section *sections[] = { NULL, section };

	check_look();
	CHECK(section);
	if (section && !hmem_scan_alloc(&hm)) {
		hm.scan->sections = sections;
		hm.scan->nr_sections = ARRAY_SIZE(sections);
		check_frames(hm.scan, section);
		check_report(hm.scan, section);
		hm.scan->sections = NULL;
		hm.scan->nr_sections = 0;
	}
	hmem_scan_free(&hm);
	kvfree(section);
}
