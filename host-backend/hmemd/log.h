/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs one line per event to stderr.  Unless stderr is a terminal, a line begins with
 * sd-daemon's <priority>, so that the journal can sort lines.
 *
 * If nobody reads stderr, hmemd does not wait: it drops lines, and logs their number as
 * soon as it can write again.
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

/* Log lines up to this level; LOG_INFO at first. */
void log_set_level(enum log_level most);

__attribute__((format(printf, 2, 3)))
void log_msg(enum log_level level, const char *fmt, ...);

/* The number of lines dropped since hmemd was started. */
uint64_t log_lost(void);

#endif /* HMEMD_LOG_H */
