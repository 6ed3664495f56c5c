/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends requests to hmemd and reads the answers. */
#ifndef HMEMCTL_CLIENT_H
#define HMEMCTL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "jsonio.h"

/* A request for @verb about VM @vm, or the VM of -d, or no VM. */
json *new_request(const char *verb, const char *vm);

/* Connect if necessary, send @req, and free it.  Exits on an error. */
void send_request(json *req);

/* The next line of the answer.  Exits if it is an error or does not come. */
json *next_answer(void);

/* The same, but returns NULL if the line does not come in time. */
json *next_answer_in_time(void);

/* Close the connection: the next request uses a new one. */
void hang_up(void);

/* Send @req and return an answer of one line. */
json *ask(json *req);

/* The same, but on an error returns NULL and the reason in @why, in static storage. */
json *try_ask(json *req, const char **why);

/* Print @o as JSON with "version" first, and free it. */
void print_json(json *o);

/* Print @o on a line of its own, and flush.  Exits if writing fails. */
void print_json_line(json *o);

/*
 * From now on, Ctrl-C cancels @job, while hmemctl waits for its end.  The handler asks hmemd
 * to cancel and tells the user; the final answer still comes.  A second Ctrl-C ends hmemctl.
 */
void cancel_on_interrupt(uint64_t job);

/* --- reading answers; a missing value reads as NULL, 0, false or "-" --- */

json *field(json *o, const char *key);
const char *text_of(json *o, const char *key);
uint64_t num_of(json *o, const char *key);
double double_of(json *o, const char *key);
bool flag_of(json *o, const char *key);
/* Does @o have a known value for @key? */
bool known(json *o, const char *key);
/* Bytes of a tier that the guest has taken offline; some bytes are never online. */
uint64_t offline_bytes(json *tier);
/*
 * The number of a tier of @vm (NULL: the only VM).  @word is that number, or the tier's kind
 * if no other tier has that kind; @option is the option that @word belongs to.  Dies if there
 * is no such tier.
 */
uint64_t find_tier(const char *vm, const char *option, const char *word);
/* The state of a VM: "running", "paused" or "migrating". */
const char *state_of(json *vm);

#endif /* HMEMCTL_CLIENT_H */
