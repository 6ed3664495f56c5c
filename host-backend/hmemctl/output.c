/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

static void (*leave_screen)(void);

void output_on_screen(void (*leave)(void))
{
	leave_screen = leave;
}

/* Leave the screen first, or the message would vanish with it. */
static void before_message(void)
{
	if (leave_screen)
		leave_screen();
}

void die(int status, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	before_message();
	fprintf(stderr, "hmemctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

void flush_output(void)
{
	/* If an earlier write failed, its errno is lost: then print no reason. */
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return;
	before_message();
	fprintf(stderr, "hmemctl: cannot write to standard output%s%s\n",
		errno ? ": " : "", errno ? strerror(errno) : "");
	/* exit() would call this function again. */
	_exit(EXIT_ERROR);
}

const char *local_time(time_t seconds, const char *format, char *buf, size_t size)
{
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(buf, size, format, &tm);
	return buf;
}
