/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: records how often each frame was read from and written to memory.
 */

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "heat.h"
#include "options.h"

static FILE *file;
static uint32_t (*frames)[SIM_DIRECTIONS];

bool sim_heat_init(void)
{
    if (!sim_options.heat) {
        return true;
    }
    if (!sim_open(sim_options.heat, &file)) {
        return false;
    }
    fputs(SIM_HEAT_MAGIC, file);
    return true;
}

void sim_heat_count(uint64_t line, SimDirection direction)
{
    /* The host's tables are behind the guest's frames. */
    if (likely(!file) ||
        line >> SIM_LINES_PER_FRAME_SHIFT >= sim_num_frames) {
        return;
    }
    if (!frames) {
        frames = g_malloc0_n(sim_num_frames, sizeof(*frames));
    }
    frames[line >> SIM_LINES_PER_FRAME_SHIFT][direction]++;
}

void sim_heat_period(uint64_t guest_ns)
{
    SimHeatPeriod period = { .guest_ns = GUINT64_TO_LE(guest_ns) };
    uint64_t gfn, num = 0;

    if (!file || !frames) {
        return;
    }
    for (gfn = 0; gfn < sim_num_frames; gfn++) {
        num += frames[gfn][SIM_READ] || frames[gfn][SIM_WRITE];
    }
    period.frames = GUINT64_TO_LE(num);
    fwrite(&period, sizeof(period), 1, file);
    for (gfn = 0; gfn < sim_num_frames; gfn++) {
        const SimHeatFrame frame = {
            .gfn = GUINT32_TO_LE(gfn),
            .lines = {
                GUINT32_TO_LE(frames[gfn][SIM_READ]),
                GUINT32_TO_LE(frames[gfn][SIM_WRITE]),
            },
        };

        if (frames[gfn][SIM_READ] || frames[gfn][SIM_WRITE]) {
            fwrite(&frame, sizeof(frame), 1, file);
        }
    }
    fflush(file);
    memset(frames, 0, sim_num_frames * sizeof(*frames));
}
