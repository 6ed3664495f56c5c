/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands events and history. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hmemctl.h"

struct events_args {
	const char *vm;
	bool follow;
};

static const struct argp_option events_options[] = {
	{ "follow", 'f', NULL, 0, "Go on with new events, until interrupted", 0 },
	{ 0 }
};

static error_t parse_events(int key, char *arg, struct argp_state *state)
{
	struct events_args *args = state->input;

	switch (key) {
	case 'f':
		args->follow = true;
		return 0;
	case ARGP_KEY_ARG:
		take_vm(state, &args->vm, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp events_argp = {
	.options = events_options,
	.parser = parse_events,
	.args_doc = "[VM]",
	.doc = "Print the last events: VMs that came and went, changes and who made them, and "
	       "problems."
	       "\vWith -o json, each event is one line.  hmemd keeps the last 512 events.",
	.children = global_argp,
};

static void print_event(json *e)
{
	json *by = field(e, "by");
	char time[32];

	printf("%s  %-12s  ", local_time(num_of(e, "time_ms") / 1000, "%F %T", time, sizeof(time)),
	       text_of(e, "event"));
	if (known(e, "vm"))
		printf("vm %s: ", text_of(e, "vm"));
	printf("%s", text_of(e, "text"));
	if (by)
		printf(" (pid %s, uid %s)", text_of(by, "pid"), text_of(by, "uid"));
	putchar('\n');
	flush_output();
}

/* Print a line of the answer, and free it.  Returns false if it was the last one. */
static bool take_event(json *o)
{
	bool final = flag_of(o, "final");
	json *e = field(o, "event");

	if (known(o, "lost") && globals.json)
		print_json_line(o);
	else if (known(o, "lost") && !globals.quiet)
		printf("(%s events are lost)\n", text_of(o, "lost"));
	else if (e && globals.json)
		print_json_line(e);
	else if (e)
		print_event(e);
	json_object_put(o);
	return !final;
}

int cmd_events(int argc, char **argv)
{
	struct events_args args = { .vm = NULL };
	json *req;

	parse_args(&events_argp, argc, argv, 0, &args);
	req = new_request("events", args.vm);
	if (args.follow) {
		json_add(req, "follow", json_new_bool(true));
		/* The next event can take any time. */
		if (!globals.timeout_set)
			globals.timeout_ms = -1;
	}
	send_request(req);
	while (take_event(next_answer()))
		;
	return EXIT_OK;
}

static const struct argp history_argp = {
	.parser = parse_vm,
	.args_doc = "[VM]",
	.doc = "Print what has moved in a VM, when and why."
	       "\vThere is one line for each plan of the policy, and for each job, with the pages "
	       "that were promoted and demoted, those that stayed, and the reason for most of "
	       "these.  A job after \"room\" makes room in a tier that is to get smaller.  "
	       "hmemd keeps the last 128.",
	.children = global_argp,
};

/* The most frequent reason why pages stayed; "" if none did. */
static const char *main_reason(json *entry)
{
	json *reasons = field(entry, "reasons");
	const char *most = "";
	int64_t num = 0;

	json_object_object_foreach(reasons, key, value) {
		if (json_object_get_int64(value) > num) {
			num = json_object_get_int64(value);
			most = key;
		}
	}
	return most;
}

static const char *cause(json *entry, char *buf, size_t size)
{
	const char *why = text_of(entry, "why");

	if (!strcmp(why, "plan"))
		snprintf(buf, size, "policy %s", text_of(entry, "policy"));
	else
		snprintf(buf, size, "%sjob %s", strcmp(why, "room") ? "" : "room, ",
			 text_of(entry, "number"));
	return buf;
}

int cmd_history(int argc, char **argv)
{
	struct table t = {
		.columns = 7,
		.column = {
			{ "TIME", false }, { "WHY", false }, { "PROMOTED", true },
			{ "DEMOTED", true }, { "STAYED", true }, { "MOSTLY", false },
			{ "GAIN", true },
		},
	};
	const char *vm = NULL;
	json *o, *all;

	parse_args(&history_argp, argc, argv, 0, &vm);
	o = ask(new_request("history", vm));
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	all = field(o, "history");
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		json *e = json_object_array_get_idx(all, i);
		char time[32], why[64], gain[32] = "-";

		if (known(e, "gain_ns"))
			snprintf(gain, sizeof(gain), "%.1f ms", double_of(e, "gain_ns") / 1e6);
		table_row(&t, (const char *[]) {
			local_time(num_of(e, "time_ms") / 1000, "%m-%d %T", time, sizeof(time)),
			cause(e, why, sizeof(why)),
			text_of(e, "promoted"), text_of(e, "demoted"), text_of(e, "stayed"),
			main_reason(e), gain,
		});
	}
	table_print(&t);
	json_object_put(o);
	return EXIT_OK;
}
