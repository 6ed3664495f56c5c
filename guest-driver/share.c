// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps moving pages within a share of a processor, which the guest's administrator sets.
 * After each chunk the worker owes a rest, as long as the chunk has run times what the share
 * leaves to others.  The rest begins when the chunk ends and is waited for when the next chunk
 * begins, so it delays neither results nor a scan between two batches.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/wait.h>

#include "compat.h"
#include "hmem.h"

static unsigned int hmem_cpu_percent = 100;

static int hmem_percent_set(const char *text, const struct kernel_param *param)
{
	return param_set_uint_minmax(text, param, 1, 100);
}

static const struct kernel_param_ops hmem_percent_ops = {
	.set = hmem_percent_set,
	.get = param_get_uint,
};

module_param_cb(cpu_percent, &hmem_percent_ops, &hmem_cpu_percent, 0644);
__MODULE_PARM_TYPE(cpu_percent, "uint");
MODULE_PARM_DESC(cpu_percent,
		 "Largest share of one processor that moving pages takes, 1..100 percent (default 100)");

void hmem_share_begin(struct hmem *hm)
{
	s64 rest = hm->rest_until - ktime_get_ns();

	if (rest > 0) {
		/* The worker uses no page here, so release the mutex for memory hotplug. */
		mutex_unlock(&hm->moving);
		wait_event_hrtimeout(hm->result_wait, hmem_stopping(hm), ns_to_ktime(rest));
		mutex_lock(&hm->moving);
	}
	hm->chunk_begin = hmem_running_ns();
}

void hmem_share_end(struct hmem *hm)
{
	u64 percent = READ_ONCE(hmem_cpu_percent);
	s64 ran = hmem_running_ns() - hm->chunk_begin;

	/* The kernel measures waits by another clock, which may run a little faster. */
	ran = max_t(s64, ran, 0);
	hm->rest_until = ktime_get_ns() + div64_u64(ran * (100 - percent), percent);
}
