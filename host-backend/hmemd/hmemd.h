/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What VMs, clients of the control socket and who lets them in share. */
#ifndef HMEMD_H
#define HMEMD_H

#include <sys/queue.h>

#include "closer.h"
#include "host_tracker.h"
#include "listener.h"
#include "lockstep.h"
#include "loop.h"
#include "policy.h"
#include "policy_store.h"
#include "work.h"

#define HMEMD_VERSION		"0.1"
#define HMEM_MAX_CLIENTS	64u

struct vm;
struct client;

/* Connections that were turned away: see doorman.h.  All zero at first. */
struct turned_away {
	uint64_t vms, clients;
	char last[160];			/* why the last one was */
	/* loop_now() of the last line in the log, and how many had none since. */
	uint64_t logged, quiet;
};

struct hmemd {
	struct loop loop;
	/* By name, in the order they came. */
	TAILQ_HEAD(, vm) vms;
	TAILQ_HEAD(, client) clients;
	unsigned int num_vms, num_clients;
	/*
	 * Passes over the page tables of VMs; heat queries; scans of host trackers; and page
	 * tables of VMs that have gone, being given back.
	 */
	struct work_queue passes, heat_queries, host_scans, discards;
	struct host_trackers host_trackers;
	struct lockstep lockstep;
	/* The policies that were set by hand. */
	struct policy_store policies;
	uint64_t started;		/* loop_now() */
	uint64_t dropped;		/* VM connections, for a fault */
	uint64_t jobs;			/* the last one's number */

	/* From the command line. */
	const char *vm_socket, *control_socket;
	struct hmem_policy policy;	/* of a VM that connects */
	unsigned int max_vms, max_user_vms;
	/* A guest that runs and has answered nothing for so long is late. */
	unsigned int late_ms;
	uint64_t max_frames;		/* of one VM */
	uint64_t max_tables;		/* bytes, of all VMs together */
	/* Where the last VM that was turned away came to grief. */
	char last_fault[256];
	struct turned_away turned_away;

	struct listener vm_listener, control_listener;
	struct closer closer;
	struct io second;
};

#endif /* HMEMD_H */
