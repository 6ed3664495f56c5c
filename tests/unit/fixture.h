/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What most tests of the programs begin with: hmemd, and a device, "web". */
#ifndef HMEM_UNIT_FIXTURE_H
#define HMEM_UNIT_FIXTURE_H

#include <json-c/json.h>

#include "run.h"

struct fixture {
	struct daemon d;
	struct peer web;
	/* Of the last ctl(), and of one that runs beside it. */
	struct ctl ctl, other;
	/* web answers whatever hmemctl is asked. */
	bool serve;
	/* For the test: windows of web so far. */
	uint64_t seq;
};

/* hmemd with @args (NULL-terminated, or NULL), and no device yet. */
struct fixture *fixture_new(const char *const *args);
/* web, if it is still there, and hmemd go, both without a complaint. */
void fixture_end(struct fixture *f);

/* The same for cmocka, with web. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* hmemctl ends with @status; meanwhile web answers if there may be hints. */
void ctl(struct fixture *f, int status, const char *line);

/* A command line that hmemctl ends with @status for, saying why and no more. */
struct usage {
	int status;
	const char *line, *says;
};

void usage_check(struct fixture *f, const struct usage *cases, size_t num);

/*
 * What is at a path of keys and indices like "vms.0.tiers.1.hot"; null and what
 * is in it, or in an array that is too short, is NULL.  False: there is no such
 * key.
 */
bool json_at(struct json_object *o, const char *path, struct json_object **at);

/* The number there; -1: null or none. */
int64_t json_num_at(struct json_object *o, const char *path);

/* Send hmemd's control socket a request, and read a line of an answer. */
void control_send(int fd, const char *request);
struct json_object *control_read(int fd);

#endif /* HMEM_UNIT_FIXTURE_H */
