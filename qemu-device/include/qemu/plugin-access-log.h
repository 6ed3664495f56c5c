/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The access log of a TCG plugin, for QEMU's own code.
 */

#ifndef QEMU_PLUGIN_ACCESS_LOG_H
#define QEMU_PLUGIN_ACCESS_LOG_H

#include "qemu/qemu-plugin.h"

/**
 * qemu_plugin_get_access_log() - which guest frames have been accessed
 *
 * Its callbacks may be called from when the guest first runs, with the BQL
 * held, in a timer of QEMU_CLOCK_VIRTUAL; see struct qemu_plugin_access_log.
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
