// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver that breaks no rule of the device's, but lies in everything that it says, as often as
 * it can: to test that a guest gains nothing by that, and harms no other guest.
 *
 *   hints	each page is said to be in one and the same frame now
 *   scans	all memory is said to be in use, and looking at it to cost nothing
 *   sizes	the node is said to be full, to have no free page and to have all; the same 2 MiB
 *		are given up and taken back
 *   accounts	any number of free bytes, and counts that go up and down
 *   paging	counts of pages read from swap that go up and down
 *   online	any number
 *
 * With reset=N, the driver resets the device in the middle of all this after each N rounds, so
 * that it seems to be another one.  virtio_hmem must not be loaded at the same time.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/workqueue.h>

#include "virtio_hmem.h"

static uint reset;
module_param(reset, uint, 0444);
MODULE_PARM_DESC(reset, "rounds until the device is reset; 0: never");

static ulong frames = 0x10000;
module_param(frames, ulong, 0444);
MODULE_PARM_DESC(frames, "how many frames are said to be in use");

#define HINT_SIZE	16384
#define SCAN_SIZE	65536
#define REPORT_SIZE	65536
#define MAX_MESSAGES	16
/* Where all pages are said to be: aligned to the largest page. */
#define THE_FRAME	0x8000
#define BLOCK_ORDER	9

struct message {
	struct virtio_hmem_resize header;
	union {
		struct virtio_hmem_run run;
		struct virtio_hmem_paging paging;
	};
	struct virtio_hmem_resized done;
};

struct liar {
	struct virtio_device *vdev;
	struct virtqueue *vqs[VIRTIO_HMEM_VQ_MAX];
	struct delayed_work work;
	struct virtio_hmem_hint_batch *hints;
	struct virtio_hmem_result_batch *results;
	struct virtio_hmem_scan *scan;
	u8 *report;
	struct message *messages;
	/* Memory that is given up and taken back. */
	struct page *block;
	unsigned int rounds;
};

static void post(struct virtqueue *vq, void *buf, unsigned int len)
{
	struct scatterlist sg;

	sg_init_one(&sg, buf, len);
	if (!virtqueue_add_inbuf(vq, &sg, 1, buf, GFP_KERNEL))
		virtqueue_kick(vq);
}

static void send(struct virtqueue *vq, void *buf, unsigned int len)
{
	struct scatterlist sg;
	unsigned int unused;

	while (virtqueue_get_buf(vq, &unused))
		;
	sg_init_one(&sg, buf, len);
	if (!virtqueue_add_outbuf(vq, &sg, 1, buf, GFP_KERNEL))
		virtqueue_kick(vq);
}

/* Returns the number of bytes of the account at @to. */
static unsigned int lie_about_memory(struct liar *liar, void *to)
{
	if (!virtio_has_feature(liar->vdev, VIRTIO_HMEM_F_ACCOUNT))
		return 0;
	get_random_bytes(to, sizeof(struct virtio_hmem_account));
	return sizeof(struct virtio_hmem_account);
}

static void lie_about_hints(struct liar *liar)
{
	struct virtio_hmem_result_batch *out = liar->results;
	u32 i, num = le32_to_cpu(liar->hints->num_hints);
	unsigned int more = lie_about_memory(liar, &out->results[num]);

	out->id = liar->hints->id;
	out->num_results = cpu_to_le32(num);
	out->flags = cpu_to_le32(VIRTIO_HMEM_RESULT_LAST |
				 (more ? VIRTIO_HMEM_RESULT_ACCOUNT : 0));
	out->foreign_moves = cpu_to_le64(get_random_u32());
	for (i = 0; i < num; i++)
		out->results[i] = (struct virtio_hmem_result) {
			.gfn = liar->hints->hints[i].gfn,
			.new_gfn = cpu_to_le64(THE_FRAME),
			.order = liar->hints->hints[i].order,
			.status = VIRTIO_HMEM_S_OK,
			.reason = VIRTIO_HMEM_R_MOVED,
		};
	send(liar->vqs[VIRTIO_HMEM_VQ_RESULT], out,
	     sizeof(*out) + num * sizeof(out->results[0]) + more);
}

