/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "json_read.h"
#include "json_text.h"
#include "numbers.h"
#include "options.h"
#include "output.h"

static struct {
	int fd;
	char *buf;
	size_t len, size;
	/* Bytes of @buf that the last answer used. */
	size_t used;
} conn = { .fd = -1 };

static const char *socket_path(void)
{
	static char path[128];

	if (globals.socket)
		return globals.socket;
	if (!geteuid() || !getenv("XDG_RUNTIME_DIR"))
		return "/run/hmemd/control.sock";
	snprintf(path, sizeof(path), "%s/hmemd/control.sock", getenv("XDG_RUNTIME_DIR"));
	return path;
}

/* The reason why the last attempt failed. */
static char failure[512];

__attribute__((format(printf, 1, 2)))
static bool fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(failure, sizeof(failure), fmt, ap);
	va_end(ap);
	return false;
}

/* Has the last attempt failed because time was up? */
static bool timed_out;

static bool no_answer(void)
{
	timed_out = true;
	return fail("hmemd has not answered in %d s: see its log, or wait longer with "
		    "--timeout", globals.timeout_ms / 1000);
}

static const char *what_to_do(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return "run hmemctl as the user that hmemd runs as";
	case ECONNREFUSED:
		return "start hmemd again: it has ended, and left its socket";
	default:
		return "start hmemd, or name its control socket with --socket";
	}
}

