/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -o json prints all of a sample.  People see a line for each VM, and more of VMs that they name
 * or choose.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hmemctl.h"
#include "link_check.h"
#include "term.h"
#include "top_list.h"
#include "top_sample.h"

#define MAX_VMS		64
/* Number of reasons in the text; JSON has all. */
#define MAX_REASONS	4

struct args {
	const char *vms[MAX_VMS];
	unsigned int num_vms;
	bool batch;
	unsigned long count;	/* samples; 0: no limit */
	int interval_ms;
	/* What the user sees: the list, or the marked VM in detail. */
	struct top_list list;
	bool detail;
};

static const struct argp_option options[] = {
	{ "batch", 'b', NULL, 0, "Print sample after sample, as when piped", 0 },
	{ "count", 'n', "COUNT", 0, "End after COUNT samples", 0 },
	{ "interval", 'i', "SECONDS", 0, "Time between two samples (1)", 0 },
	{ 0 }
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	double seconds;
	char *end;

	switch (key) {
	case 'b':
		args->batch = true;
		return 0;
	case 'n':
		args->count = strtoul(arg, &end, 10);
		if (arg[0] < '0' || arg[0] > '9' || *end || !args->count)
			argp_error(state, "--count is a number from 1 on, not '%s'",
				   arg);
		return 0;
	case 'i':
		seconds = strtod(arg, &end);
		if (end == arg || *end || !(seconds >= 0.1 && seconds <= 3600))
			argp_error(state, "--interval is 0.1 to 3600 seconds, not "
				   "'%s'", arg);
		args->interval_ms = seconds * 1000;
		return 0;
	case ARGP_KEY_ARG:
		if (args->num_vms == MAX_VMS)
			argp_error(state, "%d VMs at most: name none for all",
				   MAX_VMS);
		args->vms[args->num_vms++] = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "[VM...]",
	.doc = "Show the activity of VMs, the busiest first, a line for each, or in detail if they "
	       "are named: live on a terminal, until q or Ctrl-C; otherwise sample after sample.",
	.children = global_argp,
};

/* --- as JSON --- */

static void copy(json *to, json *from, const char *key)
{
	json_add(to, key, json_object_get(field(from, key)));
}

static void put_moved(json *o, const char *name, struct rate rate)
{
	char key[40];

	snprintf(key, sizeof(key), "%s_per_s", name);
	json_put_rate(o, key, rate.per_s, rate.known);
	snprintf(key, sizeof(key), "%s_mib_per_s", name);
	json_put_rate(o, key, rate.per_s / 256, rate.known);
}

static void put_refused(json *o, const struct vm_sample *s)
{
	json *refused = s->refused.known ? json_new_object() : NULL;

	for (unsigned int i = 0; refused && i < VIRTIO_HMEM_R_MAX; i++) {
		if (s->refused_for[i] > 0)
			json_put_rate(refused, hmem_reason_name(i), s->refused_for[i], true);
	}
	json_put_rate(o, "refused_per_s", s->refused.per_s, s->refused.known);
	json_add(o, "refused", refused);
}

static json *tier_json(json *tier)
{
	static const char *const keys[] = { "tier", "kind", "bytes", "online_bytes", "pages",
					    "used", "hot" };
	json *o = json_new_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		copy(o, tier, keys[i]);
	return o;
}

static json *vm_json(const struct vm_sample *s)
{
	json *o = json_new_object(), *tiers = json_new_array();
	json *from = field(s->vm, "tiers");

	copy(o, s->vm, "name");
	copy(o, s->vm, "device");
	json_add(o, "state", json_new_text(state_of(s->vm)));
	copy(o, s->vm, "driver");
	copy(o, s->vm, "policy");
	copy(o, s->vm, "tracker");
	copy(o, s->vm, "window_ms");
	copy(o, s->vm, "dirty_log");
	json_put_rate(o, "daemon_us_per_window", s->daemon_us, s->daemon_known);
	put_moved(o, "promoted", s->promoted);
	put_moved(o, "demoted", s->demoted);
	put_refused(o, s);
	for (size_t i = 0; i < json_object_array_length(from); i++)
		json_append(tiers, tier_json(json_object_array_get_idx(from, i)));
	json_add(o, "tiers", tiers);
	return o;
}

static void print_as_json(const struct sample *s)
{
	json *o = json_new_object(), *vms = json_new_array();

	for (size_t i = 0; i < s->num; i++)
		json_append(vms, vm_json(&s->vms[i]));
	json_add(o, "version", json_new_i64(1));
	copy(o, s->answer, "time_ms");
	json_add(o, "interval_ms", s->interval_ms ? json_new_u64(s->interval_ms) : NULL);
	json_add(o, "vms", vms);
	print_json_line(o);
	json_object_put(o);
}

/* --- as text --- */

/* Prints "refused        12 pages/s", or "-", without an end of line. */
static void print_rate(FILE *out, const char *name, struct rate rate)
{
	char pages[32] = "-";

	if (rate.known)
		snprintf(pages, sizeof(pages), "%.0f", rate.per_s);
	fprintf(out, "  %-8s %9s pages/s", name, pages);
}

static void print_moved(FILE *out, const char *name, struct rate rate)
{
	print_rate(out, name, rate);
	if (rate.known && globals.raw)
		fprintf(out, " %12.0f B/s", rate.per_s * 4096);
	else if (rate.known)
		fprintf(out, " %10.1f MiB/s", rate.per_s / 256);
	fputc('\n', out);
}

/* With the most frequent reasons. */
static void print_refused(FILE *out, const struct vm_sample *s)
{
	bool shown[VIRTIO_HMEM_R_MAX] = { false };

	print_rate(out, "refused", s->refused);
	for (unsigned int n = 0; s->refused.known && n < MAX_REASONS; n++) {
		int most = -1;

		for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++) {
			if (!shown[i] && s->refused_for[i] > 0 &&
			    (most < 0 || s->refused_for[i] > s->refused_for[most]))
				most = i;
		}
		if (most < 0)
			break;
		shown[most] = true;
		fprintf(out, "%s %s %.0f", n ? "," : ":", hmem_reason_name(most),
			s->refused_for[most]);
	}
	fputc('\n', out);
}

