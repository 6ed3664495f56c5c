/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets the size of the TLB for TCG plugins; see qemu_plugin_fix_tlb().
 */

#ifndef QEMU_PLUGIN_TLB_H
#define QEMU_PLUGIN_TLB_H

/**
 * tlb_fix_size() - give all vCPUs a TLB of a fixed size from now on
 * @entries: a power of two, 64 to 1048576
 *
 * Each vCPU flushes its TLB for this before it executes its next translation
 * block.
 */
void tlb_fix_size(size_t entries);

#endif /* QEMU_PLUGIN_TLB_H */
