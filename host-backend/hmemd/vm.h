/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One virtio-hmem device, as hmemd sees it through the link. */
#ifndef HMEMD_VM_H
#define HMEMD_VM_H

#include "conn.h"
#include "hmemd.h"
#include "link.h"
#include "pages.h"
#include "plan.h"

struct job;

/* However many the device offers. */
#define VM_MAX_BATCHES		64u
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
	uint64_t ticks, dirty;
	uint64_t plans;			/* windows that had something to move */
};

/* A hint under way. */
struct sent {
	uint64_t gfn;
	uint32_t answered;		/* frames */
	uint8_t order;
	uint8_t tier;
	uint8_t tries;
};

struct batch {
	uint64_t id;			/* 0: not in use */
	struct job *job;		/* NULL: the policy's */
	uint32_t num;
	uint32_t left;			/* frames without an answer */
	struct sent sent[HMEM_LINK_MAX_HINTS];	/* by gfn */
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
	struct hmem_tracker_dirty dirty;
	struct hmem_pages pages;

	struct hmem_policy policy;
	struct hmem_plan plan;
	uint64_t track_ns;		/* what the device was told; 0: nothing */
	uint64_t last_seq, last_vtime;
	/* Promotions this window that found tier 0 full. */
	uint32_t no_room;

	struct batch *batches;
	uint32_t num_batches, under_way;
	uint64_t next_id;
	/*
	 * Batches before this one ended when the driver went; what the device
	 * had to say about them may still come.
	 */
	uint64_t lost_id;
	TAILQ_HEAD(, job) jobs;
	unsigned int num_jobs;

	struct vm_stats stats;
	uint64_t foreign_moves, foreign_base;
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

/* NULL if hints can be sent; else why not, and what to do. */
const char *vm_blocked(const struct vm *vm);

/* What the VM is doing or waiting for, for a person. */
const char *vm_activity(const struct vm *vm);

/* The policy has been changed: have it take effect. */
void vm_policy_changed(struct vm *vm);

/* Send what can be sent: of jobs first, then of the plan. */
void vm_feed(struct vm *vm);

/* Once a second: rates, and peers that do not introduce themselves. */
void vm_second(struct vm *vm);

void vm_reset_stats(struct vm *vm);

__attribute__((format(printf, 2, 3)))
void vm_error(struct vm *vm, const char *fmt, ...);

#endif /* HMEMD_VM_H */