static void print_vm(FILE *out, const struct vm_sample *s, int width, bool color)
{
	json *tiers = field(s->vm, "tiers"), *log = field(s->vm, "dirty_log");
	char window[32] = "-", daemon[32] = "-";

	if (num_of(s->vm, "window_ms"))
		snprintf(window, sizeof(window), "%s ms", text_of(s->vm, "window_ms"));
	if (s->daemon_known)
		snprintf(daemon, sizeof(daemon), "%.3f ms", s->daemon_us / 1000);
	fprintf(out, "%s%-*s  %-9s  %-6s  %-7s  %-7s  %10s  %10s%s\n",
		color ? "\033[1m" : "", width, text_of(s->vm, "name"),
		state_of(s->vm), text_of(s->vm, "driver"), text_of(s->vm, "policy"),
		text_of(s->vm, "tracker"), window, daemon, color ? "\033[0m" : "");
	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *t = json_object_array_get_idx(tiers, i);
		char b[4][24];

		fprintf(out, "  tier %s %-5s %10s %12s pages %12s used %12s hot\n",
			text_of(t, "tier"), text_of(t, "kind"),
			cell_size(t, "bytes", b[0], sizeof(b[0])),
			cell_num(t, "pages", b[1], sizeof(b[1])),
			cell_num(t, "used", b[2], sizeof(b[2])),
			cell_num(t, "hot", b[3], sizeof(b[3])));
	}
	print_moved(out, "promoted", s->promoted);
	print_moved(out, "demoted", s->demoted);
	print_refused(out, s);
	if (log)
		fprintf(out, "  faults   %9s of %s/s, for the dirty log\n",
			text_of(log, "faults_per_s"), text_of(log, "max_faults_per_s"));
}

static void print_titles(FILE *out, int width, bool color)
{
	fprintf(out, "%s%-*s  %-9s  %-6s  %-7s  %-7s  %10s  %10s%s\n",
		color ? "\033[7m" : "", width, "VM", "STATE", "DRIVER", "POLICY",
		"TRACKER", "WINDOW", "DAEMON", color ? "\033[0m" : "");
}

/* Lines of the list on the screen, below its title and the names of its columns. */
static size_t rows(void)
{
	unsigned int cols, lines, used = globals.quiet ? 1 : 2;

	term_size(&cols, &lines);
	return lines > used ? lines - used : 1;
}

/* The named VMs in detail; or the marked one, if none is named. */
static void print_details(FILE *out, const struct args *args, const struct sample *s)
{
	bool color = term_color(), any = false;
	int width = 2;

	for (size_t i = 0; i < s->num; i++) {
		int len = strlen(text_of(s->vms[i].vm, "name"));

		width = len > width ? len : width;
	}
	if (!globals.quiet)
		print_titles(out, width, color);
	for (size_t i = 0; i < s->num; i++) {
		if (!args->num_vms && strcmp(text_of(s->vms[i].vm, "name"), args->list.marked))
			continue;
		print_vm(out, &s->vms[i], width, color);
		any = true;
	}
	if (!any && s->num)
		fputs("this VM is no longer connected\n", out);
}

