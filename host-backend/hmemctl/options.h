/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of all subcommands, and helpers to parse them. */
#ifndef HMEMCTL_OPTIONS_H
#define HMEMCTL_OPTIONS_H

#include <argp.h>
#include <stdbool.h>

#define HMEMCTL_VERSION		"0.1"

struct globals {
	const char *socket;
	const char *vm;			/* -d; NULL: the only VM */
	bool json, raw, quiet, verbose;
	int timeout_ms;			/* for an answer; -1: none */
	bool timeout_set;
};

extern struct globals globals;

/* A child parser for each subcommand, so that global options may be anywhere. */
extern const struct argp_child global_argp[];

/* Have @argp parse the command line, with @flags of argp_parse(3).  Exits on an error. */
void parse_args(const struct argp *argp, int argc, char **argv, unsigned int flags, void *input);
/* Take the argument @arg as the VM; a second one is a usage error. */
void take_vm(struct argp_state *state, const char **vm, char *arg);
/* The parser of a command whose only argument is a VM; its input is @vm. */
error_t parse_vm(int key, char *arg, struct argp_state *state);

#endif /* HMEMCTL_OPTIONS_H */
