/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"

struct globals globals = { .timeout_ms = 10000 };

enum { OPT_RAW = 512, OPT_TIMEOUT };

static const struct argp_option options[] = {
	{ "socket", 's', "PATH", 0, "hmemd's control socket", -2 },
	{ "vm", 'd', "VM", 0, "The VM, for commands about one VM", -2 },
	{ "output", 'o', "FORMAT", 0, "table or json", -2 },
	{ "raw", OPT_RAW, NULL, 0, "Sizes in bytes", -2 },
	{ "quiet", 'q', NULL, 0, "Print no titles and no progress", -2 },
	{ "verbose", 'v', NULL, 0, "Also print zeros", -2 },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "Give up after that long", -2 },
	{ 0 }
};

void parse_args(const struct argp *argp, int argc, char **argv, unsigned int flags, void *input)
{
	/* argp itself exits if the user made an error. */
	if (argp_parse(argp, argc, argv, flags, NULL, input))
		die(EXIT_ERROR, "no memory for the command line");
}

void take_vm(struct argp_state *state, const char **vm, char *arg)
{
	if (*vm)
		argp_error(state, "'%s': only one VM can be named", arg);
	*vm = arg;
}

error_t parse_vm(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	take_vm(state, state->input, arg);
	return 0;
}

static error_t parse_global(int key, char *arg, struct argp_state *state)
{
	char *end;
	long n;

	switch (key) {
	case 's':
		globals.socket = arg;
		break;
	case 'd':
		globals.vm = arg;
		break;
	case 'o':
		if (strcmp(arg, "json") && strcmp(arg, "table"))
			argp_error(state, "--output is table or json, not '%s'", arg);
		globals.json = !strcmp(arg, "json");
		break;
	case OPT_RAW:
		globals.raw = true;
		break;
	case 'q':
		globals.quiet = true;
		break;
	case 'v':
		globals.verbose = true;
		break;
	case OPT_TIMEOUT:
		n = strtol(arg, &end, 10);
		if (*end || n < 1 || n > 1000000)
			argp_error(state, "--timeout is 1 to 1000000 seconds, not '%s'",
				   arg);
		globals.timeout_ms = n * 1000;
		globals.timeout_set = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp global = { .options = options, .parser = parse_global };

const struct argp_child global_argp[] = {
	{ &global, 0, "Options of every command:", -1 },
	{ 0 }
};
