/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks the form of each message of a device on the link, before any of it is used.  Checks
 * that depend on state (is this batch under way?) are in the code that has the state.
 *
 * All functions return 0; or -EPROTO, and say in @err which rule is broken.  Payloads are
 * 8-byte aligned, because every valid message is a multiple of 8 long.
 */
#ifndef HMEM_LINK_CHECK_H
#define HMEM_LINK_CHECK_H

#include <stdbool.h>

#include "err.h"
#include "hmem_link.h"
#include "virtio_hmem.h"

/* Frame numbers are less than this: 256 TiB of guest-physical addresses. */
#define HMEM_MAX_GFN		(UINT64_C(1) << 36)

/*
 * The trackers and the flags of TRACK that this hmemd knows.  HELLO only offers these, so a newer
 * device may offer more: the link's version changes with everything else that is new.
 */
#define HMEM_KNOWN_TRACKERS	(HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM | \
				 HMEM_LINK_TRACKER_GPT | HMEM_LINK_TRACKER_HOST)
#define HMEM_KNOWN_TRACK_FLAGS	(HMEM_LINK_TRACK_LOCKSTEP | HMEM_LINK_TRACK_REST | \
				 HMEM_LINK_TRACK_ACCESSED | HMEM_LINK_TRACK_BUSY | \
				 HMEM_LINK_TRACK_LONG | HMEM_LINK_TRACK_CLEARED | \
				 HMEM_LINK_TRACK_WITHIN | HMEM_LINK_TRACK_ACCOUNT)

const char *hmem_link_type_name(uint32_t type);

/* Checks the header, before the payload has come: a known type with a valid length. */
int hmem_link_check_header(const struct hmem_link_header *hdr,
			   struct hmem_err *err);

int hmem_link_check_hello(const struct hmem_link_hello *hello,
			  struct hmem_err *err);

/* @num follows from the message's length; @map_bytes and @num_tiers are those of HELLO. */
int hmem_link_check_ranges(const struct hmem_link_range *ranges, uint32_t num,
			   uint64_t map_bytes, uint32_t num_tiers,
			   struct hmem_err *err);

int hmem_link_check_state(const struct hmem_link_state *state,
			  struct hmem_err *err);

/* @len: bytes of payload.  Check each result by hmem_link_check_result() as well. */
int hmem_link_check_results(const struct virtio_hmem_result_batch *batch,
			    uint32_t len, struct hmem_err *err);

int hmem_link_check_result(const struct virtio_hmem_result *res,
			   struct hmem_err *err);

int hmem_link_check_reject(const struct hmem_link_reject *reject,
			   struct hmem_err *err);

/* @tiers and @num_tiers are HELLO's. */
int hmem_link_check_sizes(const struct hmem_link_sizes *sizes,
			  const struct hmem_link_tier *tiers, uint32_t num_tiers,
			  struct hmem_err *err);

/* @features are those of the last STATE. */
int hmem_link_check_pauses(uint64_t features, struct hmem_err *err);

/* The same; @num_tiers is HELLO's. */
int hmem_link_check_account(const struct hmem_link_account *account, uint32_t num_tiers,
			    uint64_t features, struct hmem_err *err);

int hmem_link_check_tick(const struct hmem_link_tick *tick,
			 struct hmem_err *err);

/* "no-driver" and so on; NULL if @code is not a reject code. */
const char *hmem_reject_name(uint32_t code);

/* "moved", "off-lru" and so on; NULL if @reason is not a reason. */
const char *hmem_reason_name(unsigned int reason);

/* "node-full" and so on; NULL if @why is not a reason. */
const char *hmem_why_name(uint32_t why);

/* "dram", "nvm", "cxl" or "other". */
const char *hmem_kind_name(unsigned int kind);

#endif /* HMEM_LINK_CHECK_H */
