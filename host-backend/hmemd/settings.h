/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmemd's configuration: read at the start, and again on SIGHUP or `hmemctl reload`.  What
 * the command line says replaces the files' settings each time.
 */
#ifndef HMEMD_SETTINGS_H
#define HMEMD_SETTINGS_H

#include <stdbool.h>

#include "config.h"

struct hmemd;
struct vm;

/* The command line. */
struct settings {
	const char *file;		/* the configuration file */
	bool file_given;		/* it must exist */
	/* Options in their order; the key "policy" has NAME[,KEY=VALUE...]. */
	struct setting_option { const char *key, *value; } options[64];
	unsigned int num;
};

/* Note an option.  Returns 0, or -E2BIG, or the error of a wrong value. */
int settings_add(struct settings *s, const char *key, const char *value,
		 struct hmem_err *err);

/* Make d->config anew.  After an error, d->config is as before. */
int settings_load(struct hmemd *d, struct hmem_err *err);

/*
 * The same, and give all VMs what the new configuration has for them, except policies that
 * were set by hand.
 */
int settings_reload(struct hmemd *d, struct hmem_err *err);

/* The policy of a VM that has said HELLO, and the place where that policy was set. */
void settings_init_vm(struct vm *vm, struct hmem_policy *policy);

/* Give the VM what is configured for it, or leave that to settings_again(). */
void settings_apply(struct vm *vm);

/* A second has passed: give the VM what it could not get because a pass was under way. */
void settings_again(struct vm *vm);

#endif /* HMEMD_SETTINGS_H */
