/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "hmemctl.h"
#include "trades.h"

static const struct argp argp = {
	.parser = parse_vm,
	.args_doc = "[VM]",
	.doc = "Show the trades of DRAM for NVM at the same cost, and what each saved."
	       "\vEXPECTED and SAVED are ms of stall per second.  The VMs and their budgets "
	       "follow.  For a VM without trade = yes, hmemd only says which trade would pay.",
	.children = global_argp,
};

/* The MiB of a tier before and after the trade: "96>72". */
static const char *cell_change(json *o, unsigned int tier, char *buf, size_t size)
{
	json *before = json_object_array_get_idx(field(o, "before_bytes"), tier);
	json *after = json_object_array_get_idx(field(o, "after_bytes"), tier);

	snprintf(buf, size, "%.4g>%.4g", json_object_get_double(before) / (1 << 20),
		 json_object_get_double(after) / (1 << 20));
	return buf;
}

static const char *cell_number(json *o, const char *key, double unit, char *buf, size_t size)
{
	if (!known(o, key))
		return "-";
	snprintf(buf, size, "%.3g", double_of(o, key) / unit);
	return buf;
}

static void print_trades(json *trades)
{
	struct table t = {
		.columns = 8,
		.column = {
			{ "TIME", false }, { "VM", false }, { "DRAM MIB", true },
			{ "NVM MIB", true }, { "FAULTS/S", true }, { "EXPECTED", true },
			{ "SAVED", true }, { "STATE", false },
		},
	};

	for (size_t i = 0; i < json_object_array_length(trades); i++) {
		json *e = json_object_array_get_idx(trades, i);
		char when[16], dram[32], nvm[32], faults[24], expected[24], saved[24];

		table_row(&t, (const char *[]) {
			/* JSON has the date. */
			local_time(num_of(e, "time_ns") / 1000000000, "%H:%M:%S", when,
				   sizeof(when)), text_of(e, "vm"),
			cell_change(e, 0, dram, sizeof(dram)),
			cell_change(e, 1, nvm, sizeof(nvm)),
			cell_number(e, "faults_per_s", 1, faults, sizeof(faults)),
			cell_number(e, "expected_ns_per_s", 1e6, expected, sizeof(expected)),
			cell_number(e, "measured_ns_per_s", 1e6, saved, sizeof(saved)),
			text_of(e, "state"),
		});
	}
	table_print(&t);
}

void print_trader(json *t)
{
	json *best = field(t, "best");
	char given[24], taken[24];

	printf("trading %s: %s\n", flag_of(t, "trades") ? "on" : "off", text_of(t, "why"));
	if (known(t, "cost"))
		printf("  costs %.0f of its budget of %.0f; reads %.3g pages/s again, %.3g us "
		       "each\n", double_of(t, "cost"), double_of(t, "budget"),
		       double_of(t, "faults_per_s"), double_of(t, "fault_ns") / 1e3);
	if (known(t, "best"))
		printf("  %s of tier %s for %s of tier %s would save %.3g ms per second\n",
		       cell_size(best, "given_bytes", given, sizeof(given)),
		       text_of(best, "from_tier"),
		       cell_size(best, "taken_bytes", taken, sizeof(taken)),
		       text_of(best, "to_tier"), double_of(best, "saves_ns_per_s") / 1e6);
}

int cmd_trades(int argc, char **argv)
{
	const char *vm = NULL;
	json *o, *vms;

	parse_args(&argp, argc, argv, 0, &vm);
	o = ask(new_request("trades", vm));
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	print_trades(field(o, "trades"));
	vms = field(o, "vms");
	for (size_t i = 0; i < json_object_array_length(vms) && !globals.quiet; i++) {
		json *t = json_object_array_get_idx(vms, i);

		printf("vm %s: ", text_of(t, "vm"));
		print_trader(t);
	}
	json_object_put(o);
	return EXIT_OK;
}
