/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hmemctl.h"
#include "numbers.h"
#include "trades.h"

enum { OPT_GPA = 256 };

struct args {
	const char *vm;
	uint64_t gpa;
	bool page;
};

static const struct argp_option options[] = {
	{ "gpa", OPT_GPA, "ADDRESS", 0,
	  "Also the page at this guest-physical address (K, M, G, T)", 0 },
	{ 0 }
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	struct hmem_err err;

	switch (key) {
	case OPT_GPA:
		if (hmem_parse_size(arg, strlen(arg), &args->gpa, &err) < 0 ||
		    args->gpa > INT64_MAX)
			argp_error(state, "--gpa: '%s' is no address such as 0x12345000 or 2G",
				   arg);
		args->page = true;
		break;
	case ARGP_KEY_ARG:
		take_vm(state, &args->vm, arg);
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
	.doc = "Explain why the pages of a VM are where they are: the measured access rates, "
	       "what moves would save, and what they would cost.",
	.children = global_argp,
};

/* The number with three digits, or with all digits before the point if these are more. */
#define SHORT(number)	short_text(number, (char[32]){ 0 })

static const char *short_text(double number, char buf[32])
{
	snprintf(buf, 32, number < 999.5 ? "%.3g" : "%.0f", number);
	return buf;
}

/* "190 per second (within a factor of 1.2)" */
static const char *rate_text(json *rate, char *buf, size_t size)
{
	snprintf(buf, size, "%s per second (within a factor of %.2g)",
		 SHORT(double_of(rate, "per_s")), double_of(rate, "factor"));
	return buf;
}

static void print_tier(json *t)
{
	char coldest[80], hottest[80];

	printf("tier %s: %s pages, %s of them unused; %s accesses per second in all\n",
	       text_of(t, "tier"), text_of(t, "pages"), text_of(t, "idle_pages"),
	       SHORT(double_of(t, "accesses_per_s")));
	if (known(t, "coldest"))
		printf("  used pages: the coldest %s,\n              the hottest %s\n",
		       rate_text(field(t, "coldest"), coldest, sizeof(coldest)),
		       rate_text(field(t, "hottest"), hottest, sizeof(hottest)));
}

static void print_measured(json *m)
{
	json *tiers = field(m, "tiers");

	printf("measured in %s looks, %s bursts; the next look lasts %s ms; looks have cost %s ms "
	       "of guest time that is not paid for yet\n", text_of(m, "looks"),
	       text_of(m, "bursts"), SHORT(num_of(m, "next_look_ns") / 1e6),
	       SHORT(num_of(m, "owed_ns") / 1e6));
	for (size_t i = 0; i < json_object_array_length(tiers); i++)
		print_tier(json_object_array_get_idx(tiers, i));
	printf("an access saves %.0f ns in tier 0, and a move takes %.1f us\n",
	       double_of(m, "access_ns"), double_of(m, "move_ns") / 1e3);
	if (known(m, "pays_per_s"))
		printf("two pages change places if their rates differ by more than %s per "
		       "second for %s s, or by more than %s for the %s s for which rates "
		       "last\n", SHORT(double_of(m, "pays_per_s")),
		       SHORT(double_of(m, "horizon_s")), SHORT(double_of(m, "pays_now_per_s")),
		       SHORT(double_of(m, "lasts_s")));
	printf("the last plan promotes %s pages and demotes %s, which saves %s ms\n",
	       text_of(m, "promote"), text_of(m, "demote"),
	       SHORT(double_of(m, "saves_ns") / 1e6));
}

static void print_page(json *p)
{
	char rate[80];

	printf("the page at %#" PRIx64 " is in tier %s; ", (uint64_t)num_of(p, "gfn") * 4096,
	       text_of(p, "tier"));
	if (flag_of(p, "idle"))
		printf("no look has found it used");
	else
		printf("pages with its record are used %s now, and %s per second in the "
		       "long run", rate_text(field(p, "rate"), rate, sizeof(rate)),
		       SHORT(double_of(p, "long_rate_per_s")));
	printf("%s\n", flag_of(p, "may_move") ? "" :
	       "; it gets no hint now: a hint is under way, or was refused lately");
}

/* Why the VM has the DRAM that it has, and what would change that. */
static void print_pool(json *p)
{
	char has[24], share[24], least[24], most[24];

	printf("has %s of DRAM, of which %s are its share, at least %s and at most %s: %s\n",
	       cell_size(p, "bytes", has, sizeof(has)),
	       cell_size(p, "share_bytes", share, sizeof(share)),
	       cell_size(p, "guarantee_bytes", least, sizeof(least)),
	       cell_size(p, "maximum_bytes", most, sizeof(most)), text_of(p, "why"));
	if (double_of(p, "elsewhere_bytes") > 0)
		printf("  %s of it count on nodes of other sockets, since the node of its own is "
		       "used up\n", cell_size(p, "elsewhere_bytes", has, sizeof(has)));
	if (known(p, "grows_at_ns_per_s"))
		printf("  its next MiB would save %s us/s, and is bought from %s us/s on; its last "
		       "MiB saves %s us/s, and is lent below %s us/s\n",
		       SHORT(double_of(p, "next_mib_ns_per_s") / 1e3),
		       SHORT(double_of(p, "grows_at_ns_per_s") / 1e3),
		       SHORT(double_of(p, "last_mib_ns_per_s") / 1e3),
		       SHORT(double_of(p, "shrinks_at_ns_per_s") / 1e3));
}

int cmd_explain(int argc, char **argv)
{
	struct args args = { 0 };
	json *req, *o, *e;

	parse_args(&argp, argc, argv, 0, &args);
	req = new_request("explain", args.vm);
	if (args.page)
		json_add(req, "gfn", json_new_u64(args.gpa / 4096));
	o = ask(req);
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	e = field(o, "explain");
	printf("vm %s: policy %s, tracker %s: %s\n", text_of(e, "vm"), text_of(e, "policy"),
	       text_of(e, "tracker"), text_of(e, "activity"));
	if (known(e, "measured"))
		print_measured(field(e, "measured"));
	else
		printf("access rates are not measured: this takes the policy auto, a tracker "
		       "such as sim or gpt, and the first windows\n");
	print_pool(field(e, "pool"));
	print_trader(field(e, "trading"));
	if (known(e, "page"))
		print_page(field(e, "page"));
	json_object_put(o);
	return EXIT_OK;
}
