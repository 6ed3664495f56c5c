/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches of hints under way, of jobs and of the policy: when to send which, and what the
 * device says of them.
 */
#ifndef HMEMD_BATCHES_H
#define HMEMD_BATCHES_H

#include "vm.h"

/* However many the device offers. */
#define BATCHES_MAX		64u
#define BATCHES_MAX_JOBS	64u
/*
 * Hints wait here rather than in a queue to a device that does not read.  In
 * lockstep all batches are queued, which is about twice as much.
 */
#define BATCHES_MAX_QUEUED	(256u * 1024)

/* @max: as the device offers.  -ENOMEM. */
int batches_init(struct vm *vm, uint32_t max);
void batches_free(struct vm *vm);

/* Send what can be sent: of jobs first, then of the plan. */
void batches_feed(struct vm *vm);

/* The same in a tenth of a second at most. */
void batches_feed_soon(struct vm *vm);

/* Work on @job, which the VM owns from now on; batches_feed() is to be called then. */
void batches_add_job(struct vm *vm, struct job *job);

/* RESULTS or REJECT has come.  -EPROTO: it breaks the rules. */
int batches_results(struct vm *vm, const struct virtio_hmem_result_batch *msg,
		    uint32_t len, struct hmem_err *err);
int batches_reject(struct vm *vm, const struct hmem_link_reject *msg,
		   struct hmem_err *err);

/* No answers will come to what is under way, and nothing more is asked: end all jobs. */
void batches_lose(struct vm *vm, const char *why);

/* Milliseconds since the oldest batch under way was sent; 0: there is none. */
uint64_t batches_oldest_ms(const struct vm *vm);

/* Has it had hints for long, and does it run, but nothing was answered? */
bool batches_are_late(const struct vm *vm);

/* Once a second: have the log tell of what is late. */
void batches_second(struct vm *vm);

#endif /* HMEMD_BATCHES_H */
