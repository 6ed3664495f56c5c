/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: records exactly how often each frame was read from and written to
 * memory, for drawing, and for comparison with what a tracker found.
 *
 * The file is little-endian.  It has the magic; then for each period a struct
 * SimHeatPeriod, followed by a struct SimHeatFrame for each frame that was
 * accessed, in ascending order.
 */

#ifndef HMEM_SIM_HEAT_H
#define HMEM_SIM_HEAT_H

#include "sim.h"

#define SIM_HEAT_MAGIC "hmemheat"

typedef struct SimHeatPeriod {
    uint64_t guest_ns; /* guest time at the end of the period */
    uint64_t frames;   /* number of SimHeatFrame that follow */
} SimHeatPeriod;

typedef struct SimHeatFrame {
    uint32_t gfn;
    uint32_t lines[SIM_DIRECTIONS]; /* lines filled, lines written back */
} SimHeatFrame;

/**
 * sim_heat_init() - open the file, if the options name one
 *
 * Returns: false if it cannot be written; the reason is on stderr.
 */
bool sim_heat_init(void);

/* Count a transfer of a line of guest memory. */
void sim_heat_count(uint64_t line, SimDirection direction);

/* Write the counts of the period that ends now. */
void sim_heat_period(uint64_t guest_ns);

#endif /* HMEM_SIM_HEAT_H */
