// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers of the queues.  Only the worker calls these functions.
 */
#include <linux/scatterlist.h>
#include <linux/virtio.h>

#include "hmem.h"

void hmem_device_broken(struct hmem *hm, const char *what)
{
	/* A broken queue takes no buffers: the first report names the cause. */
	if (!virtqueue_is_broken(hm->vqs[0]))
		dev_err(&hm->vdev->dev, "device error: %s; device not used any more\n",
			what);
	virtio_break_device(hm->vdev);
}

int hmem_in_post(struct virtqueue *vq, void *buf, size_t size)
{
	struct scatterlist sg;

	sg_init_one(&sg, buf, size);
	return virtqueue_add_inbuf(vq, &sg, 1, buf, GFP_KERNEL);
}

struct hmem_out_buf *hmem_out_free(struct virtqueue *vq,
				   struct hmem_out_buf *bufs, unsigned int nr)
{
	struct hmem_out_buf *buf;
	unsigned int len, i;

	while ((buf = virtqueue_get_buf(vq, &len)))
		buf->busy = false;
	for (i = 0; i < nr; i++)
		if (!bufs[i].busy)
			return &bufs[i];
	return NULL;
}

int hmem_out_post(struct virtqueue *vq, struct hmem_out_buf *buf, size_t len)
{
	struct scatterlist sg;
	int rc;

	sg_init_one(&sg, buf->data, len);
	rc = virtqueue_add_outbuf(vq, &sg, 1, buf, GFP_KERNEL);
	if (!rc)
		buf->busy = true;
	return rc;
}
