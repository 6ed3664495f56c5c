// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Gives up memory of a tier, and takes it back.
 *
 * The driver allocates free memory of the tier's node, never of another node, and the
 * device releases that memory on the host.  If the node has no free memory above its
 * watermarks, the driver reports that and tries again later; meanwhile the host can
 * make room by hints that move cold pages to another tier.  The driver reclaims no
 * memory.
 *
 * The driver gives up huge pages first: giving up a huge page costs as much as giving
 * up a base page, and the host can release memory without splitting its huge pages.
 *
 * The driver marks given up pages as offline.  So crash dumps and hibernation do not
 * read them, and memory hotplug can have them taken back.  A reset of the device gives
 * all memory back to the guest.  The driver resets the device when the driver is
 * removed and when the system goes to sleep, and frees the pages after that.
 *
 * The kernel's OOM killer and memory hotplug wait for the driver, so the driver waits for
 * the device for a limited time.  A message that is not answered by then stays with the
 * device, and so do its frames.  Until the answer comes, the driver sends no other message:
 * nobody waits again, no memory comes back, and the OOM killer does its work.
 */
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/oom.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/vmstat.h>

#include "compat.h"
#include "hmem.h"

#define HMEM_HUGE_ORDER		(PMD_SHIFT - PAGE_SHIFT)
#define HMEM_HUGE_PAGES		(1UL << HMEM_HUGE_ORDER)

/*
 * The driver tries again after this time if it could give up no memory, and doubles the
 * time with each failure.  The least time lets the host notice and make room (hmemd's
 * windows are of a second).
 */
#define HMEM_RETRY_MIN		HZ
#define HMEM_RETRY_MAX		(64 * HZ)
/*
 * The driver looks so often if the host needs another report (hmemd decides once a second).
 * Rounded, so that an idle processor wakes up once for all such work.
 */
#define HMEM_REPORT_TIME	round_jiffies_relative(HZ)
/* The driver waits for so many seconds for an answer, which takes milliseconds at most. */
#define HMEM_ANSWER_SECONDS	10

/* A list of blocks.  A block is its first page: page->lru, and page_private() is its order. */
struct hmem_blocks {
	struct list_head list;
	unsigned long nr;
};

struct hmem_resize_tier {
	/* The memory that is given up: base pages, and huge pages. */
	struct hmem_blocks small, huge;
	/* VIRTIO_HMEM_WHY_*: the present reason, and the one last sent to the device. */
	u8 why, told;
	/* Give up nothing before @hold (jiffies); after another failure wait for @retry. */
	unsigned long hold;
	unsigned long retry;
	/* Free pages of the node, as last sent to the device. */
	unsigned long told_free;
};

struct hmem_resize {
	struct hmem *hm;
	struct workqueue_struct *wq;
	struct delayed_work work;
	/*
	 * With VIRTIO_HMEM_F_PAGING: looks if the host needs a report.  @paging and @events
	 * are used on @wq only, which runs one work at a time.  @paging was read last.
	 */
	struct delayed_work report_work;
	struct virtio_hmem_paging paging;
	unsigned long events[NR_VM_EVENT_ITEMS];
	/* The sender of a message waits here for the answer; there is one sender at a time. */
	wait_queue_head_t wait;
	struct notifier_block oom_notifier;
	/*
	 * Guards the members below, and the queue.  Callers can hold the kernel's locks for
	 * the OOM killer and for memory hotplug, so a holder of this lock must not allocate
	 * memory.
	 */
	struct mutex lock;
	/* The device has its queues, and has not been reset since then. */
	bool ready;
	/* The device has the message, and the blocks in it: until it answers, or is reset. */
	bool sent;
	struct list_head blocks;
	struct virtio_hmem_resize *message;
	struct virtio_hmem_resized *answer;
	/* Pages that answers have made free so far, for hmem_oom_event(). */
	unsigned long freed;
	struct hmem_resize_tier tiers[VIRTIO_HMEM_MAX_TIERS];
};

static unsigned long hmem_given(const struct hmem_resize_tier *t)
{
	return t->small.nr + t->huge.nr * HMEM_HUGE_PAGES;
}

