// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a batch of hints: demotions and promotions in turns.  Each demotion makes room
 * for a promotion.  Each promotion takes a frame that the last demotions left: that
 * frame is in the processor's cache, so writing to it reads no memory first.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>

#include "compat.h"
#include "hmem.h"
#include "trace.h"

/* Consecutive frames, old and new, with the same result. */
struct hmem_run {
	u64 gfn;
	u64 new_gfn;
	u64 nr;
	u16 hint;
	u8 reason;
};

/* Report a run in as few naturally aligned blocks as possible. */
static void hmem_run_flush(struct hmem *hm, struct hmem_run *run)
{
	if (run->reason == VIRTIO_HMEM_R_RESTRICTED &&
	    !virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_RESTRICTED))
		run->reason = VIRTIO_HMEM_R_UNSUPPORTED;
	while (run->nr) {
		u64 align = run->gfn | run->new_gfn;
		unsigned int order = ilog2(run->nr);
		struct virtio_hmem_result res = {
			.gfn = cpu_to_le64(run->gfn),
			.new_gfn = cpu_to_le64(run->new_gfn),
			.status = virtio_hmem_status(run->reason),
			.reason = run->reason,
		};

		if (align)
			order = min_t(unsigned int, order, __ffs64(align));
		res.order = min_t(unsigned int, order, VIRTIO_HMEM_MAX_ORDER);
		hmem_result_add(hm, &res);
		hm->stats.reasons[run->reason] += 1ULL << res.order;
		run->gfn += 1ULL << res.order;
		run->new_gfn += 1ULL << res.order;
		run->nr -= 1ULL << res.order;
	}
}

/*
 * Report the results of all items, and empty the chunk.  Items that moved come last,
 * in the order of their moves, because one may have taken the frame that another left.
 */
static void hmem_chunk_report(struct hmem *hm)
{
	struct hmem_work_area *area = hm->area;
	struct hmem_run run = {};
	unsigned int i, nr = 0, stayed = area->nr_items - area->nr_moved;

	for (i = 0; i < area->nr_items; i++) {
		struct hmem_item *item = &area->items[i];

		area->order[item->seq ? stayed + item->seq - 1 : nr++] = item;
	}
	for (i = 0; i < area->nr_items; i++) {
		struct hmem_item *item = area->order[i];
		bool moved = item->reason == VIRTIO_HMEM_R_MOVED;
		u64 new_pfn = moved ? item->new_pfn : item->pfn;

		if (!run.nr || run.hint != item->hint ||
		    run.reason != item->reason ||
		    run.gfn + run.nr != item->pfn ||
		    run.new_gfn + run.nr != new_pfn) {
			hmem_run_flush(hm, &run);
			run.gfn = item->pfn;
			run.new_gfn = new_pfn;
			run.hint = item->hint;
			run.reason = item->reason;
		}
		run.nr += hmem_item_pages(item);
	}
	hmem_run_flush(hm, &run);
	area->nr_items = 0;
	area->nr_moved = 0;
}

/* Can a later attempt succeed? */
static bool hmem_worth_retry(struct hmem *hm, const struct hmem_item *item)
{
	switch (item->reason) {
	case VIRTIO_HMEM_R_NO_MEMORY:
		return hm->room[item->tier] > 0;
	case VIRTIO_HMEM_R_LOCKED:
	case VIRTIO_HMEM_R_UNMAPPED:
	case VIRTIO_HMEM_R_OFF_LRU:
	case VIRTIO_HMEM_R_PINNED:
		return true;
	default:
		return false;
	}
}

static void hmem_chunk_run(struct hmem *hm)
{
	struct hmem_work_area *area = hm->area;
	unsigned int i, try;
	bool again;

	if (!area->nr_items)
		return;
	for (try = 0; try < HMEM_TRIES; try++) {
		hmem_share_begin(hm);
		INIT_LIST_HEAD(&area->anon);
		area->last_place.mm = NULL;
		for (i = 0; i < area->nr_items; i++) {
			struct hmem_item *item = &area->items[i];

			if (try && !hmem_worth_retry(hm, item))
				continue;
			if (hmem_stopping(hm)) {
				item->reason = VIRTIO_HMEM_R_STOPPED;
				continue;
			}
			hmem_find_page(hm, item, try);
			if (item->reason != HMEM_PENDING)
				continue;
			if (item->mm)
				list_add_tail(&item->node, &area->anon);
			else if (item->order)
				hmem_move_large_file(hm, item);
			else
				hmem_move_file(hm, item, try);
			cond_resched();
		}
		hmem_move_anon(hm);
		hmem_share_end(hm);

		again = false;
		for (i = 0; i < area->nr_items && !again; i++)
			again = hmem_worth_retry(hm, &area->items[i]);
		if (!again)
			break;
		usleep_range(20, 100);
	}
	hmem_chunk_report(hm);
}

static void hmem_chunk_add(struct hmem *hm, unsigned int hint,
			   unsigned long pfn, unsigned int order,
			   unsigned int tier)
{
	struct hmem_work_area *area = hm->area;

	area->items[area->nr_items++] = (struct hmem_item) {
		.pfn = pfn,
		.hint = hint,
		.order = order,
		.tier = tier,
		.reason = HMEM_PENDING,
	};
	if (area->nr_items == HMEM_CHUNK)
		hmem_chunk_run(hm);
}

/* The order of the large folio at @pfn, if it fits into the hint and can move as a whole; or 0. */
static unsigned int hmem_whole_order(struct hmem *hm, unsigned long pfn, u64 left)
{
	unsigned int order = left > 1 ? hmem_large_order(hm, pfn) : 0;

	return left >> order ? order : 0;
}

