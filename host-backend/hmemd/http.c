/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hmemd.h"
#include "http.h"
#include "log.h"
#include "metrics_text.h"
#include "page.h"
#include "service.h"
#include "vms_document.h"

#ifdef HMEM_HTTP

#include <microhttpd.h>

/* Time that a client on this host needs at most to ask and to read, even if it is busy. */
#define CONNECTION_MS	10000
/* Memory for a request; Prometheus' requests have a few hundred bytes. */
#define REQUEST_BYTES	8192

static const struct document_kind *const kinds[HTTP_DOCUMENTS] = { &metrics_text, &vms_document };

static enum MHD_Result answer_line(struct MHD_Connection *c, unsigned int status,
				   const char *line)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(line), (void *)line,
								 MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ret;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
	MHD_add_response_header(r, "Connection", "close");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, HEAD");
	ret = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ret;
}

/* --- documents --- */

static void resume(struct http *h, struct http_connection *conn)
{
	conn->waits_for = NULL;
	MHD_resume_connection(conn->mhd);
	loop_again(&h->d->loop, &h->turn);
}

/* The text of a document is there, or lacks memory: answer those who wait for the text. */
static void on_text(struct document *document, char *text, size_t len)
{
	struct http_document *doc = (void *)((char *)document -
					     offsetof(struct http_document, document));
	struct http *h = doc->http;

	if (doc->text)
		MHD_destroy_response(doc->text);
	doc->text = text ? MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE) :
		    NULL;
	doc->text_s = doc->begun_s;
	if (!doc->text) {
		free(text);
	} else {
		MHD_add_response_header(doc->text, "Content-Type", document->kind->type);
		MHD_add_response_header(doc->text, "Connection", "close");
	}
	for (unsigned int i = 0; i < HTTP_CONNECTIONS; i++) {
		if (h->connections[i].waits_for == doc)
			resume(h, &h->connections[i]);
	}
}

/* Answer with the text of this second; if there is none yet, make the text and wait. */
static enum MHD_Result answer(struct http_connection *conn, struct http_document *doc)
{
	uint64_t second = loop_now() / 1000;
	bool again = conn->asked;

	conn->asked = true;
	if (doc->text && (again || doc->text_s == second))
		return MHD_queue_response(conn->mhd, MHD_HTTP_OK, doc->text);
	if (again)
		return answer_line(conn->mhd, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
	if (!doc->document.state)
		doc->begun_s = second;
	document_make(&doc->document);
	conn->waits_for = doc;
	MHD_suspend_connection(conn->mhd);
	return MHD_YES;
}

/* --- requests --- */

static enum MHD_Result answer_file(struct MHD_Connection *c, const struct page_file *file)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(file->end - file->begin,
								 (void *)file->begin,
								 MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ret;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", file->type);
	MHD_add_response_header(r, "Connection", "close");
	/* The page needs nothing from elsewhere, and runs nothing that a VM's name may contain. */
	MHD_add_response_header(r, "Content-Security-Policy",
				"default-src 'self'; frame-ancestors 'none'");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	ret = MHD_queue_response(c, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return ret;
}

/*
 * Has a browser of this host been led here by the name of another host?  That host's pages could
 * then read what they get from here (DNS rebinding).  Nobody gets to a Unix socket like that.
 */
static bool is_misled(struct MHD_Connection *c)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");

	if (!host || (info && info->client_addr && info->client_addr->sa_family == AF_UNIX))
		return false;
	for (unsigned int i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		size_t len = strlen(hosts[i]);

		if (!strncasecmp(host, hosts[i], len) && (!host[len] || host[len] == ':'))
			return false;
	}
	return true;
}

/* The library calls this function again after a connection was suspended. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **state)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_connection *conn = info ? info->socket_context : NULL;
	const struct page_file *file = page_find(url);
	struct http *h = user;

	(void)version, (void)data, (void)data_len, (void)state;
	if (!conn)
		return MHD_NO;
	h->requests += !conn->asked;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return answer_line(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (is_misled(c))
		return answer_line(c, MHD_HTTP_FORBIDDEN, "this port is for localhost only: for "
				   "other hosts, use a tunnel, see hmemd(8)\n");
	for (unsigned int i = 0; i < HTTP_DOCUMENTS; i++) {
		if (!strcmp(url, kinds[i]->path))
			return answer(conn, &h->documents[i]);
	}
	if (file)
		return answer_file(c, file);
	return answer_line(c, MHD_HTTP_NOT_FOUND, "hmemd has /metrics, /vms.json and a page, /\n");
}

/* A connection has begun or ended. */
static void on_connection(void *user, struct MHD_Connection *c, void **place,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *h = user;
	struct http_connection *conn = *place;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (conn)
			*conn = (struct http_connection) { 0 };
		return;
	}
	for (unsigned int i = 0; i < HTTP_CONNECTIONS; i++) {
		conn = &h->connections[i];
		if (conn->since)
			continue;
		*conn = (struct http_connection) {
			.fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->
				connect_fd,
			.since = loop_now(),
			.mhd = c,
		};
		*place = conn;
		return;
	}
}