static unsigned int hmem_block_order(struct page *page)
{
	return page_private(page);
}

static void hmem_block_add(struct hmem_resize_tier *t, struct page *page)
{
	struct hmem_blocks *to = hmem_block_order(page) ? &t->huge : &t->small;

	list_add(&page->lru, &to->list);
	to->nr++;
}

static void hmem_block_del(struct hmem_resize_tier *t, struct page *page)
{
	list_del(&page->lru);
	(hmem_block_order(page) ? &t->huge : &t->small)->nr--;
}

/* The block belongs to the device from now on: mark its pages as offline. */
static void hmem_block_given(struct page *page)
{
	long nr = 1L << hmem_block_order(page);
	struct page *p;

	/* These loops are most of the cost of a huge page. */
	for (p = page; p < page + nr; p++)
		hmem_set_offline(p);
	adjust_managed_page_count(page, -nr);
}

static void hmem_block_free(struct page *page)
{
	unsigned int order = hmem_block_order(page);

	set_page_private(page, 0);
	__free_pages(page, order);
}

/* The device has given the block back, or did not want it: free its pages. */
static void hmem_block_taken(struct page *page)
{
	long nr = 1L << hmem_block_order(page);
	struct page *p;

	for (p = page; p < page + nr; p++)
		hmem_clear_offline(p);
	adjust_managed_page_count(page, nr);
	hmem_block_free(page);
}

static void hmem_blocks_free(struct list_head *list)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, list, lru) {
		list_del(&page->lru);
		hmem_block_free(page);
	}
}

/*
 * Messages
 */

void hmem_resize_callback(struct virtqueue *vq)
{
	struct hmem *hm = vq->vdev->priv;

	wake_up(&hm->resize->wait);
}

/*
 * Put blocks of a list into the message, from the first one on, as many as fit.
 * Adjacent blocks make one run.  Returns where the rest of the list begins.
 */
static struct list_head *hmem_message_fill(struct hmem_resize *rs, struct list_head *list)
{
	struct virtio_hmem_run *runs = rs->message->runs;
	unsigned long frames = 0;
	struct page *page;
	u32 num = 0;

	list_for_each_entry(page, list, lru) {
		u64 pfn = page_to_pfn(page), nr = 1UL << hmem_block_order(page);
		u64 end = num ? le64_to_cpu(runs[num - 1].gfn) +
				le64_to_cpu(runs[num - 1].num) : 0;

		if (frames + nr > VIRTIO_HMEM_MAX_RESIZE_FRAMES)
			break;
		if (num && pfn == end) {
			le64_add_cpu(&runs[num - 1].num, nr);
		} else {
			if (num == VIRTIO_HMEM_MAX_RUNS)
				break;
			runs[num].gfn = cpu_to_le64(pfn);
			runs[num].num = cpu_to_le64(nr);
			num++;
		}
		frames += nr;
	}
	rs->message->num_runs = cpu_to_le32(num);
	return &page->lru;
}

static bool hmem_message_answered(struct hmem_resize *rs)
{
	struct virtqueue *vq = rs->hm->vqs[VIRTIO_HMEM_VQ_RESIZE];
	unsigned int len;

	return virtqueue_get_buf(vq, &len) || virtqueue_is_broken(vq);
}

/*
 * The message is answered.  Returns the number of frames in the runs that the device has
 * done.
 *
 * If the answer makes no sense, the device is broken, and may still do what the message says,
 * until it is reset.  So its frames stay given up until hmem_resize_release() frees them.
 */