/* The number of frames.  The hint's order is at most VIRTIO_HMEM_MAX_ORDER. */
static u64 hmem_hint_frames(const struct virtio_hmem_hint *hint)
{
	return 1ULL << hint->order;
}

/* Returns HMEM_PENDING, or the reason to refuse the whole hint. */
static u8 hmem_hint_check(struct hmem *hm, const struct virtio_hmem_hint *hint)
{
	u64 gfn = le64_to_cpu(hint->gfn);

	if (hint->order > VIRTIO_HMEM_MAX_ORDER ||
	    !IS_ALIGNED(gfn, hmem_hint_frames(hint)))
		return VIRTIO_HMEM_R_BAD_ORDER;
	/* One result covers the whole hint, so checking the first frame is enough. */
	if (gfn >= 1ULL << (MAX_PHYSMEM_BITS - PAGE_SHIFT))
		return VIRTIO_HMEM_R_BAD_GFN;
	if (hint->tier >= hm->num_tiers ||
	    hm->tier_nid[hint->tier] == NUMA_NO_NODE)
		return VIRTIO_HMEM_R_BAD_TIER;
	return HMEM_PENDING;
}

static bool hmem_is_demotion(struct hmem *hm, unsigned long pfn,
			     unsigned int tier)
{
	struct page *page = pfn_to_online_page(pfn);

	return page && hmem_nid_tier(hm, page_to_nid(page)) < tier;
}

static void hmem_refuse_hint(struct hmem *hm, const struct virtio_hmem_hint *hint,
			     u8 reason)
{
	struct virtio_hmem_result res = {
		.gfn = hint->gfn,
		.new_gfn = hint->gfn,
		.order = hint->order,
		.status = virtio_hmem_status(reason),
		.reason = reason,
	};

	hm->stats.reasons[reason] += hint->order > VIRTIO_HMEM_MAX_ORDER ?
				     1 : hmem_hint_frames(hint);
	hmem_result_add(hm, &res);
}

static void hmem_hint_run(struct hmem *hm, unsigned int index,
			  const struct virtio_hmem_hint *hint)
{
	unsigned long pfn = le64_to_cpu(hint->gfn);
	u64 left = hmem_hint_frames(hint);

	while (left) {
		unsigned int order;

		if (hmem_stopping(hm)) {
			struct hmem_run rest = {
				.gfn = pfn,
				.new_gfn = pfn,
				.nr = left,
				.hint = index,
				.reason = VIRTIO_HMEM_R_STOPPED,
			};

			/* As one run, because the hint may cover very many frames. */
			hmem_run_flush(hm, &rest);
			return;
		}
		order = hmem_whole_order(hm, pfn, left);
		hmem_chunk_add(hm, index, pfn, order, hint->tier);
		pfn += 1UL << order;
		left -= 1ULL << order;
	}
}

/* Indexes of the hints that remain to be run, and how many frames they cover. */
struct hmem_hint_set {
	DECLARE_BITMAP(hints, HMEM_HINTS_PER_BUF);
	unsigned int first;	/* no remaining hint has a smaller index */
	u64 left;	/* frames of the remaining hints */
	u64 taken;	/* frames of the hints that were run */
};

static void hmem_set_add(struct hmem_hint_set *set, unsigned int i,
			 const struct virtio_hmem_hint *hint)
{
	__set_bit(i, set->hints);
	set->left += hmem_hint_frames(hint);
}

/* The first remaining hint.  There must be one. */
static unsigned int hmem_set_first(const struct hmem_hint_set *set)
{
	return find_next_bit(set->hints, HMEM_HINTS_PER_BUF, set->first);
}

static void hmem_set_run(struct hmem *hm, struct hmem_hint_set *set)
{
	unsigned int i = hmem_set_first(set);
	const struct virtio_hmem_hint *hint = &hm->area->hints[i];

	__clear_bit(i, set->hints);
	set->first = i + 1;
	set->left -= hmem_hint_frames(hint);
	set->taken += hmem_hint_frames(hint);
	hmem_hint_run(hm, i, hint);
}

/*
 * Run demotions and promotions in turns.  While demotions remain, a promotion runs only if
 * as many frames have been demoted before.  If there are more demotions than promotions,
 * the surplus of demotions runs first.
 */
static void hmem_exchange(struct hmem *hm, struct hmem_hint_set *down,
			  struct hmem_hint_set *up)
{
	const struct virtio_hmem_hint *hints = hm->area->hints;

	while (up->left) {
		u64 next = hmem_hint_frames(&hints[hmem_set_first(up)]);
		bool room = down->taken >= up->taken + next &&
			    down->left <= up->left;

		hmem_set_run(hm, down->left && !room ? down : up);
	}
	while (down->left)
		hmem_set_run(hm, down);
	hmem_chunk_run(hm);
}

void hmem_batch_run(struct hmem *hm, unsigned int num)
{
	const struct virtio_hmem_hint *hints = hm->area->hints;
	u64 moved = hm->stats.promoted + hm->stats.demoted;
	struct hmem_hint_set down = {}, up = {};
	unsigned int i;

	hm->drained = false;
	memset(hm->room, 0, sizeof(hm->room));
	for (i = 0; i < num; i++) {
		const struct virtio_hmem_hint *hint = &hints[i];
		u8 reason = hmem_hint_check(hm, hint);

		if (reason != HMEM_PENDING)
			hmem_refuse_hint(hm, hint, reason);
		else if (hmem_is_demotion(hm, le64_to_cpu(hint->gfn),
					  hint->tier))
			hmem_set_add(&down, i, hint);
		else
			hmem_set_add(&up, i, hint);
	}
	hmem_exchange(hm, &down, &up);

	hm->stats.batches++;
	hm->stats.hints += num;
	trace_hmem_batch(hm->batch_id, num,
			 hm->stats.promoted + hm->stats.demoted - moved);
}
