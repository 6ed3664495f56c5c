/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the files of a configuration. */
#ifndef HMEM_CONFIG_FILES_H
#define HMEM_CONFIG_FILES_H

#include "config.h"

/*
 * Read @file, and then all "conf.d/X.conf" for any X in its directory in the order of their names.
 * @must_exist: @file itself may not be missing; otherwise it may, with or without conf.d.
 * Returns 0, or -errno with the fault and its place in @err.
 */
int hmem_config_read(struct hmem_config *c, const char *file, bool must_exist,
		     struct hmem_err *err);

#endif /* HMEM_CONFIG_FILES_H */
