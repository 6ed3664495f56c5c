/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim, a simulator of hybrid memory: declarations for all its parts.
 *
 * plugin.c sees the guest's accesses.  A small filter handles most of them
 * (filter.h); the others go to the TLB (tlb.h, page-table.h), to the page bits
 * (frames.h) and to the last-level cache (llc.h).  The cache reads and writes
 * lines of memory (memory.h).  Each line belongs to a tier (tier.h), maybe
 * behind a DRAM cache (memory-mode.h).  The time that the guest waits goes to
 * the guest's clock (clock.h).
 *
 * Several simulators can share the tiers (share.h).
 *
 * There are no locks otherwise: with -icount all vCPUs run in one thread, and
 * QEMU calls the access log only while none of them executes.
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
#define SIM_FRAME (1u << SIM_FRAME_SHIFT)
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

/* Who causes the transfer of a line. */
typedef enum SimCause {
    SIM_GUEST,
    SIM_MIGRATION,
    SIM_CAUSES,
} SimCause;

#endif /* HMEM_SIM_H */
