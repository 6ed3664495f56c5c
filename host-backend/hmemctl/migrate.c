/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hmemctl.h"
#include "numbers.h"

enum {
	OPT_TO = 256, OPT_ALL, OPT_GPA, OPT_GFN, OPT_GFN_LIST, OPT_ORDER, OPT_WAIT,
	OPT_DRY_RUN, OPT_RETRIES, OPT_RESULTS
};

struct args {
	const char *vm, *to;
	json *ranges;
	bool all, gpa, gfn, wait, dry_run, results;
	int order, retries;
};

static const struct argp_option options[] = {
	{ "to", OPT_TO, "TIER", 0, "Tier to move to: its number, or its kind", 0 },
	{ "gpa", OPT_GPA, "RANGE", 0,
	  "START-END or START+SIZE of guest-physical memory (K, M, G, T), or all", 0 },
	{ "all", OPT_ALL, NULL, 0, "The same as --gpa all", 0 },
	{ "gfn", OPT_GFN, "LIST", 0, "Frames: N or N-M (inclusive), with commas", 0 },
	{ "gfn-list", OPT_GFN_LIST, "FILE", 0, "The same, from a file; -: standard input", 0 },
	{ "order", OPT_ORDER, "N", 0, "Send hints for pages of up to 2^N frames (0)", 0 },
	{ "retries", OPT_RETRIES, "N", 0, "Try a busy page again N times (3)", 0 },
	{ "wait", OPT_WAIT, NULL, 0, "Wait until the job has ended, and report", 0 },
	{ "results", OPT_RESULTS, NULL, 0,
	  "Print the result of each page; needs --wait -o json", 0 },
	{ "dry-run", OPT_DRY_RUN, NULL, 0, "Print what would be done", 0 },
	{ 0 }
};

static void add_range(struct args *args, uint64_t first, uint64_t num)
{
	json *r = json_new_array();

	json_append(r, json_new_u64(first));
	json_append(r, json_new_u64(num));
	json_append(args->ranges, r);
}

static void parse_gpa(struct args *args, const char *s)
{
	const char *mid = strpbrk(s, "-:+");
	uint64_t start, end;
	struct hmem_err err;

	args->gpa = true;
	if (!strcmp(s, "all")) {
		args->all = true;
		return;
	}
	if (!mid)
		die(EXIT_USAGE, "--gpa: '%s' is not START-END, START+SIZE or all", s);
	if (mid == s || !mid[1])
		die(EXIT_USAGE, "--gpa: '%s' is not START-END, START+SIZE or all: it has no "
		    "%s", s, mid == s ? "START" : *mid == '+' ? "SIZE" : "END");
	if (hmem_parse_size(s, mid - s, &start, &err) < 0 ||
	    hmem_parse_size(mid + 1, strlen(mid + 1), &end, &err) < 0)
		die(EXIT_USAGE, "--gpa '%s': %s", s, err.msg);
	if (*mid == '+' && __builtin_add_overflow(start, end, &end))
		die(EXIT_USAGE, "--gpa: '%s' is too large", s);
	if (end <= start)
		die(EXIT_USAGE, "--gpa: '%s' ends before it begins", s);
	if (start % 4096 || end % 4096)
		die(EXIT_USAGE, "--gpa: '%s' is not whole pages of 4096 bytes", s);
	add_range(args, start / 4096, (end - start) / 4096);
}

static void parse_gfn(struct args *args, const char *s, size_t len)
{
	const char *dash = memchr(s, '-', len);
	uint64_t first, last;
	struct hmem_err err;

	if (dash && (dash == s || dash + 1 == s + len))
		die(EXIT_USAGE, "frames '%.*s' are not N or FIRST-LAST", (int)len, s);
	if (hmem_parse_num(s, dash ? (size_t)(dash - s) : len, &first, &err) < 0)
		die(EXIT_USAGE, "frame %s", err.msg);
	last = first;
	if (dash && hmem_parse_num(dash + 1, s + len - (dash + 1), &last, &err) < 0)
		die(EXIT_USAGE, "frame %s", err.msg);
	if (last < first || last == UINT64_MAX)
		die(EXIT_USAGE, "frames '%.*s' end before they begin", (int)len, s);
	add_range(args, first, last - first + 1);
}

