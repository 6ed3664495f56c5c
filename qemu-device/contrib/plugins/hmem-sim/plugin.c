/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: a simulator of hybrid memory, as a TCG plugin.
 *
 * This part connects the model with QEMU.  See sim.h for the other parts, and
 * docs/system/hmem-sim.rst for the model.
 */

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <qemu-plugin.h>

#include "clock.h"
#include "filter.h"
#include "frames.h"
#include "heat.h"
#include "insn.h"
#include "llc.h"
#include "memory.h"
#include "options.h"
#include "share.h"
#include "stats.h"
#include "tlb.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* The longest instruction of x86, and the widest access of TCG. */
#define MAX_INSN 15
#define MAX_ACCESS 16

/*
 * Instructions of a slice: the default, and the limits of
 * qemu_plugin_run_side_by_side().  The default is not much longer than a miss,
 * or than an interrupt takes to get to another processor.
 */
#define SLICE 2000
#define MIN_SLICE 1024
#define MAX_SLICE 32768

static SimCause cause[SIM_MAX_VCPUS];
static bool started;
static qemu_plugin_id_t own_id;
static uint64_t period_ps, next_sample_ps;

static const struct qemu_plugin_access_log access_log = {
    .collect = sim_frames_collect,
    .rearm = sim_frames_rearm,
};

static void periodic_sample(void)
{
    uint64_t now = sim_now_ps();

    if (now >= next_sample_ps) {
        sim_stats_sample("period", "");
        sim_heat_period(now / 1000);
        next_sample_ps += (now - next_sample_ps) / period_ps * period_ps +
            period_ps;
    }
}

/* Model an access that missed the filter. */
static __attribute__((noinline))
void model_access(unsigned int vcpu, qemu_plugin_meminfo_t info,
                  uint64_t vaddr, bool store)
{
    const struct qemu_plugin_hwaddr *hwaddr =
        qemu_plugin_get_hwaddr(info, vaddr);
    uint64_t vline = vaddr >> SIM_LINE_SHIFT;
    unsigned int slot = sim_filter_slot(vcpu, vline);
    uint64_t gpa;

    if (!hwaddr || qemu_plugin_hwaddr_is_io(hwaddr)) {
        return;
    }
    sim_clock_of(vcpu);
    gpa = qemu_plugin_hwaddr_phys_addr(hwaddr);
    if (!sim_frame_is_memory(gpa >> SIM_FRAME_SHIFT)) {
        return;
    }
    if (sim_options.walks) {
        sim_tlb_access(vcpu, vaddr, gpa,
                       qemu_plugin_hwaddr_page_shift(hwaddr), cause[vcpu]);
    }
    sim_frame_touch(gpa >> SIM_FRAME_SHIFT, store);
    sim_llc_access(gpa >> SIM_LINE_SHIFT, slot, store, cause[vcpu]);
    /* The guest's next store counts, even if migration stored before it. */
    sim_filter_set(slot, vline, gpa >> SIM_LINE_SHIFT,
                   store && cause[vcpu] == SIM_GUEST);
    if (unlikely(period_ps)) {
        periodic_sample();
    }
}

static inline void access_line(unsigned int vcpu, qemu_plugin_meminfo_t info,
                               uint64_t vaddr, bool store)
{
    uint64_t vline = vaddr >> SIM_LINE_SHIFT;

    if (!sim_filter_has(sim_filter_slot(vcpu, vline), vline, store)) {
        model_access(vcpu, info, vaddr, store);
    }
}

/* Model an access that may extend into the next line. */
static __attribute__((noinline))
void access_near_end(unsigned int vcpu, qemu_plugin_meminfo_t info,
                     uint64_t vaddr, bool store)
{
    uint64_t last = vaddr + (1u << qemu_plugin_mem_size_shift(info)) - 1;

    access_line(vcpu, info, vaddr, store);
    if ((last ^ vaddr) >> SIM_LINE_SHIFT) {
        access_line(vcpu, info, last, store);
    }
}

