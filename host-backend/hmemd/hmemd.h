/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of hmemd that VMs, clients and listeners share. */
#ifndef HMEMD_H
#define HMEMD_H

#include <sys/queue.h>

#include "closer.h"
#include "events.h"
#include "host_tracker.h"
#include "http.h"
#include "learned_dir.h"
#include "listener.h"
#include "lockstep.h"
#include "loop.h"
#include "policy.h"
#include "policy_store.h"
#include "pooling.h"
#include "saving.h"
#include "settings.h"
#include "trading.h"
#include "work.h"

#define HMEMD_VERSION		"0.1"
#define HMEM_MAX_CLIENTS	64u
/* Of these, so many can be clients of the monitor socket, so that others have a place. */
#define HMEM_MAX_MONITORS	32u

struct vm;
struct client;

/* Connections that were turned away, see doorman.h; at first all zero. */
struct turned_away {
	uint64_t vms, clients;
	char last[160];			/* why the last one was turned away */
	uint64_t quiet;			/* how many were not logged since the last line */
};

struct hmemd {
	struct loop loop;
	/* In the order of their connection; names are unique. */
	TAILQ_HEAD(, vm) vms;
	TAILQ_HEAD(, client) clients;
	unsigned int num_vms, num_clients, num_monitors;
	/*
	 * Passes over the page tables of VMs; heat queries; scans of host trackers; and the
	 * freeing of page tables of VMs that have gone.
	 */
	struct work_queue passes, heat_queries, host_scans, discards;
	struct host_trackers host_trackers;
	struct lockstep lockstep;
	/* Policies that were set by hand. */
	struct policy_store policies;
	struct learned_dir learned_dir;
	struct saving saving;
	/* Files with learned state that are being read, also of VMs that have gone. */
	unsigned int num_restoring;
	struct pooling pooling;
	struct trading trading;
	uint64_t started;		/* loop_now() */
	uint64_t dropped;		/* VM connections dropped for a fault */
	uint64_t jobs;			/* number of the last job */
	uint64_t last_serial;		/* of the last VM */

	struct settings settings;
	struct hmem_config config;
	/* Where hmemd listens. */
	const char *vm_socket, *control_socket;
	/* NULL: there is no monitor socket. */
	const char *monitor_socket;
	/* A running guest that has answered no hint for this long is late. */
	unsigned int late_ms;
	/* By node: VMs have more of it than it has, and the log says so. */
	bool node_short[HMEM_CONFIG_NODES];
	/* The fault of the last VM that was dropped. */
	char last_fault[256];
	struct turned_away turned_away;
	struct events events;

	struct listener vm_listener, control_listener, monitor_listener;
	struct http http;
	struct closer closer;
	struct io second;
};

/* Sets the state before the command line is parsed.  The event loop is not open yet. */
void hmemd_init(struct hmemd *d);

#endif /* HMEMD_H */