static u64 hmem_message_end(struct hmem_resize *rs)
{
	const struct virtio_hmem_resize *message = rs->message;
	struct hmem_resize_tier *t = &rs->tiers[message->tier];
	bool give = message->op == VIRTIO_HMEM_RESIZE_GIVE;
	u32 i, num = le32_to_cpu(message->num_runs);
	u32 done = give ? num : 0;
	struct page *page, *next;
	u64 frames = 0, left;

	rs->sent = false;
	if (!virtqueue_is_broken(rs->hm->vqs[VIRTIO_HMEM_VQ_RESIZE])) {
		/* Read the field once: the device can write to the answer at any time. */
		u32 answered = le32_to_cpu(READ_ONCE(rs->answer->num_runs));

		if (answered > num)
			hmem_device_broken(rs->hm,
					   "answer to a resize message has too many runs");
		else
			done = answered;
	}
	t->told = message->why;
	for (i = 0; i < done; i++)
		frames += le64_to_cpu(message->runs[i].num);
	left = frames;
	list_for_each_entry_safe(page, next, &rs->blocks, lru) {
		unsigned int order = hmem_block_order(page);

		list_del(&page->lru);
		/* Is it given up now?  @left: frames of the blocks that are done. */
		if (left ? give : !give) {
			hmem_block_add(t, page);
			if (give && order)
				rs->hm->stats.resize_huge++;
		} else {
			hmem_block_taken(page);
			rs->freed += 1UL << order;
		}
		left -= min_t(u64, left, 1UL << order);
	}
	if (give)
		rs->hm->stats.resize_given += frames;
	else
		rs->hm->stats.resize_taken += frames;
	return frames;
}

/* Has the device a message that it has not answered yet? */
static bool hmem_message_late(struct hmem_resize *rs)
{
	lockdep_assert_held(&rs->lock);
	if (rs->sent && hmem_message_answered(rs))
		hmem_message_end(rs);
	return rs->sent;
}

/*
 * Send a message with blocks from the start of the list, as many as fit, and wait for the
 * answer.  Removes the blocks from the list if the device has got them.  Returns the number
 * of frames in the runs that the device has done by now.
 */
static u64 hmem_message_send(struct hmem_resize *rs, unsigned int tier, u8 op,
			     struct list_head *list)
{
	struct virtqueue *vq = rs->hm->vqs[VIRTIO_HMEM_VQ_RESIZE];
	struct virtio_hmem_resize *message = rs->message;
	struct hmem_resize_tier *t = &rs->tiers[tier];
	struct scatterlist out, in, *sgs[] = { &out, &in };
	struct list_head *rest;
	struct page *page;
	size_t size;
	int i = 0;

	if (hmem_message_late(rs))
		return 0;
	rest = hmem_message_fill(rs, list);
	size = struct_size(message, runs, le32_to_cpu(message->num_runs));
	message->op = op;
	message->tier = tier;
	message->why = t->why;
	message->padding = 0;
	WRITE_ONCE(t->told_free, hmem_node_free(rs->hm->tier_nid[tier], NULL));
	message->free = cpu_to_le64((u64)t->told_free << PAGE_SHIFT);
	if (op == VIRTIO_HMEM_RESIZE_REPORT &&
	    virtio_has_feature(rs->hm->vdev, VIRTIO_HMEM_F_PAGING)) {
		memcpy(message->runs, &rs->paging, sizeof(rs->paging));
		size += sizeof(rs->paging);
	}
	memset(rs->answer, 0, sizeof(*rs->answer));
	sg_init_one(&out, message, size);
	sg_init_one(&in, rs->answer, sizeof(*rs->answer));
	if (virtqueue_add_sgs(vq, sgs, 1, 1, rs, GFP_NOWAIT | __GFP_NOWARN)) {
		hmem_device_broken(rs->hm, "resize queue has no room for a message");
		return 0;
	}
	rs->sent = true;
	list_cut_before(&rs->blocks, list, rest);
	if (op == VIRTIO_HMEM_RESIZE_GIVE)
		list_for_each_entry(page, &rs->blocks, lru)
			hmem_block_given(page);
	virtqueue_kick(vq);
	/* No callback comes from a device that is gone, so look every second. */
	do {
		if (wait_event_timeout(rs->wait, hmem_message_answered(rs), HZ))
			return hmem_message_end(rs);
	} while (++i < HMEM_ANSWER_SECONDS && !hmem_stopping(rs->hm));
	if (!hmem_stopping(rs->hm))
		dev_warn(&rs->hm->vdev->dev, "no answer to a resize message yet\n");
	/* Whoever has sent the message, the worker looks for the answer from now on. */
	hmem_resize_changed(rs->hm);
	return 0;
}

