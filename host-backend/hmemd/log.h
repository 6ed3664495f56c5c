/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line an event, to stderr: with sd-daemon's <priority> in front, so that
 * the journal sorts them, unless a person is reading.
 *
 * Where nobody reads, lines are left out rather than waited for, and the next one that
 * can be written is about how many.
 */
#ifndef HMEMD_LOG_H
#define HMEMD_LOG_H

#include <stdint.h>

enum log_level {
	LOG_ERR = 3,
	LOG_WARN = 4,
	LOG_NOTE = 5,
	LOG_INFO = 6,
	LOG_DEBUG = 7,
};

/* Show what is at most this; LOG_INFO to begin with. */
void log_set_level(enum log_level most);

__attribute__((format(printf, 2, 3)))
void log_msg(enum log_level level, const char *fmt, ...);

/* Lines that were left out since hmemd was started. */
uint64_t log_lost(void);

#endif /* HMEMD_LOG_H */
