/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: counts events and writes the counts.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <qemu-plugin.h>

#include "clock.h"
#include "filter.h"
#include "frames.h"
#include "options.h"
#include "prefetch.h"
#include "stats.h"

SimCounters sim_counters;

static SimCounters roi;   /* sum over the regions that have ended */
static SimCounters begun; /* values at the begin of the current region */
static bool in_roi;
static FILE *out, *series;

bool sim_stats_init(void)
{
    out = stderr;
    return (!sim_options.out || sim_open(sim_options.out, &out)) &&
        (!sim_options.series || sim_open(sim_options.series, &series));
}

static SimCounters current(void)
{
    SimCounters now = sim_counters;

    now.guest_ns = sim_now_ps() / 1000;
    now.instructions = qemu_plugin_icount();
    return now;
}

/* sum += plus - minus, for structs of @size bytes of uint64_t. */
static void accumulate(void *sum, const void *plus, const void *minus,
                       size_t size)
{
    const uint64_t *p = plus, *m = minus;
    uint64_t *s = sum;
    size_t i;

    for (i = 0; i < size / sizeof(*s); i++) {
        s[i] += p[i] - m[i];
    }
}

void sim_stats_begin(void)
{
    if (!in_roi) {
        begun = current();
        in_roi = true;
    }
}

void sim_stats_end(void)
{
    SimCounters now = current();

    if (in_roi) {
        accumulate(&roi, &now, &begun, sizeof(roi));
        in_roi = false;
    }
}

static void print_lines(FILE *f, const SimTierCounters *c)
{
    fprintf(f, "\"fills\": %" PRIu64 ", \"prefetched\": %" PRIu64
            ", \"writebacks\": %" PRIu64 ", \"read_bytes\": %" PRIu64
            ", \"write_bytes\": %" PRIu64 ", \"read_stall_ns\": %" PRIu64
            ", \"write_stall_ns\": %" PRIu64 ", \"queue_ns\": %" PRIu64,
            c->lines[SIM_READ], c->posted, c->lines[SIM_WRITE],
            c->lines[SIM_READ] * SIM_LINE, c->lines[SIM_WRITE] * SIM_LINE,
            c->stall_ps[SIM_READ] / 1000, c->stall_ps[SIM_WRITE] / 1000,
            c->queue_ps / 1000);
}

static bool tier_used(unsigned int tier)
{
    int node;

    if (tier == SIM_DRAM) {
        return true;
    }
    for (node = 0; node < SIM_MAX_NODES; node++) {
        if (sim_options.node[node] == tier) {
            return true;
        }
    }
    return false;
}

static void print_counters(FILE *f, const SimCounters *c)
{
    unsigned int t;

    fprintf(f, "\"guest_ns\": %" PRIu64 ", \"instructions\": %" PRIu64
            ", \"llc_hits\": %" PRIu64 ", \"llc_misses\": %" PRIu64
            ", \"tiers\": {", c->guest_ns, c->instructions, c->llc_hits,
            c->llc_misses);
    for (t = 0; t < SIM_TIERS; t++) {
        const SimTierCounters *own = c->tier[t];
        const SimTierCounters none = { };
        SimTierCounters both = own[SIM_GUEST];

        if (!tier_used(t)) {
            continue;
        }
        accumulate(&both, &own[SIM_MIGRATION], &none, sizeof(both));
        fprintf(f, "%s\"%s\": {", t ? ", " : "", sim_tier_name[t]);
        print_lines(f, &both);
        fputs(", \"migration\": {", f);
        print_lines(f, &own[SIM_MIGRATION]);
        fputs("}}", f);
    }
    fprintf(f, "}, \"memory_mode\": {\"hits\": %" PRIu64 ", \"misses\": %"
            PRIu64 ", \"dirty_victims\": %" PRIu64 "}, "
            "\"tlb\": {\"second_hits\": %" PRIu64 ", \"walks\": %" PRIu64
            ", \"stall_ns\": %" PRIu64 "}, \"tracking\": "
            "{\"rearmed\": %" PRIu64 ", \"accessed\": %" PRIu64
            ", \"dirtied\": %" PRIu64 ", \"stall_ns\": %" PRIu64 "}",
            c->memory_mode_hits, c->memory_mode_misses, c->memory_mode_dirty,
            c->tlb_second_hits, c->tlb_walks, c->tlb_ps / 1000,
            c->rearmed, c->accessed, c->dirtied, c->tracking_ps / 1000);
}

