/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim, a simulator of hybrid memory: what all its parts share.
 *
 * plugin.c sees the guest's accesses and passes on those that a small filter
 * does not know (filter.h) to the page bits (frames.h) and the last-level
 * cache (llc.h).  That reads and writes lines of memory (memory.h), which
 * belong to a tier (tier.h), maybe behind a DRAM cache (memory-mode.h).  What
 * the guest has to wait goes to its clock (clock.h).
 *
 * There are no locks: with -icount all vCPUs run in one thread, and QEMU calls
 * the access log only while none of them executes.
 */

#ifndef HMEM_SIM_H
#define HMEM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Memory moves in lines, and is tracked in frames. */
#define SIM_LINE_SHIFT 6
#define SIM_LINE (1u << SIM_LINE_SHIFT)
#define SIM_FRAME_SHIFT 12
#define SIM_LINES_PER_FRAME_SHIFT (SIM_FRAME_SHIFT - SIM_LINE_SHIFT)

#define SIM_MAX_NODES 8
#define SIM_MAX_VCPUS 16

typedef enum SimTier {
    SIM_DRAM,
    SIM_NVM,
    SIM_CXL,
    SIM_TIERS,
} SimTier;

typedef enum SimDirection {
    SIM_READ,
    SIM_WRITE,
    SIM_DIRECTIONS,
} SimDirection;

/* On whose behalf a line moves. */
typedef enum SimCause {
    SIM_GUEST,
    SIM_MIGRATION,
    SIM_CAUSES,
} SimCause;

#endif /* HMEM_SIM_H */
