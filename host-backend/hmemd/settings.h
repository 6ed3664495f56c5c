/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmemd's configuration, which hmemd reads at the start, and again on SIGHUP or
 * `hmemctl reload`.  Options of the command line replace settings of the files each time.
 */
#ifndef HMEMD_SETTINGS_H
#define HMEMD_SETTINGS_H

#include <stdbool.h>

#include "config.h"

struct conn;
struct hmemd;
struct vm;

/* The command line. */
struct settings {
	const char *file;		/* the configuration file */
	bool file_given;		/* the user named the file, so it must exist */
	/* Options in their order; the key "policy" has NAME[,KEY=VALUE...]. */
	struct setting_option { const char *key, *value; } options[64];
	unsigned int num;
	/* Copies of the sockets that the configuration named at the start; NULL: none. */
	char *socket, *vm_socket, *monitor_socket;
	/* The configuration had an error when it was read last, so an earlier one counts. */
	bool failed;
};

/* Adds an option.  Returns 0, or -E2BIG, or the error of a wrong value. */
int settings_add(struct settings *s, const char *key, const char *value,
		 struct hmem_err *err);

/* Makes a new d->config.  After an error, d->config is unchanged. */
int settings_load(struct hmemd *d, struct hmem_err *err);

/* Notes the sockets of d->config, where hmemd listens from now on.  Returns 0 or -ENOMEM. */
int settings_listening(struct hmemd *d, struct hmem_err *err);
void settings_free(struct settings *s);

/*
 * Does the same as settings_load(), and applies the new configuration to all VMs, except to
 * policies that were set by hand.  Logs both success and error.  @by: the client that asked for
 * it, or NULL.
 */
int settings_reload(struct hmemd *d, const struct conn *by, struct hmem_err *err);

/* Sets the policy of a VM that has sent HELLO, and the place where that policy was set. */
void settings_init_vm(struct vm *vm, struct hmem_policy *policy);

/* Applies the configuration to the VM, or leaves that to settings_again() during a pass. */
void settings_apply(struct vm *vm);

/* Called once per second: does what settings_apply() had to leave. */
void settings_again(struct vm *vm);

#endif /* HMEMD_SETTINGS_H */
