/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Talking to hmemd, and reading what it answers. */
#ifndef HMEMCTL_CLIENT_H
#define HMEMCTL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

typedef struct json_object json;

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

#endif /* HMEMCTL_CLIENT_H */
