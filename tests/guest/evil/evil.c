// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver that breaks the rules, to test that the device and hmemd survive it.
 * The parameter "mode" selects the rule (see the table at the end).  virtio_hmem
 * must not be loaded at the same time.
 */
#include <linux/io.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/workqueue.h>

#include "virtio_hmem.h"

static char *mode = "";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "what to do wrong");

#define BUF_SIZE	16384
#define MAX_ANSWERS	512
/* The queues of hints and results; this driver does not scan. */
#define EVIL_VQS	(VIRTIO_HMEM_VQ_RESULT + 1)

struct evil {
	struct virtio_device *vdev;
	struct virtqueue *vqs[EVIL_VQS];
	struct work_struct work;
	struct virtio_hmem_hint_batch *hints;
	struct virtio_hmem_result_batch *out;
	void (*answer)(struct evil *evil);
};

/* Send the first @len bytes of the result buffer. */
static void send(struct evil *evil, unsigned int len)
{
	struct virtqueue *vq = evil->vqs[VIRTIO_HMEM_VQ_RESULT];
	struct scatterlist sg;
	unsigned int unused;

	while (virtqueue_get_buf(vq, &unused))
		;
	sg_init_one(&sg, evil->out, len);
	if (!virtqueue_add_outbuf(vq, &sg, 1, evil->out, GFP_KERNEL))
		virtqueue_kick(vq);
}

static unsigned int size(unsigned int num)
{
	return sizeof(struct virtio_hmem_result_batch) +
	        num * sizeof(struct virtio_hmem_result);
}

/* Writes the right answer, which refuses all hints; modes then make it wrong. */
static unsigned int honest(struct evil *evil)
{
	struct virtio_hmem_result_batch *out = evil->out;
	u32 i, num = min_t(u32, le32_to_cpu(evil->hints->num_hints), MAX_ANSWERS);

	out->id = evil->hints->id;
	out->num_results = cpu_to_le32(num);
	out->flags = cpu_to_le32(VIRTIO_HMEM_RESULT_LAST);
	out->foreign_moves = 0;
	for (i = 0; i < num; i++) {
		const struct virtio_hmem_hint *hint = &evil->hints->hints[i];

		out->results[i] = (struct virtio_hmem_result) {
			.gfn = hint->gfn,
			.new_gfn = hint->gfn,
			.order = hint->order,
			.status = VIRTIO_HMEM_S_NACK,
			.reason = VIRTIO_HMEM_R_KERNEL,
		};
	}
	return size(num);
}

static void answer_honest(struct evil *evil)
{
	send(evil, honest(evil));
}

static void answer_short(struct evil *evil)
{
	unsigned int len = honest(evil);

	len = 8;
	send(evil, len);
}

static void answer_cut(struct evil *evil)
{
	unsigned int len = honest(evil);

	len--;
	send(evil, len);
}

static void answer_huge(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->num_results = cpu_to_le32(U32_MAX);
	send(evil, len);
}

static void answer_many(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->num_results = cpu_to_le32(U32_MAX / sizeof(struct virtio_hmem_result) + 2);
	send(evil, len);
}

static void answer_unknown(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->id = cpu_to_le64(U64_MAX);
	send(evil, len);
}

static void answer_zero_id(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->id = 0;
	send(evil, len);
}

static void answer_flags(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->flags = cpu_to_le32(U32_MAX);
	send(evil, len);
}

static void answer_status(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->results[0].status = VIRTIO_HMEM_S_OK;
	send(evil, len);
}

static void answer_reason(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->results[0].reason = 200;
	send(evil, len);
}

static void answer_order(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->results[0].order = 63;
	send(evil, len);
}

static void answer_gfn(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->results[0].gfn = cpu_to_le64(U64_MAX >> 1);
	send(evil, len);
}

