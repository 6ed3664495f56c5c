/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "hmemctl.h"

#define MAX_WORDS	32

struct args {
	char *words[MAX_WORDS];
	unsigned int num;
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (args->num == MAX_WORDS)
		argp_error(state, "too many arguments");
	args->words[args->num++] = arg;
	return 0;
}

static const struct argp argp = {
	.parser = parse_opt,
	.args_doc = "[VM] get\n[VM] set KEY=VALUE...\n[VM] reset",
	.doc = "Show or change the policy that moves a VM's pages."
	       "\vname=off: pages move only by hand.  name=observe: the same, but heat is "
	       "tracked.  name=writes: the most written pages move to tier 0.  "
	       "name=hmmv: the hottest pages do.  name=hmvisor: the hottest pages do, "
	       "and a write counts more than a read.  name=auto: a page moves if the move "
	       "saves more time than it takes.  See hmemctl(1) for the other keys.  reset: go back "
	       "to the policy of hmemd's configuration.",
	.children = global_argp,
};

static bool is_verb(const char *word)
{
	return !strcmp(word, "get") || !strcmp(word, "set") || !strcmp(word, "reset");
}

int cmd_policy(int argc, char **argv)
{
	struct args args = { 0 };
	struct table t = {
		.columns = 2,
		.column = { { "KEY", false }, { "VALUE", true } },
	};
	unsigned int at = 0;
	const char *vm = NULL;
	bool set = false, reset = false;
	const char *from;
	json *req, *o;

	parse_args(&argp, argc, argv, 0, &args);
	if (at < args.num && !is_verb(args.words[at]))
		vm = args.words[at++];
	if (at < args.num) {
		if (!is_verb(args.words[at]))
			die(EXIT_USAGE, "policy: '%s' is neither get, set nor reset",
			    args.words[at]);
		set = !strcmp(args.words[at], "set");
		reset = !strcmp(args.words[at++], "reset");
	}
	if (set ? at == args.num : at < args.num)
		die(EXIT_USAGE, set ? "policy set: name KEY=VALUE, see hmemctl policy get" :
		    "policy: nothing more is expected after get or reset");
	req = new_request("policy", vm);
	if (reset)
		json_add(req, "reset", json_new_bool(true));
	if (set) {
		json *pairs = json_new_object();

		for (; at < args.num; at++) {
			char *value = strchr(args.words[at], '=');

			if (!value)
				die(EXIT_USAGE, "policy set: '%s' is not KEY=VALUE",
				    args.words[at]);
			*value++ = '\0';
			json_add(pairs, args.words[at], json_new_text(value));
		}
		json_add(req, "set", pairs);
	}
	o = ask(req);
	if (globals.json) {
		print_json(o);
		return EXIT_OK;
	}
	json_object_object_foreach(field(o, "policy"), key, value) {
		table_row(&t, (const char *[]) { key, json_word(value) });
	}
	if (!set || !globals.quiet)
		table_print(&t);
	from = text_of(o, "from");
	if (!globals.quiet && !strcmp(from, "hmemctl"))
		printf("set by hmemctl while hmemd ran; see hmemctl config show\n");
	else if (!globals.quiet)
		printf("set by %s\n", from);
	json_object_put(o);
	return EXIT_OK;
}
