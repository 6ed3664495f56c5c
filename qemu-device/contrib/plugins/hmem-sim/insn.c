/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: finds the guest's instructions (x86) that matter to the model.
 */

#include <glib.h>
#include <string.h>

#include "insn.h"
#include "options.h"

#define MARK 0x686d0000u

static const SimRange *copy_range(uint64_t pc)
{
    unsigned int i;

    for (i = 0; i < sim_options.num_copy; i++) {
        if (pc >= sim_options.copy[i].start && pc < sim_options.copy[i].end) {
            return &sim_options.copy[i];
        }
    }
    return NULL;
}

bool sim_insn_copies(uint64_t pc)
{
    return copy_range(pc);
}

static bool is_mark(const uint8_t *bytes, size_t len, SimMark *mark)
{
    static const uint8_t nopl[] = { 0x0f, 0x1f, 0x84, 0x00 };
    uint32_t disp;

    if (len != 8 || memcmp(bytes, nopl, sizeof(nopl))) {
        return false;
    }
    memcpy(&disp, bytes + sizeof(nopl), sizeof(disp));
    disp = GUINT32_FROM_LE(disp) - MARK;
    *mark = disp;
    return disp >= SIM_MARK_BEGIN && disp <= SIM_MARK_START;
}

static bool is_prefix(uint8_t byte)
{
    /* Operand size, address size, lock, rep, segments, REX. */
    return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 ||
        byte == 0xf3 || byte == 0x2e || byte == 0x36 || byte == 0x3e ||
        byte == 0x26 || byte == 0x64 || byte == 0x65 || (byte & 0xf0) == 0x40;
}

/* Is this a mov to a control register, or invpcid? */
static bool is_tlb_flush(const uint8_t *op, size_t len)
{
    return len >= 3 && op[0] == 0x0f &&
        (op[1] == 0x22 || (op[1] == 0x38 && op[2] == 0x82));
}

static bool is_invlpg(const uint8_t *op, size_t len)
{
    return len >= 3 && op[0] == 0x0f && op[1] == 0x01 && op[2] >> 6 != 3 &&
        (op[2] >> 3 & 7) == 7;
}

/* Is this a return, or a jump to another function or a return thunk? */
static bool is_leave(uint64_t next_pc, const SimRange *range,
                     const uint8_t *op, size_t len)
{
    uint64_t target;
    int32_t rel;

    switch (op[0]) {
    case 0xc2:
    case 0xc3:
        return true;
    case 0xe9:
        if (len != 5) {
            return false;
        }
        memcpy(&rel, op + 1, sizeof(rel));
        target = next_pc + (int32_t)GUINT32_FROM_LE(rel);
        return target < range->start || target >= range->end;
    case 0xff:
        return len > 1 && (op[1] >> 3 & 7) == 4;
    default:
        return false;
    }
}

SimInsnKind sim_insn_kind(uint64_t pc, const uint8_t *bytes, size_t len,
                          SimMark *mark)
{
    const SimRange *range = copy_range(pc);
    const uint8_t *op = bytes;

    if (is_mark(bytes, len, mark)) {
        return SIM_INSN_MARK;
    }
    while (op < bytes + len - 1 && is_prefix(*op)) {
        op++;
    }
    if (is_tlb_flush(op, bytes + len - op)) {
        return SIM_INSN_TLB_FLUSH;
    }
    if (is_invlpg(op, bytes + len - op)) {
        return SIM_INSN_TLB_FLUSH_PAGE;
    }
    if (range && is_leave(pc + len, range, op, bytes + len - op)) {
        return SIM_INSN_LEAVE;
    }
    return SIM_INSN_OTHER;
}
