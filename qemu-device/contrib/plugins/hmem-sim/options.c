/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the parameters of the model, and the presets.
 */

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "share.h"

/*
 * Latencies and bandwidths of DRAM, remote DRAM as a stand-in for CXL memory,
 * and Optane: measured by MLC on a socket of 36 cores that 9 VMs of 4 vCPUs
 * shared (Demeter, SOSP'25; its published manuscript).  A vCPU of the simulator
 * gets a core's share of the bandwidth: it executes only one instruction per
 * nanosecond, and could never saturate a socket.
 *
 * The ratio of Optane's read bandwidth to its write bandwidth is 39.4 to 13.9
 * GB/s for 6 DIMMs (Izraelevitz et al., arXiv:1903.05714v3).  For the other
 * tiers only one figure is known, which serves for both directions.
 *
 * The guest does not wait for a write-back as long as there is bandwidth for
 * it, so the write latency is 0.  The emulator HME (Duan et al., DATE'18; the
 * configuration in its README) charges a write latency, and so does the preset
 * hme.  Its DRAM has the bandwidth of the other presets, twice that of its NVM.
 */
#define CORES 36
#define DRAM_GBPS (88.2 / CORES)
#define CXL_GBPS (53.5 / CORES)
#define OPTANE_GBPS (21.4 / CORES)
#define OPTANE_WRITE (13.9 / 39.4)

#define DRAM { { 68.7, 0 }, { DRAM_GBPS, DRAM_GBPS } }
#define CXL { { 121.9, 0 }, { CXL_GBPS, CXL_GBPS } }
#define OPTANE { { 176.6, 0 }, { OPTANE_GBPS, OPTANE_GBPS * OPTANE_WRITE } }
#define HME_DRAM { { 100, 200 }, { DRAM_GBPS, DRAM_GBPS } }
#define HME_NVM { { 400, 1800 }, { DRAM_GBPS / 2, DRAM_GBPS / 2 } }

static const struct preset {
    const char *name;
    SimTier slow; /* the tier of all nodes but the first */
    SimTierOptions tier[SIM_TIERS];
} presets[] = {
    { "dram", SIM_DRAM, { DRAM, OPTANE, CXL } },
    { "optane", SIM_NVM, { DRAM, OPTANE, CXL } },
    { "cxl", SIM_CXL, { DRAM, OPTANE, CXL } },
    { "hme", SIM_NVM, { HME_DRAM, HME_NVM, CXL } },
};

#define PRESETS "dram, optane, cxl or hme"

const char *const sim_tier_name[SIM_TIERS] = { "dram", "nvm", "cxl" };
const char *const sim_walks_name[SIM_WALKS] = { "off", "native", "nested" };

/*
 * mlp: one load at a time. walk_ns: reading the last level of the guest's and
 * the host's page tables from DRAM, and a locked update; upper levels are
 * mostly cached. tlb: the second-level TLB of Ice Lake. tlb_ns, entry_ns: 7
 * and 14 cycles of 3 GHz for hits in that TLB and in the second-level cache of
 * Sapphire Rapids, which has the size of the LLC here (Intel's optimization
 * manual). host_page: transparent huge pages. turn_us: much longer
 * than step_ns, and much shorter than what a policy or a cache needs to adapt.
 */
SimOptions sim_options = {
    .llc = 2 << 20,
    .ways = 16,
    .tlb = 2048,
    .host_page = 2 << 20,
    .tlb_ns = 2.33,
    .entry_ns = 4.67,
    .mlp = 1,
    .walk_ns = 200,
    .step_ns = 20000,
    .turn_us = 100,
    .prefetch = true,
};

