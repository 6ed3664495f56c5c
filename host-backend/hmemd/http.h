/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers GET /metrics over HTTP, on sockets of their own, and has a page for browsers there.
 *
 * libmicrohttpd reads the requests and sends the answers, in hmemd's thread: the loop waits
 * for the library's epoll descriptor and calls the library when there is something to do, so
 * hmemd waits for no client.  A connection has one request and a limited time, and the clients
 * of one second get the same text, so that a client can neither keep a place nor keep hmemd
 * busy.  The connections of clients are suspended while their text is made, see document.h.
 */
#ifndef HMEMD_HTTP_H
#define HMEMD_HTTP_H

#include "document.h"
#include "listener.h"

/* One Unix socket and one TCP port of the configuration, or what systemd has passed. */
#define HTTP_LISTENERS		4u
#define HTTP_CONNECTIONS	32u
#define HTTP_DOCUMENTS		2u

struct hmem_config;
struct hmemd;
struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

struct http {
	struct hmemd *d;
	/* NULL: not in use. */
	struct MHD_Daemon *mhd;
	/* Waits for the library's epoll descriptor. */
	struct io io;
	int epoll_fd;
	struct turn turn;
	struct http_listener {
		struct listener listener;
		char path[256];
	} listeners[HTTP_LISTENERS];
	unsigned int num_listeners;
	/* Connections, and loop_now() of their beginning; a free place has none (0). */
	struct http_connection {
		int fd;
		uint64_t since;
		struct MHD_Connection *mhd;
		/* The client has asked for a document; and is suspended until there is one. */
		bool asked;
		struct http_document *waits_for;
	} connections[HTTP_CONNECTIONS];
	struct http_document {
		struct document document;
		struct http *http;
		/* The last text, and the second of loop_now() in which the text was begun. */
		struct MHD_Response *text;
		uint64_t text_s, begun_s;
	} documents[HTTP_DOCUMENTS];
	uint64_t requests, turned_away;
};

/*
 * Listen where the configuration says, and on the sockets that systemd has passed as
 * "metrics"; does nothing if there are none.  The loop must be open.
 */
int http_start(struct http *h, struct hmemd *d, struct hmem_err *err);

/* Does the configuration name other sockets than those where hmemd listens? */
bool http_differs(const struct http *h, const struct hmem_config *c);

/* Drop connections that have lasted too long.  Called once per second. */
void http_second(struct http *h);

/* Turns that the texts have taken. */
uint64_t http_slices(const struct http *h);

/* Close all connections and sockets.  The loop must not run afterwards. */
void http_stop(struct http *h);

#endif /* HMEMD_HTTP_H */
