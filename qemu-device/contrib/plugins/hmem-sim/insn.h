/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: what the guest's instructions (x86) mean to the model.
 */

#ifndef HMEM_SIM_INSN_H
#define HMEM_SIM_INSN_H

#include "sim.h"

typedef enum SimInsnKind {
    SIM_INSN_OTHER,
    SIM_INSN_MARK,      /* for us; a no-op for everybody else */
    SIM_INSN_TLB_FLUSH, /* addresses may mean another memory from here on */
    SIM_INSN_LEAVE,     /* leaves a function that copies pages */
} SimInsnKind;

/* What a mark says: nopl 0x686d0000 + mark(%rax,%rax,1) */
typedef enum SimMark {
    SIM_MARK_BEGIN = 1, /* a region of interest begins */
    SIM_MARK_END = 2,
    SIM_MARK_SAMPLE = 3,
    SIM_MARK_REARM = 4, /* collect and rearm all page bits; for tests */
    SIM_MARK_START = 5, /* model from here on, if that was left to a mark */
} SimMark;

/* Whether @pc lies in a function that copies pages, as options say. */
bool sim_insn_copies(uint64_t pc);

/**
 * sim_insn_kind() - look at an instruction
 * @pc: its virtual address
 * @bytes: the instruction
 * @len: its length
 * @mark: is set to what a mark says
 */
SimInsnKind sim_insn_kind(uint64_t pc, const uint8_t *bytes, size_t len,
                          SimMark *mark);

#endif /* HMEM_SIM_INSN_H */
