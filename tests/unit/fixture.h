/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The common setup of tests of the programs: hmemd, and a device named "web". */
#ifndef HMEM_UNIT_FIXTURE_H
#define HMEM_UNIT_FIXTURE_H

#include <json-c/json.h>

#include "run.h"

struct fixture {
	struct daemon d;
	struct peer web;
	/* State of the last ctl(), and of one that runs at the same time. */
	struct ctl ctl, other;
	/* web answers all hints while hmemctl runs. */
	bool serve;
	/* Number of web's windows so far. */
	uint64_t seq;
};

/* hmemd with @args (NULL-terminated, or NULL), and no device yet. */
struct fixture *fixture_new(const char *const *args);
/* Stop web, if it is connected, and hmemd; both must succeed. */
void fixture_end(struct fixture *f);

/*
 * A fixture, with web, whose hmemd also listens at a socket in a directory of its own.
 * @option: hmemd's option for the socket, without dashes; @path: its path, which is chosen here.
 * @more: another argument of hmemd, or NULL.  To end it, also checks that the socket has gone.
 */
struct fixture *fixture_with_socket(const char *option, char path[64], const char *more);
void fixture_end_with_socket(struct fixture *f, const char *path);

/* The same for cmocka, including web. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Run hmemctl, which must exit with @status; web answers hints meanwhile. */
void ctl(struct fixture *f, int status, const char *line);
/* Run hmemctl doctor, where nothing may fail; its status must be that of the worst finding. */
void doctor(struct fixture *f);

/* Run hmemctl, which must exit with @status and print only the reason. */
struct usage {
	int status;
	const char *line, *says;
};

void usage_check(struct fixture *f, const struct usage *cases, size_t num);

/*
 * Run hmemctl with @line, which changes nothing, on 80 columns, in a UTF-8 and in the C locale:
 * both times the output must be the golden file's text under @name.  @hide, if not NULL, replaces
 * what differs from run to run.
 */
void golden_ctl(struct fixture *f, const char *name, const char *line, void (*hide)(char *out));

/* Replaces the values that follow these @keys in JSON by N.  The last key is NULL. */
void hide_json(char *out, const char *const *keys);

/*
 * Find the value at a path of keys and indices like "vms.0.tiers.1.hot".  A null, or an
 * index behind the end of an array, gives NULL.  Returns false if there is no such key.
 */
bool json_at(struct json_object *o, const char *path, struct json_object **at);

/* The number at the path; -1: null or none. */
int64_t json_num_at(struct json_object *o, const char *path);

/* Send hmemd's control socket a request, and read a line of an answer. */
void control_send(int fd, const char *request);
struct json_object *control_read(int fd);

/* A TCP port of this host that is free now. */
unsigned int fixture_free_port(void);

#endif /* HMEM_UNIT_FIXTURE_H */
