// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_hmem: driver for the virtio heterogeneous memory device
 *
 * The host tracks how hot each page of this guest is, and sends hints: move this
 * page to that tier (NUMA node) of memory.  The driver moves the pages that it can
 * move while everything keeps running, and answers each hint with a result.
 *
 * Hints are untrusted advice.  The worst that a hint can do is to move a page from
 * one node to another.  The driver refuses frames that are free, pinned, kernel
 * memory or absent, and reports the reason.
 *
 * One worker does all the work, so there is no lock: see struct hmem.
 */
#include <linux/acpi.h>
#include <linux/crash_dump.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "hmem.h"

#define HMEM_HINT_BUF_SIZE						\
	(sizeof(struct virtio_hmem_hint_batch) +			\
	 HMEM_HINTS_PER_BUF * sizeof(struct virtio_hmem_hint))

static_assert(PAGE_SHIFT == VIRTIO_HMEM_GFN_SHIFT);
static_assert(HMEM_HINTS_PER_BUF >= VIRTIO_HMEM_MIN_HINTS);
static_assert(HMEM_CHUNK >= HPAGE_PMD_NR);

/*
 * Hints
 */

static int hmem_hint_buf_post(struct hmem *hm, void *buf)
{
	return hmem_in_post(hm->vqs[VIRTIO_HMEM_VQ_HINT], buf,
			    HMEM_HINT_BUF_SIZE);
}

static bool hmem_hint_buf_run(struct hmem *hm,
			      struct virtio_hmem_hint_batch *batch,
			      unsigned int len)
{
	u32 num;

	if (len < sizeof(*batch) || len > HMEM_HINT_BUF_SIZE) {
		hmem_device_broken(hm, "hint batch of impossible length");
		return false;
	}
	/* Read the field once: the device can write to it at any time. */
	num = le32_to_cpu(READ_ONCE(batch->num_hints));
	if (!num || num > HMEM_HINTS_PER_BUF ||
	    len < struct_size(batch, hints, num)) {
		hmem_device_broken(hm, "hint batch shorter than its hints");
		return false;
	}
	hm->batch_id = le64_to_cpu(batch->id);
	hm->results_lost = false;
	memcpy(hm->area->hints, batch->hints, flex_array_size(batch, hints, num));
	mutex_lock(&hm->moving);
	hmem_batch_run(hm, num);
	mutex_unlock(&hm->moving);
	if (hm->resize)
		hmem_resize_room(hm);
	if (hm->result_buf)
		hmem_result_send(hm, true);
	return true;
}

static void hmem_hints_work(struct work_struct *work)
{
	struct hmem *hm = container_of(work, struct hmem, hints_work);
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_HINT];
	unsigned int len;
	void *buf;

	while ((buf = virtqueue_get_buf(vq, &len))) {
		if (!hmem_hint_buf_run(hm, buf, len))
			return;
		if (READ_ONCE(hm->stop))
			continue;
		if (hmem_hint_buf_post(hm, buf)) {
			hmem_device_broken(hm, "hint queue has no room for its buffers");
			return;
		}
		virtqueue_kick(vq);
		/* One batch per work: the kernel cannot freeze a busy work. */
		queue_work(hm->wq, &hm->hints_work);
		return;
	}
}

static void hmem_hint_callback(struct virtqueue *vq)
{
	struct hmem *hm = vq->vdev->priv;

	if (!READ_ONCE(hm->stop))
		queue_work(hm->wq, &hm->hints_work);
}

static void hmem_result_callback(struct virtqueue *vq)
{
	struct hmem *hm = vq->vdev->priv;

	wake_up(&hm->result_wait);
}

/*
 * Tiers
 */

