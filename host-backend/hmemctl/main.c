/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemctl: shows and controls hmemd; see hmemctl(1). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hmemctl.h"

const char *argp_program_version = "hmemctl " HMEMCTL_VERSION;

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "list", cmd_list },
	{ "status", cmd_status },
	{ "stats", cmd_stats },
	{ "top", cmd_top },
	{ "heatmap", cmd_heatmap },
	{ "migrate", cmd_migrate },
	{ "jobs", cmd_jobs },
	{ "cancel", cmd_cancel },
	{ "resize", cmd_resize },
	{ "pool", cmd_pool },
	{ "trades", cmd_trades },
	{ "policy", cmd_policy },
	{ "config", cmd_config },
	{ "reload", cmd_reload },
	{ "explain", cmd_explain },
	{ "events", cmd_events },
	{ "history", cmd_history },
	{ "doctor", cmd_doctor },
};

/* The first word that is not an option is the command, which parses the rest. */
struct command_line {
	int argc;
	char **argv;
};

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct command_line *cmd = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		(void)arg;
		cmd->argc = state->argc - state->next + 1;
		cmd->argv = state->argv + state->next - 1;
		state->next = state->argc;
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command? list, status, stats, top, heatmap, "
			   "migrate, jobs, cancel, resize, pool, trades, policy, config, "
			   "reload, explain, events, history or doctor");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.parser = parse_command,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = "Show what hmemd does, and control it."
	       "\v  list      the connected VMs\n"
	       "  status    a VM: its tiers, how hot they are, what hmemd does\n"
	       "  stats     counters of a VM, by reason\n"
	       "  top       the activity of VMs, live\n"
	       "  heatmap   the heat of a VM's memory, by address and time\n"
	       "  migrate   move pages by hand\n"
	       "  jobs      the jobs that move pages by hand\n"
	       "  cancel    cancel such a job\n"
	       "  resize    change the size of a VM's tier\n"
	       "  pool      who has how much of the host's DRAM, and why\n"
	       "  trades    DRAM exchanged for NVM at the same cost, and what that saved\n"
	       "  policy    show or change the policy that moves a VM's pages\n"
	       "  config    check the configuration, or show what was set since\n"
	       "  reload    have hmemd read its configuration again\n"
	       "  explain   why a VM's pages are where they are\n"
	       "  events    the last events, and new ones\n"
	       "  history   what has moved in a VM, when and why\n"
	       "  doctor    check for problems, and how to solve them\n\n"
	       "hmemctl COMMAND --help tells more.  Exit status: 0 success, 1 an "
	       "error, 2 wrong usage, 3 pages did not move or a tier has not the size in time, "
	       "4 doctor warns, 77 not supported.",
	.children = global_argp,
};

int main(int argc, char **argv)
{
	struct command_line cmd = { 0 };
	static char name[64];

	argp_err_exit_status = EXIT_USAGE;
	/* Runs at any exit: argp exits by itself after --help. */
	atexit(flush_output);
	parse_args(&argp, argc, argv, ARGP_IN_ORDER, &cmd);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(cmd.argv[0], commands[i].name))
			continue;
		/* Usage messages then contain both words. */
		snprintf(name, sizeof(name), "hmemctl %s", commands[i].name);
		cmd.argv[0] = name;
		return commands[i].run(cmd.argc, cmd.argv);
	}
	die(EXIT_USAGE, "no command '%s': list, status, stats, top, heatmap, migrate, "
	    "jobs, cancel, resize, pool, trades, policy, config, reload, explain, events, "
	    "history and doctor are", cmd.argv[0]);
}
