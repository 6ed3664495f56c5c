/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket.  Requests and answers are JSON objects, one per line, see hmemd(8).
 *
 * The answer to a request is a line with "final": true, maybe after lines without it.
 * Errors have "error": { code, message }.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "control.h"
#include "doorman.h"
#include "json_read.h"
#include "log.h"
#include "verb_events.h"
#include "verb_heat.h"
#include "verb_jobs.h"
#include "verbs.h"

/*
 * Largest requests in bytes.  A parsed request can take a hundred times as much memory.  The only
 * large request is a list of frames to move, which the monitor socket does not take.  JOB_MAX_SPANS
 * frames of any guest below 3.8 TB fit: "[999999999,1]," is 14 bytes long.
 */
#define MAX_REQUEST		(4u * 1024 * 1024)
#define MAX_MONITOR_REQUEST	(64u * 1024)

/* Run a request.  Returns false if it must wait. */
static bool request(struct client *client, const char *line, size_t len)
{
	const char *verb = NULL;
	struct hmem_err err;
	json *req, *version;

	client->later = false;
	req = json_read(line, len, &err);
	if (!req) {
		client_fail(client, "protocol", "a request is one JSON object on one "
			    "line: %s", err.msg);
		return true;
	}
	if (json_object_object_get_ex(req, "version", &version) &&
	    json_object_get_int(version) != 1) {
		client_fail(client, "protocol", "this hmemd speaks version 1: use "
			    "hmemctl and hmemd of one release");
		goto out;
	}
	verb = json_get_str(req, "verb");
	if (verb && verbs_run(client, verb, req))
		goto out;
	client_fail(client, "unsupported", "this hmemd knows no verb '%.40s'",
		    verb ? verb : "");
out:
	json_object_put(req);
	return !client->later;
}

/* The request is longer than any may be: answer it, and pass over the rest of the line. */
static void refuse(struct client *client)
{
	unsigned int kib = client->conn.in_max / 1024;

	client->refused = true;
	if (client->monitor)
		client_fail(client, "usage", "a request to the monitor socket has at most %u KiB: "
			    "use the control socket, %s", kib, client->d->control_socket);
	else
		client_fail(client, "usage", "a request has at most %u KiB: split it, for "
			    "example a list of frames", kib);
}

static int client_received(struct conn *c, struct hmem_err *err)
{
	struct client *client = (struct client *)c;
	const char *line = conn_data(c);
	const char *end = memchr(line + client->seen, '\n', conn_len(c) - client->seen);
	size_t len;

	(void)err;
	if (!end) {
		if (conn_len(c) == c->in_max && !client->refused)
			refuse(client);
		if (client->refused)
			conn_consume(c, conn_len(c));
		client->seen = conn_len(c);
		return CONN_MORE;
	}
	client->seen = 0;
	len = end - line;
	if (len && !client->refused && !request(client, line, len))
		return CONN_LATER;
	client->refused = false;
	conn_consume(c, len + 1);
	return CONN_AGAIN;
}

static void resume(struct turn *turn)
{
	conn_resume(&((struct client *)((char *)turn -
					offsetof(struct client, resume_soon)))->conn);
}

static void client_closed(struct conn *c, const char *why, bool fault)
{
	struct client *client = (struct client *)c;
	struct hmemd *d = client->d;

	log_msg(fault ? LOG_WARN : LOG_DEBUG, "control client (process %d): %s",
		(int)c->pid, why);
	verb_events_end(client);
	verb_heat_end(client);
	pass_wait_no_more(&client->waiter);
	verb_jobs_end(client);
	TAILQ_REMOVE(&d->clients, client, link);
	d->num_clients--;
	d->num_monitors -= client->monitor;
}

static void client_sent(struct conn *c)
{
	verb_events_sent((struct client *)c);
}

static void client_release(struct conn *c)
{
	loop_forget(&((struct client *)c)->resume_soon);
	free(c);
}

static const struct conn_ops client_ops = {
	.received = client_received,
	.sent = client_sent,
	.closed = client_closed,
	.release = client_release,
};

/* Send an error like client_fail(), but without a client, so that hmemctl can report it. */
static void turn_away(struct hmemd *d, int fd, const char *kind, unsigned int num)
{
	static const char answer[] =
		"{\"error\":{\"code\":\"busy\",\"message\":\"hmemd serves %u %s "
		"clients already: end one, see hmemctl doctor\"},\"version\":1,"
		"\"final\":true}\n";
	char line[sizeof(answer) + 16];
	struct ucred cred;
	int len = snprintf(line, sizeof(line), answer, num, kind);

	conn_peer(fd, &cred);
	(void)!send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
	doorman_notes(d, &d->turned_away.clients, cred.uid, "a %s client (process %d of user "
		      "%d): %u are connected", kind, (int)cred.pid, (int)cred.uid, num);
}

void client_accept(struct hmemd *d, int fd, bool monitor)
{
	struct client *client;

	if (d->num_clients >= HMEM_MAX_CLIENTS) {
		turn_away(d, fd, "control", d->num_clients);
		return;
	}
	if (monitor && d->num_monitors >= HMEM_MAX_MONITORS) {
		turn_away(d, fd, "monitor", d->num_monitors);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (!client) {
		log_msg(LOG_ERR, "a control client is turned away: no memory");
		close(fd);
		return;
	}
	client->d = d;
	client->monitor = monitor;
	client->waiter.conn = &client->conn;
	client->resume_soon.take = resume;
	client->conn.ops = &client_ops;
	client->conn.in_max = monitor ? MAX_MONITOR_REQUEST : MAX_REQUEST;
	client->conn.out_max = CLIENT_MAX_REPLY;
	if (conn_init(&client->conn, &d->loop, fd) < 0) {
		log_msg(LOG_ERR, "a control client is turned away: no memory");
		free(client);
		return;
	}
	TAILQ_INSERT_TAIL(&d->clients, client, link);
	d->num_clients++;
	d->num_monitors += monitor;
}