static inline void access_memory(unsigned int vcpu, qemu_plugin_meminfo_t info,
                                 uint64_t vaddr, bool store)
{
    if (unlikely(vaddr % SIM_LINE > SIM_LINE - MAX_ACCESS)) {
        access_near_end(vcpu, info, vaddr, store);
    } else {
        access_line(vcpu, info, vaddr, store);
    }
}

static void load(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                 void *userdata)
{
    access_memory(vcpu, info, vaddr, false);
}

static void store(unsigned int vcpu, qemu_plugin_meminfo_t info,
                  uint64_t vaddr, void *userdata)
{
    access_memory(vcpu, info, vaddr, true);
}

/*
 * Called in a callback of a vCPU.  Not earlier, because a boot is faster with a
 * growing TLB, and with vCPUs that take long turns.
 */
static void begin_model(void)
{
    if (sim_options.tlb) {
        qemu_plugin_fix_tlb(sim_options.tlb);
    }
    if (sim_options.vcpus > 1) {
        qemu_plugin_run_side_by_side(sim_options.slice_ns);
    }
}

static void rearm_all(void)
{
    uint64_t words = (sim_num_frames + 63) / 64, accessed_num = 0;
    uint64_t dirty_num = 0, i;
    g_autofree uint64_t *accessed = g_new0(uint64_t, words);
    g_autofree uint64_t *dirty = g_new0(uint64_t, words);
    g_autofree char *found = NULL;

    access_log.collect(0, words * 64, accessed, dirty);
    for (i = 0; i < words; i++) {
        accessed_num += __builtin_popcountll(accessed[i]);
        dirty_num += __builtin_popcountll(dirty[i]);
        accessed[i] = UINT64_MAX;
    }
    access_log.rearm(0, words * 64, accessed, true);
    found = g_strdup_printf(", \"frames_accessed\": %" PRIu64
                            ", \"frames_dirty\": %" PRIu64, accessed_num,
                            dirty_num);
    sim_stats_sample("rearm", found);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
static void finish(qemu_plugin_id_t id, void *userdata);

/* QEMU translates all code again. */
static void start(qemu_plugin_id_t id)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
}

static void mark(unsigned int vcpu, void *userdata)
{
    sim_clock_of(vcpu);
    switch ((SimMark)(uintptr_t)userdata) {
    case SIM_MARK_BEGIN:
        sim_stats_begin();
        sim_stats_sample("begin", "");
        break;
    case SIM_MARK_END:
        sim_stats_end();
        sim_stats_sample("end", "");
        break;
    case SIM_MARK_SAMPLE:
        sim_stats_sample("mark", "");
        break;
    case SIM_MARK_REARM:
        if (sim_options.guest_rearm) {
            rearm_all();
        }
        break;
    case SIM_MARK_START:
        if (sim_options.start_at_mark) {
            sim_options.start_at_mark = false;
            begin_model();
            qemu_plugin_reset(own_id, start);
        }
        break;
    }
}

/* Another task may run now, in the middle of a page copy. */
static void translation_changed(unsigned int vcpu)
{
    sim_filter_flush(vcpu);
    cause[vcpu] = SIM_GUEST;
}

static void tlb_flush_page(unsigned int vcpu, void *userdata)
{
    translation_changed(vcpu);
    sim_tlb_flush_page(vcpu);
}

static void tlb_flush(unsigned int vcpu, void *userdata)
{
    translation_changed(vcpu);
    sim_tlb_flush(vcpu);
}

static void copy_enter(unsigned int vcpu, void *userdata)
{
    cause[vcpu] = SIM_MIGRATION;
}

static void copy_leave(unsigned int vcpu, void *userdata)
{
    cause[vcpu] = SIM_GUEST;
}

