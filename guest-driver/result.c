// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sends the results of the batch that is being run, in as few buffers as possible.  Only
 * the worker calls these functions.
 */
#include <linux/jiffies.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/wait.h>

#include "hmem.h"

/*
 * How long a stopping driver waits for the device to accept results: STOP_WAIT before the
 * device goes away, SLEEP_WAIT before the system sleeps.  Results sent before a sleep
 * matter afterwards, so that wait is longer: half of the time that the kernel gives all
 * works together to stop (freeze_timeout_msecs).
 */
#define HMEM_STOP_WAIT		HZ
#define HMEM_SLEEP_WAIT		(10 * HZ)

static struct hmem_out_buf *hmem_result_buf_free(struct hmem *hm)
{
	return hmem_out_free(hm->vqs[VIRTIO_HMEM_VQ_RESULT], hm->result_bufs,
			     HMEM_RESULT_BUFS);
}

void hmem_result_send(struct hmem *hm, bool last)
{
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_RESULT];
	struct hmem_out_buf *buf = hm->result_buf;
	struct virtio_hmem_result_batch *batch = buf->data;
	unsigned long foreign = hmem_foreign_moves(hm) - hm->foreign_base;
	u32 flags = last ? VIRTIO_HMEM_RESULT_LAST : 0;
	u32 num = le32_to_cpu(batch->num_results);
	size_t len = struct_size(batch, results, num);

	if (last && virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_PAUSE)) {
		flags |= VIRTIO_HMEM_RESULT_PAUSES;
		hmem_stats_pauses(hm, (void *)&batch->results[num]);
		len += sizeof(struct virtio_hmem_pauses);
	}
	if (last && virtio_has_feature(hm->vdev, VIRTIO_HMEM_F_ACCOUNT)) {
		flags |= VIRTIO_HMEM_RESULT_ACCOUNT;
		hmem_account(hm, buf->data + len);
		len += sizeof(struct virtio_hmem_account);
	}
	hm->stats.foreign_moves = foreign;
	batch->foreign_moves = cpu_to_le64(foreign);
	batch->flags = cpu_to_le32(flags);
	hm->result_buf = NULL;
	if (hmem_out_post(vq, buf, len)) {
		hmem_device_broken(hm, "result queue has no room for its buffers");
		return;
	}
	virtqueue_kick(vq);
}

/* Start the next buffer.  Returns false if the device will take none. */
static bool hmem_result_next(struct hmem *hm)
{
	struct virtqueue *vq = hm->vqs[VIRTIO_HMEM_VQ_RESULT];
	struct virtio_hmem_result_batch *batch;
	struct hmem_out_buf *buf;

	wait_event_idle(hm->result_wait,
			(buf = hmem_result_buf_free(hm)) ||
			hmem_stopping(hm) || virtqueue_is_broken(vq));
	/* A working device needs only a moment; a stuck one would never answer. */
	if (!buf)
		wait_event_idle_timeout(hm->result_wait,
					(buf = hmem_result_buf_free(hm)) ||
					virtqueue_is_broken(vq),
					READ_ONCE(hm->stop) ? HMEM_STOP_WAIT :
							      HMEM_SLEEP_WAIT);
	if (!buf || virtqueue_is_broken(vq)) {
		hm->results_lost = true;
		return false;
	}
	batch = buf->data;
	batch->id = cpu_to_le64(hm->batch_id);
	batch->num_results = 0;
	hm->result_buf = buf;
	return true;
}

static bool hmem_result_has_room(const struct hmem *hm)
{
	const struct virtio_hmem_result_batch *batch;

	if (!hm->result_buf)
		return false;
	batch = hm->result_buf->data;
	return le32_to_cpu(batch->num_results) < HMEM_RESULTS_PER_BUF;
}

/* Provide another buffer.  Returns false if there will be none. */
static bool hmem_result_room(struct hmem *hm)
{
	if (hm->result_buf)
		hmem_result_send(hm, false);
	/* A device that takes no buffers is gone and waits for no results. */
	return !hm->results_lost && hmem_result_next(hm);
}

void hmem_result_add(struct hmem *hm, const struct virtio_hmem_result *res)
{
	struct virtio_hmem_result_batch *batch;
	bool room = true;
	u32 n;

	/*
	 * The worker uses no page here, so release the mutex for memory hotplug.
	 * Otherwise a device that takes no results would delay hotplug.  It could even
	 * deadlock: hmem_foreign_moves() takes the lock for CPU hotplug, which a waiter
	 * for hm->moving holds.
	 */
	if (!hmem_result_has_room(hm)) {
		mutex_unlock(&hm->moving);
		room = hmem_result_room(hm);
		mutex_lock(&hm->moving);
	}
	if (!room)
		return;
	batch = hm->result_buf->data;
	n = le32_to_cpu(batch->num_results);
	batch->results[n] = *res;
	batch->num_results = cpu_to_le32(n + 1);
}
