/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives QEMU's own code what a TCG plugin that models memory knows: a log of
 * accesses, and how long the guest has waited.
 */

#ifndef QEMU_PLUGIN_ACCESS_LOG_H
#define QEMU_PLUGIN_ACCESS_LOG_H

#include "qemu/qemu-plugin.h"

/**
 * qemu_plugin_get_access_log() - get the log of accessed guest frames
 *
 * The log's callbacks may be called as soon as the guest has begun to run, with
 * the BQL held, in a timer of QEMU_CLOCK_VIRTUAL; see struct
 * qemu_plugin_access_log.
 *
 * Returns: the log that a plugin has set, or NULL if none has.
 */
#ifdef CONFIG_PLUGIN
const struct qemu_plugin_access_log *qemu_plugin_get_access_log(void);

/**
 * qemu_plugin_stalled_ns() - how long virtual processors have waited for memory
 *
 * Returns: the sum of all qemu_plugin_stall_ns() that are in the guest's clock
 */
int64_t qemu_plugin_stalled_ns(void);
#else
static inline const struct qemu_plugin_access_log *
qemu_plugin_get_access_log(void)
{
    return NULL;
}

static inline int64_t qemu_plugin_stalled_ns(void)
{
    return 0;
}
#endif

#endif /* QEMU_PLUGIN_ACCESS_LOG_H */
