/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exits with messages, and checks that all output was written. */
#ifndef HMEMCTL_OUTPUT_H
#define HMEMCTL_OUTPUT_H

#include <stddef.h>
#include <time.h>

/* Exit status, see hmemctl(1). */
enum {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3,
	EXIT_WARNED = 4,
	EXIT_UNSUPPORTED = 77,
};

/* Print an error message and exit. */
__attribute__((noreturn, format(printf, 2, 3)))
void die(int status, const char *fmt, ...);

/*
 * Flush standard output; if that fails, print an error and exit.  Called at the end, and
 * after each sample of a command that repeats.
 */
void flush_output(void);

/* Formats the time @seconds after 1970 in the user's time zone, as strftime() does. */
const char *local_time(time_t seconds, const char *format, char *buf, size_t size);

/*
 * Call @leave before a message, because the terminal's screen is in use.  @leave may be
 * called several times, and after the screen was left.
 */
void output_on_screen(void (*leave)(void));

#endif /* HMEMCTL_OUTPUT_H */
