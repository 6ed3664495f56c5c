/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: finds the guest's instructions (x86) that matter to the model.
 */

#ifndef HMEM_SIM_INSN_H
#define HMEM_SIM_INSN_H

#include "sim.h"

typedef enum SimInsnKind {
    SIM_INSN_OTHER,
    SIM_INSN_MARK,      /* a mark for the simulator; a no-op otherwise */
    SIM_INSN_TLB_FLUSH, /* changes the translation of all addresses */
    SIM_INSN_TLB_FLUSH_PAGE, /* changes the translation of a page */
    SIM_INSN_LEAVE,     /* leaves a function that copies pages */
} SimInsnKind;

/* The values of marks: nopl 0x686d0000 + mark(%rax,%rax,1) */
typedef enum SimMark {
    SIM_MARK_BEGIN = 1, /* a region of interest begins */
    SIM_MARK_END = 2,
    SIM_MARK_SAMPLE = 3,
    SIM_MARK_REARM = 4, /* collect and rearm all page bits; for tests */
    SIM_MARK_START = 5, /* the model begins here, with start=mark */
} SimMark;

/* The function of copy= that contains @pc. */
bool sim_insn_copies(uint64_t pc);

/**
 * sim_insn_kind() - classify an instruction
 * @pc: its virtual address
 * @bytes: the instruction
 * @len: its length
 * @mark: set to the value of a mark
 */
SimInsnKind sim_insn_kind(uint64_t pc, const uint8_t *bytes, size_t len,
                          SimMark *mark);

#endif /* HMEM_SIM_INSN_H */
