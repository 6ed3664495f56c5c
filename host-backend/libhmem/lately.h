/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A count of recent events: of the current minute and the one before, so that events are
 * forgotten after two minutes at most.  All zero: no events.
 */
#ifndef HMEM_LATELY_H
#define HMEM_LATELY_H

#include <stdint.h>

#define HMEM_LATELY_MS	60000u

struct hmem_lately {
	/* The minutes of the clock that the counts are for: the current one, the last one. */
	uint64_t minute;
	uint64_t now, before;
};

static inline void hmem_lately_add(struct hmem_lately *l, uint64_t now_ms, uint64_t n)
{
	uint64_t minute = now_ms / HMEM_LATELY_MS;

	if (minute != l->minute) {
		l->before = minute == l->minute + 1 ? l->now : 0;
		l->now = 0;
		l->minute = minute;
	}
	l->now += n;
}

static inline uint64_t hmem_lately(struct hmem_lately l, uint64_t now_ms)
{
	hmem_lately_add(&l, now_ms, 0);
	return l.now + l.before;
}

#endif /* HMEM_LATELY_H */