/* The node of tier @i, or NUMA_NO_NODE if the node has no memory now. */
static int hmem_tier_node(struct hmem *hm, unsigned int i, u32 *pxm)
{
	int nid;

	virtio_cread_le(hm->vdev, struct virtio_hmem_config, tiers[i].pxm, pxm);
	nid = pxm_to_node(*pxm);
	if (nid < 0 || nid >= MAX_NUMNODES || !node_state(nid, N_MEMORY))
		return NUMA_NO_NODE;
	return nid;
}

static void hmem_tier_set(struct hmem *hm, unsigned int i, u32 pxm, int nid)
{
	struct device *dev = &hm->vdev->dev;

	hm->tier_nid[i] = nid;
	if (nid == NUMA_NO_NODE)
		dev_warn(dev,
			 "tier %u (proximity domain %u) has no memory here: hints for it are refused\n",
			 i, pxm);
	else
		dev_info(dev, "tier %u is node %d\n", i, nid);
}

static void hmem_tier_update(struct hmem *hm, unsigned int i)
{
	u64 online;
	u32 pxm;
	int nid = hmem_tier_node(hm, i, &pxm);

	if (nid != hm->tier_nid[i])
		hmem_tier_set(hm, i, pxm, nid);
	if (!virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_ONLINE))
		return;
	online = nid == NUMA_NO_NODE ? 0 :
				       (u64)node_present_pages(nid) << PAGE_SHIFT;
	virtio_cwrite_le(hm->vdev, struct virtio_hmem_config, tiers[i].online,
			 &online);
}

/* The worker runs this between batches, so a tier does not change during a batch. */
static void hmem_tiers_work(struct work_struct *work)
{
	struct hmem *hm = container_of(work, struct hmem, tiers_work);
	unsigned int i;

	for (i = 0; i < hm->num_tiers && !READ_ONCE(hm->stop); i++)
		hmem_tier_update(hm, i);
}

/*
 * Memory went online or offline.  The kernel's lock for memory hotplug is held, which
 * the worker does not take.  After MEM_OFFLINE, the kernel can remove memory that was
 * online when the worker looked for a page.  pfn_to_online_page() does not find such
 * memory any more, so it is enough to wait for the batch under way.  A scan looks at
 * mapped pages only, and these cannot go offline.
 */
static int hmem_memory_event(struct notifier_block *notifier,
			     unsigned long event, void *data)
{
	struct hmem *hm = container_of(notifier, struct hmem, memory_notifier);
	const struct memory_notify *which = data;

	switch (event) {
	case MEM_GOING_OFFLINE:
		hmem_resize_going_offline(hm, which->start_pfn, which->nr_pages);
		break;
	case MEM_OFFLINE:
		mutex_lock(&hm->moving);
		mutex_unlock(&hm->moving);
		fallthrough;
	case MEM_ONLINE:
		if (!READ_ONCE(hm->stop))
			queue_work(hm->wq, &hm->tiers_work);
		break;
	}
	return NOTIFY_OK;
}

/*
 * Life cycle
 */

static int hmem_read_config(struct hmem *hm)
{
	struct device *dev = &hm->vdev->dev;
	unsigned int i;
	u16 num;

	virtio_cread_le(hm->vdev, struct virtio_hmem_config, num_tiers, &num);
	if (num < 2 || num > VIRTIO_HMEM_MAX_TIERS) {
		dev_err(dev, "device has %u tiers: 2 to %u make sense\n", num,
			VIRTIO_HMEM_MAX_TIERS);
		return -EINVAL;
	}
	hm->num_tiers = num;
	for (i = 0; i < num; i++) {
		u32 pxm;
		int nid = hmem_tier_node(hm, i, &pxm);

		hmem_tier_set(hm, i, pxm, nid);
	}
	return 0;
}