/* Let the library do what there is to do, once, and then wait for more. */
static void run(struct turn *turn)
{
	struct http *h = (struct http *)((char *)turn - offsetof(struct http, turn));
	struct io_uring_sqe *sqe;
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->mhd);
	if (MHD_get_timeout(h->mhd, &ms) == MHD_YES && !ms)
		loop_again(&h->d->loop, &h->turn);
	if (h->io.pending)
		return;
	sqe = loop_sqe(&h->d->loop);
	io_uring_prep_poll_add(sqe, h->epoll_fd, POLLIN);
	loop_queue(&h->d->loop, &h->io, IO_POLL, sqe);
}

static void on_event(struct io *io, enum io_op op, int res)
{
	struct http *h = (struct http *)((char *)io - offsetof(struct http, io));

	(void)op, (void)res;
	if (h->mhd)
		loop_again(&h->d->loop, &h->turn);
}

/* If there are too many connections, drop the one that has lasted longest. */
static void make_room(struct http *h)
{
	struct http_connection *oldest = NULL;

	for (unsigned int i = 0; i < HTTP_CONNECTIONS; i++) {
		struct http_connection *c = &h->connections[i];

		if (!c->since)
			return;
		if (!oldest || c->since < oldest->since)
			oldest = c;
	}
	shutdown(oldest->fd, SHUT_RDWR);
	if (oldest->waits_for)
		resume(h, oldest);
	h->turned_away++;
	/* The library notices, and frees the place. */
	MHD_run(h->mhd);
}

static void on_accept(void *user, int fd)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	struct http *h = user;

	make_room(h);
	if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0)
		len = sizeof(sa_family_t);
	/* The library closes @fd if it cannot serve it. */
	if (MHD_add_connection(h->mhd, fd, (struct sockaddr *)&addr, len) != MHD_YES)
		h->turned_away++;
	loop_again(&h->d->loop, &h->turn);
}

bool http_differs(const struct http *h, const struct hmem_config *c)
{
	const char *const wanted[] = { c->metrics_socket, c->metrics_address };
	unsigned int found = 0, num = 0, own = 0;

	for (unsigned int i = 0; i < h->num_listeners; i++) {
		own += !h->listeners[i].listener.adopted;
		for (unsigned int j = 0; j < 2; j++)
			found += wanted[j] && !strcmp(wanted[j], h->listeners[i].path);
	}
	for (unsigned int j = 0; j < 2; j++)
		num += wanted[j] != NULL;
	return found < num || own > num;
}

void http_second(struct http *h)
{
	uint64_t now = loop_now();

	if (!h->mhd)
		return;
	for (unsigned int i = 0; i < HTTP_CONNECTIONS; i++) {
		struct http_connection *c = &h->connections[i];

		/* The library then finds that the peer has gone. */
		if (c->since && now - c->since > CONNECTION_MS)
			shutdown(c->fd, SHUT_RDWR);
	}
	for (unsigned int i = 0; i < h->num_listeners; i++)
		listener_resume(&h->listeners[i].listener);
	loop_again(&h->d->loop, &h->turn);
}

