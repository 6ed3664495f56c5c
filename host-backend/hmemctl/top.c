/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each sample is made of two answers of hmemd, and is an object like those
 * that -o json prints; people see the same as text.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hmemctl.h"
#include "link.h"
#include "size.h"
#include "term.h"

#define MAX_VMS		64
/* Reasons that are shown; JSON has all. */
#define MAX_REASONS	4

struct args {
	const char *vms[MAX_VMS];
	unsigned int num_vms;
	bool batch;
	unsigned long count;	/* 0: no end */
	int interval_ms;
};

static const struct argp_option options[] = {
	{ "batch", 'b', NULL, 0, "Print sample after sample, as when piped", 0 },
	{ "count", 'n', "COUNT", 0, "End after so many samples", 0 },
	{ "interval", 'i', "SECONDS", 0, "Between two samples; 1", 0 },
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
	.doc = "What the VMs do, the busiest first: live on a terminal, until q or "
	       "Ctrl-C; else sample after sample.",
	.children = global_argp,
};

/* --- samples --- */

static json *vm_in(json *answer, json *vm)
{
	json *vms = field(answer, "vms");

	for (size_t i = 0; vms && i < json_object_array_length(vms); i++) {
		json *o = json_object_array_get_idx(vms, i);

		/* One that came back since is another. */
		if (!strcmp(text_of(o, "name"), text_of(vm, "name")) &&
		    num_of(o, "pid") == num_of(vm, "pid") &&
		    num_of(o, "connected_s") <= num_of(vm, "connected_s"))
			return o;
	}
	return NULL;
}

/* How much a counter grew; false: it was reset meanwhile. */
static bool grew(json *now, json *before, const char *key, uint64_t *by)
{
	*by = num_of(now, key) - num_of(before, key);
	return num_of(now, key) >= num_of(before, key);
}

static void put_double(json *o, const char *key, double v, bool known)
{
	json_object_object_add(o, key, known ? json_object_new_double(v) : NULL);
}

static void put_moved(json *o, const char *name, json *now, json *before,
		      double seconds)
{
	char key[40];
	uint64_t pages;
	bool known = grew(now, before, name, &pages) && seconds > 0;

	snprintf(key, sizeof(key), "%s_per_s", name);
	put_double(o, key, pages / seconds, known);
	snprintf(key, sizeof(key), "%s_mib_per_s", name);
	put_double(o, key, pages / 256.0 / seconds, known);
}

/* By reason, and all together. */
static void put_refused(json *o, json *now, json *before, double seconds)
{
	json *refused = json_object_new_object();
	bool known = seconds > 0;
	uint64_t sum = 0, pages;

	for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++) {
		const char *reason = hmem_reason_name(i);

		if (virtio_hmem_status(i) == VIRTIO_HMEM_S_OK)
			continue;
		known &= grew(now, before, reason, &pages);
		sum += pages;
		if (known && pages)
			put_double(refused, reason, pages / seconds, true);
	}
	put_double(o, "refused_per_s", sum / seconds, known);
	json_object_object_add(o, "refused", known ? refused : NULL);
	if (!known)
		json_object_put(refused);
}

static void copy(json *to, json *from, const char *key)
{
	json_object_object_add(to, key, json_object_get(field(from, key)));
}

static json *tier_sample(json *tier)
{
	static const char *const keys[] = { "tier", "kind", "bytes", "online_bytes", "pages",
					    "used", "hot" };
	json *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		copy(o, tier, keys[i]);
	return o;
}

static json *vm_sample(json *vm, json *before, double seconds)
{
	json *o = json_object_new_object(), *tiers = json_object_new_array();
	json *from = field(vm, "tiers");
	json *now = field(vm, "stats"), *then = field(before, "stats");
	uint64_t ns = 0, windows = 0;
	bool known;

	if (!before)
		seconds = 0;
	copy(o, vm, "name");
	copy(o, vm, "device");
	json_object_object_add(o, "state", json_object_new_string(state_of(vm)));
	copy(o, vm, "driver");
	copy(o, vm, "policy");
	copy(o, vm, "tracker");
	copy(o, vm, "window_ms");
	copy(o, vm, "dirty_log");
	known = before && grew(vm, before, "daemon_ns", &ns) &&
		grew(field(now, "counters"), field(then, "counters"), "ticks",
		     &windows) && windows;
	put_double(o, "daemon_us_per_window", windows ? ns / 1000.0 / windows : 0,
		   known);
	put_moved(o, "promoted", field(now, "counters"), field(then, "counters"),
		  seconds);
	put_moved(o, "demoted", field(now, "counters"), field(then, "counters"),
		  seconds);
	put_refused(o, field(now, "reasons"), field(then, "reasons"), seconds);
	for (size_t i = 0; i < json_object_array_length(from); i++)
		json_object_array_add(tiers, tier_sample(
			json_object_array_get_idx(from, i)));
	json_object_object_add(o, "tiers", tiers);
	return o;
}