/* Start the device, which has been reset, and post all buffers. */
static int hmem_start(struct hmem *hm)
{
	struct virtqueue_info info[VIRTIO_HMEM_VQ_MAX] = {
		[VIRTIO_HMEM_VQ_HINT] = { "hint", hmem_hint_callback },
		[VIRTIO_HMEM_VQ_RESULT] = { "result", hmem_result_callback },
		[VIRTIO_HMEM_VQ_SCAN] = { "scan", hm->scan ? hmem_scan_callback : NULL },
		[VIRTIO_HMEM_VQ_ACCESS] = { "access", hm->scan ? hmem_scan_callback : NULL },
		[VIRTIO_HMEM_VQ_RESIZE] = { "resize", hmem_resize_callback },
	};
	unsigned int num = hm->resize ? VIRTIO_HMEM_VQ_MAX :
			   hm->scan ? VIRTIO_HMEM_VQ_RESIZE : VIRTIO_HMEM_VQ_SCAN;
	unsigned int i;
	int rc;

	rc = virtio_find_vqs(hm->vdev, num, hm->vqs, info, NULL);
	if (rc) {
		dev_err(&hm->vdev->dev, "no virtqueues: %d\n", rc);
		return rc;
	}
	hm->foreign_base = hmem_foreign_moves(hm);
	hm->collapsed_base = hmem_collapsed(hm->area->events);
	hm->result_buf = NULL;
	for (i = 0; i < HMEM_RESULT_BUFS; i++)
		hm->result_bufs[i].busy = false;
	hm->running = true;
	WRITE_ONCE(hm->stop, false);
	virtio_device_ready(hm->vdev);
	for (i = 0; i < HMEM_HINT_BUFS; i++)
		if (hmem_hint_buf_post(hm, hm->hint_bufs[i]))
			break;	/* a smaller queue takes fewer batches ahead */
	virtqueue_kick(hm->vqs[VIRTIO_HMEM_VQ_HINT]);
	if (hm->scan)
		hmem_scan_start(hm);
	if (hm->resize)
		hmem_resize_start(hm);
	queue_work(hm->wq, &hm->tiers_work);
	return 0;
}

static void hmem_cancel_works(struct hmem *hm)
{
	cancel_work_sync(&hm->hints_work);
	cancel_work_sync(&hm->tiers_work);
	if (hm->scan)
		hmem_scan_stop(hm);
	if (hm->resize)
		hmem_resize_stop(hm);
}

/* Stop the worker where it is, and take back all buffers from the device. */
static void hmem_stop(struct hmem *hm)
{
	struct virtqueue *vq;

	if (!hm->running)
		return;
	WRITE_ONCE(hm->stop, true);
	wake_up(&hm->result_wait);
	hmem_cancel_works(hm);
	virtio_reset_device(hm->vdev);
	/* A callback may have queued the works again before the reset. */
	hmem_cancel_works(hm);
	/* A queue has allocated descriptors for each buffer that the device has not used. */
	virtio_device_for_each_vq(hm->vdev, vq)
		while (virtqueue_detach_unused_buf(vq))
			;
	if (hm->resize)
		hmem_resize_release(hm);
	hm->vdev->config->del_vqs(hm->vdev);
	hm->running = false;
}

/*
 * The PREPARE events come before the freezer, which waits up to 20 s for running works.
 * The POST events come after the system has slept, or has failed to.
 */
static int hmem_pm_event(struct notifier_block *notifier, unsigned long event,
			 void *unused)
{
	struct hmem *hm = container_of(notifier, struct hmem, pm_notifier);

	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_SUSPEND_PREPARE:
	case PM_RESTORE_PREPARE:
		WRITE_ONCE(hm->going_to_sleep, true);
		wake_up(&hm->result_wait);
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_SUSPEND:
	case PM_POST_RESTORE:
		WRITE_ONCE(hm->going_to_sleep, false);
		/* If the system has not slept, nothing else continues what has paused. */
		hmem_resize_changed(hm);
		break;
	}
	return NOTIFY_OK;
}

