/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"

static enum log_level max_level = LOG_INFO;

void log_set_level(enum log_level most)
{
	max_level = most;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* What a peer says may be in it: keep it on one line. */
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "hmemd: %s%s\n",
			level <= LOG_ERR ? "error: " :
			level == LOG_WARN ? "warning: " : "", line);
	else
		fprintf(stderr, "<%d>%s\n", level, line);
}