static void print_as_text(struct args *args, struct sample *s)
{
	bool list = !args->num_vms && !args->detail;
	unsigned int cols, lines;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		die(EXIT_ERROR, "no memory for a sample");
	term_size(&cols, &lines);
	if (s->num && !args->list.marked[0])
		snprintf(args->list.marked, sizeof(args->list.marked), "%s",
			 text_of(s->vms[0].vm, "name"));
	if (!args->batch)
		fprintf(out, "%zu VM%s, every %g s, %s%s; q quits\n", s->num,
			s->num == 1 ? "" : "s", args->interval_ms / 1000.0,
			top_list_order(&args->list), list ? "; Enter shows one, a/n/m/h sort" :
			args->detail ? "; Enter goes back" : "");
	if (list)
		top_list_print(out, &args->list, s, cols, args->batch ? 0 : rows(), term_color());
	else
		print_details(out, args, s);
	if (!s->num)
		fputs(args->num_vms ? "none of these VMs is connected now\n" :
		      "no VM is connected: see hmemctl doctor\n", out);
	fclose(out);
	if (args->batch)
		term_write(text, isatty(STDOUT_FILENO) ? cols : -1u, 0);
	else
		term_write(text, cols, lines);
	free(text);
}

static void show(struct args *args, struct sample *s, bool first)
{
	top_list_sort(&args->list, s);
	if (globals.json) {
		print_as_json(s);
		return;
	}
	if (args->batch && !first)
		putchar('\n');
	print_as_text(args, s);
}

/* --- the command --- */

static json *ask_all(void)
{
	json *req = new_request("status", NULL);

	/* -d names one of the VMs to show. */
	json_object_object_del(req, "vm");
	json_add(req, "stats", json_new_bool(true));
	return ask(req);
}

/* If a named VM is missing in the first sample, the user mistyped it. */
static void check_names(const struct args *args, json *answer)
{
	json *vms = field(answer, "vms");

	for (unsigned int i = 0; i < args->num_vms; i++) {
		bool found = false;

		for (size_t k = 0; k < json_object_array_length(vms); k++)
			found |= is_called(json_object_array_get_idx(vms, k), args->vms[i]);
		if (!found)
			die(EXIT_ERROR, "no VM '%s' is connected: see hmemctl list",
			    args->vms[i]);
	}
}

/* Wait for the next sample.  Returns false if no more is wanted. */
static bool next(struct args *args, struct sample *sample)
{
	int64_t left = args->interval_ms;
	int key;

	for (;;) {
		switch (term_wait(&left, &key)) {
		case TERM_TIMEOUT:
			return true;
		case TERM_QUIT:
			return false;
		case TERM_KEY:
			if (key == '\n' || key == '\r')
				args->detail = !args->detail && !args->num_vms;
			else if (key == '\033')
				args->detail = false;
			else
				top_list_key(&args->list, sample, key, rows());
			/* fall through */
		case TERM_REDRAW:
			if (!args->batch)
				show(args, sample, false);
		}
	}
}

int cmd_top(int argc, char **argv)
{
	struct args args = { .interval_ms = 1000, .list.order = 'a' };
	struct sample sample;
	json *before, *now;
	unsigned long n = 0;
	bool go_on = true;

	parse_args(&argp, argc, argv, 0, &args);
	args.batch |= globals.json || !isatty(STDOUT_FILENO);
	if (globals.vm && args.num_vms < MAX_VMS)
		args.vms[args.num_vms++] = globals.vm;
	before = ask_all();
	check_names(&args, before);
	sample = take_sample(args.vms, args.num_vms, before, NULL);
	/* Show the first sample, although its rates are unknown: a person should not wait. */
	if (!args.batch) {
		term_enter();
		show(&args, &sample, true);
	}
	while (go_on && (!args.count || n < args.count) && next(&args, &sample)) {
		now = ask_all();
		free_sample(&sample);
		sample = take_sample(args.vms, args.num_vms, now, before);
		show(&args, &sample, !n++);
		json_object_put(before);
		before = now;
	}
	free_sample(&sample);
	json_object_put(before);
	term_leave();
	return EXIT_OK;
}
