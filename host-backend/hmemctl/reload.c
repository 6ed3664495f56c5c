/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hmemctl.h"

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	argp_error(state, "'%s': nothing is expected", arg);
	return 0;
}

static const struct argp argp = {
	.parser = parse_opt,
	.doc = "Have hmemd read its configuration again."
	       "\vIf a file has an error, the configuration stays as it was.  VMs whose policy "
	       "was set by hmemctl keep that policy.",
	.children = global_argp,
};

int cmd_reload(int argc, char **argv)
{
	json *o;

	parse_args(&argp, argc, argv, 0, NULL);
	o = ask(new_request("reload", NULL));
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	json_object_put(o);
	return EXIT_OK;
}