static void parse_gfns(struct args *args, const char *s)
{
	static const char between[] = ", \t\r\n";

	args->gfn = true;
	for (s += strspn(s, between); *s; s += strspn(s, between)) {
		size_t len = strcspn(s, between);

		parse_gfn(args, s, len);
		s += len;
	}
}

static void read_gfns(struct args *args, const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	char *line = NULL;
	size_t size = 0;

	if (!f)
		die(EXIT_ERROR, "cannot read %s: %s", path, strerror(errno));
	while (getline(&line, &size, f) > 0)
		parse_gfns(args, line);
	if (ferror(f))
		die(EXIT_ERROR, "cannot read %s: %s", path, strerror(errno));
	args->gfn = true;
	free(line);
	if (f != stdin)
		fclose(f);
}

static int parse_int(struct argp_state *state, const char *name,
		     const char *arg, int max)
{
	struct hmem_err err;
	uint64_t n;

	if (hmem_parse_num(arg, strlen(arg), &n, &err) < 0 || n > (uint64_t)max)
		argp_error(state, "%s is 0 to %d, not '%s'", name, max, arg);
	return n;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case OPT_TO:
		args->to = arg;
		break;
	case OPT_GPA:
		parse_gpa(args, arg);
		break;
	case OPT_ALL:
		parse_gpa(args, "all");
		break;
	case OPT_GFN:
		parse_gfns(args, arg);
		break;
	case OPT_GFN_LIST:
		read_gfns(args, arg);
		break;
	case OPT_ORDER:
		args->order = parse_int(state, "--order", arg, 18);
		break;
	case OPT_RETRIES:
		args->retries = parse_int(state, "--retries", arg, 100);
		break;
	case OPT_WAIT:
		args->wait = true;
		break;
	case OPT_RESULTS:
		args->results = true;
		break;
	case OPT_DRY_RUN:
		args->dry_run = true;
		break;
	case ARGP_KEY_ARG:
		take_vm(state, &args->vm, arg);
		break;
	case ARGP_KEY_END:
		if (!args->to)
			argp_error(state, "--to says which tier to move to");
		if (args->gpa == args->gfn)
			argp_error(state, "%s --all, --gpa, or --gfn and --gfn-list say "
				   "what to move", args->gpa ? "one only of" :
				   "which pages?");
		if (args->results && (!args->wait || !globals.json))
			argp_error(state, "--results needs --wait and -o json");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "[VM]",
	.doc = "Move pages by hand.",
	.children = global_argp,
};

static void show_progress(json *p)
{
	uint64_t pages = num_of(p, "pages"), done = num_of(p, "done");
	unsigned int width = 40, full = pages ? done * width / pages : width;
	char bar[41];

	if (globals.quiet || !isatty(STDERR_FILENO))
		return;
	memset(bar, '.', width);
	memset(bar, '#', full < width ? full : width);
	bar[width] = '\0';
	fprintf(stderr, "\r[%s] %" PRIu64 "/%" PRIu64 " pages", bar, done, pages);
}

/* The job was not finished in time: say why.  hmemd ends it when hmemctl disconnects. */
static void give_up(const char *vm)
{
	const char *why, *what = "hmemd does not say why, see its log";
	json *o;

	hang_up();
	o = try_ask(new_request("status", vm), &why);
	if (o && json_object_array_length(field(o, "vms")) == 1)
		what = text_of(json_object_array_get_idx(field(o, "vms"), 0),
			       "activity");
	die(EXIT_ERROR, "some pages have no result after %d s: %s. The job ends; its last "
	    "hints may still move pages", globals.timeout_ms / 1000, what);
}

/* Wait for the final answer; collect the pages of earlier lines in @results. */
static json *wait_for_end(json *results, const char *vm)
{
	for (;;) {
		json *o = next_answer_in_time(), *r = field(o, "results");

		if (!o)
			give_up(vm);
		/* The line about cancelling is not the end of the job. */
		if (flag_of(o, "final") && !field(o, "cancel"))
			return o;
		if (field(o, "progress")) {
			cancel_on_interrupt(num_of(field(o, "progress"), "job"));
			show_progress(field(o, "progress"));
		}
		for (size_t i = 0; r && i < json_object_array_length(r); i++)
			json_append(results, json_object_get(json_object_array_get_idx(r, i)));
		json_object_put(o);
	}
}