void sim_stats_sample(const char *event, const char *extra)
{
    SimCounters now = current();

    if (series) {
        fprintf(series, "{\"event\": \"%s\", ", event);
        print_counters(series, &now);
        fprintf(series, "%s}\n", extra);
        fflush(series);
    }
}

static void print_model(FILE *f)
{
    const SimOptions *o = &sim_options;
    unsigned int i;

    fprintf(f, "\"preset\": \"%s\", \"insn_ns\": %" PRIu64
            ", \"line_bytes\": %d, \"l1_bytes\": %d, "
            "\"llc_bytes\": %" PRIu64 ", \"llc_ways\": %" PRIu64
            ", \"tlb_entries\": %" PRIu64 ", \"walks\": \"%s\""
            ", \"host_page_bytes\": %" PRIu64 ", \"tlb_ns\": %g"
            ", \"entry_ns\": %g"
            ", \"memory_mode_bytes\": %" PRIu64 ", \"mlp\": %g, "
            "\"prefetch\": %s, \"streams\": %d, \"walk_ns\": %g, "
            "\"step_ns\": %g, \"vcpus\": %u, \"slice_ns\": %g"
            ", \"members\": %" PRIu64
            ", \"turn_us\": %" PRIu64 ", \"tiers\": {", o->preset,
            qemu_plugin_insn_ns(), SIM_LINE, SIM_L1_LINES * SIM_LINE, o->llc,
            o->ways, o->tlb, sim_walks_name[o->walks], o->host_page, o->tlb_ns,
            o->entry_ns, o->memory_mode, o->mlp,
            o->prefetch ? "true" : "false",
            SIM_STREAMS, o->walk_ns, o->step_ns, o->vcpus,
            o->vcpus > 1 ? o->slice_ns : 0,
            o->share ? o->members : 1, o->turn_us);
    for (i = 0; i < SIM_TIERS; i++) {
        const SimTierOptions *tier = &o->tier[i];

        if (tier_used(i)) {
            fprintf(f, "%s\"%s\": {\"read_ns\": %g, \"write_ns\": %g, "
                    "\"read_gbps\": %g, \"write_gbps\": %g}", i ? ", " : "",
                    sim_tier_name[i], tier->ns[SIM_READ], tier->ns[SIM_WRITE],
                    tier->gbps[SIM_READ], tier->gbps[SIM_WRITE]);
        }
    }
    fputs("}, \"nodes\": [", f);
    for (i = 0; i < sim_num_nodes; i++) {
        fprintf(f, "%s{\"tier\": \"%s\", \"bytes\": %" PRIu64 "}",
                i ? ", " : "", sim_tier_name[o->node[i]], sim_node_bytes[i]);
    }
    fputs("], \"copy\": [", f);
    for (i = 0; i < o->num_copy; i++) {
        fprintf(f, "%s\"%" PRIx64 "-%" PRIx64 "\"", i ? ", " : "",
                o->copy[i].start, o->copy[i].end);
    }
    fputs("]", f);
}

void sim_stats_finish(void)
{
    SimCounters now = current();

    sim_stats_end();
    fputs("{\"model\": {", out);
    print_model(out);
    fputs("},\n\"total\": {", out);
    print_counters(out, &now);
    fputs("},\n\"roi\": {", out);
    print_counters(out, &roi);
    fputs("}}\n", out);
    fflush(out);
}
