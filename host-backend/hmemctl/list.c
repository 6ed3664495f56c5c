/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "hmemctl.h"

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	if (key == ARGP_KEY_ARG)
		argp_error(state, "'%s': list takes no arguments", arg);
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.parser = parse_opt,
	.doc = "List the connected VMs.",
	.children = global_argp,
};

int cmd_list(int argc, char **argv)
{
	struct table t = {
		.columns = 6,
		.column = {
			{ "VM", false }, { "UUID", false }, { "DRIVER", false },
			{ "STATE", false }, { "POLICY", false }, { "MEMORY", true },
		},
	};
	json *o, *vms;

	parse_args(&argp, argc, argv, 0, NULL);
	o = ask(new_request("list", NULL));
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	vms = field(o, "vms");
	for (size_t i = 0; i < json_object_array_length(vms); i++) {
		json *vm = json_object_array_get_idx(vms, i);
		char size[24];

		table_row(&t, (const char *[]) {
			text_of(vm, "name"), text_of(vm, "uuid"), text_of(vm, "driver"),
			state_of(vm), text_of(vm, "policy"),
			cell_size(vm, "bytes", size, sizeof(size)),
		});
	}
	table_print(&t);
	json_object_put(o);
	return EXIT_OK;
}
