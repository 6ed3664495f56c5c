/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: finds the entries of the guest's page tables (x86, 64 bits).
 */

#include <qemu-plugin.h>

#include "frames.h"
#include "page-table.h"

#define PRESENT 1
#define LARGE (1 << 7)
#define ADDRESS 0x000ffffffffff000
#define CR0_PG (1u << 31)
#define CR4_LA57 (1 << 12)
#define EFER_LMA (1 << 10)

/*
 * The tables that were found last, so that most entries are found without
 * reading the guest's memory.  The table of a level is looked up by the part of
 * the address that selects it.
 */
#define MEMO 512

static struct memo {
    uint64_t key;
    uint64_t table;
    uint64_t generation; /* outdated if it differs from the vCPU's */
} memos[SIM_MAX_VCPUS][SIM_LEVEL_2M][MEMO];

/* From 1: memos begin with 0. */
static uint64_t generations[SIM_MAX_VCPUS] = {
    [0 ... SIM_MAX_VCPUS - 1] = 1,
};

static unsigned int level_shift(unsigned int level)
{
    return 12 + 9 * (level - 1);
}

static uint64_t entry_in(uint64_t table, uint64_t vaddr, unsigned int level)
{
    return table + (vaddr >> level_shift(level) & 511) * 8;
}

static bool control_has(const char *name, uint64_t bit)
{
    uint64_t value;

    return qemu_plugin_control_register(name, &value) && value & bit;
}

/*
 * Walk from the root down to the table of @level.  The guest can put any
 * address into registers and tables, so read only memory of its nodes.
 */
static uint64_t find_table(uint64_t vaddr, unsigned int level)
{
    uint64_t table, entry;
    unsigned int at;

    if (!control_has("cr0", CR0_PG) || !control_has("efer", EFER_LMA) ||
        !qemu_plugin_control_register("cr3", &table)) {
        return SIM_NO_ENTRY;
    }
    table &= ADDRESS;
    for (at = control_has("cr4", CR4_LA57) ? 5 : 4; at > level; at--) {
        if (!sim_frame_is_memory(table >> SIM_FRAME_SHIFT) ||
            !qemu_plugin_load_phys(entry_in(table, vaddr, at), &entry) ||
            !(entry & PRESENT) || (at < 4 && entry & LARGE)) {
            return SIM_NO_ENTRY;
        }
        table = entry & ADDRESS;
    }
    return sim_frame_is_memory(table >> SIM_FRAME_SHIFT) ? table : SIM_NO_ENTRY;
}

uint64_t sim_page_table_entry(unsigned int vcpu, uint64_t vaddr,
                              unsigned int level)
{
    uint64_t key = vaddr >> level_shift(level + 1);
    struct memo *memo = &memos[vcpu][level - 1][key % MEMO];

    if (memo->generation != generations[vcpu] || memo->key != key) {
        uint64_t table = find_table(vaddr, level);

        if (table == SIM_NO_ENTRY) {
            return SIM_NO_ENTRY;
        }
        *memo = (struct memo) {
            .key = key,
            .table = table,
            .generation = generations[vcpu],
        };
    }
    return entry_in(memo->table, vaddr, level);
}

void sim_page_table_forget(unsigned int vcpu)
{
    generations[vcpu]++;
}
