/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last events: who came and went, what somebody changed, and what went wrong.  They are kept
 * in a ring, so the oldest ones are lost.  hmemd(8) lists the kinds of events.
 */
#ifndef HMEMD_EVENTS_H
#define HMEMD_EVENTS_H

#include <stdarg.h>
#include <stdint.h>

#include "log.h"
#include "loop.h"
#include "quota.h"

#define EVENTS_MAX	512u
/*
 * Events per minute of one VM; and of all VMs of one user.  Around the end of a minute there can
 * be twice as many, so half of the events of others stay in the ring for a minute at least.
 */
#define EVENTS_OF_VM	20u
#define EVENTS_OF_USER	(EVENTS_MAX / 4)
/*
 * As many of these are for events that are no problems.  When all VMs of a user connect again,
 * because hmemd was restarted, there is still room to tell what goes wrong with them.
 */
#define ORDINARY_OF_USER	(EVENTS_OF_USER / 2)

struct conn;

struct event {
	uint64_t id;			/* from 1 */
	uint64_t when_ms;		/* since 1970 */
	const char *what;		/* the kind: a word in static storage */
	char vm[80];			/* "": the event is not about a VM */
	char text[200];
	/* The client that caused the event; pid 0: none did, or it is not known. */
	uint64_t pid, uid;
};

struct events {
	struct event ring[EVENTS_MAX];
	uint64_t last;			/* the id of the newest event; 0: there is none */
	struct quota quota;
	/*
	 * While there are followers, @turn is taken after new events, and sends them.  Whoever
	 * counts a follower sets @loop and @turn.take before.
	 */
	unsigned int followers;
	struct loop *loop;
	struct turn turn;
};

/*
 * Logs a line about the VM (NULL: none) and the client @by (NULL: none), and adds the event, if
 * @what is not NULL.
 */
__attribute__((format(printf, 6, 0)))
void events_add(struct events *e, enum log_level level, const char *what, const char *vm,
		const struct conn *by, const char *fmt, va_list ap);

__attribute__((format(printf, 6, 7)))
void events_tell(struct events *e, enum log_level level, const char *what, const char *vm,
		 const struct conn *by, const char *fmt, ...);

/* May the peer @name of user @uid, such as a VM, cause an event now?  If so, the event counts. */
bool events_allow(struct events *e, enum log_level level, uid_t uid, const char *name);

/* The event with this id; NULL: it is lost, or not there yet. */
const struct event *events_find(const struct events *e, uint64_t id);

/* The id of the oldest event that is not lost; last + 1 if there is none. */
uint64_t events_first(const struct events *e);

/* The time in ms since 1970; and a time as "2026-01-31T23:59:59.999Z". */
uint64_t events_now(void);
const char *events_time(uint64_t ms, char buf[32]);

#endif /* HMEMD_EVENTS_H */
