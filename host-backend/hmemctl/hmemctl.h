/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the subcommands of hmemctl share. */
#ifndef HMEMCTL_H
#define HMEMCTL_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#define HMEMCTL_VERSION		"0.1"

/* Exit status, see hmemctl(1). */
enum {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3,
	EXIT_UNSUPPORTED = 77,
};

typedef struct json_object json;

/* The options that every subcommand has. */
struct globals {
	const char *socket;
	const char *vm;			/* -d; NULL: the only one */
	bool json, raw, quiet, verbose;
	int timeout_ms;			/* of an answer; -1: none */
	bool timeout_set;
};

extern struct globals globals;

/* A child for each subcommand's argp, so that global options go anywhere. */
extern const struct argp_child global_argp[];

/* For ARGP_KEY_ARG: @arg names the VM, for *@vm.  Usage error if it has one. */
void take_vm(struct argp_state *state, const char **vm, char *arg);
/* The parser of a command that takes a VM and nothing else; its input is @vm. */
error_t parse_vm(int key, char *arg, struct argp_state *state);

/* One file each. */
int cmd_list(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_heatmap(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* Say what is wrong and exit. */
__attribute__((noreturn, format(printf, 2, 3)))
void die(int status, const char *fmt, ...);

/*
 * Have all that was printed written, or say that it cannot be and exit.  It is called at
 * the end; also where something is printed again and again.
 */
void flush_output(void);

/* --- talking to hmemd: client.c --- */


/* About @vm, or the one named by -d, or none. */
json *new_request(const char *verb, const char *vm);

/* Send @req, and free it; connects first.  Dies of what goes wrong. */
void send_request(json *req);

/* The next line of the answer; dies of an error in it, or of none. */
json *next_answer(void);

/* Likewise; but NULL if it does not come in time. */
json *next_answer_in_time(void);

/* What is asked next is so on a connection of its own. */
void hang_up(void);

/* Both: for answers of one line. */
json *ask(json *req);

/* Likewise; but what goes wrong is in @why, and NULL returned: of static storage. */
json *try_ask(json *req, const char **why);

/* Print @o as JSON with "version" first, and free it. */
void print_json(json *o);

/* Print @o, as it is, on a line of its own, at once; exits if that cannot be. */
void print_json_line(json *o);

/*
 * From now on, Ctrl-C cancels @job, whose end is being waited for: it asks hmemd to, says
 * what that means, and the answer that is waited for comes.  A second one ends hmemctl.
 */
void cancel_on_interrupt(uint64_t job);

/* --- reading answers; what is missing reads as NULL, 0, false, "-" --- */

json *field(json *o, const char *key);
const char *text_of(json *o, const char *key);
uint64_t num_of(json *o, const char *key);
double double_of(json *o, const char *key);
bool flag_of(json *o, const char *key);
/* Does it have a value that is known? */
bool known(json *o, const char *key);
/* Bytes of a VM's tier that the guest has taken offline; a little is never online. */
uint64_t offline_bytes(json *tier);
/* Of a VM: "running", "paused" or "migrating". */
const char *state_of(json *vm);

/* --- printing: table.c --- */

#define TABLE_MAX_COLUMNS	10

struct table {
	unsigned int columns;
	struct column {
		const char *title;
		bool right;
	} column[TABLE_MAX_COLUMNS];
	char ***rows;
	size_t num_rows;
};

/* Print all of @t and free its rows; the titles not with --quiet. */
void table_print(struct table *t);

/* Add a row of t->columns strings, which are copied. */
void table_row(struct table *t, const char *const *cells);

/* A number as it is, a size humanised unless --raw; "-" if not known. */
const char *cell_num(json *o, const char *key, char *buf, size_t size);
const char *cell_size(json *o, const char *key, char *buf, size_t size);

#endif /* HMEMCTL_H */