static bool connect_hmemd(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = socket_path();
	struct timeval limit = {
		.tv_sec = globals.timeout_ms / 1000,
		.tv_usec = globals.timeout_ms % 1000 * 1000,
	};
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return fail("the socket's path is too long: %s", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* If hmemd hangs, connecting and sending could block forever. */
	if (fd >= 0 && globals.timeout_ms >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		conn.fd = fd;
		return true;
	}
	err = errno;
	if (fd >= 0)
		close(fd);
	/* The error code for a timeout depends on the kernel. */
	if (err == EAGAIN || err == EINTR)
		return no_answer();
	return fail("cannot reach hmemd at %s: %s; %s", path, strerror(err),
		    what_to_do(err));
}

json *new_request(const char *verb, const char *vm)
{
	json *req = json_new_object();

	json_add(req, "version", json_new_i64(1));
	json_add(req, "verb", json_new_text(verb));
	if (!vm)
		vm = globals.vm;
	if (vm)
		json_add(req, "vm", json_new_text(vm));
	return req;
}

static bool send_all(const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(conn.fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return no_answer();
		/*
		 * If hmemd sent an answer before it closed the connection, that is the reason.
		 */
		if (n < 0 && errno == EPIPE)
			return true;
		if (n <= 0)
			return fail("hmemd went away: %s; see its log", strerror(errno));
		data += n;
		len -= n;
	}
	return true;
}

/* Connect if necessary, send @req, and free it. */
static bool try_send(json *req)
{
	size_t len;
	char *text = json_text(req, &len);
	bool sent;

	json_object_put(req);
	if (!text)
		return fail("no memory for the request");
	sent = (conn.fd >= 0 || connect_hmemd()) && send_all(text, len) && send_all("\n", 1);
	free(text);
	return sent;
}

/* The next line in conn.buf, NUL-terminated, or NULL. */
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
		if (!ret) {
			no_answer();
			return NULL;
		}
		n = recv(conn.fd, conn.buf + conn.len, conn.size - conn.len, 0);
		if (n <= 0) {
			fail("hmemd closed the connection%s%s: see its log",
			     n ? ": " : "", n ? strerror(errno) : "");
			return NULL;
		}
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

/* An answer without an error, or NULL; @status: the exit status after an error. */
static json *try_next(int *status)
{
	/* Static, so that it is no leak if the error ends the program. */
	static json *o;
	const char *line = next_line();
	struct hmem_err err;
	json *error;

	*status = EXIT_ERROR;
	if (!line)
		return NULL;
	o = json_read(line, strlen(line), &err);
	if (!o) {
		fail("hmemd's answer cannot be read: %s", err.msg);
		return NULL;
	}
	if (num_of(o, "version") != 1) {
		*status = EXIT_UNSUPPORTED;
		fail("hmemd does not speak version 1: use hmemctl and hmemd of one "
		     "release");
		return NULL;
	}
	error = field(o, "error");
	if (!error)
		return o;
	*status = status_of(text_of(error, "code"));
	fail("%s", text_of(error, "message"));
	return NULL;
}

void send_request(json *req)
{
	if (!try_send(req))
		die(EXIT_ERROR, "%s", failure);
}

json *next_answer(void)
{
	int status;
	json *o = try_next(&status);

	if (!o)
		die(status, "%s", failure);
	return o;
}

json *next_answer_in_time(void)
{
	int status;
	json *o = try_next(&status);

	if (!o && !timed_out)
		die(status, "%s", failure);
	return o;
}

void hang_up(void)
{
	close(conn.fd);
	conn.fd = -1;
	conn.len = conn.used = 0;
}

json *ask(json *req)
{
	send_request(req);
	return next_answer();
}

json *try_ask(json *req, const char **why)
{
	int status;
	json *o = try_send(req) ? try_next(&status) : NULL;

	*why = o ? NULL : failure;
	return o;
}

void print_json(json *o)
{
	json *out = json_new_object();
	size_t len;
	char *text;

	if (!o)
		die(EXIT_ERROR, "no memory for the answer");
	json_add(out, "version", json_new_i64(1));
	json_object_object_foreach(o, key, value) {
		if (strcmp(key, "version") && strcmp(key, "final"))
			json_add(out, key, json_object_get(value));
	}
	text = json_lines(out, &len);
	if (!text)
		die(EXIT_ERROR, "no memory for the answer");
	puts(text);
	free(text);
	json_object_put(out);
	json_object_put(o);
}

void print_json_line(json *o)
{
	size_t len;
	char *text = json_text(o, &len);

	if (!text)
		die(EXIT_ERROR, "no memory for the answer");
	puts(text);
	free(text);
	flush_output();
}

json *field(json *o, const char *key)
{
	json *v;

	return o && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

const char *text_of(json *o, const char *key)
{
	json *v = field(o, key);

	return v ? json_word(v) : "-";
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

/* Smallest block of memory that Linux takes offline, in bytes. */
#define LEAST_BLOCK	(UINT64_C(128) << 20)

uint64_t offline_bytes(json *tier)
{
	uint64_t bytes = num_of(tier, "bytes"), online = num_of(tier, "online_bytes");

	return known(tier, "online_bytes") && bytes - online >= LEAST_BLOCK ?
	       bytes - online : 0;
}

const char *state_of(json *vm)
{
	if (flag_of(vm, "migrating"))
		return "migrating";
	return flag_of(vm, "running") ? "running" : "paused";
}

/* Prepared for the signal handler, which may call almost no functions. */
static char cancel_request[80], cancel_text[200];

static void on_interrupt(int sig)
{
	int saved = errno;

	(void)sig;
	(void)!send(conn.fd, cancel_request, strlen(cancel_request),
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)!write(STDERR_FILENO, cancel_text, strlen(cancel_text));
	errno = saved;
}

void cancel_on_interrupt(uint64_t job)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESETHAND };

	if (cancel_request[0])
		return;
	snprintf(cancel_request, sizeof(cancel_request),
		 "{\"version\":1,\"verb\":\"cancel\",\"job\":%" PRIu64 "}\n", job);
	snprintf(cancel_text, sizeof(cancel_text), "\nhmemctl: job %" PRIu64 " asks for no "
		 "more pages. Pages of hints that the guest has still move. Waiting for "
		 "them; press Ctrl-C again to exit now\n", job);
	sigaction(SIGINT, &action, NULL);
}

uint64_t find_tier(const char *vm, const char *option, const char *word)
{
	json *o, *vms, *tiers;
	struct hmem_err err;
	int64_t found = -1;
	uint64_t n;

	if (!hmem_parse_num(word, strlen(word), &n, &err))
		return n;
	o = ask(new_request("status", vm));
	vms = field(o, "vms");
	if (json_object_array_length(vms) != 1)
		die(EXIT_USAGE, "%zu VMs are connected: name one, see hmemctl list",
		    json_object_array_length(vms));
	tiers = field(json_object_array_get_idx(vms, 0), "tiers");
	for (n = 0; n < json_object_array_length(tiers); n++) {
		json *tier = json_object_array_get_idx(tiers, n);

		if (strcmp(text_of(tier, "kind"), word))
			continue;
		if (found >= 0)
			die(EXIT_USAGE, "%s: tiers %" PRId64 " and %" PRIu64 " are both "
			    "'%s': name one by its number, see hmemctl status", option,
			    found, n, word);
		found = n;
	}
	json_object_put(o);
	if (found >= 0)
		return found;
	die(EXIT_USAGE, "%s: the VM has no tier '%s': see hmemctl status", option, word);
}
