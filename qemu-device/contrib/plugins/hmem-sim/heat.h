/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: exactly how often each frame was read from and written to memory,
 * to draw, and to compare with what a tracker found.
 *
 * The file is little-endian: the magic, then of each period a struct
 * SimHeatPeriod and a struct SimHeatFrame for each frame that was accessed, in
 * ascending order.
 */

#ifndef HMEM_SIM_HEAT_H
#define HMEM_SIM_HEAT_H

#include "sim.h"

#define SIM_HEAT_MAGIC "hmemheat"

typedef struct SimHeatPeriod {
    uint64_t guest_ns; /* at its end */
    uint64_t frames;   /* that follow */
} SimHeatPeriod;

typedef struct SimHeatFrame {
    uint32_t gfn;
    uint32_t lines[SIM_DIRECTIONS]; /* filled, written back */
} SimHeatFrame;

/**
 * sim_heat_init() - open the file that the options name, if they do
 *
 * Returns: false if it cannot be written, having said so on stderr.
 */
bool sim_heat_init(void);

/* A line of a frame of the guest's memory moves. */
void sim_heat_count(uint64_t line, SimDirection direction);

/* A period ends. */
void sim_heat_period(uint64_t guest_ns);

#endif /* HMEM_SIM_HEAT_H */
