/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtio-hmem device, as hmemd sees it through the link: all that is known of it.  The
 * files that work on it are, each above those that follow: device.c, protocol.c,
 * handshake.c, ranges.c and windows.c, tracking.c and pass.c, batches.c.
 */
#ifndef HMEMD_VM_H
#define HMEMD_VM_H

#include "conn.h"
#include "heat_query.h"
#include "hmemd.h"
#include "job.h"
#include "lately.h"
#include "link_check.h"
#include "placer.h"

struct batch;
struct pass_waiter;

struct vm_stats {
	uint64_t reasons[VIRTIO_HMEM_R_MAX];	/* frames */
	uint64_t batches, batches_done;
	uint64_t batches_lost;		/* the driver went away meanwhile */
	uint64_t rejects[HMEM_LINK_REJECT_INVALID + 1];	/* by code */
	uint64_t hints, results;
	uint64_t unanswered;		/* frames the driver left out */
	uint64_t promoted, demoted;	/* frames */
	uint64_t retries;		/* pages of jobs asked for again */
	uint64_t ticks, dirty, accessed;	/* pages found in them */
	uint64_t incomplete;		/* ticks that may have missed pages */
	uint64_t rearmed;		/* pages */
	uint64_t log_samples, log_faults;	/* the sampler's when they were reset */
	uint64_t plans;			/* windows that had something to move */
	uint64_t daemon_ns;		/* processor time that windows took */
};

struct vm {
	struct conn conn;
	struct hmemd *d;
	TAILQ_ENTRY(vm) link;
	/* Unique among VMs, printable, without blanks; "?" before HELLO. */
	char name[80];
	uint64_t connected;		/* loop_now() */
	bool have_hello, have_ranges, have_state;
	struct hmem_link_hello hello;
	struct hmem_link_state state;

	/* Shared with the device, which may write at any time. */
	uint64_t *map;
	struct hmem_tracker_maps trackers[HMEM_TRACK_MAX];
	/* Tracked by hmemd itself: the tracker HOST. */
	struct host_tracker *host_tracker;
	const struct host_tracker_ops *host_tracker_ops;
	/* It could not be, as DAMON was busy: to be tried again. */
	bool track_again;
	struct hmem_placer placer;
	/* As the device told them last. */
	struct hmem_link_range *ranges;
	uint32_t num_ranges;
	/* As the page table will be for when the pass that makes it is through. */
	struct hmem_link_range *new_ranges;
	uint32_t num_new_ranges;
	/* What the page table for them takes when all of that is used. */
	uint64_t table_bytes;

	/* The pass that is under way, see pass.h: makes a slice of it.  NULL: none is. */
	void (*pass)(struct vm *vm);
	struct work pass_work;
	TAILQ_HEAD(, pass_waiter) waiters;

	/* What the device was told; no window: nothing. */
	struct hmem_link_track track;
	uint64_t last_seq, last_vtime;
	/* The tick that is to be answered; no seq: none. */
	struct hmem_link_tick tick;
	/* Tracking was started anew: a tick of before may still be unanswered. */
	bool track_restarted;
	struct lockstep_member lockstep;
	/* Lockstep: the only time to send hints. */
	bool hints_now;

	/* See batches.h. */
	struct batch *batches;
	uint32_t num_batches, num_under_way;
	uint64_t next_id;
	/* loop_now() of the last RESULTS; the log has been told that they do not come. */
	uint64_t results_ms;
	bool told_late;
	/*
	 * Batches before this one ended when the driver went; what the device
	 * had to say about them may still come.
	 */
	uint64_t lost_id;
	/* Batches before this one were sent when other memory was there. */
	uint64_t ranges_id;
	TAILQ_HEAD(, job) jobs;
	unsigned int num_jobs;
	/* Calls batches_feed() in a little time. */
	struct turn feed_soon;
	struct heat_queries heat_queries;

	struct vm_stats stats;
	uint64_t foreign_moves, foreign_base;
	struct hmem_lately foreign_lately;
	/* Pages per second each way; known from the second time on that they are taken. */
	double promote_rate, demote_rate;
	uint64_t rated_ms, rated_promoted, rated_demoted;
	bool have_rates;
	char last_error[256];
};

/* All of HELLO, RANGES and STATE have come. */
static inline bool vm_ready(const struct vm *vm)
{
	return vm->have_hello && vm->have_ranges && vm->have_state;
}

/* NULL if the order of the tiers is known to be right; else why not, and what to do. */
const char *vm_order_doubt(const struct vm *vm);

/* NULL if hints can be sent; else why not, and what to do. */
const char *vm_blocked(const struct vm *vm);

/* Its ticks are answered while its time stands still. */
static inline bool vm_lockstep(const struct vm *vm)
{
	return vm->track.flags & HMEM_LINK_TRACK_LOCKSTEP;
}

/*
 * Keep the VM's policy, which was set by hand, for when the VM comes back.  Without memory
 * for that, the log says so.
 */
void vm_keep_policy(const struct vm *vm);

/* False if none is kept for the VM; @policy is then unchanged. */
bool vm_kept_policy(const struct vm *vm, struct hmem_policy *policy);

/* Queue a message to the device. */
void vm_send(struct vm *vm, uint32_t type, const void *payload, uint32_t len);

/* Frames of guest memory that it has now. */
uint64_t vm_frames(const struct vm *vm);

/* Guest time in ns, as of the last tick; before the first one, of STATE. */
static inline uint64_t vm_vtime(const struct vm *vm)
{
	return vm->last_vtime ? vm->last_vtime : vm->state.vtime_ns;
}

/* Milliseconds that pass as time does for the VM: the guest's in lockstep. */
uint64_t vm_now(const struct vm *vm);

void vm_reset_stats(struct vm *vm);

__attribute__((format(printf, 2, 3)))
void vm_error(struct vm *vm, const char *fmt, ...);

#endif /* HMEMD_VM_H */
