// SPDX-License-Identifier: GPL-2.0-or-later
/* How blocks of memory become the runs of a message. */
#include "resize.c"
#include "parts.h"

/* Put every @step'th page into a message, in this order, as blocks of @order. */
static void check_message(struct hmem_resize *rs, struct page *pages, int step,
			  unsigned int order, u32 runs, u64 frames)
{
	int i, first = step < 0 ? HMEM_HUGE_PAGES - 1 : 0;
	LIST_HEAD(list);
	u64 sum = 0;

	for (i = first; i >= 0 && i < HMEM_HUGE_PAGES; i += step) {
		set_page_private(pages + i, order);
		list_add_tail(&pages[i].lru, &list);
	}
	hmem_message_fill(rs, &list);
	CHECK_EQ(le32_to_cpu(rs->message->num_runs), runs);
	for (i = 0; i < le32_to_cpu(rs->message->num_runs); i++)
		sum += le64_to_cpu(rs->message->runs[i].num);
	CHECK_EQ(sum, frames);
	CHECK_EQ(le64_to_cpu(rs->message->runs[0].gfn), page_to_pfn(pages + first));
	for (i = 0; i < HMEM_HUGE_PAGES; i++)
		set_page_private(pages + i, 0);
}

void resize_parts(void)
{
	static struct hmem hm;
	struct page *pages = alloc_pages(GFP_KERNEL, HMEM_HUGE_ORDER);
	unsigned int i;

	CHECK(pages);
	if (!pages)
		return;
	split_page(pages, HMEM_HUGE_ORDER);
	if (!hmem_resize_alloc(&hm)) {
		check_message(hm.resize, pages, 1, 0, 1, HMEM_HUGE_PAGES);
		check_message(hm.resize, pages, 4, 0, HMEM_HUGE_PAGES / 4, HMEM_HUGE_PAGES / 4);
		/* Too many runs, because the frames fall or have gaps. */
		check_message(hm.resize, pages, -1, 0, VIRTIO_HMEM_MAX_RUNS,
			      VIRTIO_HMEM_MAX_RUNS);
		check_message(hm.resize, pages, 2, 0, VIRTIO_HMEM_MAX_RUNS,
			      VIRTIO_HMEM_MAX_RUNS);
		/* Too many frames: only the numbers of the blocks are used. */
		check_message(hm.resize, pages, 1, HMEM_HUGE_ORDER,
			      VIRTIO_HMEM_MAX_RESIZE_FRAMES / HMEM_HUGE_PAGES,
			      VIRTIO_HMEM_MAX_RESIZE_FRAMES);
		check_message(hm.resize, pages, HMEM_HUGE_PAGES, HMEM_HUGE_ORDER, 1,
			      HMEM_HUGE_PAGES);
	}
	hmem_resize_free(&hm);
	for (i = 0; i < HMEM_HUGE_PAGES; i++)
		__free_page(pages + i);
}
