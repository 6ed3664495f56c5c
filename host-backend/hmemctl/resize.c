/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hmemctl.h"
#include "numbers.h"

/* How often to read the tier's size with --wait. */
#define LOOK_MS		100

enum { OPT_TIER = 256, OPT_SIZE, OPT_WAIT, OPT_DRY_RUN };

struct args {
	const char *vm, *tier;
	uint64_t bytes;
	bool size, wait, dry_run;
};

static const struct argp_option options[] = {
	{ "tier", OPT_TIER, "TIER", 0, "The tier: its number, or its kind", 0 },
	{ "size", OPT_SIZE, "SIZE", 0, "The size to request (K, M, G, T)", 0 },
	{ "wait", OPT_WAIT, NULL, 0, "Wait until the tier has that size", 0 },
	{ "dry-run", OPT_DRY_RUN, NULL, 0, "Only check whether the tier can have that size", 0 },
	{ 0 }
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	struct hmem_err err;

	switch (key) {
	case OPT_TIER:
		args->tier = arg;
		break;
	case OPT_SIZE:
		if (hmem_parse_size(arg, strlen(arg), &args->bytes, &err) < 0)
			argp_error(state, "--size: %s", err.msg);
		if (args->bytes > INT64_MAX)
			argp_error(state, "--size: '%s' is too large", arg);
		args->size = true;
		break;
	case OPT_WAIT:
		args->wait = true;
		break;
	case OPT_DRY_RUN:
		args->dry_run = true;
		break;
	case ARGP_KEY_ARG:
		take_vm(state, &args->vm, arg);
		break;
	case ARGP_KEY_END:
		if (!args->tier || !args->size)
			argp_error(state, "name a tier by --tier and its new size by --size");
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
	.doc = "Have a VM give up memory of a tier, or take it back.",
	.children = global_argp,
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000) + t.tv_nsec / 1000000;
}

/* Wait until the tier has the requested size, or --timeout is over.  Returns its size. */
static json *wait_for_size(const char *vm, uint64_t tier)
{
	uint64_t end = now_ms() + globals.timeout_ms;

	for (;;) {
		json *o = ask(new_request("status", vm));
		json *tiers = field(json_object_array_get_idx(field(o, "vms"), 0), "tiers");
		json *size = json_object_get(
			field(json_object_array_get_idx(tiers, tier), "size"));
		struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };

		json_object_put(o);
		if (!num_of(size, "pending_bytes") ||
		    (globals.timeout_set && now_ms() >= end))
			return size;
		json_object_put(size);
		nanosleep(&pause, NULL);
	}
}

int cmd_resize(int argc, char **argv)
{
	struct args args = { 0 };
	char want[32], have[32];
	json *req, *o, *r, *size;
	int status = EXIT_OK;
	uint64_t tier;

	parse_args(&argp, argc, argv, 0, &args);
	tier = find_tier(args.vm, "--tier", args.tier);
	req = new_request("resize", args.vm);
	json_add(req, "tier", json_new_u64(tier));
	json_add(req, "bytes", json_new_u64(args.bytes));
	json_add(req, "dry_run", json_new_bool(args.dry_run));
	o = ask(req);
	r = field(o, "resize");
	if (args.wait && !args.dry_run) {
		size = wait_for_size(text_of(r, "vm"), tier);
		json_object_object_foreach(size, key, value) {
			json_add(r, key, json_object_get(value));
		}
		json_object_put(size);
		if (num_of(r, "pending_bytes"))
			status = EXIT_PARTIAL;
	}
	if (globals.json) {
		print_json(o);
		return status;
	}
	if (!globals.quiet)
		printf("tier %s of vm %s: %s %s, actual size %s%s%s\n", text_of(r, "tier"),
		       text_of(r, "vm"), args.dry_run ? "could request" : "requested",
		       cell_size(r, "bytes", want, sizeof(want)),
		       cell_size(r, "actual_bytes", have, sizeof(have)),
		       known(r, "why") && !args.dry_run ? ": " : "",
		       known(r, "why") && !args.dry_run ? text_of(r, "why") : "");
	json_object_put(o);
	return status;
}