/* Was everything done that could be expected? */
static int judge(json *m)
{
	json *reasons = field(m, "reasons");

	if (known(m, "failed"))
		return EXIT_ERROR;
	if (num_of(reasons, "moved") + num_of(reasons, "already") +
	    num_of(reasons, "free") != num_of(m, "pages"))
		return EXIT_PARTIAL;
	return EXIT_OK;
}

static void print_reasons(json *m)
{
	struct table t = {
		.columns = 3,
		.column = { { "REASON", false }, { "PAGES", true }, { "SHARE", true } },
	};
	uint64_t pages = num_of(m, "pages");
	char share[24];

	json_object_object_foreach(field(m, "reasons"), key, value) {
		uint64_t n = json_object_get_uint64(value);

		if (!n && !globals.verbose)
			continue;
		snprintf(share, sizeof(share), "%.1f %%",
			 pages ? 100.0 * n / pages : 0.0);
		table_row(&t, (const char *[]) {
			key, json_word(value), share,
		});
	}
	table_row(&t, (const char *[]) { "total", text_of(m, "pages"), "" });
	table_print(&t);
}

static void print_dry_run(json *m)
{
	struct table t = {
		.columns = 3,
		.column = { { "FROM", true }, { "TO", true }, { "PAGES", true } },
	};
	json *tiers = field(m, "from_tiers");

	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		char from[24];

		snprintf(from, sizeof(from), "%zu", i);
		table_row(&t, (const char *[]) {
			from, text_of(m, "to"), json_word(json_object_array_get_idx(tiers, i)),
		});
	}
	table_print(&t);
	if (!globals.quiet)
		printf("%s pages would need %s hints\n",
		       text_of(m, "pages"), text_of(m, "hints"));
}

int cmd_migrate(int argc, char **argv)
{
	struct args args = { .retries = 3 };
	json *req, *o, *m, *results = json_new_array();
	int status = EXIT_OK;
	uint64_t to;

	args.ranges = json_new_array();
	parse_args(&argp, argc, argv, 0, &args);
	to = find_tier(args.vm, "--to", args.to);
	req = new_request("migrate", args.vm);
	json_add(req, "to", json_new_u64(to));
	if (args.all)
		json_add(req, "all", json_new_bool(true));
	json_add(req, "ranges", args.ranges);
	json_add(req, "strict", json_new_bool(args.gfn));
	json_add(req, "order", json_new_i64(args.order));
	json_add(req, "retries", json_new_i64(args.retries));
	json_add(req, "wait", json_new_bool(args.wait));
	json_add(req, "results", json_new_bool(args.results));
	json_add(req, "dry_run", json_new_bool(args.dry_run));
	send_request(req);
	/* A job can take any time, so wait forever unless the user says otherwise. */
	if (args.wait && !globals.timeout_set)
		globals.timeout_ms = -1;
	o = wait_for_end(results, args.vm);
	m = field(o, "migrate");
	if (args.wait && !globals.quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (args.wait && !args.dry_run)
		status = judge(m);
	if (known(m, "failed"))
		fprintf(stderr, "hmemctl: vm '%s': %s; %s of %s pages were answered\n",
			text_of(m, "vm"), text_of(m, "failed"), text_of(m, "done"),
			text_of(m, "pages"));
	else if (flag_of(m, "cancelled"))
		fprintf(stderr, "hmemctl: vm '%s': job %s was cancelled; %s of %s pages were "
			"answered\n", text_of(m, "vm"), text_of(m, "job"),
			text_of(m, "done"), text_of(m, "pages"));
	if (globals.json) {
		if (args.results)
			json_add(o, "results", json_object_get(results));
		print_json(o);
	} else {
		if (args.dry_run)
			print_dry_run(m);
		else if (args.wait)
			print_reasons(m);
		else if (!globals.quiet)
			printf("job %s: %s pages to tier %s; see hmemctl stats\n",
			       text_of(m, "job"), text_of(m, "pages"), text_of(m, "to"));
		json_object_put(o);
	}
	json_object_put(results);
	return status;
}
