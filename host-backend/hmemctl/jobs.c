/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands jobs and cancel, for jobs that move pages by hand. */
#include <stdio.h>
#include <string.h>

#include "hmemctl.h"
#include "numbers.h"

static const struct argp jobs_argp = {
	.parser = parse_vm,
	.args_doc = "[VM]",
	.doc = "List the jobs under way, of all VMs or of one.",
	.children = global_argp,
};

int cmd_jobs(int argc, char **argv)
{
	struct table t = {
		.columns = 8,
		.column = {
			{ "JOB", true }, { "VM", false }, { "TO", true },
			{ "PAGES", true }, { "DONE", true }, { "MOVED", true },
			{ "STATE", false }, { "SECONDS", true },
		},
	};
	const char *vm = NULL;
	json *o, *jobs;

	parse_args(&jobs_argp, argc, argv, 0, &vm);
	o = ask(new_request("jobs", vm));
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	jobs = field(o, "jobs");
	for (size_t i = 0; i < json_object_array_length(jobs); i++) {
		json *job = json_object_array_get_idx(jobs, i);

		table_row(&t, (const char *[]) {
			text_of(job, "job"), text_of(job, "vm"), text_of(job, "to"),
			text_of(job, "pages"), text_of(job, "done"),
			text_of(job, "moved"), text_of(job, "state"),
			text_of(job, "age_s"),
		});
	}
	table_print(&t);
	json_object_put(o);
	return EXIT_OK;
}

static error_t parse_job(int key, char *arg, struct argp_state *state)
{
	uint64_t *job = state->input;
	struct hmem_err err;

	switch (key) {
	case ARGP_KEY_ARG:
		if (*job)
			argp_error(state, "one job at a time, not '%s' as well", arg);
		if (hmem_parse_num(arg, strlen(arg), job, &err) < 0 || !*job ||
		    *job > INT64_MAX)
			argp_error(state, "'%s' is not the number of a job: see hmemctl jobs", arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which job? hmemctl jobs lists them");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp cancel_argp = {
	.parser = parse_job,
	.args_doc = "JOB",
	.doc = "Cancel a job.  Pages whose hints the guest already has still move.",
	.children = global_argp,
};

int cmd_cancel(int argc, char **argv)
{
	uint64_t job = 0;
	json *req, *o, *c;

	parse_args(&cancel_argp, argc, argv, 0, &job);
	req = new_request("cancel", NULL);
	json_add(req, "job", json_new_u64(job));
	o = ask(req);
	c = field(o, "cancel");
	if (!globals.json && !globals.quiet)
		printf("job %s of vm %s stops: %s of %s pages were answered, and %s batches "
		       "are still under way\n", text_of(c, "job"), text_of(c, "vm"),
		       text_of(c, "done"), text_of(c, "pages"), text_of(c, "batches"));
	if (globals.json)
		print_json(o);
	else
		json_object_put(o);
	return EXIT_OK;
}