/* Tell the device @rs->paging, and what is new of the tier. */
static void hmem_report(struct hmem_resize *rs, unsigned int tier)
{
	LIST_HEAD(none);

	mutex_lock(&rs->lock);
	if (rs->ready)
		hmem_message_send(rs, tier, VIRTIO_HMEM_RESIZE_REPORT, &none);
	mutex_unlock(&rs->lock);
}

/*
 * Report if the guest had to read something again since the last look, or if the free
 * memory of a tier has changed by a huge page.  A guest in which nothing happens sends
 * nothing.
 */
static void hmem_report_work(struct work_struct *work)
{
	struct hmem_resize *rs = container_of(to_delayed_work(work), struct hmem_resize,
					      report_work);
	struct virtio_hmem_paging last = rs->paging;
	unsigned int tier;
	bool news;

	hmem_paging_read(&rs->paging, rs->events);
	news = rs->paging.swapped_in != last.swapped_in ||
	       rs->paging.refaulted != last.refaulted;
	for (tier = 0; tier < rs->hm->num_tiers && !news; tier++) {
		unsigned long free = hmem_node_free(rs->hm->tier_nid[tier], NULL);
		unsigned long told = READ_ONCE(rs->tiers[tier].told_free);

		news = max(free, told) - min(free, told) >= HMEM_HUGE_PAGES;
	}
	if (news)
		hmem_paging_count_swapped(&rs->paging);
	for (tier = 0; tier < rs->hm->num_tiers && news && !hmem_stopping(rs->hm); tier++)
		hmem_report(rs, tier);
	if (!READ_ONCE(rs->hm->stop))
		queue_delayed_work(rs->wq, &rs->report_work, HMEM_REPORT_TIME);
}

/*
 * Take back
 */

/* Take back the blocks of a list, which is empty then.  Returns how many pages came back. */
static unsigned long hmem_take_list(struct hmem_resize *rs, unsigned int tier,
				    struct list_head *list)
{
	unsigned long taken = 0;
	struct page *page, *next;

	while (!list_empty(list)) {
		u64 frames = hmem_message_send(rs, tier, VIRTIO_HMEM_RESIZE_TAKE, list);

		if (!frames)
			break;
		taken += frames;
	}
	list_for_each_entry_safe(page, next, list, lru) {
		list_del(&page->lru);
		hmem_block_add(&rs->tiers[tier], page);
	}
	return taken;
}

/* Split a given up huge page, to take back a part of it. */
static void hmem_split_huge(struct hmem_resize_tier *t)
{
	struct page *page = list_first_entry(&t->huge.list, struct page, lru);
	unsigned long i;

	hmem_block_del(t, page);
	split_page(page, HMEM_HUGE_ORDER);
	for (i = 0; i < HMEM_HUGE_PAGES; i++) {
		set_page_private(page + i, 0);
		hmem_block_add(t, page + i);
	}
}

/* Take back at least @want pages if so many are given up, but at most one message. */
static unsigned long hmem_take(struct hmem_resize *rs, unsigned int tier,
			       unsigned long want)
{
	struct hmem_resize_tier *t = &rs->tiers[tier];
	LIST_HEAD(list);

	lockdep_assert_held(&rs->lock);
	if (hmem_message_late(rs))
		return 0;
	want = min3(want, hmem_given(t), (unsigned long)VIRTIO_HMEM_MAX_RESIZE_FRAMES);
	while (want) {
		struct hmem_blocks *from = &t->huge;
		struct page *page;

		if (want < HMEM_HUGE_PAGES || !t->huge.nr) {
			if (!t->small.nr)
				hmem_split_huge(t);
			from = &t->small;
		}
		page = list_first_entry(&from->list, struct page, lru);
		hmem_block_del(t, page);
		list_add_tail(&page->lru, &list);
		want -= 1UL << hmem_block_order(page);
	}
	return hmem_take_list(rs, tier, &list);
}

