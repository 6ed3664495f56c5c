/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of one VM, that is, of one virtio-hmem device.  Files that work on it, where each
 * calls only files further right: device.c, protocol.c, handshake.c, ranges.c and windows.c,
 * tracking.c and pass.c, batches.c.
 */
#ifndef HMEMD_VM_H
#define HMEMD_VM_H

#include "conn.h"
#include "heat_query.h"
#include "history.h"
#include "hmemd.h"
#include "job.h"
#include "lately.h"
#include "link_check.h"
#include "placer.h"
#include "pooling.h"
#include "trading.h"

/* The value of policy_from if a client set the policy. */
#define POLICY_BY_HAND	"hmemctl"

struct batch;
struct room;
struct restoring;
struct pass_waiter;

struct vm_stats {
	uint64_t reasons[VIRTIO_HMEM_R_MAX];	/* frames by reason */
	uint64_t batches, batches_done;
	uint64_t batches_lost;		/* the driver went before it answered them */
	uint64_t rejects[HMEM_LINK_REJECT_INVALID + 1];	/* by code */
	uint64_t hints, results;
	uint64_t unanswered;		/* frames for which the driver sent no result */
	uint64_t promoted, demoted;	/* frames */
	uint64_t pages_moved;		/* their pages, of any size */
	uint64_t ping_pong;		/* of these, see struct hmem_moved */
	uint64_t retries;		/* tries again of busy pages of jobs */
	uint64_t ticks, dirty, accessed;	/* ticks, and pages that they found */
	uint64_t incomplete;		/* ticks that may have missed pages */
	uint64_t rearmed;		/* pages */
	uint64_t log_samples, log_faults;	/* the sampler's counts at the last reset */
	uint64_t plans;			/* windows with something to move */
	uint64_t window_ns, scan_ns;	/* guest time of ticks, and of the scans in them */
	uint64_t busy_ns;		/* time that the processors ran in them */
	uint64_t daemon_ns;		/* hmemd's processor time for the windows */
	/* What the driver's accounts count while hmemd gets them: see struct hmem_link_account. */
	uint64_t scan_entries, scan_skipped, scan_left_out, collapsed;
};

/* How room is made in the VM's tiers: see room.c. */
struct rooms {
	/* The search for cold pages that is under way, or NULL; where the next one begins. */
	struct room *search;
	uint64_t slot;
	/* Frames that jobs may still try in this second. */
	uint64_t left;
	/* The tier of the last job, its bytes when the job began, and frames that the job moved. */
	uint32_t tier;
	uint64_t actual, moved;
	/* The bytes to give up in all tiers; for how many seconds they have not become fewer. */
	uint64_t pending;
	unsigned int stuck;
	/* Pages read from swap so far; and pages of tier 0 for which room is still to be made. */
	uint64_t swapped_in, swapping;
	/* A search is due before the second is over, in this turn. */
	bool needed;
	struct turn soon;
};

struct vm {
	struct conn conn;
	struct hmemd *d;
	TAILQ_ENTRY(vm) link;
	/* Unique among VMs, printable, without blanks; "?" before HELLO. */
	char name[80];
	uint64_t connected;		/* loop_now() */
	uint64_t serial;		/* from 1, in the order of connection */
	bool have_hello, have_ranges, have_state;
	struct hmem_link_hello hello;
	struct hmem_link_state state;
	/* The last SIZES, or until then all of each tier; @requested is hmemd's last request. */
	struct hmem_link_sizes sizes;
	/* The bytes of each tier that hmemd has requested, until SIZES tells the same; 0: none. */
	uint64_t asked[HMEM_LINK_MAX_TIERS];
	/* The last PAUSES since the guest's driver started; without one, @have_pauses is false. */
	bool have_pauses;
	struct hmem_link_pauses pauses;
	/* The driver's last ACCOUNT since tracking began, likewise. */
	bool have_account;
	struct hmem_link_account account;
	/* There was one since the VM connected, so the counts in @stats are known. */
	bool had_account;
	/* The free bytes of each tier by the newest SIZES or ACCOUNT: see accounts_free(). */
	uint64_t guest_free[HMEM_LINK_MAX_TIERS];
	struct rooms rooms;

	/* Shared with the device, which can write at any time. */
	uint64_t *map;
	struct hmem_tracker_maps trackers[HMEM_TRACK_MAX];
	/* hmemd's own tracker (the link's HOST), or NULL. */
	struct host_tracker *host_tracker;
	const struct host_tracker_ops *host_tracker_ops;
	/* Tracking failed because DAMON was busy: try again. */
	bool track_again;
	struct hmem_placer placer;
	/* The place where the policy was set: a file, or POLICY_BY_HAND. */
	char policy_from[128];
	/* The configuration has changed during a pass, see settings_again(). */
	bool apply_settings;
	/* The nodes of the host of each tier. */
	struct hmem_host_nodes nodes[HMEM_LINK_MAX_TIERS];
	struct pooled pooled;
	struct traded traded;
	/* As in the last RANGES. */
	struct hmem_link_range *ranges;
	uint32_t num_ranges;
	/* The ranges for which a pass makes a new page table. */
	struct hmem_link_range *new_ranges;
	uint32_t num_new_ranges;
	/* The largest size that the page table for @ranges can have. */
	uint64_t table_bytes;

