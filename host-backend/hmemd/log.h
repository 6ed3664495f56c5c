/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line an event, to stderr: with sd-daemon's <priority> in front, so that
 * the journal sorts them, unless a person is reading.
 */
#ifndef HMEMD_LOG_H
#define HMEMD_LOG_H

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

#endif /* HMEMD_LOG_H */