/*
 * Take back at least @want pages, but at most one message; or at least something, if the device
 * has memory for a part of that only.
 */
static unsigned long hmem_take_some(struct hmem_resize *rs, unsigned int tier,
				    unsigned long want)
{
	unsigned long taken = hmem_take(rs, tier, want);

	if (!taken && !rs->sent && !virtqueue_is_broken(rs->hm->vqs[VIRTIO_HMEM_VQ_RESIZE]))
		taken = hmem_take(rs, tier, min(want, HMEM_HUGE_PAGES));
	return taken;
}

/* The guest is short of memory, so the tier gives up nothing for a while. */
static void hmem_pressure(struct hmem_resize_tier *t)
{
	t->why = VIRTIO_HMEM_WHY_PRESSURE;
	/* In a long shortage the kernel asks often: double the time once only. */
	if (time_before(jiffies, t->hold))
		return;
	t->hold = jiffies + t->retry;
	t->retry = min_t(unsigned long, 2 * t->retry, HMEM_RETRY_MAX);
}

/*
 * The kernel is about to call the OOM killer.  The kernel does not say which node is
 * short of memory, so take back memory of the slowest tier first, which is usually the largest.
 * An answer that has come late can have made memory free, too; the kernel has not seen that.
 */
static int hmem_oom_event(struct notifier_block *notifier, unsigned long unused,
			  void *freed)
{
	struct hmem_resize *rs = container_of(notifier, struct hmem_resize,
					      oom_notifier);
	unsigned long before, taken;
	int tier;

	mutex_lock(&rs->lock);
	before = rs->freed;
	if (rs->ready && rs->sent && !hmem_message_late(rs))
		hmem_pressure(&rs->tiers[rs->message->tier]);
	for (tier = rs->hm->num_tiers - 1; rs->ready && tier >= 0 && rs->freed == before;
	     tier--) {
		if (!hmem_given(&rs->tiers[tier]))
			continue;
		hmem_pressure(&rs->tiers[tier]);
		hmem_take_some(rs, tier, VIRTIO_HMEM_MAX_RESIZE_FRAMES);
		/* The worker decides when a tier is due, or if an answer is. */
		hmem_resize_changed(rs->hm);
	}
	taken = rs->freed - before;
	rs->hm->stats.resize_oom += taken;
	mutex_unlock(&rs->lock);
	*(unsigned long *)freed += taken;
	return NOTIFY_OK;
}

/* A memory block goes offline: take its pages back first. */
void hmem_resize_going_offline(struct hmem *hm, unsigned long pfn, unsigned long nr)
{
	struct hmem_resize *rs = hm->resize;
	unsigned int tier;

	if (!rs)
		return;
	mutex_lock(&rs->lock);
	/* An answer that has come late frees pages of the message, or makes them given up. */
	if (rs->ready)
		hmem_message_late(rs);
	for (tier = 0; rs->ready && tier < hm->num_tiers; tier++) {
		struct hmem_resize_tier *t = &rs->tiers[tier];
		struct hmem_blocks *both[] = { &t->small, &t->huge };
		struct page *page, *next;
		LIST_HEAD(list);
		int i;

		for (i = 0; i < ARRAY_SIZE(both); i++) {
			list_for_each_entry_safe(page, next, &both[i]->list, lru) {
				if (page_to_pfn(page) - pfn >= nr)
					continue;
				hmem_block_del(t, page);
				list_add_tail(&page->lru, &list);
			}
		}
		hmem_take_list(rs, tier, &list);
	}
	mutex_unlock(&rs->lock);
}

/*
 * Give up
 */

enum hmem_gave {
	HMEM_GAVE,		/* gave up some pages */
	HMEM_GAVE_NODE_FULL,	/* gave up none: the node has no free page */
	HMEM_GAVE_LATER,	/* gave up none: the device is busy, or refuses */
};