static int by_activity(const void *a, const void *b)
{
	json *x = *(json *const *)a, *y = *(json *const *)b;
	double d = double_of(y, "promoted_per_s") + double_of(y, "demoted_per_s") -
		   double_of(x, "promoted_per_s") - double_of(x, "demoted_per_s");

	if (!d)
		d = double_of(y, "refused_per_s") - double_of(x, "refused_per_s");
	if (!d)
		return strcmp(text_of(x, "name"), text_of(y, "name"));
	return d > 0 ? 1 : -1;
}

static bool wanted(const struct args *args, const char *name)
{
	for (unsigned int i = 0; i < args->num_vms; i++) {
		if (!strcmp(args->vms[i], name))
			return true;
	}
	return !args->num_vms;
}

/* @before: NULL, or the answer before @now; rates are not known without. */
static json *make_sample(const struct args *args, json *now, json *before)
{
	json *o = json_object_new_object(), *vms = json_object_new_array();
	json *from = field(now, "vms");
	uint64_t ms = before ? num_of(now, "time_ms") - num_of(before, "time_ms") : 0;

	for (size_t i = 0; i < json_object_array_length(from); i++) {
		json *vm = json_object_array_get_idx(from, i);

		if (wanted(args, text_of(vm, "name")))
			json_object_array_add(vms, vm_sample(vm, vm_in(before, vm),
							     ms / 1000.0));
	}
	json_object_array_sort(vms, by_activity);
	json_object_object_add(o, "version", json_object_new_int(1));
	copy(o, now, "time_ms");
	json_object_object_add(o, "interval_ms", ms ? json_object_new_uint64(ms) :
			       NULL);
	json_object_object_add(o, "vms", vms);
	return o;
}

/* --- text --- */

/* "refused        12 pages/s", or "-"; no end of line. */
static void print_rate(FILE *out, json *vm, const char *name)
{
	char key[40], pages[32] = "-";

	snprintf(key, sizeof(key), "%s_per_s", name);
	if (known(vm, key))
		snprintf(pages, sizeof(pages), "%.0f", double_of(vm, key));
	fprintf(out, "  %-8s %9s pages/s", name, pages);
}

static void print_moved(FILE *out, json *vm, const char *name)
{
	char key[40];

	print_rate(out, vm, name);
	snprintf(key, sizeof(key), "%s_mib_per_s", name);
	if (known(vm, key) && globals.raw)
		fprintf(out, " %12.0f B/s", double_of(vm, key) * (1 << 20));
	else if (known(vm, key))
		fprintf(out, " %10.1f MiB/s", double_of(vm, key));
	fputc('\n', out);
}

static void print_refused(FILE *out, json *vm)
{
	json *refused = field(vm, "refused");
	const char *shown[MAX_REASONS];

	print_rate(out, vm, "refused");
	for (unsigned int n = 0; refused && n < MAX_REASONS; n++) {
		const char *most = NULL;

		json_object_object_foreach(refused, key, value) {
			bool was = false;

			for (unsigned int i = 0; i < n; i++)
				was |= shown[i] == key;
			if (!was && (!most || json_object_get_double(value) >
					      double_of(refused, most)))
				most = key;
		}
		if (!most)
			break;
		shown[n] = most;
		fprintf(out, "%s %s %.0f", n ? "," : ":", most,
			double_of(refused, most));
	}
	fputc('\n', out);
}