static bool G_GNUC_PRINTF(1, 2) complain(const char *format, ...)
{
    va_list args;

    fputs("hmem-sim: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return false;
}

/* Each of these functions parses the @value of option @name into *@to. */

static bool parse_number(const char *name, const char *value, void *to)
{
    double *number = to;
    char *end;

    *number = g_ascii_strtod(value, &end);
    if (end == value || *end || !isfinite(*number) || *number < 0) {
        return complain("%s=%s: not a number of 0 or more", name, value);
    }
    return true;
}

static bool parse_whole(const char *name, const char *value, void *to)
{
    uint64_t *number = to;
    char *end;

    errno = 0;
    *number = g_ascii_strtoull(value, &end, 10);
    if (!g_ascii_isdigit(*value) || *end || errno) {
        return complain("%s=%s: not a whole number", name, value);
    }
    return true;
}

static bool parse_size(const char *name, const char *value, void *to)
{
    static const char suffixes[] = "KMG";
    uint64_t *size = to;
    const char *suffix;
    unsigned int shift;
    char *end;

    errno = 0;
    *size = g_ascii_strtoull(value, &end, 10);
    suffix = *end ? strchr(suffixes, g_ascii_toupper(*end)) : NULL;
    if (!g_ascii_isdigit(*value) || errno ||
        (*end && (!suffix || end[1]))) {
        return complain("%s=%s: not a size in bytes, K, M or G", name, value);
    }
    shift = suffix ? 10 * (suffix - suffixes + 1) : 0;
    if (*size > UINT64_C(1) << 46 >> shift) {
        return complain("%s=%s: more than 64 TiB", name, value);
    }
    *size <<= shift;
    return true;
}

static bool parse_switch(const char *name, const char *value, void *to)
{
    bool *on = to;

    *on = !strcmp(value, "on");
    return *on || !strcmp(value, "off") ||
        complain("%s=%s: neither on nor off", name, value);
}

static bool parse_start(const char *name, const char *value, void *to)
{
    bool *at_mark = to;

    *at_mark = !strcmp(value, "mark");
    return *at_mark || !strcmp(value, "boot") ||
        complain("%s=%s: neither boot nor mark", name, value);
}

static bool parse_walks(const char *name, const char *value, void *to)
{
    SimWalks *walks = to;
    unsigned int i;

    for (i = 0; i < G_N_ELEMENTS(sim_walks_name); i++) {
        if (!strcmp(value, sim_walks_name[i])) {
            *walks = i;
            return true;
        }
    }
    return complain("%s=%s: neither off, native nor nested", name, value);
}

/* The text exists as long as the arguments. */
static bool parse_text(const char *name, const char *value, void *to)
{
    const char **text = to;

    *text = value;
    return true;
}

/* The preset is parsed first, because other options override it. */
static bool parse_preset(const char *name, const char *value, void *to)
{
    return true;
}

static bool parse_tier_name(const char *name, const char *value, SimTier *tier)
{
    unsigned int t;

    for (t = 0; t < SIM_TIERS; t++) {
        if (!strcmp(value, sim_tier_name[t])) {
            *tier = t;
            return true;
        }
    }
    return complain("%s=%s: no tier is called so, but dram, nvm and cxl", name,
                    value);
}

static bool parse_copy(const char *name, const char *value, void *to)
{
    SimOptions *o = to;
    g_auto(GStrv) ranges = g_strsplit(value, ":", -1);
    int i;

    for (i = 0; ranges[i]; i++) {
        SimRange range;
        char *end;

        if (o->num_copy == SIM_MAX_COPY) {
            return complain("%s: more than %d ranges", name, SIM_MAX_COPY);
        }
        range.start = g_ascii_strtoull(ranges[i], &end, 16);
        if (end == ranges[i] || *end++ != '-') {
            return complain("%s: '%s' is not START-END in hexadecimal", name,
                            ranges[i]);
        }
        range.end = g_ascii_strtoull(end, &end, 16);
        if (*end || range.end <= range.start) {
            return complain("%s: '%s' is not START-END in hexadecimal", name,
                            ranges[i]);
        }
        o->copy[o->num_copy++] = range;
    }
    return true;
}

#define OPTION(name, parse) { #name, parse, offsetof(SimOptions, name) }

#define TIER_OPTION(name, t, figure) \
    { name, parse_number, offsetof(SimOptions, tier[t].figure) }

static const struct option {
    const char *name;
    bool (*parse)(const char *name, const char *value, void *to);
    size_t offset; /* offset of *@to in SimOptions */
} options[] = {
    OPTION(preset, parse_preset),
    OPTION(llc, parse_size),
    OPTION(ways, parse_whole),
    OPTION(tlb, parse_whole),
    OPTION(walks, parse_walks),
    OPTION(host_page, parse_size),
    OPTION(tlb_ns, parse_number),
    OPTION(entry_ns, parse_number),
    OPTION(memory_mode, parse_size),
    OPTION(mlp, parse_number),
    OPTION(walk_ns, parse_number),
    OPTION(step_ns, parse_number),
    OPTION(slice_ns, parse_number),
    OPTION(period_ms, parse_whole),
    OPTION(prefetch, parse_switch),
    OPTION(guest_rearm, parse_switch),
    { "start", parse_start, offsetof(SimOptions, start_at_mark) },
    { "copy", parse_copy, 0 },
    OPTION(share, parse_text),
    OPTION(members, parse_whole),
    OPTION(member, parse_whole),
    OPTION(turn_us, parse_whole),
    OPTION(out, parse_text),
    OPTION(series, parse_text),
    OPTION(heat, parse_text),
    TIER_OPTION("dram.read_ns", SIM_DRAM, ns[SIM_READ]),
    TIER_OPTION("dram.write_ns", SIM_DRAM, ns[SIM_WRITE]),
    TIER_OPTION("dram.read_gbps", SIM_DRAM, gbps[SIM_READ]),
    TIER_OPTION("dram.write_gbps", SIM_DRAM, gbps[SIM_WRITE]),
    TIER_OPTION("nvm.read_ns", SIM_NVM, ns[SIM_READ]),
    TIER_OPTION("nvm.write_ns", SIM_NVM, ns[SIM_WRITE]),
    TIER_OPTION("nvm.read_gbps", SIM_NVM, gbps[SIM_READ]),
    TIER_OPTION("nvm.write_gbps", SIM_NVM, gbps[SIM_WRITE]),
    TIER_OPTION("cxl.read_ns", SIM_CXL, ns[SIM_READ]),
    TIER_OPTION("cxl.write_ns", SIM_CXL, ns[SIM_WRITE]),
    TIER_OPTION("cxl.read_gbps", SIM_CXL, gbps[SIM_READ]),
    TIER_OPTION("cxl.write_gbps", SIM_CXL, gbps[SIM_WRITE]),
};

/* Parse nodeN=TIER. */
static bool parse_node(const char *name, const char *value, bool *node_set)
{
    uint64_t node;

    if (!parse_whole("node", name + strlen("node"), &node)) {
        return false;
    }
    if (node >= SIM_MAX_NODES) {
        return complain("%s: nodes are numbered 0 to %d", name,
                        SIM_MAX_NODES - 1);
    }
    node_set[node] = true;
    return parse_tier_name(name, value, &sim_options.node[node]);
}

static bool parse_option(const char *name, const char *value, bool *node_set)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(options); i++) {
        const struct option *o = &options[i];

        if (!strcmp(name, o->name)) {
            return o->parse(name, value, (char *)&sim_options + o->offset);
        }
    }
    if (g_str_has_prefix(name, "node") && g_ascii_isdigit(name[4])) {
        return parse_node(name, value, node_set);
    }
    return complain("'%s' is not an option", name);
}