	/* Learned state that is being restored, or NULL; loop_now() when it was saved last. */
	struct restoring *restoring;
	uint64_t saved_ms;

	/* Makes the next slice of the current pass, see pass.h; NULL: there is no pass. */
	void (*pass)(struct vm *vm);
	struct work pass_work;
	TAILQ_HEAD(, pass_waiter) waiters;

	/* The last TRACK that was sent; no window: nothing is tracked. */
	struct hmem_link_track track;
	uint64_t last_seq, last_vtime;
	/* The tick to be answered; seq 0: none. */
	struct hmem_link_tick tick;
	/* CLEARED has come for this tick: @cleared. */
	bool have_cleared;
	struct hmem_link_cleared cleared;
	/* Tracking was started again: a tick from before may still be unanswered. */
	bool track_restarted;
	struct lockstep_member lockstep;
	/* With --lockstep: vm_now() when the last second of guest time ended. */
	uint64_t second_ms;
	/* In lockstep, hints may be sent only while this is true. */
	bool hints_now;

	/* See batches.c. */
	struct batch *batches;
	uint32_t num_batches, num_under_way;
	uint64_t next_id;
	/* loop_now() of the last RESULTS; whether their absence was logged. */
	uint64_t results_ms;
	bool told_late;
	/*
	 * Batches with lower ids ended when the driver went.  Messages about them may
	 * still come.
	 */
	uint64_t lost_id;
	/* Batches with lower ids were sent before the memory changed. */
	uint64_t ranges_id;
	TAILQ_HEAD(, job) jobs;
	unsigned int num_jobs;
	/* Calls batches_feed() after a short time. */
	struct turn feed_soon;
	struct heat_queries heat_queries;

	struct vm_stats stats;
	struct history history;
	uint64_t plan_window;		/* the number of the last window that led to a plan */
	uint64_t foreign_moves, foreign_base;
	struct hmem_lately foreign_lately;
	/* Pages per second; known from the second measurement on. */
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

/* Can the driver move and resize memory?  Not while the VM is paused or migrates. */
static inline bool vm_at_work(const struct vm *vm)
{
	const uint32_t works = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;

	return (vm->state.flags & (works | HMEM_LINK_MIGRATING)) == works;
}

/* The number of frames that have so many bytes. */
static inline uint64_t frames_in(uint64_t bytes)
{
	return bytes >> VIRTIO_HMEM_GFN_SHIFT;
}

/* NULL if the order of the tiers is surely right; else the doubt and what to do. */
const char *vm_order_doubt(const struct vm *vm);

/* NULL if hints can be sent; else the obstacle and what to do. */
const char *vm_blocked(const struct vm *vm);

/*
 * The frames that jobs of room.c have made free in a tier that is to get smaller, and that the
 * guest has still to give up.
 */
uint64_t vm_frames_to_give_up(const struct vm *vm);

/* May the policy move pages?  Not into memory that the guest is about to give up. */
bool vm_may_plan(const struct vm *vm);

/* Is the VM in lockstep: does its time stand still until its tick is answered? */
static inline bool vm_lockstep(const struct vm *vm)
{
	return vm->track.flags & HMEM_LINK_TRACK_LOCKSTEP;
}

/*
 * Keep the VM's policy, which was set by hand, for the time when the VM comes back.  Logs it
 * if memory does not suffice.
 */
void vm_keep_policy(struct vm *vm);
/* The VM's policy is no longer the one that was set by hand. */
void vm_forget_policy(struct vm *vm);

/* Returns false, and leaves @policy unchanged, if none is kept for the VM. */
bool vm_kept_policy(const struct vm *vm, struct hmem_policy *policy);

/* Queue a message to the device. */
void vm_send(struct vm *vm, uint32_t type, const void *payload, uint32_t len);

/* Requests a size of the tier. */
void vm_ask_size(struct vm *vm, uint32_t tier, uint64_t bytes);

/* Has QEMU told a UUID of the VM? */
bool vm_has_uuid(const struct vm *vm);

/* The number of frames that the guest has now. */
uint64_t vm_frames(const struct vm *vm);

/* Guest time in ns: of the last tick, or, before the first one, of STATE. */
static inline uint64_t vm_vtime(const struct vm *vm)
{
	return vm->last_vtime ? vm->last_vtime : vm->state.vtime_ns;
}

/* Milliseconds of a clock that follows the VM's time: in lockstep the guest's. */
uint64_t vm_now(const struct vm *vm);

void vm_reset_stats(struct vm *vm);

/*
 * Logs a line about the VM, and adds the event @what (NULL: none) as far as events_allow() does;
 * events that the client @by has caused (NULL: none has) do not count.
 */
__attribute__((format(printf, 5, 6)))
void vm_tell(struct vm *vm, enum log_level level, const char *what, const struct conn *by,
	     const char *fmt, ...);

__attribute__((format(printf, 2, 3)))
void vm_error(struct vm *vm, const char *fmt, ...);

#endif /* HMEMD_VM_H */
