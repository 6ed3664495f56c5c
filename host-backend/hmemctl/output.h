/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How hmemctl ends, and that what was printed is written. */
#ifndef HMEMCTL_OUTPUT_H
#define HMEMCTL_OUTPUT_H

/* Exit status, see hmemctl(1). */
enum {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3,
	EXIT_UNSUPPORTED = 77,
};

/* Say what is wrong and exit. */
__attribute__((noreturn, format(printf, 2, 3)))
void die(int status, const char *fmt, ...);

/*
 * Have all that was printed written, or say that it cannot be and exit.  It is called at
 * the end; also where something is printed again and again.
 */
void flush_output(void);

/*
 * From now on the screen is taken over: @leave is called before something is said that is to
 * stay.  It may be called again, and after the screen was left.
 */
void output_on_screen(void (*leave)(void));

#endif /* HMEMCTL_OUTPUT_H */
