/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "hmemctl.h"

struct args {
	const char *vm;
	/* The arguments KEY=VALUE as an object; NULL: there are none. */
	json *set;
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	char *value;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	value = strchr(arg, '=');
	if (!value) {
		take_vm(state, &args->vm, arg);
		return 0;
	}
	*value++ = '\0';
	if (!args->set)
		args->set = json_new_object();
	json_add(args->set, arg, json_new_text(value));
	return 0;
}

static const struct argp argp = {
	.parser = parse_opt,
	.args_doc = "[[VM] KEY=VALUE...]",
	.doc = "Show how much of the host's DRAM each VM has, and what the pool would change; "
	       "or set what the pool guarantees to VM."
	       "\vKEY is guarantee (a size), maximum (a size) or weight (1 to 1000).",
	.children = global_argp,
};

/* Formats what a MiB saves, in us of stall per second; "-" if that is not known. */
static const char *cell_worth(json *o, const char *key, char *buf, size_t size)
{
	if (!known(o, key))
		return "-";
	snprintf(buf, size, "%.1f", double_of(o, key) / 1e3);
	return buf;
}

static void print_nodes(json *nodes)
{
	for (size_t i = 0; i < json_object_array_length(nodes); i++) {
		json *node = json_object_array_get_idx(nodes, i);
		char promised[24], capacity[24];

		printf("Of node %s of the host, %s of %s are promised\n", text_of(node, "node"),
		       cell_size(node, "promised_bytes", promised, sizeof(promised)),
		       cell_size(node, "capacity_bytes", capacity, sizeof(capacity)));
	}
}

int cmd_pool(int argc, char **argv)
{
	struct table t = {
		.columns = 8,
		.column = {
			{ "VM", false }, { "HAS", true }, { "SHARE", true },
			{ "WEIGHT", true }, { "NEXT MIB", true }, { "LAST MIB", true },
			{ "BEST", true }, { "STATE", false },
		},
	};
	struct args args = { 0 };
	json *req, *o, *pool, *vms;
	char size[32], reserve[32];

	parse_args(&argp, argc, argv, 0, &args);
	if (args.vm && !args.set)
		die(EXIT_USAGE, "pool: give what to set for vm '%s': guarantee=SIZE, "
		    "maximum=SIZE or weight=NUMBER", args.vm);
	req = new_request("pool", args.vm);
	if (args.set)
		json_add(req, "set", args.set);
	o = ask(req);
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	pool = field(o, "pool");
	vms = field(pool, "vms");
	for (size_t i = 0; i < json_object_array_length(vms); i++) {
		json *vm = json_object_array_get_idx(vms, i);
		char has[24], share[24], weight[24], next[32], last[32], best[24];

		snprintf(weight, sizeof(weight), "%.0f", double_of(vm, "weight"));
		table_row(&t, (const char *[]) {
			text_of(vm, "vm"), cell_size(vm, "bytes", has, sizeof(has)),
			cell_size(vm, "share_bytes", share, sizeof(share)), weight,
			cell_worth(vm, "next_mib_ns_per_s", next, sizeof(next)),
			cell_worth(vm, "last_mib_ns_per_s", last, sizeof(last)),
			cell_size(vm, "ideal_bytes", best, sizeof(best)),
			text_of(vm, "state"),
		});
	}
	table_print(&t);
	if (!globals.quiet)
		print_nodes(field(pool, "nodes"));
	if (!globals.quiet && double_of(pool, "reserve_bytes") > 0)
		printf("The pool lends all but %s\n",
		       cell_size(pool, "reserve_bytes", reserve, sizeof(reserve)));
	if (!globals.quiet)
		printf("The pool has %s of DRAM; one MiB costs %.1f us/s\nhmemd %s\n",
		       cell_size(pool, "bytes", size, sizeof(size)),
		       double_of(pool, "mib_price_ns_per_s") / 1e3,
		       flag_of(pool, "acts") ? "resizes VMs" :
		       "only says what it would do: see --pool");
	json_object_put(o);
	return EXIT_OK;
}
