/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches of hints, of jobs and of the plan: decides when to send which, and processes the
 * device's answers.
 */
#ifndef HMEMD_BATCHES_H
#define HMEMD_BATCHES_H

#include "vm.h"

/* Batches under way at most, even if the device offers more. */
#define BATCHES_MAX		64u
#define BATCHES_MAX_JOBS	64u
/*
 * Largest number of bytes in the queue to a device that does not read: other hints wait
 * unsent.  In lockstep all batches are queued, which is about twice as much.
 */
#define BATCHES_MAX_QUEUED	(256u * 1024)

/* @max: number of batches that the device offers.  Returns 0 or -ENOMEM. */
int batches_init(struct vm *vm, uint32_t max);
void batches_free(struct vm *vm);

/* Send all batches that can be sent: those of jobs first, then those of the plan. */
void batches_feed(struct vm *vm);

/* The same, but within a tenth of a second. */
void batches_feed_soon(struct vm *vm);

/* Add @job, which the VM owns from now on.  The caller must call batches_feed() then. */
void batches_add_job(struct vm *vm, struct job *job);

/* RESULTS or REJECT has come.  Returns 0, or -EPROTO if it breaks the rules. */
int batches_results(struct vm *vm, const struct virtio_hmem_result_batch *msg,
		    uint32_t len, struct hmem_err *err);
int batches_reject(struct vm *vm, const struct hmem_link_reject *msg,
		   struct hmem_err *err);

/* End all batches and jobs, for the reason @why: their answers will not come. */
void batches_lose(struct vm *vm, const char *why);

/* Milliseconds since the oldest unfinished batch was sent; 0: there is none. */
uint64_t batches_oldest_ms(const struct vm *vm);

/* Has the VM run and had hints for long, but answered none? */
bool batches_are_late(const struct vm *vm);

/* Called once per second: logs batches that are late. */
void batches_second(struct vm *vm);

#endif /* HMEMD_BATCHES_H */