static bool check(const bool *node_set, SimTier slow)
{
    SimOptions *o = &sim_options;
    uint64_t sets;
    int i;

    if (!o->ways || o->ways > 64) {
        return complain("ways=%" PRIu64 ": not 1 to 64", o->ways);
    }
    sets = o->llc / SIM_LINE / o->ways;
    if (o->llc % (SIM_LINE * o->ways) || !sets || sets & (sets - 1) ||
        o->llc > 1 << 30) {
        return complain("llc=%" PRIu64 ", ways=%" PRIu64 ": not up to 1G of "
                        "a power of two of sets of %d-byte lines", o->llc,
                        o->ways, SIM_LINE);
    }
    if (o->tlb && (o->tlb < 64 || o->tlb > 1 << 20 || o->tlb & (o->tlb - 1))) {
        return complain("tlb=%" PRIu64 ": not 0, nor a power of two from 64 to "
                        "1048576", o->tlb);
    }
    if (o->walks && !o->tlb) {
        return complain("tlb=0: walks needs a TLB of a size that is known");
    }
    if (o->host_page != 4096 && o->host_page != 2 << 20) {
        return complain("host_page=%" PRIu64 ": neither 4K nor 2M",
                        o->host_page);
    }
    if (o->mlp < 1 || o->mlp > 1000) {
        return complain("mlp=%g: not 1 to 1000", o->mlp);
    }
    if (o->step_ns > 1e9) {
        return complain("step_ns=%g: more than a second", o->step_ns);
    }
    if (o->period_ms && !o->series && !o->heat) {
        return complain("period_ms=%" PRIu64 " needs series=FILE or heat=FILE",
                        o->period_ms);
    }
    if (o->heat && !o->period_ms) {
        return complain("heat=%s needs period_ms=N", o->heat);
    }
    if (o->share ? o->members < 2 || o->members > SIM_MAX_MEMBERS ||
                   o->member >= o->members : o->members || o->member) {
        return complain("share=FILE, members=N and member=I belong together: "
                        "N is 2 to %d, and I is 0 to N - 1", SIM_MAX_MEMBERS);
    }
    if (!o->turn_us || o->turn_us > 1000) {
        return complain("turn_us=%" PRIu64 ": not 1 to 1000", o->turn_us);
    }
    if (!o->memory_mode) {
        return true;
    }
    if (o->memory_mode % SIM_LINE || o->memory_mode < SIM_LINE ||
        o->memory_mode > UINT64_C(1) << 37) {
        return complain("memory_mode=%" PRIu64 ": not up to 128G of whole "
                        "lines", o->memory_mode);
    }
    if (slow == SIM_DRAM) {
        return complain("memory_mode needs a preset with a slow tier: %s",
                        "optane, cxl or hme");
    }
    for (i = 0; i < SIM_MAX_NODES; i++) {
        if (node_set[i] && o->node[i] == SIM_DRAM) {
            return complain("node%d=dram contradicts memory_mode, in which no "
                            "node is DRAM", i);
        }
        if (!node_set[i]) {
            o->node[i] = slow;
        }
    }
    return true;
}

