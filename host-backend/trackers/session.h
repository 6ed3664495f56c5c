/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd's connections to hmemd-trackers: one for each VM that is tracked, see hmem_trackers.h. */
#ifndef TRACKERS_SESSION_H
#define TRACKERS_SESSION_H

#include <sys/queue.h>

#include "closer.h"
#include "local_tracker.h"

struct session;

struct sessions {
	TAILQ_HEAD(, session) all;
	unsigned int num;
	/* The VM socket of the hmemd that is served. */
	const char *vm_socket;
	struct host_trackers trackers;
	struct closer closer;
};

/* Take over the connection @fd, or close it if the peer is not allowed to have one. */
void session_accept(struct sessions *s, int fd);

/* End all sessions. */
void sessions_drop(struct sessions *s);

#endif /* TRACKERS_SESSION_H */
