/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives QEMU's own code the access log of a TCG plugin.
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
#else
static inline const struct qemu_plugin_access_log *
qemu_plugin_get_access_log(void)
{
    return NULL;
}
#endif

#endif /* QEMU_PLUGIN_ACCESS_LOG_H */
