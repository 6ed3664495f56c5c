/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at how hot a VM's memory is, for clients of the control socket.
 *
 * One is a pass over the page table, a slice of it at a time: whatever else has
 * come in by then is served between two slices, so that a VM of any size holds
 * nobody up.  There is one slice at a time, however many clients look.
 */
#ifndef HMEMD_HEAT_H
#define HMEMD_HEAT_H

#include "bins.h"
#include "vm.h"

/* Bins that may be asked for. */
#define HEAT_MAX_BINS	4096u

struct heat {
	TAILQ_ENTRY(heat) link;
	struct client *client;
	struct vm *vm;
	uint32_t max;
	bool per_tier;
	/* It begins when the VM has had more windows than @after. */
	bool waits;
	uint64_t after;
	struct hmem_bins bins;
	/* When it began. */
	uint64_t windows, vtime_ns;
};

/*
 * Have @client look at @vm, at once if not @waits; @max and @per_tier are those
 * of hmem_bins_init().  -EBUSY if it looks already; -EAGAIN if it waits, and no
 * window will end; -ENOMEM.
 */
int heat_start(struct client *client, struct vm *vm, uint32_t max, bool per_tier,
	       bool waits, uint64_t after, struct hmem_err *err);

/* Make the next slice of one; to be called when hmemd_work() asked for it. */
void heat_step(struct hmemd *d);

/* A window has ended; the VM has other ranges; it is not tracked any more. */
void heat_window(struct vm *vm);
void heat_ranges(struct vm *vm);
void heat_untracked(struct vm *vm);

/* One of both has gone. */
void heat_vm_gone(struct vm *vm);
void heat_client_gone(struct hmemd *d, const struct client *client);

/* To the client, in control.c: it is through, or ends for the reason given. */
void client_heat_done(const struct heat *h);
void client_heat_failed(const struct heat *h, const char *why);

#endif /* HMEMD_HEAT_H */
