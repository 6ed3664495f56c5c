/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "hmemctl.h"

struct args {
	const char *verb, *file;
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (!args->verb && strcmp(arg, "check") && strcmp(arg, "show"))
			argp_error(state, "'%s' is neither check nor show", arg);
		if (!args->verb)
			args->verb = arg;
		else if (!args->file && !strcmp(args->verb, "check"))
			args->file = arg;
		else
			argp_error(state, "'%s': nothing more is expected", arg);
		return 0;
	case ARGP_KEY_END:
		if (!args->verb)
			argp_error(state, "check or show?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = parse_opt,
	.args_doc = "check [FILE]\nshow",
	.doc = "check: read a configuration as hmemd would, with the files in conf.d beside "
	       "FILE (" HMEM_CONFIG_FILE "), and report the first error.  hmemd need not run."
	       "\vshow: print the policies that were set by hmemctl since hmemd began, as sections "
	       "of a configuration file.  Written to a file in conf.d, these settings outlive "
	       "hmemd.",
	.children = global_argp,
};

/* @file must exist; without one, the default need not, as for hmemd. */
static int check(const char *named)
{
	const char *file = named ? named : HMEM_CONFIG_FILE;
	struct hmem_config config;
	struct hmem_err err;
	int ret;

	hmem_config_init(&config, 0);
	ret = hmem_config_read(&config, file, named, &err);
	if (!ret)
		ret = hmem_config_check(&config, &err);
	if (ret < 0)
		die(EXIT_ERROR, "%s", err.msg);
	if (globals.json) {
		json *o = json_new_object();

		json_add(o, "file", json_new_text(file));
		json_add(o, "vm_sections", json_new_i64(config.num_vms));
		print_json(o);
	} else if (!globals.quiet) {
		printf("%s: no errors; %u %s about VMs\n", file, config.num_vms,
		       config.num_vms == 1 ? "section" : "sections");
	}
	hmem_config_free(&config);
	return EXIT_OK;
}

/* The section of one VM, if its policy was set by hmemctl. */
static void show_vm(json *vm)
{
	const char *name = text_of(vm, "name");
	bool has_uuid = known(vm, "uuid");
	json *o = ask(new_request("policy", name));

	if (!strcmp(text_of(o, "from"), "hmemctl")) {
		printf("# %s\n[vm %s]\n", name, has_uuid ? text_of(vm, "uuid") : name);
		json_object_object_foreach(field(o, "policy"), key, value) {
			printf("%s = %s\n", strcmp(key, "name") ? key : "policy",
			       json_word(value));
		}
		putchar('\n');
	}
	json_object_put(o);
}

static int show(void)
{
	json *o, *vms;

	if (globals.json)
		die(EXIT_USAGE, "config show: prints a configuration file; for JSON, see "
		    "hmemctl -o json policy VM");
	o = ask(new_request("list", NULL));
	vms = field(o, "vms");
	for (size_t i = 0; i < json_object_array_length(vms); i++)
		show_vm(json_object_array_get_idx(vms, i));
	json_object_put(o);
	return EXIT_OK;
}

int cmd_config(int argc, char **argv)
{
	struct args args = { .file = NULL };

	parse_args(&argp, argc, argv, 0, &args);
	if (!strcmp(args.verb, "show"))
		return show();
	return check(args.file);
}