/* Allocate blocks of the node: up to @want pages, and not more than fit in a message. */
static void hmem_give_collect(int nid, unsigned int unit_order, unsigned long want,
			      struct list_head *list)
{
	/*
	 * Allocate from this node only, without reclaim and without a warning.  Movable
	 * pages leave the other zones to the kernel's own memory.
	 */
	const gfp_t gfp = (GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | __GFP_THISNODE |
			  __GFP_NOWARN | __GFP_NOMEMALLOC | __GFP_NORETRY;
	unsigned long frames = 0, spare = 0;
	unsigned int blocks = 0, order = HMEM_HUGE_ORDER;

	want = min_t(unsigned long, want, VIRTIO_HMEM_MAX_RESIZE_FRAMES);
	while (frames < want && blocks < VIRTIO_HMEM_MAX_RUNS) {
		struct page *page;

		if (order && want - frames < HMEM_HUGE_PAGES)
			order = 0;
		if (order < unit_order)
			break;
		/* Counted anew for each 2 MiB: others allocate, too. */
		if (!(frames % HMEM_HUGE_PAGES))
			hmem_node_free(nid, &spare);
		page = spare < 1UL << order ? NULL : alloc_pages_node(nid, gfp, order);
		if (!page) {
			if (!order)
				break;
			order = 0;
			continue;
		}
		set_page_private(page, order);
		list_add_tail(&page->lru, list);
		spare -= 1UL << order;
		frames += 1UL << order;
		blocks++;
	}
}

static enum hmem_gave hmem_give(struct hmem_resize *rs, unsigned int tier,
				unsigned int unit_order, unsigned long want)
{
	u64 frames = 0;
	LIST_HEAD(list);

	/* This allocates memory, so the lock must not be held. */
	hmem_give_collect(rs->hm->tier_nid[tier], unit_order, want, &list);
	if (list_empty(&list))
		return HMEM_GAVE_NODE_FULL;

	mutex_lock(&rs->lock);
	if (rs->ready)
		frames = hmem_message_send(rs, tier, VIRTIO_HMEM_RESIZE_GIVE, &list);
	mutex_unlock(&rs->lock);
	hmem_blocks_free(&list);
	return frames ? HMEM_GAVE : HMEM_GAVE_LATER;
}

/*
 * The worker
 */

/* Returns how many pages of the tier the device requests to be given up in all. */
static unsigned long hmem_wanted(struct hmem_resize *rs, unsigned int tier,
				 unsigned int *unit_order)
{
	struct virtio_device *vdev = rs->hm->vdev;
	u64 size, requested;
	u8 order;

	virtio_cread_le(vdev, struct virtio_hmem_config, tiers[tier].size, &size);
	virtio_cread_le(vdev, struct virtio_hmem_config, tiers[tier].requested,
			&requested);
	virtio_cread_le(vdev, struct virtio_hmem_config, tiers[tier].unit_order, &order);
	*unit_order = order;
	return requested < size ? (size - requested) >> PAGE_SHIFT : 0;
}

static void hmem_set_why(struct hmem_resize *rs, unsigned int tier, u8 why)
{
	bool news;

	mutex_lock(&rs->lock);
	rs->tiers[tier].why = why;
	news = rs->tiers[tier].told != why;
	mutex_unlock(&rs->lock);
	if (!news)
		return;
	/* Takes the lock for CPU hotplug, which comes before @rs->lock in the notifiers. */
	if (virtio_has_feature(rs->hm->vdev, VIRTIO_HMEM_F_PAGING)) {
		hmem_paging_read(&rs->paging, rs->events);
		hmem_paging_count_swapped(&rs->paging);
	}
	hmem_report(rs, tier);
}

/* Report @why the size cannot change now.  Returns after how many jiffies to try again. */
static unsigned long hmem_resize_later(struct hmem_resize *rs, unsigned int tier, u8 why,
				       bool progress)
{
	struct hmem_resize_tier *t = &rs->tiers[tier];
	unsigned long delay;

	mutex_lock(&rs->lock);
	if (progress)
		t->retry = HMEM_RETRY_MIN;
	delay = t->retry;
	t->hold = jiffies + delay;
	t->retry = min_t(unsigned long, 2 * t->retry, HMEM_RETRY_MAX);
	mutex_unlock(&rs->lock);
	hmem_set_why(rs, tier, why);
	return delay;
}

/*
 * Give up or take back memory until the tier has its requested size.  Returns after how
 * many jiffies to try again; MAX_SCHEDULE_TIMEOUT: not before the request changes.
 */
static unsigned long hmem_resize_tier(struct hmem_resize *rs, unsigned int tier)
{
	struct hmem_resize_tier *t = &rs->tiers[tier];
	bool progress = false;

	while (!hmem_stopping(rs->hm) && !virtqueue_is_broken(rs->hm->vqs[0])) {
		unsigned int unit_order;
		unsigned long wanted = hmem_wanted(rs, tier, &unit_order);
		unsigned long given, hold, taken = 0;
		bool late;

		mutex_lock(&rs->lock);
		late = hmem_message_late(rs);
		given = hmem_given(t);
		hold = t->hold;
		if (!late && given > wanted) {
			taken = hmem_take_some(rs, tier, given - wanted);
			late = rs->sent;
		}
		mutex_unlock(&rs->lock);
		if (late)
			return HZ;
		if (given > wanted) {
			/* The host has no memory for it, or the device is broken. */
			if (!taken)
				return hmem_resize_later(rs, tier, VIRTIO_HMEM_WHY_REFUSED,
							 progress);
			progress = true;
			continue;
		}
		if (given == wanted) {
			t->hold = jiffies;
			t->retry = HMEM_RETRY_MIN;
			hmem_set_why(rs, tier, VIRTIO_HMEM_WHY_NOTHING);
			break;
		}
		if (rs->hm->tier_nid[tier] == NUMA_NO_NODE) {
			hmem_set_why(rs, tier, VIRTIO_HMEM_WHY_NO_NODE);
			break;
		}
		if (unit_order > HMEM_HUGE_ORDER) {
			hmem_set_why(rs, tier, VIRTIO_HMEM_WHY_UNIT);
			break;
		}
		if (time_before(jiffies, hold))
			return hold - jiffies;
		switch (hmem_give(rs, tier, unit_order, wanted - given)) {
		case HMEM_GAVE:
			progress = true;
			break;
		case HMEM_GAVE_NODE_FULL:
			return hmem_resize_later(rs, tier, VIRTIO_HMEM_WHY_NODE_FULL,
						 progress);
		case HMEM_GAVE_LATER:
			/* The device decided this, so report no other reason. */
			return hmem_resize_later(rs, tier, t->why, progress);
		}
		cond_resched();
	}
	return MAX_SCHEDULE_TIMEOUT;
}

static void hmem_resize_work(struct work_struct *work)
{
	struct hmem_resize *rs = container_of(to_delayed_work(work), struct hmem_resize,
					      work);
	unsigned long delay = MAX_SCHEDULE_TIMEOUT;
	unsigned int tier;

	for (tier = 0; tier < rs->hm->num_tiers; tier++)
		delay = min(delay, hmem_resize_tier(rs, tier));
	if (delay != MAX_SCHEDULE_TIMEOUT && !READ_ONCE(rs->hm->stop))
		queue_delayed_work(rs->wq, &rs->work, delay);
}

void hmem_resize_changed(struct hmem *hm)
{
	if (hm->resize && !READ_ONCE(hm->stop))
		mod_delayed_work(hm->resize->wq, &hm->resize->work, 0);
}

/*
 * In a guest that is short of memory, free pages are soon used again, so the worker must not
 * wait until its next try is due.
 */
void hmem_resize_room(struct hmem *hm)
{
	struct hmem_resize *rs = hm->resize;
	bool room = false;
	unsigned int tier;

	mutex_lock(&rs->lock);
	for (tier = 0; tier < hm->num_tiers; tier++) {
		struct hmem_resize_tier *t = &rs->tiers[tier];

		if (t->why != VIRTIO_HMEM_WHY_NODE_FULL || hm->room[tier] <= 0)
			continue;
		t->hold = jiffies;
		t->retry = HMEM_RETRY_MIN;
		room = true;
	}
	mutex_unlock(&rs->lock);
	if (room)
		hmem_resize_changed(hm);
}

/*
 * Life cycle
 */

void hmem_resize_start(struct hmem *hm)
{
	struct hmem_resize *rs = hm->resize;
	unsigned int i;

	mutex_lock(&rs->lock);
	rs->ready = true;
	for (i = 0; i < hm->num_tiers; i++) {
		rs->tiers[i].why = VIRTIO_HMEM_WHY_NOTHING;
		rs->tiers[i].told = VIRTIO_HMEM_WHY_NOTHING;
		rs->tiers[i].hold = jiffies;
		rs->tiers[i].retry = HMEM_RETRY_MIN;
		rs->tiers[i].told_free = 0;
	}
	mutex_unlock(&rs->lock);
	memset(&rs->paging, 0, sizeof(rs->paging));
	hmem_resize_changed(hm);
	if (virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_PAGING))
		queue_delayed_work(rs->wq, &rs->report_work, HMEM_REPORT_TIME);
}

