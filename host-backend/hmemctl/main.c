/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemctl: look at hmemd and tell it what to do; see hmemctl(1). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hmemctl.h"
#include "term.h"

const char *argp_program_version = "hmemctl " HMEMCTL_VERSION;

struct globals globals = { .timeout_ms = 10000 };

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
	{ "policy", cmd_policy },
	{ "doctor", cmd_doctor },
};

enum { OPT_RAW = 512, OPT_TIMEOUT };

static const struct argp_option options[] = {
	{ "socket", 's', "PATH", 0, "hmemd's control socket", -2 },
	{ "vm", 'd', "VM", 0, "The VM, where a command is about one", -2 },
	{ "output", 'o', "FORMAT", 0, "table or json", -2 },
	{ "raw", OPT_RAW, NULL, 0, "Sizes in bytes", -2 },
	{ "quiet", 'q', NULL, 0, "No titles, no progress", -2 },
	{ "verbose", 'v', NULL, 0, "Show zeros, too", -2 },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "Give up after that long", -2 },
	{ 0 }
};

void die(int status, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	/* Or what is said is gone with the screen. */
	term_leave();
	fprintf(stderr, "hmemctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

void flush_output(void)
{
	/* What could not be written earlier has left no errno. */
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return;
	term_leave();
	fprintf(stderr, "hmemctl: cannot write to standard output%s%s\n",
		errno ? ": " : "", errno ? strerror(errno) : "");
	/* Not exit(), which brings us here. */
	_exit(EXIT_ERROR);
}

void take_vm(struct argp_state *state, const char **vm, char *arg)
{
	if (*vm)
		argp_error(state, "what is '%s'?", arg);
	*vm = arg;
}

error_t parse_vm(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	take_vm(state, state->input, arg);
	return 0;
}

static error_t parse_global(int key, char *arg, struct argp_state *state)
{
	char *end;
	long n;

	switch (key) {
	case 's':
		globals.socket = arg;
		break;
	case 'd':
		globals.vm = arg;
		break;
	case 'o':
		if (strcmp(arg, "json") && strcmp(arg, "table"))
			argp_error(state, "--output is table or json, not '%s'", arg);
		globals.json = !strcmp(arg, "json");
		break;
	case OPT_RAW:
		globals.raw = true;
		break;
	case 'q':
		globals.quiet = true;
		break;
	case 'v':
		globals.verbose = true;
		break;
	case OPT_TIMEOUT:
		n = strtol(arg, &end, 10);
		if (*end || n < 1 || n > 1000000)
			argp_error(state, "--timeout is 1 to 1000000 seconds, not '%s'",
				   arg);
		globals.timeout_ms = n * 1000;
		globals.timeout_set = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp global = { .options = options, .parser = parse_global };

const struct argp_child global_argp[] = {
	{ &global, 0, "Options of every command:", -1 },
	{ 0 }
};

/* The first word that is no option is the command; the rest is its own. */
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
			   "migrate, jobs, cancel, policy or doctor");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.parser = parse_command,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = "Look at hmemd and tell it what to do."
	       "\v  list      the VMs that are connected\n"
	       "  status    tiers of a VM, how hot they are, what is going on\n"
	       "  stats     counters of a VM, by reason\n"
	       "  top       what the VMs do, live\n"
	       "  heatmap   how hot a VM's memory is, by address and time\n"
	       "  migrate   move pages by hand\n"
	       "  jobs      what is being moved by hand\n"
	       "  cancel    stop one of these jobs\n"
	       "  policy    see and set what moves pages by itself\n"
	       "  doctor    check that everything is as it should be\n\n"
	       "hmemctl COMMAND --help says more.  Exit status: 0 all is well, 1 an "
	       "error, 2 wrong usage, 3 some pages did not move, 77 not supported.",
	.children = global_argp,
};

int main(int argc, char **argv)
{
	struct command_line cmd = { 0 };
	static char name[64];

	argp_err_exit_status = EXIT_USAGE;
	/* However it ends: argp exits by itself after --help. */
	atexit(flush_output);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &cmd);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(cmd.argv[0], commands[i].name))
			continue;
		/* Usage messages name both words. */
		snprintf(name, sizeof(name), "hmemctl %s", commands[i].name);
		cmd.argv[0] = name;
		return commands[i].run(cmd.argc, cmd.argv);
	}
	die(EXIT_USAGE, "no command '%s': list, status, stats, top, heatmap, migrate, "
	    "jobs, cancel, policy and doctor are", cmd.argv[0]);
}