/* The presets have the bandwidth of one core, and the cache has its size. */
static void scale(unsigned int vcpus)
{
    SimOptions *o = &sim_options;
    unsigned int t, d;

    o->vcpus = vcpus;
    for (t = 0; t < SIM_TIERS; t++) {
        for (d = 0; d < SIM_DIRECTIONS; d++) {
            o->tier[t].gbps[d] *= vcpus;
        }
    }
    while (vcpus /= 2) {
        o->llc *= 2; /* the number of sets stays a power of two */
    }
}

bool sim_options_parse(unsigned int vcpus, int argc, char **argv)
{
    SimOptions *o = &sim_options;
    const struct preset *preset = NULL;
    bool node_set[SIM_MAX_NODES] = { };
    const char *name = "optane";
    unsigned int i;
    int arg;

    for (arg = 0; arg < argc; arg++) {
        if (g_str_has_prefix(argv[arg], "preset=")) {
            name = argv[arg] + strlen("preset=");
        }
    }
    for (i = 0; i < G_N_ELEMENTS(presets); i++) {
        if (!strcmp(name, presets[i].name)) {
            preset = &presets[i];
        }
    }
    if (!preset) {
        return complain("preset=%s: not %s", name, PRESETS);
    }
    o->preset = preset->name;
    memcpy(o->tier, preset->tier, sizeof(o->tier));
    scale(vcpus);
    for (i = 1; i < SIM_MAX_NODES; i++) {
        o->node[i] = preset->slow;
    }

    for (arg = 0; arg < argc; arg++) {
        const char *value = strchr(argv[arg], '=');
        g_autofree char *key = NULL;

        if (!value) {
            return complain("'%s' is not NAME=VALUE", argv[arg]);
        }
        key = g_strndup(argv[arg], value - argv[arg]);
        if (!parse_option(key, value + 1, node_set)) {
            return false;
        }
    }
    return check(node_set, preset->slow);
}

bool sim_open(const char *name, FILE **file)
{
    *file = fopen(name, "w");
    return *file || complain("cannot write %s: %s", name, strerror(errno));
}
