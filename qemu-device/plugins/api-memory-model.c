/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU Plugin API - functions for a plugin that models the guest's memory: the
 * guest's clock, the location of its RAM, and a log of its accesses.
 */

#include "qemu/osdep.h"
#include "qemu/plugin.h"
#include "exec/cpu-common.h"
#include "exec/gdbstub.h"
#include "qemu/plugin-access-log.h"
#include "qemu/plugin-memory.h"
#include "qemu/plugin-tlb.h"
#include "qemu/rcu.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "hw/virtio/virtio-hmem-compat.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/hostmem.h"
#include "system/icount-slices.h"
#include "system/numa.h"

static const struct qemu_plugin_access_log *access_log;

/* Waiting time that the clock does not contain yet.  vCPU thread only. */
static uint64_t stall;
/* Waiting time that the clock contains. */
static int64_t stalled_ns;

uint64_t qemu_plugin_insn_ns(void)
{
    return icount_enabled() == ICOUNT_PRECISE ? icount_to_ns(1) : 0;
}

/*
 * Return what icount_get_raw() and icount_get() return.  Works inside a
 * translation block, where these may not be called.
 */
static void read_clock(int64_t *icount, int64_t *ns)
{
    const CPUState *cpu = current_cpu;
    int64_t bias;
    unsigned int start;

    g_assert(icount_enabled() == ICOUNT_PRECISE);
    do {
        start = seqlock_read_begin(&timers_state.vm_clock_seqlock);
        *icount = qatomic_read_i64(&timers_state.qemu_icount);
        bias = qatomic_read_i64(&timers_state.qemu_icount_bias);
    } while (seqlock_read_retry(&timers_state.vm_clock_seqlock, start));

    if (cpu) {
        *icount += cpu->icount_budget -
            (cpu->neg.icount_decr.u16.low + cpu->icount_extra);
        bias += stall + icount_slices_stalled();
    }
    *ns = bias + icount_to_ns(*icount);
}

uint64_t qemu_plugin_icount(void)
{
    int64_t icount, ns;

    read_clock(&icount, &ns);
    return icount;
}

uint64_t qemu_plugin_clock_ns(void)
{
    int64_t icount, ns;

    read_clock(&icount, &ns);
    return ns;
}

static void stall_async(CPUState *cpu, run_on_cpu_data data)
{
    seqlock_write_lock(&timers_state.vm_clock_seqlock,
                       &timers_state.vm_clock_lock);
    qatomic_set_i64(&timers_state.qemu_icount_bias,
                    timers_state.qemu_icount_bias + stall);
    seqlock_write_unlock(&timers_state.vm_clock_seqlock,
                         &timers_state.vm_clock_lock);
    qatomic_set_i64(&stalled_ns, stalled_ns + stall);
    stall = 0;
}

int64_t qemu_plugin_stalled_ns(void)
{
    return qatomic_read_i64(&stalled_ns);
}

void qemu_plugin_stall_ns(uint64_t ns)
{
    g_assert(icount_enabled() == ICOUNT_PRECISE);
    g_assert(current_cpu);

    if (icount_slices_stall(ns)) {
        qatomic_set_i64(&stalled_ns, stalled_ns + ns);
        return;
    }

    /*
     * Delay this until the vCPU stops: a timer that became due while the vCPU
     * executes could fire in the main loop at the same time.
     */
    if (!stall) {
        async_run_on_cpu(current_cpu, stall_async, RUN_ON_CPU_NULL);
    }
    stall += ns;
}

bool qemu_plugin_run_side_by_side(uint64_t ns)
{
    return icount_enabled() == ICOUNT_PRECISE && ns <= INT64_MAX &&
           icount_slices_enable(ns);
}

struct for_each_ram {
    qemu_plugin_ram_cb_t cb;
    void *userdata;
    int num;
};

