/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of what a device says on the link: the form of each message, before
 * anything in it is used.  What needs state (is this batch under way?) is
 * checked by who keeps that state.
 *
 * All functions return 0, or -EPROTO with @err saying which rule is broken.
 * Payloads are 8-byte aligned: every valid message is a multiple of 8 long.
 */
#ifndef HMEM_LINK_CHECK_H
#define HMEM_LINK_CHECK_H

#include <stdbool.h>

#include "err.h"
#include "hmem_link.h"
#include "virtio_hmem.h"

/* Frame numbers are below this: 256 TiB of guest-physical addresses. */
#define HMEM_MAX_GFN		(UINT64_C(1) << 36)

const char *hmem_link_type_name(uint32_t type);

/* The header alone, as soon as it is there: a known type, a length it can have. */
int hmem_link_check_header(const struct hmem_link_header *hdr,
			   struct hmem_err *err);

int hmem_link_check_hello(const struct hmem_link_hello *hello,
			  struct hmem_err *err);

/* @num is from the message's length; @map_bytes and @num_tiers from HELLO. */
int hmem_link_check_ranges(const struct hmem_link_range *ranges, uint32_t num,
			   uint64_t map_bytes, uint32_t num_tiers,
			   struct hmem_err *err);

int hmem_link_check_state(const struct hmem_link_state *state,
			  struct hmem_err *err);

/* @len: bytes of payload.  Each result is checked with ..._check_result(). */
int hmem_link_check_results(const struct virtio_hmem_result_batch *batch,
			    uint32_t len, struct hmem_err *err);

int hmem_link_check_result(const struct virtio_hmem_result *res,
			   struct hmem_err *err);

int hmem_link_check_reject(const struct hmem_link_reject *reject,
			   struct hmem_err *err);

int hmem_link_check_tick(const struct hmem_link_tick *tick,
			 struct hmem_err *err);

/* "no-driver" and so on; NULL if @code is not a reject code. */
const char *hmem_reject_name(uint32_t code);

/* "moved", "off-lru" and so on; NULL if @reason is not a reason. */
const char *hmem_reason_name(unsigned int reason);

/* "dram", "nvm", "cxl" or "other". */
const char *hmem_kind_name(unsigned int kind);

#endif /* HMEM_LINK_CHECK_H */