static void answer_new_gfn(struct evil *evil)
{
	unsigned int len = honest(evil);

	/* The page is said to have moved to a frame where there is no memory. */
	evil->out->results[0].status = VIRTIO_HMEM_S_OK;
	evil->out->results[0].reason = VIRTIO_HMEM_R_MOVED;
	evil->out->results[0].new_gfn = cpu_to_le64(1ULL << 36);
	send(evil, len);
}

static void answer_missing(struct evil *evil)
{
	unsigned int len = honest(evil);

	evil->out->num_results = 0;
	send(evil, len);
}

/* Finishes the same batch twice. */
static void answer_twice(struct evil *evil)
{
	unsigned int len = honest(evil);

	send(evil, len);
	send(evil, len);
}

/* Sends more results than there were hints, a few at a time. */
static void answer_endless(struct evil *evil)
{
	unsigned int i, len = honest(evil);

	evil->out->flags = 0;
	for (i = 0; i < 4; i++)
		send(evil, len);
}

/* Lies that break no rule: all pages are said to be in one frame. */
static void answer_liar(struct evil *evil)
{
	unsigned int len = honest(evil);
	u32 i;

	for (i = 0; i < le32_to_cpu(evil->out->num_results); i++) {
		struct virtio_hmem_result *res = &evil->out->results[i];

		res->status = VIRTIO_HMEM_S_OK;
		res->reason = VIRTIO_HMEM_R_MOVED;
		res->order = 0;
		/* A high frame number, which is valid whichever node the page is in. */
		res->new_gfn = cpu_to_le64(0x12000);
	}
	evil->out->foreign_moves = cpu_to_le64(U64_MAX);
	send(evil, len);
}

/* A buffer for results that the device should write. */
static void answer_writable(struct evil *evil)
{
	struct virtqueue *vq = evil->vqs[VIRTIO_HMEM_VQ_RESULT];
	struct scatterlist sg;

	sg_init_one(&sg, evil->out, honest(evil));
	if (!virtqueue_add_inbuf(vq, &sg, 1, evil->out, GFP_KERNEL))
		virtqueue_kick(vq);
}

/* A descriptor that is followed by itself. */
static void answer_loop(struct evil *evil)
{
	struct virtqueue *vq = evil->vqs[VIRTIO_HMEM_VQ_RESULT];
	struct vring_desc *desc = phys_to_virt(virtqueue_get_desc_addr(vq));
	unsigned int i, num = virtqueue_get_vring_size(vq);
	struct scatterlist sg;

	sg_init_one(&sg, evil->out, honest(evil));
	if (virtqueue_add_outbuf(vq, &sg, 1, evil->out, GFP_KERNEL))
		return;
	for (i = 0; i < num; i++) {
		desc[i].next = cpu_to_le16(i);
		desc[i].flags = cpu_to_le16(VRING_DESC_F_NEXT);
	}
	virtqueue_kick(vq);
}

/* A descriptor of an address without memory. */
static void answer_nowhere(struct evil *evil)
{
	struct virtqueue *vq = evil->vqs[VIRTIO_HMEM_VQ_RESULT];
	struct vring_desc *desc = phys_to_virt(virtqueue_get_desc_addr(vq));
	unsigned int i, num = virtqueue_get_vring_size(vq);
	struct scatterlist sg;

	sg_init_one(&sg, evil->out, honest(evil));
	if (virtqueue_add_outbuf(vq, &sg, 1, evil->out, GFP_KERNEL))
		return;
	for (i = 0; i < num; i++)
		desc[i].addr = cpu_to_le64(1ULL << 50);
	virtqueue_kick(vq);
}

