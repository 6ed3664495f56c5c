/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "hmemctl.h"
#include "numbers.h"

static const struct argp argp = {
	.parser = parse_vm,
	.args_doc = "[VM]",
	.doc = "Show the tiers of a VM or of all VMs, how hot they are, and what hmemd does.",
	.children = global_argp,
};

/* Converts pages per second into a size per second. */
static const char *rate(json *vm, const char *key, char *buf, size_t size)
{
	char s[32];
	double pages;

	if (!known(vm, key))
		return "-";
	pages = double_of(vm, key);
	if (globals.raw)
		snprintf(buf, size, "%.0f B/s", pages * 4096);
	else
		snprintf(buf, size, "%s/s",
			 hmem_format_size(pages * 4096, s, sizeof(s)));
	return buf;
}

static void print_tiers(json *tiers)
{
	struct table t = {
		.columns = 10,
		.column = {
			{ "TIER", true }, { "NODE", true }, { "KIND", false },
			{ "SIZE", true }, { "TARGET", true }, { "TOTAL", true },
			{ "FREE", true }, { "HOT", true }, { "WARM", true }, { "COLD", true },
		},
	};

	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *tier = json_object_array_get_idx(tiers, i), *size = field(tier, "size");
		char b[8][24];

		table_row(&t, (const char *[]) {
			cell_num(tier, "tier", b[0], sizeof(b[0])),
			text_of(tier, "pxm"),
			text_of(tier, "kind"),
			cell_size(size, "actual_bytes", b[1], sizeof(b[1])),
			cell_size(size, "requested_bytes", b[2], sizeof(b[2])),
			cell_size(size, "max_bytes", b[3], sizeof(b[3])),
			cell_size(size, "free_bytes", b[4], sizeof(b[4])),
			cell_num(tier, "hot", b[5], sizeof(b[5])),
			cell_num(tier, "warm", b[6], sizeof(b[6])),
			cell_num(tier, "cold", b[7], sizeof(b[7])),
		});
	}
	table_print(&t);
}

static void print_online(json *tiers)
{
	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *tier = json_object_array_get_idx(tiers, i);
		char b[2][24];

		if (offline_bytes(tier))
			printf("online      %s of %s of tier %zu\n",
			       cell_size(tier, "online_bytes", b[0], sizeof(b[0])),
			       cell_size(tier, "bytes", b[1], sizeof(b[1])), i);
	}
}

/* Print why tiers do not have their target yet. */
static void print_pending(json *tiers)
{
	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *size = field(json_object_array_get_idx(tiers, i), "size");
		char pending[24];

		if (num_of(size, "pending_bytes"))
			printf("resize      tier %zu: %s to %s: %s\n", i,
			       cell_size(size, "pending_bytes", pending, sizeof(pending)),
			       num_of(size, "actual_bytes") > num_of(size, "requested_bytes") ?
			       "give up" : "take back", text_of(size, "why"));
	}
}

static void print_pauses(json *pauses)
{
	if (pauses && num_of(pauses, "pages"))
		printf("pauses      %s pages: half of them up to %.4g us, 99 %% up to %.4g us\n",
		       text_of(pauses, "pages"), num_of(pauses, "p50_ns") / 1e3,
		       num_of(pauses, "p99_ns") / 1e3);
}

static void print_vm(json *vm)
{
	json *log = field(vm, "dirty_log");
	char up[48], down[48];

	printf("VM %s: device %s, driver %s, %s, policy %s\n", text_of(vm, "name"),
	       text_of(vm, "device"), text_of(vm, "driver"),
	       state_of(vm), text_of(vm, "policy"));
	print_tiers(field(vm, "tiers"));
	print_online(field(vm, "tiers"));
	print_pending(field(vm, "tiers"));
	printf("promoted    %s\n", rate(vm, "promoted_per_s", up, sizeof(up)));
	printf("demoted     %s\n", rate(vm, "demoted_per_s", down, sizeof(down)));
	print_pauses(field(vm, "pauses"));
	printf("windows     %s of %s ms", text_of(vm, "windows"),
	       num_of(vm, "window_ms") ? text_of(vm, "window_ms") : "-");
	if (num_of(vm, "asked_window_ms") < num_of(vm, "min_window_ms"))
		printf("; the policy asks for %s ms, but %s ms is the shortest for its memory",
		       text_of(vm, "asked_window_ms"), text_of(vm, "min_window_ms"));
	putchar('\n');
	printf("tracker     %s%s\n", text_of(vm, "tracker"),
	       flag_of(vm, "lockstep") ? ", in lockstep" : "");
	if (log)
		printf("dirty log   on for %.3f ms at a time, %s faults/s of %s\n",
		       num_of(log, "sample_us") / 1000.0,
		       text_of(log, "faults_per_s"),
		       text_of(log, "max_faults_per_s"));
	if (known(vm, "order_doubt"))
		printf("tier order  %s\n", text_of(vm, "order_doubt"));
	printf("activity    %s\n", text_of(vm, "activity"));
	printf("last error  %s\n", text_of(vm, "last_error"));
}

int cmd_status(int argc, char **argv)
{
	const char *vm = NULL;
	json *o, *vms;

	parse_args(&argp, argc, argv, 0, &vm);
	o = ask(new_request("status", vm));
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	vms = field(o, "vms");
	for (size_t i = 0; i < json_object_array_length(vms); i++) {
		if (i)
			putchar('\n');
		print_vm(json_object_array_get_idx(vms, i));
	}
	if (!json_object_array_length(vms) && !globals.quiet)
		fprintf(stderr, "hmemctl: no VM is connected: try hmemctl doctor\n");
	json_object_put(o);
	return EXIT_OK;
}
