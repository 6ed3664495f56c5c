/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the daemon share. */
#ifndef HMEMD_H
#define HMEMD_H

#include <sys/queue.h>

#include "closer.h"
#include "damon.h"
#include "doorman.h"
#include "listener.h"
#include "loop.h"
#include "policy.h"

#define HMEMD_VERSION		"0.1"
#define HMEM_MAX_CLIENTS	64u
/*
 * Slots of a page table that are gone through in a turn of the loop: 1 GiB of guest
 * memory, a few million instructions at most.  All others wait for that long.
 */
#define HMEMD_SLICE		(UINT64_C(1) << 18)

struct vm;
struct client;
struct heat;
struct recall;
struct grave;

struct hmemd {
	struct loop loop;
	/* By name, in the order they came. */
	TAILQ_HEAD(, vm) vms;
	TAILQ_HEAD(, client) clients;
	/* Looks under way, in the order they are served. */
	TAILQ_HEAD(, heat) heats;
	/* VMs whose page tables are being passed over, in the order they are served. */
	TAILQ_HEAD(, vm) passes;
	/* Page tables of VMs that have gone, being given back. */
	TAILQ_HEAD(, grave) graves;
	/* Policies set by hand, the one used last at the end. */
	TAILQ_HEAD(, recall) recalls;
	unsigned int num_vms, num_clients, num_recalls;
	uint64_t started;		/* loop_now() */
	uint64_t dropped;		/* VM connections, for a fault */
	uint64_t jobs;			/* the last one's number */

	/* From the command line. */
	const char *vm_socket, *control_socket;
	struct hmem_policy policy;	/* of a VM that connects */
	unsigned int max_vms, max_user_vms;
	/* A guest that runs and has answered nothing for so long is late. */
	unsigned int late_ms;
	/* VMs in lockstep that have to be there before any is answered. */
	unsigned int lockstep;
	/* They have been; since then those that are left are enough. */
	bool all_in_step;
	/* Their ticks are just being answered. */
	bool stepping;
	uint64_t max_frames;		/* of one VM */
	uint64_t max_tables;		/* bytes, of all VMs together */
	/* Where the last VM that was turned away came to grief. */
	char last_fault[256];
	struct turned_away turned_away;

	struct host_paths host;
	struct damon_admin damon;
	struct listener vm_listener, control_listener;
	/* Something waits for a little time to pass. */
	struct io soon;
	/* A slice of watches, heats and passes is to be made. */
	struct turn work;
	struct closer closer;
	struct io second;
};

/* Call vm_feed() for every VM, and clients_resume(), in a tenth of a second. */
void hmemd_soon(struct hmemd *d);

/* Call watch_step(), heat_step(), vm_pass_step() and vm_grave_step() in the next turn. */
void hmemd_work(struct hmemd *d);

/*
 * The tick barrier, in step.c: answer the ticks of all VMs in lockstep, once
 * all have ticked.  To be called whenever that may have become so.
 */
void hmemd_step(struct hmemd *d);

/* Accepted connections; both take over @fd. */
void vm_accept(struct hmemd *d, int fd);
void client_accept(struct hmemd *d, int fd);

#endif /* HMEMD_H */