static int open_library(struct http *h, struct hmem_err *err)
{
	const union MHD_DaemonInfo *info;

	if (h->mhd)
		return 0;
	h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
				  MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, h,
				  MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
				  MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES,
				  MHD_OPTION_END);
	if (!h->mhd)
		return hmem_fail(err, ENOMEM, "cannot set up the library for HTTP");
	info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	h->epoll_fd = info ? info->epoll_fd : -1;
	h->io.complete = on_event;
	h->turn.take = run;
	for (unsigned int i = 0; i < HTTP_DOCUMENTS; i++) {
		h->documents[i].http = h;
		document_init(&h->documents[i].document, kinds[i], h->d, on_text);
	}
	if (h->epoll_fd < 0 || loop_add(&h->d->loop, &h->io) < 0) {
		MHD_stop_daemon(h->mhd);
		h->mhd = NULL;
		return hmem_fail(err, ENOMEM, "cannot wait for HTTP clients");
	}
	loop_again(&h->d->loop, &h->turn);
	return 0;
}

/* A place for a listener.  NULL: there are too many, or the library does not start. */
static struct http_listener *next_listener(struct http *h, struct hmem_err *err)
{
	if (h->num_listeners == HTTP_LISTENERS) {
		hmem_fail(err, EINVAL, "metrics are served on %u sockets at most",
			  HTTP_LISTENERS);
		return NULL;
	}
	if (open_library(h, err) < 0)
		return NULL;
	return &h->listeners[h->num_listeners++];
}

int http_start(struct http *h, struct hmemd *d, struct hmem_err *err)
{
	const struct hmem_config *c = &d->config;
	struct http_listener *l;
	int fd, ret = 0;

	h->d = d;
	for (unsigned int i = 0; !ret && (fd = service_socket("metrics", i)) >= 0; i++) {
		l = next_listener(h, err);
		ret = !l ? -EINVAL :
			listener_adopt(&l->listener, &d->loop, fd, true, l->path,
				       sizeof(l->path), on_accept, h, err);
	}
	if (!ret && c->metrics_socket) {
		l = next_listener(h, err);
		if (l)
			snprintf(l->path, sizeof(l->path), "%s", c->metrics_socket);
		ret = !l ? -EINVAL :
			listener_open(&l->listener, &d->loop, l->path, 0660, on_accept, h, err);
	}
	if (!ret && c->metrics_address) {
		l = next_listener(h, err);
		if (l)
			snprintf(l->path, sizeof(l->path), "%s", c->metrics_address);
		ret = !l ? -EINVAL :
			listener_open_tcp(&l->listener, &d->loop, l->path, on_accept, h, err);
	}
	for (unsigned int i = 0; !ret && i < h->num_listeners; i++)
		log_msg(LOG_INFO, "metrics are served on %s", h->listeners[i].path);
	return ret;
}

void http_stop(struct http *h)
{
	if (!h->mhd)
		return;
	for (unsigned int i = 0; i < h->num_listeners; i++) {
		listener_shut(&h->listeners[i].listener);
		listener_close(&h->listeners[i].listener);
	}
	for (unsigned int i = 0; i < HTTP_CONNECTIONS; i++) {
		/* The library may not stop while a connection is suspended. */
		if (h->connections[i].waits_for)
			resume(h, &h->connections[i]);
	}
	loop_forget(&h->turn);
	MHD_stop_daemon(h->mhd);
	for (unsigned int i = 0; i < HTTP_DOCUMENTS; i++) {
		document_stop(&h->documents[i].document);
		if (h->documents[i].text)
			MHD_destroy_response(h->documents[i].text);
	}
	h->mhd = NULL;
}

uint64_t http_slices(const struct http *h)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < HTTP_DOCUMENTS; i++)
		sum += h->documents[i].document.slices;
	return sum;
}

#else

int http_start(struct http *h, struct hmemd *d, struct hmem_err *err)
{
	(void)h;
	if (d->config.metrics_socket || d->config.metrics_address ||
	    service_socket("metrics", 0) >= 0)
		return hmem_fail(err, ENOTSUP, "this hmemd was built without libmicrohttpd, so "
				 "it has no metrics: remove metrics-socket and "
				 "metrics-address");
	return 0;
}

bool http_differs(const struct http *h, const struct hmem_config *c)
{
	(void)h, (void)c;
	return false;
}

void http_second(struct http *h)
{
	(void)h;
}

void http_stop(struct http *h)
{
	(void)h;
}

uint64_t http_slices(const struct http *h)
{
	(void)h;
	return 0;
}

#endif /* HMEM_HTTP */