static void hmem_free(struct hmem *hm)
{
	unsigned int i;

	hmem_resize_free(hm);
	hmem_scan_free(hm);
	for (i = 0; i < HMEM_HINT_BUFS; i++)
		kfree(hm->hint_bufs[i]);
	for (i = 0; i < HMEM_RESULT_BUFS; i++)
		kfree(hm->result_bufs[i].data);
	kvfree(hm->area);
	kfree(hm);
}

static struct hmem *hmem_alloc_device(struct virtio_device *vdev)
{
	struct hmem *hm = kzalloc(sizeof(*hm), GFP_KERNEL);
	unsigned int i;

	if (!hm)
		return NULL;
	hm->vdev = vdev;
	INIT_WORK(&hm->hints_work, hmem_hints_work);
	INIT_WORK(&hm->tiers_work, hmem_tiers_work);
	mutex_init(&hm->moving);
	init_waitqueue_head(&hm->result_wait);
	hm->stop = true;
	hm->pm_notifier.notifier_call = hmem_pm_event;
	hm->memory_notifier.notifier_call = hmem_memory_event;
	hm->area = kvzalloc(sizeof(*hm->area), GFP_KERNEL);
	if (!hm->area)
		goto fail;
	for (i = 0; i < HMEM_HINT_BUFS; i++) {
		hm->hint_bufs[i] = kzalloc(HMEM_HINT_BUF_SIZE, GFP_KERNEL);
		if (!hm->hint_bufs[i])
			goto fail;
	}
	for (i = 0; i < HMEM_RESULT_BUFS; i++) {
		hm->result_bufs[i].data = kzalloc(HMEM_RESULT_BUF_SIZE,
						  GFP_KERNEL);
		if (!hm->result_bufs[i].data)
			goto fail;
	}
	return hm;
fail:
	hmem_free(hm);
	return NULL;
}

static int hmem_probe(struct virtio_device *vdev)
{
	struct hmem *hm;
	int rc;

	/*
	 * A crash kernel has little memory, for a short time, and must not fail.  The device was
	 * reset before this probe, so that memory which the crashed kernel gave up has come back.
	 */
	if (is_kdump_kernel()) {
		dev_info(&vdev->dev, "not used in a crash kernel\n");
		return -ENODEV;
	}
	if (!vdev->config->get) {
		dev_err(&vdev->dev, "device has no configuration\n");
		return -EINVAL;
	}
	hm = hmem_alloc_device(vdev);
	if (!hm)
		return -ENOMEM;
	vdev->priv = hm;

	rc = hmem_read_config(hm);
	if (rc)
		goto out_free;
	if (virtio_has_feature(vdev, VIRTIO_HMEM_F_ACCESS)) {
		rc = hmem_scan_alloc(hm);
		if (rc)
			goto out_free;
	}
	if (virtio_has_feature(vdev, VIRTIO_HMEM_F_RESIZE)) {
		rc = hmem_resize_alloc(hm);
		if (rc)
			goto out_free;
	}
	/* Freezable: no page moves while the system sleeps. */
	hm->wq = alloc_ordered_workqueue("virtio_hmem", WQ_FREEZABLE);
	if (!hm->wq) {
		rc = -ENOMEM;
		goto out_free;
	}
	hmem_stats_add(hm);
	rc = register_pm_notifier(&hm->pm_notifier);
	if (rc)
		goto out_stats;
	rc = register_memory_notifier(&hm->memory_notifier);
	if (rc)
		goto out_pm;
	rc = hmem_start(hm);
	if (rc)
		goto out_memory;
	return 0;

out_memory:
	unregister_memory_notifier(&hm->memory_notifier);
out_pm:
	unregister_pm_notifier(&hm->pm_notifier);
out_stats:
	hmem_stats_remove(hm);
	destroy_workqueue(hm->wq);
out_free:
	hmem_free(hm);
	return rc;
}

