/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One virtio-hmem device, as hmemd sees it through the link. */
#ifndef HMEMD_VM_H
#define HMEMD_VM_H

#include "conn.h"
#include "heat_query.h"
#include "hmemd.h"
#include "job.h"
#include "lately.h"
#include "link.h"
#include "placer.h"

/* However many the device offers. */
#define VM_MAX_BATCHES		64u
#define VM_MAX_JOBS		64u
/* A peer has this long to introduce itself. */
#define VM_HELLO_MS		10000

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

struct batch {
	uint64_t id;			/* 0: not in use */
	uint64_t sent_ms;		/* loop_now() */
	struct job *job;		/* NULL: the policy's */
	uint32_t num;
	uint32_t left;			/* frames without an answer */
	struct sent sent[HMEM_LINK_MAX_HINTS];	/* by gfn */
};

/* What a pass over the page table is for. */
enum vm_pass {
	PASS_NONE,
	PASS_WINDOW,
	PASS_PLAN,
	PASS_RANGES,
};

/* A connection that waits for the pass of a VM to be through; all zero at first. */
struct vm_waiter {
	TAILQ_ENTRY(vm_waiter) link;
	struct vm *vm;
	struct conn *conn;
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
	/* It could not be, as DAMON was busy: to be tried again. */
	bool again;
	struct hmem_placer placer;
	/* As the device told them last. */
	struct hmem_link_range *ranges;
	uint32_t num_ranges;
	/* As the page table will be when PASS_RANGES is through. */
	struct hmem_link_range *new_ranges;
	uint32_t num_new_ranges;
	/* What the page table for them takes when all of that is used. */
	uint64_t table_bytes;

	/*
	 * The pass that is under way.  Until it is through the VM's messages wait, and
	 * requests to change its policy, and no hints are sent: the table is the pass's.
	 */
	enum vm_pass pass;
	struct work pass_work;
	TAILQ_HEAD(, vm_waiter) waiters;

	/* What the device was told; no window: nothing. */
	struct hmem_link_track track;
	uint64_t last_seq, last_vtime;
	/* The tick that is to be answered; no seq: none. */
	struct hmem_link_tick tick;
	/* Tracking was started anew: a tick of before may still be unanswered. */
	bool anew;
	struct lockstep_member step;
	/* Lockstep: the only time to send hints. */
	bool in_step;
	struct batch *batches;
	uint32_t num_batches, under_way;
	uint64_t next_id;
	/* loop_now() of the last RESULTS; the log has been told that they do not come. */
	uint64_t answered;
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
	/* Calls vm_feed() in a little time. */
	struct turn feed_soon;
	struct heat_queries heat_queries;

	struct vm_stats stats;
	uint64_t foreign_moves, foreign_base;
	struct hmem_lately foreign_lately;
	/* Pages per second each way; valid from the second sample on. */
	double promote_rate, demote_rate;
	uint64_t sampled, sampled_promoted, sampled_demoted;
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

/* Milliseconds since the oldest batch under way was sent; 0: there is none. */
uint64_t vm_oldest(const struct vm *vm);

/* Has it had hints for long, and does it run, but nothing was answered? */
bool vm_is_late(const struct vm *vm);

/* What the VM is doing or waiting for, for a person; valid until the next call. */
const char *vm_activity(const struct vm *vm);

/*
 * Have @policy take effect.  -ENOTSUP, and all is as it was, if the VM does
 * not offer what it asks for; -EBUSY likewise, if that may be so in a while.
 */
int vm_set_policy(struct vm *vm, const struct hmem_policy *policy,
		  struct hmem_err *err);

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

/*
 * Have @w->conn resumed when the pass of @vm is through, or the VM has gone; or not any
 * more.
 */
void vm_wait(struct vm *vm, struct vm_waiter *w);
void vm_wait_no_more(struct vm_waiter *w);

/* Frames of guest memory that it has now. */
uint64_t vm_frames(const struct vm *vm);

/* "dirty", "sim", "gpt", "idle" or "damon"; NULL: nothing is tracked. */
const char *vm_tracker_name(const struct vm *vm);

/* Guest time in ns, as of the last tick; before the first one, of STATE. */
static inline uint64_t vm_vtime(const struct vm *vm)
{
	return vm->last_vtime ? vm->last_vtime : vm->state.vtime_ns;
}

/* Milliseconds that pass as time does for the VM: the guest's in lockstep. */
uint64_t vm_now(const struct vm *vm);

/* Send what can be sent: of jobs first, then of the plan. */
void vm_feed(struct vm *vm);

/* The same in a tenth of a second at most. */
void vm_feed_soon(struct vm *vm);

/* An accepted connection; takes over @fd. */
void vm_accept(struct hmemd *d, int fd);

/* Once a second: rates, and peers that do not introduce themselves. */
void vm_second(struct vm *vm);

void vm_reset_stats(struct vm *vm);

__attribute__((format(printf, 2, 3)))
void vm_error(struct vm *vm, const char *fmt, ...);

#endif /* HMEMD_VM_H */
