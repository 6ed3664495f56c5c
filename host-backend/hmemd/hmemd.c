/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hmemd.h"

void hmemd_init(struct hmemd *d)
{
	*d = (struct hmemd) {
		.settings.file = HMEM_CONFIG_FILE,
		/* A batch has at most 1 GiB; no guest needs ten seconds to copy that. */
		.late_ms = 10000,
		.vm_listener.fd = -1,
		.control_listener.fd = -1,
		.monitor_listener.fd = -1,
		.learned_dir.fd = -1,
		.host_trackers.paths = { .proc = "/proc", .mm = "/sys/kernel/mm" },
	};
	TAILQ_INIT(&d->vms);
	TAILQ_INIT(&d->clients);
	lockstep_init(&d->lockstep);
	work_queue_init(&d->passes, &d->loop);
	work_queue_init(&d->heat_queries, &d->loop);
	work_queue_init(&d->host_scans, &d->loop);
	work_queue_init(&d->discards, &d->loop);
	d->host_trackers.loop = &d->loop;
	d->host_trackers.queue = &d->host_scans;
	pooling_init(&d->pooling);
}
