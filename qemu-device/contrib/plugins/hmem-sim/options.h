/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the parameters of the model, and the presets.
 */

#ifndef HMEM_SIM_OPTIONS_H
#define HMEM_SIM_OPTIONS_H

#include <stdio.h>

#include "sim.h"

#define SIM_MAX_COPY 8

typedef struct SimTierOptions {
    double ns[SIM_DIRECTIONS];   /* latency of a line */
    double gbps[SIM_DIRECTIONS]; /* bandwidth in 10^9 bytes/s; 0: no limit */
} SimTierOptions;

/* What a TLB miss costs. */
typedef enum SimWalks {
    SIM_WALKS_OFF,    /* nothing */
    SIM_WALKS_NATIVE, /* a walk through the guest's page tables */
    SIM_WALKS_NESTED, /* a walk through the guest's and the host's tables */
    SIM_WALKS,
} SimWalks;

typedef struct SimRange {
    uint64_t start;
    uint64_t end; /* exclusive */
} SimRange;

typedef struct SimOptions {
    const char *preset;
    SimTierOptions tier[SIM_TIERS];
    SimTier node[SIM_MAX_NODES]; /* the tier of each node */
    uint64_t llc;                /* bytes */
    uint64_t ways;
    uint64_t memory_mode;        /* bytes of DRAM cache; 0: none */
    uint64_t tlb;                /* entries; 0: QEMU chooses */
    SimWalks walks;
    uint64_t host_page;          /* bytes of a page of the host's tables */
    double tlb_ns;               /* a hit in the TLB's second level */
    double entry_ns;             /* an entry of a page table, in the cache */
    double mlp;
    double walk_ns;
    double step_ns;
    double slice_ns;             /* 0: the default */
    unsigned int vcpus;
    uint64_t period_ms;          /* sampling period; 0: no samples */
    bool prefetch;
    bool guest_rearm;
    bool start_at_mark;
    SimRange copy[SIM_MAX_COPY]; /* the functions that copy pages */
    unsigned int num_copy;
    uint64_t members;            /* see share.h */
    uint64_t member;             /* the number of this one, from 0 */
    uint64_t turn_us;
    const char *share;           /* file names; NULL: none */
    const char *out;
    const char *series;
    const char *heat;
} SimOptions;

extern SimOptions sim_options;

/* The names in the options. */
extern const char *const sim_tier_name[SIM_TIERS];
extern const char *const sim_walks_name[SIM_WALKS];

/**
 * sim_options_parse() - fill in sim_options
 * @vcpus: the number of vCPUs
 * @argc: number of arguments
 * @argv: arguments, each NAME=VALUE; kept
 *
 * Returns: false if an argument is wrong; the reason is on stderr.
 */
bool sim_options_parse(unsigned int vcpus, int argc, char **argv);

/**
 * sim_open() - open the file that an option names, for writing
 * @name: name of the file
 * @file: set to the open file
 *
 * Returns: false if it cannot be written; the reason is on stderr.
 */
bool sim_open(const char *name, FILE **file);

#endif /* HMEM_SIM_OPTIONS_H */
