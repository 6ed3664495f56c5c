/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hmemctl.h"

static struct {
	int fd;
	char *buf;
	size_t len, size;
	/* What the last answer took of @buf. */
	size_t used;
} conn = { .fd = -1 };

int hmemd_connect(const char **why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	static char path[128], msg[256];
	int fd;

	*why = msg;
	if (globals.socket)
		snprintf(path, sizeof(path), "%s", globals.socket);
	else if (!geteuid() || !getenv("XDG_RUNTIME_DIR"))
		snprintf(path, sizeof(path), "/run/hmemd/control.sock");
	else
		snprintf(path, sizeof(path), "%s/hmemd/control.sock",
			 getenv("XDG_RUNTIME_DIR"));
	if (strlen(path) >= sizeof(addr.sun_path)) {
		snprintf(msg, sizeof(msg), "the socket's path is too long: %s", path);
		return -1;
	}
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		snprintf(msg, sizeof(msg), "cannot reach hmemd at %s: %s; %s", path,
			 strerror(errno), errno == EACCES ?
			 "run hmemctl as the user that hmemd runs as" :
			 "start hmemd, or name its control socket with --socket");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	conn.fd = fd;
	return fd;
}

json *new_request(const char *verb, const char *vm)
{
	json *req = json_object_new_object();

	json_object_object_add(req, "version", json_object_new_int(1));
	json_object_object_add(req, "verb", json_object_new_string(verb));
	if (!vm)
		vm = globals.vm;
	if (vm)
		json_object_object_add(req, "vm", json_object_new_string(vm));
	return req;
}

static void send_all(const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(conn.fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die(EXIT_ERROR, "hmemd went away: %s; see its log",
			    strerror(errno));
		data += n;
		len -= n;
	}
}

void send_request(json *req)
{
	const char *text, *why;

	if (conn.fd < 0 && hmemd_connect(&why) < 0)
		die(EXIT_ERROR, "%s", why);
	text = json_object_to_json_string_ext(req, JSON_C_TO_STRING_PLAIN);
	if (!text)
		die(EXIT_ERROR, "no memory for the request");
	send_all(text, strlen(text));
	send_all("\n", 1);
	json_object_put(req);
}

/* A line in conn.buf, NUL-terminated. */
static const char *next_line(void)
{
	if (conn.used)
		memmove(conn.buf, conn.buf + conn.used, conn.len - conn.used);
	conn.len -= conn.used;
	conn.used = 0;
	for (;;) {
		char *end = conn.len ? memchr(conn.buf, '\n', conn.len) : NULL;
		struct pollfd pfd = { .fd = conn.fd, .events = POLLIN };
		ssize_t n;
		int ret;

		if (end) {
			*end = '\0';
			conn.used = end + 1 - conn.buf;
			return conn.buf;
		}
		if (conn.len == conn.size) {
			conn.size = conn.size ? conn.size * 2 : 65536;
			conn.buf = realloc(conn.buf, conn.size);
			if (!conn.buf)
				die(EXIT_ERROR, "no memory for the answer");
		}
		ret = poll(&pfd, 1, globals.timeout_ms);
		if (ret < 0 && errno == EINTR)
			continue;
		if (!ret)
			die(EXIT_ERROR, "hmemd has not answered in %d s: see its log, "
			    "or wait longer with --timeout",
			    globals.timeout_ms / 1000);
		n = recv(conn.fd, conn.buf + conn.len, conn.size - conn.len, 0);
		if (n <= 0)
			die(EXIT_ERROR, "hmemd closed the connection%s%s: see its log",
			    n ? ": " : "", n ? strerror(errno) : "");
		conn.len += n;
	}
}

static int status_of(const char *code)
{
	if (!strcmp(code, "usage") || !strcmp(code, "which-vm"))
		return EXIT_USAGE;
	if (!strcmp(code, "unsupported"))
		return EXIT_UNSUPPORTED;
	return EXIT_ERROR;
}

json *next_answer(void)
{
	/* Kept, so that it is no leak when what it says ends the program. */
	static json *o;
	json *error;

	o = json_tokener_parse(next_line());
	if (!o || !json_object_is_type(o, json_type_object) ||
	    num_of(o, "version") != 1)
		die(EXIT_UNSUPPORTED, "hmemd does not speak version 1: use hmemctl "
		    "and hmemd of one release");
	error = field(o, "error");
	if (error)
		die(status_of(text_of(error, "code")), "%s",
		    text_of(error, "message"));
	return o;
}

json *ask(json *req)
{
	send_request(req);
	return next_answer();
}

void print_json(json *o)
{
	json *out = json_object_new_object();

	json_object_object_add(out, "version", json_object_new_int(1));
	json_object_object_foreach(o, key, value) {
		if (strcmp(key, "version") && strcmp(key, "final"))
			json_object_object_add(out, key, json_object_get(value));
	}
	puts(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(out);
	json_object_put(o);
}

void print_json_line(json *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
}

json *field(json *o, const char *key)
{
	json *v;

	return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

const char *text_of(json *o, const char *key)
{
	json *v = field(o, key);

	return v ? json_object_get_string(v) : "-";
}

uint64_t num_of(json *o, const char *key)
{
	return json_object_get_uint64(field(o, key));
}

double double_of(json *o, const char *key)
{
	return json_object_get_double(field(o, key));
}

bool flag_of(json *o, const char *key)
{
	return json_object_get_boolean(field(o, key));
}

bool known(json *o, const char *key)
{
	return field(o, key) != NULL;
}

const char *state_of(json *vm)
{
	if (flag_of(vm, "migrating"))
		return "migrating";
	return flag_of(vm, "running") ? "running" : "paused";
}