static const struct {
	const char *mode;
	void (*answer)(struct evil *evil);
	unsigned int hint_size;		/* size of a hint buffer; 0: the right one */
	bool readable;			/* the device can only read the hint buffer */
} modes[] = {
	{ "honest", answer_honest },
	{ "short", answer_short },
	{ "cut", answer_cut },
	{ "huge", answer_huge },
	{ "many", answer_many },
	{ "unknown", answer_unknown },
	{ "zero-id", answer_zero_id },
	{ "flags", answer_flags },
	{ "status", answer_status },
	{ "reason", answer_reason },
	{ "order", answer_order },
	{ "gfn", answer_gfn },
	{ "new-gfn", answer_new_gfn },
	{ "missing", answer_missing },
	{ "twice", answer_twice },
	{ "endless", answer_endless },
	{ "liar", answer_liar },
	{ "writable", answer_writable },
	{ "loop", answer_loop },
	{ "nowhere", answer_nowhere },
	{ "small-buffer", answer_honest, 64 },
	{ "readable-buffer", answer_honest, 0, true },
};

static void evil_work(struct work_struct *work)
{
	struct evil *evil = container_of(work, struct evil, work);
	unsigned int len;

	if (virtqueue_get_buf(evil->vqs[VIRTIO_HMEM_VQ_HINT], &len))
		evil->answer(evil);
}

static void evil_callback(struct virtqueue *vq)
{
	struct evil *evil = vq->vdev->priv;

	schedule_work(&evil->work);
}

static int evil_find_vqs(struct evil *evil)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct virtqueue_info info[] = {
		{ "hint", evil_callback }, { "result", evil_callback },
	};

	return virtio_find_vqs(evil->vdev, EVIL_VQS, evil->vqs, info,
			       NULL);
#else
	vq_callback_t *callbacks[] = { evil_callback, evil_callback };
	static const char * const names[] = { "hint", "result" };

	return virtio_find_vqs(evil->vdev, EVIL_VQS, evil->vqs,
			       callbacks, names, NULL);
#endif
}

static int evil_probe(struct virtio_device *vdev)
{
	struct virtqueue *vq;
	struct scatterlist sg;
	struct evil *evil;
	unsigned int i;
	int rc = -ENOMEM;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(mode, modes[i].mode))
			break;
	if (i == ARRAY_SIZE(modes)) {
		dev_err(&vdev->dev, "no mode '%s'\n", mode);
		return -EINVAL;
	}
	evil = kzalloc(sizeof(*evil), GFP_KERNEL);
	if (!evil)
		return -ENOMEM;
	evil->vdev = vdev;
	evil->answer = modes[i].answer;
	evil->hints = kzalloc(BUF_SIZE, GFP_KERNEL);
	evil->out = kzalloc(BUF_SIZE, GFP_KERNEL);
	INIT_WORK(&evil->work, evil_work);
	vdev->priv = evil;
	if (!evil->hints || !evil->out)
		goto fail;
	rc = evil_find_vqs(evil);
	if (rc)
		goto fail;
	virtio_device_ready(vdev);
	vq = evil->vqs[VIRTIO_HMEM_VQ_HINT];
	sg_init_one(&sg, evil->hints, modes[i].hint_size ?: BUF_SIZE / 2);
	rc = modes[i].readable ?
	     virtqueue_add_outbuf(vq, &sg, 1, evil->hints, GFP_KERNEL) :
	     virtqueue_add_inbuf(vq, &sg, 1, evil->hints, GFP_KERNEL);
	if (!rc)
		virtqueue_kick(vq);
	return 0;
fail:
	kfree(evil->hints);
	kfree(evil->out);
	kfree(evil);
	return rc;
}

static void evil_remove(struct virtio_device *vdev)
{
	struct evil *evil = vdev->priv;

	virtio_reset_device(vdev);
	cancel_work_sync(&evil->work);
	vdev->config->del_vqs(vdev);
	kfree(evil->hints);
	kfree(evil->out);
	kfree(evil);
}

static const struct virtio_device_id evil_ids[] = {
	{ VIRTIO_ID_HMEM, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver evil_driver = {
	.driver.name = KBUILD_MODNAME,
	.id_table = evil_ids,
	.probe = evil_probe,
	.remove = evil_remove,
};
module_virtio_driver(evil_driver);

MODULE_DESCRIPTION("A virtio heterogeneous memory driver that breaks the rules");
MODULE_LICENSE("GPL");
