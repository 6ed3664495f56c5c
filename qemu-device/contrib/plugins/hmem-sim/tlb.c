/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: the time that the guest waits for translations of addresses.
 */

#include <glib.h>
#include <string.h>

#include "clock.h"
#include "frames.h"
#include "llc.h"
#include "options.h"
#include "page-table.h"
#include "stats.h"
#include "tlb.h"

#define SHIFT_4K 12
#define SHIFT_2M 21

/*
 * The first level is that of Ice Lake's cores (Intel 64 and IA-32 Architectures
 * Optimization Reference Manual); the option tlb= sets the size of the second.
 * Vendors do not document how many entries of page directories and how many
 * translations of guest-physical addresses a processor caches: 32 and 16 are
 * assumptions.
 */
enum {
    FIRST_WAYS = 4,
    FIRST_4K = 64,
    FIRST_2M = 32,
    SECOND_WAYS = 16,
    DIRECTORY = 32,
    NESTED = 16,
};

/* The translation of a page number; @to is 0 where only @page matters. */
typedef struct Entry {
    uint64_t page;
    uint64_t to;
} Entry;

/* A set-associative cache of entries: the most recently used of a set first. */
typedef struct Cache {
    Entry *entries;
    unsigned int sets; /* a power of two */
    unsigned int ways;
} Cache;

static struct {
    Cache first_4k;
    Cache first_2m;
    Cache second;    /* page << 1 | whether the page has 2 MiB */
    Cache directory; /* the entries that lead to tables of 4 KiB pages */
    Cache nested;    /* guest-physical addresses, translated by the host */
} vcpus[SIM_MAX_VCPUS];

static unsigned int host_shift;
static uint64_t second_ps, cached_ps;

static void cache_empty(Cache *c)
{
    memset(c->entries, 0xff, sizeof(Entry) * c->sets * c->ways);
}

static void cache_init(Cache *c, unsigned int entries, unsigned int ways)
{
    c->sets = entries / ways;
    c->ways = ways;
    c->entries = g_new(Entry, entries);
    cache_empty(c);
}

/* Look an entry up, and add it if it is missing.  Returns: was it there? */
static bool cache_use(Cache *c, uint64_t set, uint64_t page, uint64_t to)
{
    Entry *entries = &c->entries[(set & (c->sets - 1)) * c->ways];
    unsigned int way = 0;
    bool hit;

    while (way < c->ways && entries[way].page != page) {
        way++;
    }
    hit = way < c->ways && entries[way].to == to;
    way = MIN(way, c->ways - 1);
    memmove(entries + 1, entries, way * sizeof(*entries));
    entries[0] = (Entry) { .page = page, .to = to };
    return hit;
}

void sim_tlb_init(unsigned int num_vcpus)
{
    unsigned int i;

    if (sim_options.walks == SIM_WALKS_OFF) {
        return;
    }
    for (i = 0; i < num_vcpus; i++) {
        cache_init(&vcpus[i].first_4k, FIRST_4K, FIRST_WAYS);
        cache_init(&vcpus[i].first_2m, FIRST_2M, FIRST_WAYS);
        cache_init(&vcpus[i].second, sim_options.tlb, SECOND_WAYS);
        cache_init(&vcpus[i].directory, DIRECTORY, DIRECTORY);
        cache_init(&vcpus[i].nested, NESTED, NESTED);
    }
    host_shift = __builtin_ctzll(sim_options.host_page);
    second_ps = sim_options.tlb_ns * 1000;
    cached_ps = sim_options.entry_ns * 1000;
}

/* Read a line of page tables. */
static void read_line(uint64_t line, SimCause cause)
{
    if (sim_llc_walk(line, cause)) {
        sim_wait(cached_ps);
    }
}

/* Translate a guest-physical address by the host's page tables. */
static void walk_host(unsigned int vcpu, uint64_t gpa, SimCause cause)
{
    uint64_t page = gpa >> host_shift;

    if (!cache_use(&vcpus[vcpu].nested, 0, page, 0)) {
        read_line(sim_host_table_line(page), cause);
    }
}

static void walk_entry(unsigned int vcpu, uint64_t entry, SimCause cause)
{
    if (entry == SIM_NO_ENTRY) {
        return;
    }
    if (sim_options.walks == SIM_WALKS_NESTED) {
        walk_host(vcpu, entry, cause);
    }
    read_line(entry >> SIM_LINE_SHIFT, cause);
}

/* Entries above those of 2 MiB are few, and count as cached. */
static void walk(unsigned int vcpu, uint64_t vaddr, uint64_t gpa,
                 unsigned int page_shift, SimCause cause)
{
    if (page_shift < SHIFT_2M) {
        if (!cache_use(&vcpus[vcpu].directory, 0, vaddr >> SHIFT_2M, 0)) {
            walk_entry(vcpu, sim_page_table_entry(vcpu, vaddr, SIM_LEVEL_2M),
                       cause);
        }
        walk_entry(vcpu, sim_page_table_entry(vcpu, vaddr, SIM_LEVEL_4K),
                   cause);
    } else if (page_shift == SHIFT_2M) {
        walk_entry(vcpu, sim_page_table_entry(vcpu, vaddr, SIM_LEVEL_2M),
                   cause);
    }
    if (sim_options.walks == SIM_WALKS_NESTED) {
        walk_host(vcpu, gpa, cause);
    }
}

void sim_tlb_access(unsigned int vcpu, uint64_t vaddr, uint64_t gpa,
                    unsigned int page_shift, SimCause cause)
{
    /* The TLB has whole translations, for the smaller of the two pages. */
    bool large = page_shift >= SHIFT_2M &&
        (sim_options.walks == SIM_WALKS_NATIVE || host_shift == SHIFT_2M);
    unsigned int shift = large ? SHIFT_2M : SHIFT_4K;
    uint64_t page = vaddr >> shift;
    uint64_t to = gpa >> shift;
    uint64_t begin;

    if (cache_use(large ? &vcpus[vcpu].first_2m : &vcpus[vcpu].first_4k,
                  page, page, to)) {
        return;
    }
    begin = sim_now_ps();
    if (cache_use(&vcpus[vcpu].second, page, page << 1 | large, to)) {
        sim_counters.tlb_second_hits++;
        sim_wait(second_ps);
    } else {
        sim_counters.tlb_walks++;
        walk(vcpu, vaddr, gpa, page_shift, cause);
    }
    sim_counters.tlb_ps += sim_now_ps() - begin;
}

void sim_tlb_flush(unsigned int vcpu)
{
    if (sim_options.walks != SIM_WALKS_OFF) {
        cache_empty(&vcpus[vcpu].first_4k);
        cache_empty(&vcpus[vcpu].first_2m);
        cache_empty(&vcpus[vcpu].second);
        sim_tlb_flush_page(vcpu);
    }
}

void sim_tlb_flush_page(unsigned int vcpu)
{
    if (sim_options.walks != SIM_WALKS_OFF) {
        cache_empty(&vcpus[vcpu].directory);
        sim_page_table_forget(vcpu);
    }
}