static void lie_about_scan(struct liar *liar)
{
	struct virtio_hmem_access *out = (void *)liar->report;
	struct virtio_hmem_cost *cost = (void *)(out + 1);
	struct virtio_hmem_frames *all = (void *)(cost + 1);
	u32 flags = le32_to_cpu(liar->scan->flags);
	u32 i, num = flags & VIRTIO_HMEM_SCAN_REPORT ? frames / 64 : 0;
	unsigned int more;

	if (!(flags & VIRTIO_HMEM_SCAN_LAST))
		return;
	out->id = liar->scan->id;
	out->num_frames = cpu_to_le32(num);
	more = lie_about_memory(liar, &all[num]);
	out->flags = cpu_to_le32(VIRTIO_HMEM_ACCESS_LAST |
				 (more ? VIRTIO_HMEM_ACCESS_ACCOUNT : 0));
	*cost = (struct virtio_hmem_cost) { };
	for (i = 0; i < num; i++) {
		all[i].gfn = cpu_to_le64(i * 64ull);
		all[i].mask = cpu_to_le64(U64_MAX);
	}
	send(liar->vqs[VIRTIO_HMEM_VQ_ACCESS], out, (u8 *)&all[num] - liar->report + more);
}

static void send_message(struct liar *liar, struct message *m)
{
	unsigned int len = m->header.op == VIRTIO_HMEM_RESIZE_REPORT ?
			   sizeof(m->paging) : sizeof(m->run);
	struct virtqueue *vq = liar->vqs[VIRTIO_HMEM_VQ_RESIZE];
	struct scatterlist out, in, *sgs[] = { &out, &in };

	sg_init_one(&out, m, sizeof(m->header) + len);
	sg_init_one(&in, &m->done, sizeof(m->done));
	if (!virtqueue_add_sgs(vq, sgs, 1, 1, m, GFP_KERNEL))
		virtqueue_kick(vq);
}

static void lie_about_sizes(struct liar *liar, struct message *m)
{
	bool given = m->header.op == VIRTIO_HMEM_RESIZE_GIVE && m->done.status == 0;

	*m = (struct message) {
		.header = {
			/* The first message gives and takes, the others report. */
			.op = m != liar->messages ? VIRTIO_HMEM_RESIZE_REPORT :
			      given ? VIRTIO_HMEM_RESIZE_TAKE : VIRTIO_HMEM_RESIZE_GIVE,
			.why = get_random_u32() % VIRTIO_HMEM_WHY_MAX,
			.free = cpu_to_le64(get_random_u32() % 2 ? U64_MAX : 0),
		},
	};
	if (m->header.op == VIRTIO_HMEM_RESIZE_REPORT) {
		m->header.tier = get_random_u32() % 2;
		get_random_bytes(&m->paging, sizeof(m->paging));
	} else {
		/* The block is memory of tier 0, where the processors are. */
		m->header.num_runs = cpu_to_le32(1);
		m->run.gfn = cpu_to_le64(page_to_pfn(liar->block));
		m->run.num = cpu_to_le64(1 << BLOCK_ORDER);
	}
	send_message(liar, m);
}

static void lie_about_online(struct liar *liar)
{
	u64 online;

	get_random_bytes(&online, sizeof(online));
	virtio_cwrite_le(liar->vdev, struct virtio_hmem_config, tiers[online % 2].online, &online);
}

static int find_vqs(struct liar *liar)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct virtqueue_info info[] = {
		{ "hint" }, { "result" }, { "scan" }, { "access" }, { "resize" },
	};

	return virtio_find_vqs(liar->vdev, VIRTIO_HMEM_VQ_MAX, liar->vqs, info, NULL);
#else
	vq_callback_t *callbacks[VIRTIO_HMEM_VQ_MAX] = { };
	static const char * const names[] = { "hint", "result", "scan", "access", "resize" };

	return virtio_find_vqs(liar->vdev, VIRTIO_HMEM_VQ_MAX, liar->vqs, callbacks, names, NULL);
#endif
}

static int start(struct liar *liar)
{
	unsigned int i;
	int rc = find_vqs(liar);

	if (rc)
		return rc;
	virtio_device_ready(liar->vdev);
	post(liar->vqs[VIRTIO_HMEM_VQ_HINT], liar->hints, HINT_SIZE);
	post(liar->vqs[VIRTIO_HMEM_VQ_SCAN], liar->scan, SCAN_SIZE);
	memset(liar->messages, 0, MAX_MESSAGES * sizeof(*liar->messages));
	for (i = 0; i < MAX_MESSAGES; i++)
		lie_about_sizes(liar, &liar->messages[i]);
	return 0;
}