void hmem_resize_stop(struct hmem *hm)
{
	struct hmem_resize *rs = hm->resize;

	mutex_lock(&rs->lock);
	rs->ready = false;
	mutex_unlock(&rs->lock);
	cancel_delayed_work_sync(&rs->work);
	cancel_delayed_work_sync(&rs->report_work);
}

void hmem_resize_release(struct hmem *hm)
{
	struct hmem_resize *rs = hm->resize;
	struct page *page, *next;
	unsigned int tier;
	int i;

	for (tier = 0; tier < hm->num_tiers; tier++) {
		struct hmem_resize_tier *t = &rs->tiers[tier];
		struct hmem_blocks *both[] = { &t->small, &t->huge };

		for (i = 0; i < ARRAY_SIZE(both); i++) {
			list_for_each_entry_safe(page, next, &both[i]->list, lru) {
				hmem_block_del(t, page);
				hmem_block_taken(page);
			}
		}
	}
	list_for_each_entry_safe(page, next, &rs->blocks, lru) {
		list_del(&page->lru);
		hmem_block_taken(page);
	}
	rs->sent = false;
}

int hmem_resize_alloc(struct hmem *hm)
{
	struct hmem_resize *rs = kzalloc(sizeof(*rs), GFP_KERNEL);
	unsigned int i;

	if (!rs)
		return -ENOMEM;
	rs->hm = hm;
	hm->resize = rs;
	mutex_init(&rs->lock);
	init_waitqueue_head(&rs->wait);
	INIT_LIST_HEAD(&rs->blocks);
	INIT_DELAYED_WORK(&rs->work, hmem_resize_work);
	INIT_DELAYED_WORK(&rs->report_work, hmem_report_work);
	for (i = 0; i < VIRTIO_HMEM_MAX_TIERS; i++) {
		INIT_LIST_HEAD(&rs->tiers[i].small.list);
		INIT_LIST_HEAD(&rs->tiers[i].huge.list);
	}
	rs->message = kzalloc(struct_size(rs->message, runs, VIRTIO_HMEM_MAX_RUNS),
			      GFP_KERNEL);
	rs->answer = kzalloc(sizeof(*rs->answer), GFP_KERNEL);
	if (!rs->message || !rs->answer)
		return -ENOMEM;
	/* Freezable: the worker must not give up or take back memory during suspend. */
	rs->wq = alloc_ordered_workqueue("virtio_hmem_resize", WQ_FREEZABLE);
	if (!rs->wq)
		return -ENOMEM;
	rs->oom_notifier.notifier_call = hmem_oom_event;
	return register_oom_notifier(&rs->oom_notifier);
}

void hmem_resize_free(struct hmem *hm)
{
	struct hmem_resize *rs = hm->resize;

	if (!rs)
		return;
	if (rs->oom_notifier.notifier_call)
		unregister_oom_notifier(&rs->oom_notifier);
	if (rs->wq)
		destroy_workqueue(rs->wq);
	kfree(rs->answer);
	kfree(rs->message);
	kfree(rs);
	hm->resize = NULL;
}
