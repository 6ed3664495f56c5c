/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that every subcommand has, and what they are parsed with. */
#ifndef HMEMCTL_OPTIONS_H
#define HMEMCTL_OPTIONS_H

#include <argp.h>
#include <stdbool.h>

#define HMEMCTL_VERSION		"0.1"

struct globals {
	const char *socket;
	const char *vm;			/* -d; NULL: the only one */
	bool json, raw, quiet, verbose;
	int timeout_ms;			/* of an answer; -1: none */
	bool timeout_set;
};

extern struct globals globals;

/* A child for each subcommand's argp, so that global options go anywhere. */
extern const struct argp_child global_argp[];

/* For ARGP_KEY_ARG: @arg names the VM, for *@vm.  Usage error if it has one. */
void take_vm(struct argp_state *state, const char **vm, char *arg);
/* The parser of a command that takes a VM and nothing else; its input is @vm. */
error_t parse_vm(int key, char *arg, struct argp_state *state);

#endif /* HMEMCTL_OPTIONS_H */