static void hmem_remove(struct virtio_device *vdev)
{
	struct hmem *hm = vdev->priv;

	unregister_memory_notifier(&hm->memory_notifier);
	unregister_pm_notifier(&hm->pm_notifier);
	if (hm->running) {
		/* Let the worker answer the pending hints as stopped. */
		WRITE_ONCE(hm->stop, true);
		wake_up(&hm->result_wait);
		queue_work(hm->wq, &hm->hints_work);
		flush_work(&hm->hints_work);
	}
	hmem_stop(hm);
	/* After a failed resume there are no queues, but the device has a status. */
	virtio_reset_device(vdev);
	hmem_stats_remove(hm);
	destroy_workqueue(hm->wq);
	hmem_free(hm);
}

/* Called before features are negotiated: clear those that this kernel cannot offer. */
static int hmem_validate(struct virtio_device *vdev)
{
	if (!HMEM_CAN_MOVE_LARGE || !thp_migration_supported())
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_LARGE);
	if (!hmem_scan_possible())
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_ACCESS);
	if (!virtio_has_feature(vdev, VIRTIO_HMEM_F_ACCESS)) {
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_WRITTEN);
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_INCOMPLETE);
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_LOOK);
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_COST);
	}
	if (!hmem_paging_possible() || !virtio_has_feature(vdev, VIRTIO_HMEM_F_RESIZE))
		__virtio_clear_bit(vdev, VIRTIO_HMEM_F_PAGING);
	return 0;
}

#ifdef CONFIG_PM_SLEEP
static int hmem_freeze(struct virtio_device *vdev)
{
	hmem_stop(vdev->priv);
	return 0;
}

static int hmem_restore(struct virtio_device *vdev)
{
	return hmem_start(vdev->priv);
}
#endif

static void hmem_config_changed(struct virtio_device *vdev)
{
	hmem_resize_changed(vdev->priv);
}

static const struct virtio_device_id hmem_id_table[] = {
	{ VIRTIO_ID_HMEM, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, hmem_id_table);

static const unsigned int hmem_features[] = {
	VIRTIO_HMEM_F_LARGE,
	VIRTIO_HMEM_F_ACCESS,
	VIRTIO_HMEM_F_RESTRICTED,
	VIRTIO_HMEM_F_WRITTEN,
	VIRTIO_HMEM_F_INCOMPLETE,
	VIRTIO_HMEM_F_ONLINE,
	VIRTIO_HMEM_F_LOOK,
	VIRTIO_HMEM_F_RESIZE,
	VIRTIO_HMEM_F_PAGING,
	VIRTIO_HMEM_F_COST,
	VIRTIO_HMEM_F_PAUSE,
	VIRTIO_HMEM_F_ACCOUNT,
};

static const struct attribute_group *hmem_attr_groups[] = {
	&hmem_attr_group,
	NULL,
};

static struct virtio_driver hmem_driver = {
	.feature_table = hmem_features,
	.feature_table_size = ARRAY_SIZE(hmem_features),
	.driver = {
		.name = KBUILD_MODNAME,
		.dev_groups = hmem_attr_groups,
	},
	.id_table = hmem_id_table,
	.validate = hmem_validate,
	.probe = hmem_probe,
	.remove = hmem_remove,
	.config_changed = hmem_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = hmem_freeze,
	.restore = hmem_restore,
#endif
};

#define HMEM_SIZE(type, size) static_assert(sizeof(type) == (size))
VIRTIO_HMEM_ASSERT_LAYOUT(HMEM_SIZE);

static int __init hmem_init(void)
{
	int rc;

	hmem_stats_init();
	rc = register_virtio_driver(&hmem_driver);
	if (rc)
		hmem_stats_exit();
	return rc;
}
module_init(hmem_init);

static void __exit hmem_exit(void)
{
	unregister_virtio_driver(&hmem_driver);
	hmem_stats_exit();
}
module_exit(hmem_exit);

MODULE_DESCRIPTION("Virtio heterogeneous memory driver");
MODULE_LICENSE("GPL");