static void print_vm(FILE *out, json *vm, int width, bool color)
{
	json *tiers = field(vm, "tiers"), *log = field(vm, "dirty_log");
	char window[32] = "-", daemon[32] = "-";

	if (num_of(vm, "window_ms"))
		snprintf(window, sizeof(window), "%s ms", text_of(vm, "window_ms"));
	if (known(vm, "daemon_us_per_window"))
		snprintf(daemon, sizeof(daemon), "%.3f ms",
			 double_of(vm, "daemon_us_per_window") / 1000);
	fprintf(out, "%s%-*s  %-9s  %-6s  %-7s  %-7s  %10s  %10s%s\n",
		color ? "\033[1m" : "", width, text_of(vm, "name"),
		text_of(vm, "state"), text_of(vm, "driver"), text_of(vm, "policy"),
		text_of(vm, "tracker"), window, daemon, color ? "\033[0m" : "");
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
	print_moved(out, vm, "promoted");
	print_moved(out, vm, "demoted");
	print_refused(out, vm);
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

static void print_text(const struct args *args, json *sample)
{
	json *vms = field(sample, "vms");
	size_t num = json_object_array_length(vms), size;
	bool color = term_color();
	unsigned int cols, lines;
	int width = 2;
	char *text;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		die(EXIT_ERROR, "no memory for a sample");
	for (size_t i = 0; i < num; i++) {
		int len = strlen(text_of(json_object_array_get_idx(vms, i), "name"));

		width = len > width ? len : width;
	}
	if (!args->batch)
		fprintf(out, "hmemctl top: %zu VM%s, every %g s, the busiest first; "
			"q quits\n", num, num == 1 ? "" : "s",
			args->interval_ms / 1000.0);
	if (!globals.quiet)
		print_titles(out, width, color);
	for (size_t i = 0; i < num; i++)
		print_vm(out, json_object_array_get_idx(vms, i), width, color);
	if (!num)
		fputs(args->num_vms ? "none of these VMs is connected now\n" :
		      "no VM is connected: see hmemctl doctor\n", out);
	fclose(out);
	term_size(&cols, &lines);
	if (args->batch)
		term_write(text, isatty(STDOUT_FILENO) ? cols : -1u, 0);
	else
		term_write(text, cols, lines);
	free(text);
}

static void show(const struct args *args, json *sample, bool first)
{
	if (globals.json) {
		print_json_line(sample);
		return;
	}
	if (args->batch && !first)
		putchar('\n');
	print_text(args, sample);
}

/* --- the command --- */

static json *ask_all(void)
{
	json *req = new_request("status", NULL);

	/* -d is one of ours. */
	json_object_object_del(req, "vm");
	json_object_object_add(req, "stats", json_object_new_boolean(true));
	return ask(req);
}

/* A name that is wrong from the start is a mistake, not a VM that is gone. */
static void check_names(const struct args *args, json *answer)
{
	json *vms = field(answer, "vms");

	for (unsigned int i = 0; i < args->num_vms; i++) {
		bool found = false;

		for (size_t k = 0; k < json_object_array_length(vms); k++)
			found |= !strcmp(args->vms[i], text_of(
				json_object_array_get_idx(vms, k), "name"));
		if (!found)
			die(EXIT_ERROR, "no VM '%s' is connected: see hmemctl list",
			    args->vms[i]);
	}
}

/* Wait for the next sample; false: it is not wanted. */
static bool next(const struct args *args, json *sample)
{
	int64_t left = args->interval_ms;

	for (;;) {
		switch (term_wait(&left)) {
		case TERM_TIMEOUT:
			return true;
		case TERM_QUIT:
			return false;
		case TERM_REDRAW:
			show(args, sample, false);
		}
	}
}

int cmd_top(int argc, char **argv)
{
	struct args args = { .interval_ms = 1000 };
	json *before, *now, *sample;
	unsigned long n = 0;
	bool go_on = true;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	args.batch |= globals.json || !isatty(STDOUT_FILENO);
	if (globals.vm && args.num_vms < MAX_VMS)
		args.vms[args.num_vms++] = globals.vm;
	before = ask_all();
	check_names(&args, before);
	sample = make_sample(&args, before, NULL);
	/* Someone who looks on wants to see something at once. */
	if (!args.batch) {
		term_enter();
		show(&args, sample, true);
	}
	while (go_on && (!args.count || n < args.count) && next(&args, sample)) {
		now = ask_all();
		json_object_put(sample);
		sample = make_sample(&args, now, before);
		show(&args, sample, !n++);
		json_object_put(before);
		before = now;
	}
	json_object_put(sample);
	json_object_put(before);
	term_leave();
	return EXIT_OK;
}