static void stop(struct liar *liar)
{
	virtio_reset_device(liar->vdev);
	liar->vdev->config->del_vqs(liar->vdev);
}

/* Begin again as a driver that has just been loaded. */
static int start_again(struct liar *liar)
{
	struct virtio_device *vdev = liar->vdev;

	stop(liar);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	if (vdev->config->finalize_features(vdev))
		return -EIO;
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	return start(liar);
}

static void liar_work(struct work_struct *work)
{
	struct liar *liar = container_of(to_delayed_work(work), struct liar, work);
	struct message *m;
	unsigned int len;

	if (virtqueue_get_buf(liar->vqs[VIRTIO_HMEM_VQ_HINT], &len)) {
		lie_about_hints(liar);
		post(liar->vqs[VIRTIO_HMEM_VQ_HINT], liar->hints, HINT_SIZE);
	}
	if (virtqueue_get_buf(liar->vqs[VIRTIO_HMEM_VQ_SCAN], &len)) {
		lie_about_scan(liar);
		post(liar->vqs[VIRTIO_HMEM_VQ_SCAN], liar->scan, SCAN_SIZE);
	}
	while ((m = virtqueue_get_buf(liar->vqs[VIRTIO_HMEM_VQ_RESIZE], &len)))
		lie_about_sizes(liar, m);
	lie_about_online(liar);
	if (reset && ++liar->rounds % reset == 0 && start_again(liar)) {
		dev_err(&liar->vdev->dev, "the device does not start again\n");
		return;
	}
	schedule_delayed_work(&liar->work, 1);
}

static void liar_free(struct liar *liar)
{
	if (liar->block)
		__free_pages(liar->block, BLOCK_ORDER);
	kfree(liar->hints);
	kfree(liar->results);
	kfree(liar->scan);
	kfree(liar->report);
	kfree(liar->messages);
	kfree(liar);
}

static int liar_probe(struct virtio_device *vdev)
{
	struct liar *liar = kzalloc(sizeof(*liar), GFP_KERNEL);
	int rc = -ENOMEM;

	if (!liar)
		return rc;
	liar->vdev = vdev;
	liar->hints = kzalloc(HINT_SIZE, GFP_KERNEL);
	/* A result is larger than a hint. */
	liar->results = kzalloc(2 * HINT_SIZE, GFP_KERNEL);
	liar->scan = kzalloc(SCAN_SIZE, GFP_KERNEL);
	liar->report = kzalloc(REPORT_SIZE, GFP_KERNEL);
	liar->messages = kcalloc(MAX_MESSAGES, sizeof(*liar->messages), GFP_KERNEL);
	liar->block = alloc_pages_node(0, GFP_KERNEL | __GFP_THISNODE, BLOCK_ORDER);
	INIT_DELAYED_WORK(&liar->work, liar_work);
	vdev->priv = liar;
	if (liar->hints && liar->results && liar->scan && liar->report && liar->messages &&
	    liar->block)
		rc = start(liar);
	if (rc) {
		liar_free(liar);
		return rc;
	}
	schedule_delayed_work(&liar->work, 1);
	return 0;
}

static void liar_remove(struct virtio_device *vdev)
{
	struct liar *liar = vdev->priv;

	cancel_delayed_work_sync(&liar->work);
	stop(liar);
	liar_free(liar);
}

static const unsigned int liar_features[] = {
	VIRTIO_HMEM_F_ACCESS, VIRTIO_HMEM_F_ONLINE, VIRTIO_HMEM_F_LOOK, VIRTIO_HMEM_F_RESIZE,
	VIRTIO_HMEM_F_PAGING, VIRTIO_HMEM_F_COST, VIRTIO_HMEM_F_ACCOUNT,
};

static const struct virtio_device_id liar_ids[] = {
	{ VIRTIO_ID_HMEM, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver liar_driver = {
	.driver.name = KBUILD_MODNAME,
	.feature_table = liar_features,
	.feature_table_size = ARRAY_SIZE(liar_features),
	.id_table = liar_ids,
	.probe = liar_probe,
	.remove = liar_remove,
};
module_virtio_driver(liar_driver);

MODULE_DESCRIPTION("A virtio heterogeneous memory driver that lies");
MODULE_LICENSE("GPL");
