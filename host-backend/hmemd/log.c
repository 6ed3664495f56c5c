/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static enum log_level max_level = LOG_INFO;
/* Lines that were dropped: since the last written line, and in all. */
static uint64_t missing, lost;

void log_set_level(enum log_level most)
{
	max_level = most;
}

uint64_t log_lost(void)
{
	return lost;
}

/*
 * Is there room for a line?  hmemd cannot make stderr non-blocking, because other processes
 * may share it.  A pipe is writable if it has room for a page, and a line is shorter.
 */
static bool has_room(void)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&pfd, 1, 0) == 1 && pfd.revents & POLLOUT;
}

/* Write a line.  Returns false if the line must be dropped. */
static bool write_line(enum log_level level, const char *line)
{
	char out[600];
	int len;

	if (!has_room())
		return false;
	if (isatty(STDERR_FILENO))
		len = snprintf(out, sizeof(out), "hmemd: %s%s\n",
			       level <= LOG_ERR ? "error: " :
			       level == LOG_WARN ? "warning: " : "", line);
	else
		len = snprintf(out, sizeof(out), "<%d>%s\n", level, line);
	return write(STDERR_FILENO, out, len) == len;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[512], about[80];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* The text of a peer can contain anything: keep it on one line. */
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	if (missing) {
		snprintf(about, sizeof(about), "%" PRIu64 " lines of this log are missing: "
			 "nobody read it", missing);
		if (write_line(LOG_WARN, about))
			missing = 0;
	}
	if (missing || !write_line(level, line)) {
		missing++;
		lost++;
	}
}