static void instrument(struct qemu_plugin_insn *insn)
{
    uint64_t pc = qemu_plugin_insn_vaddr(insn);
    uint8_t bytes[MAX_INSN];
    size_t len = qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
    SimMark what;

    switch (sim_insn_kind(pc, bytes, len, &what)) {
    case SIM_INSN_MARK:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, mark,
                                               QEMU_PLUGIN_CB_NO_REGS,
                                               (void *)(uintptr_t)what);
        break;
    case SIM_INSN_TLB_FLUSH:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, tlb_flush,
                                               QEMU_PLUGIN_CB_NO_REGS, NULL);
        break;
    case SIM_INSN_TLB_FLUSH_PAGE:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, tlb_flush_page,
                                               QEMU_PLUGIN_CB_NO_REGS, NULL);
        break;
    case SIM_INSN_LEAVE:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, copy_leave,
                                               QEMU_PLUGIN_CB_NO_REGS, NULL);
        break;
    case SIM_INSN_OTHER:
        break;
    }
    if (sim_options.start_at_mark) {
        return;
    }
    qemu_plugin_register_vcpu_mem_cb(insn, load, QEMU_PLUGIN_CB_NO_REGS,
                                     QEMU_PLUGIN_MEM_R, NULL);
    qemu_plugin_register_vcpu_mem_cb(insn, store, QEMU_PLUGIN_CB_NO_REGS,
                                     QEMU_PLUGIN_MEM_W, NULL);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t num = qemu_plugin_tb_n_insns(tb), i;

    /* The first vCPU starts, so the machine is complete. */
    if (!started) {
        if (!sim_frames_init()) {
            exit(EXIT_FAILURE);
        }
        if (!sim_options.start_at_mark) {
            begin_model();
        }
        started = true;
        sim_share_start();
    }
    if (sim_insn_copies(qemu_plugin_tb_vaddr(tb))) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, copy_enter,
                                             QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    for (i = 0; i < num; i++) {
        instrument(qemu_plugin_tb_get_insn(tb, i));
    }
}

static void finish(qemu_plugin_id_t id, void *userdata)
{
    qemu_plugin_set_access_log(NULL);
    sim_share_leave();
    if (started) {
        sim_stats_finish();
        sim_heat_period(sim_now_ps() / 1000);
    }
}

static bool set_slices(unsigned int vcpus)
{
    uint64_t insn_ns = qemu_plugin_insn_ns();
    double *slice_ns = &sim_options.slice_ns;

    if (!*slice_ns) {
        *slice_ns = SLICE * insn_ns;
    }
    if (*slice_ns < MIN_SLICE * insn_ns || *slice_ns > MAX_SLICE * insn_ns) {
        fprintf(stderr, "hmem-sim: slice_ns=%g: not the time of %d to %d "
                "instructions of %" PRIu64 " ns\n", *slice_ns, MIN_SLICE,
                MAX_SLICE, insn_ns);
        return false;
    }
    /* A stall ends a slice of time, and then costs little. */
    sim_step_ps = vcpus > 1 ? 0 : sim_options.step_ns * 1000;
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info, int argc,
                                           char **argv)
{
    if (!sim_options_parse(info->system_emulation ? info->system.max_vcpus : 1,
                           argc, argv)) {
        return -1;
    }
    if (!info->system_emulation || strcmp(info->target_name, "x86_64")) {
        fputs("hmem-sim: only for qemu-system-x86_64\n", stderr);
        return -1;
    }
    if (!qemu_plugin_insn_ns()) {
        fputs("hmem-sim: guest time has to be counted in instructions: use "
              "-accel tcg -icount shift=0,sleep=off\n", stderr);
        return -1;
    }
    if (info->system.max_vcpus > SIM_MAX_VCPUS) {
        fprintf(stderr, "hmem-sim: %d vCPUs, but up to %d are supported\n",
                info->system.max_vcpus, SIM_MAX_VCPUS);
        return -1;
    }
    if (!sim_stats_init() || !sim_heat_init() || !sim_share_init()) {
        return -1;
    }
    if (!set_slices(info->system.max_vcpus)) {
        return -1;
    }
    period_ps = sim_options.period_ms * 1000000000;
    sim_llc_init();
    sim_tlb_init(info->system.max_vcpus);
    sim_memory_init();
    sim_filter_flush_all();

    qemu_plugin_set_access_log(&access_log);
    own_id = id;
    start(id);
    return 0;
}
