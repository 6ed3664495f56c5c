/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "hmemctl.h"

enum { OPT_RESET = 256 };

struct args {
	const char *vm;
	bool reset;
};

static const struct argp_option options[] = {
	{ "reset", OPT_RESET, NULL, 0, "Start again from zero afterwards", 0 },
	{ 0 }
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case OPT_RESET:
		args->reset = true;
		return 0;
	case ARGP_KEY_ARG:
		take_vm(state, &args->vm, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "[VM]",
	.doc = "Show counters of a VM.  With --verbose, also show reasons and rejects that are "
	       "zero.",
	.children = global_argp,
};

static void add(struct table *t, json *counters, const char *group, bool zeros)
{
	json_object_object_foreach(counters, key, value) {
		char name[64];

		if (!zeros && !json_object_get_uint64(value))
			continue;
		snprintf(name, sizeof(name), "%s%s", group, key);
		table_row(t, (const char *[]) {
			name, value ? json_word(value) : "-",
		});
	}
}

int cmd_stats(int argc, char **argv)
{
	struct table t = {
		.columns = 2,
		.column = { { "COUNTER", false }, { "VALUE", true } },
	};
	struct args args = { 0 };
	json *req, *o;

	parse_args(&argp, argc, argv, 0, &args);
	req = new_request("stats", args.vm);
	json_add(req, "reset", json_new_bool(args.reset));
	o = ask(req);
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	add(&t, field(o, "counters"), "", true);
	add(&t, field(o, "reasons"), "pages.", globals.verbose);
	add(&t, field(o, "rejects"), "rejected.", globals.verbose);
	table_print(&t);
	json_object_put(o);
	return EXIT_OK;
}
