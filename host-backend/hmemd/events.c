/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <time.h>

#include "conn.h"
#include "events.h"

uint64_t events_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *events_time(uint64_t ms, char buf[32])
{
	time_t s = ms / 1000;
	struct tm tm;
	size_t len;

	gmtime_r(&s, &tm);
	len = strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, 32 - len, ".%03uZ", (unsigned int)(ms % 1000));
	return buf;
}

static struct event *place(struct events *e, uint64_t id)
{
	return &e->ring[id % EVENTS_MAX];
}

uint64_t events_first(const struct events *e)
{
	return e->last < EVENTS_MAX ? 1 : e->last - EVENTS_MAX + 1;
}

const struct event *events_find(const struct events *e, uint64_t id)
{
	return id >= events_first(e) && id <= e->last ? &e->ring[id % EVENTS_MAX] : NULL;
}

void events_add(struct events *e, enum log_level level, const char *what, const char *vm,
		const struct conn *by, const char *fmt, va_list ap)
{
	char text[200], who[64] = "";
	struct event *event;

	vsnprintf(text, sizeof(text), fmt, ap);
	if (by)
		snprintf(who, sizeof(who), " (by process %d of user %d)", (int)by->pid,
			 (int)by->uid);
	if (vm)
		log_msg(level, "vm '%s': %s%s", vm, text, who);
	else
		log_msg(level, "%s%s", text, who);
	if (!what)
		return;
	event = place(e, ++e->last);
	*event = (struct event) {
		.id = e->last,
		.when_ms = events_now(),
		.what = what,
		.pid = by ? by->pid : 0,
		.uid = by ? by->uid : 0,
	};
	snprintf(event->vm, sizeof(event->vm), "%s", vm ? vm : "");
	snprintf(event->text, sizeof(event->text), "%s", text);
	if (e->followers)
		loop_again(e->loop, &e->turn);
}

bool events_allow(struct events *e, enum log_level level, uid_t uid, const char *name)
{
	unsigned int max = level <= LOG_WARN ? EVENTS_OF_USER : ORDINARY_OF_USER;

	return quota_take(&e->quota, loop_now(), uid, name, EVENTS_OF_VM, max);
}

void events_tell(struct events *e, enum log_level level, const char *what, const char *vm,
		 const struct conn *by, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	events_add(e, level, what, vm, by, fmt, ap);
	va_end(ap);
}