/* The NUMA node that @mr belongs to, or a negative number. */
static int ram_node(const MemoryRegion *mr)
{
    const MachineState *ms = MACHINE(qdev_get_machine());
    const NumaState *numa = ms->numa_state;
    int node;

    for (node = 0; numa && node < numa->num_nodes; node++) {
        HostMemoryBackend *memdev = numa->nodes[node].node_memdev;

        if (memdev && host_memory_backend_get_memory(memdev) == mr) {
            return node;
        }
    }
    return mr == ms->ram ? 0 : -1;
}

static bool for_each_ram_range(Int128 start, Int128 len,
                               const MemoryRegion *mr,
                               hwaddr offset_in_region, void *opaque)
{
    struct for_each_ram *each = opaque;
    int node = ram_node(mr);

    if (node >= 0) {
        each->cb(int128_get64(start), int128_get64(len), node,
                 each->userdata);
        each->num++;
    }
    return false;
}

int qemu_plugin_for_each_ram(qemu_plugin_ram_cb_t cb, void *userdata)
{
    struct for_each_ram each = { .cb = cb, .userdata = userdata };

    RCU_READ_LOCK_GUARD();
    flatview_for_each_range(address_space_to_flatview(&address_space_memory),
                            for_each_ram_range, &each);
    return each.num;
}

void qemu_plugin_fix_tlb(size_t entries)
{
    tlb_fix_size(entries);
}

unsigned int qemu_plugin_hwaddr_page_shift(const struct qemu_plugin_hwaddr *hw)
{
    return hw->page_shift;
}

/* The number by which the gdbstub knows a register; negative: no such one. */
static int register_number(CPUState *cpu, const char *name)
{
    g_autoptr(GArray) registers = gdb_get_register_list(cpu);
    guint i;

    for (i = 0; i < registers->len; i++) {
        const GDBRegDesc *one = &g_array_index(registers, GDBRegDesc, i);

        if (!g_strcmp0(one->name, name)) {
            return one->gdb_reg;
        }
    }
    return -1;
}

bool qemu_plugin_control_register(const char *name, uint64_t *value)
{
    /* Numbers by name: all vCPUs are of one type. */
    static GHashTable *numbers;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    gpointer number;
    int i;

    g_assert(current_cpu);
    if (!numbers) {
        numbers = g_hash_table_new(g_str_hash, g_str_equal);
    }
    if (!g_hash_table_lookup_extended(numbers, name, NULL, &number)) {
        number = GINT_TO_POINTER(register_number(current_cpu, name));
        g_hash_table_insert(numbers, g_strdup(name), number);
    }
    if (GPOINTER_TO_INT(number) < 0 ||
        gdb_read_register(current_cpu, bytes, GPOINTER_TO_INT(number)) <= 0) {
        return false;
    }
    *value = 0;
    for (i = MIN(bytes->len, sizeof(*value)) - 1; i >= 0; i--) {
        *value = *value << 8 | bytes->data[i];
    }
    return true;
}

bool qemu_plugin_load_phys(uint64_t gpa, uint64_t *value)
{
    RCU_READ_LOCK_GUARD();
    if (address_space_read(&address_space_memory, gpa, MEMTXATTRS_UNSPECIFIED,
                           value, sizeof(*value)) != MEMTX_OK) {
        return false;
    }
    *value = le64_to_cpu(*value);
    return true;
}

static struct {
    QEMUTimer *timer;
    uint64_t ns;
    void (*cb)(uint64_t now_ns);
} each;

static void each_arm(void)
{
    uint64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    timer_mod(each.timer, (now / each.ns + 1) * each.ns);
}

static void each_fired(void *opaque)
{
    each.cb(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    each_arm();
}

void qemu_plugin_each_ns(uint64_t ns, void (*cb)(uint64_t now_ns))
{
    g_assert(ns && !each.timer);
    each.ns = ns;
    each.cb = cb;
    each.timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, each_fired, NULL);
    each_arm();
}

void qemu_plugin_set_access_log(const struct qemu_plugin_access_log *log)
{
    access_log = log;
}

const struct qemu_plugin_access_log *qemu_plugin_get_access_log(void)
{
    return access_log;
}
