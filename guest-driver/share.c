// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps moving pages within a share of a processor, which the guest's administrator sets.
 * After each try of a chunk the worker owes a rest, as long as the try has run times what the
 * share leaves to others.  The rest begins when the try ends and is waited for when the next
 * one begins.  So it does not delay a scan between two batches, and before a long rest, the
 * results so far are sent.
 */
#include <linux/jiffies.h>
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

/*
 * A try that took very long, perhaps because the host let the guest wait, does not stop the
 * worker for longer than this.  Also, a greater share takes effect after this time at most.
 */
#define HMEM_REST_MAX		((s64)NSEC_PER_SEC)
/* Before a rest longer than this, the host gets the results so far. */
#define HMEM_REST_LONG		(100 * (s64)NSEC_PER_MSEC)

static void hmem_share_rest(struct hmem *hm, s64 ns)
{
	/* The worker uses no page here, so release the mutex for memory hotplug. */
	mutex_unlock(&hm->moving);
	if (ns > HMEM_REST_LONG && hm->result_buf)
		hmem_result_send(hm, false);
	wait_event_idle_timeout(hm->result_wait, hmem_stopping(hm), nsecs_to_jiffies(ns) + 1);
	mutex_lock(&hm->moving);
}

void hmem_share_begin(struct hmem *hm)
{
	u64 now = ktime_get_ns();
	s64 rest = hm->rest_ns - (s64)(now - hm->try_end);

	/* Time without work is no credit for later. */
	hm->rest_ns = min_t(s64, hm->rest_ns, 0);
	if (rest > 0) {
		hmem_share_rest(hm, rest);
		/* The kernel measures waits in ticks.  What was too long shortens later rests. */
		hm->rest_ns = rest - (s64)(ktime_get_ns() - now);
	}
	hm->try_begin = hmem_running_ns();
}

void hmem_share_end(struct hmem *hm)
{
	s64 percent = READ_ONCE(hmem_cpu_percent);
	s64 ran = hmem_running_ns() - hm->try_begin;

	/* The kernel measures waits by another clock, which may run a little faster. */
	ran = clamp_t(s64, ran, 0, HMEM_REST_MAX);
	hm->rest_ns = clamp_t(s64, hm->rest_ns + ran * (100 - percent) / percent,
			      -HMEM_REST_MAX, HMEM_REST_MAX);
	hm->try_end = ktime_get_ns();
}
