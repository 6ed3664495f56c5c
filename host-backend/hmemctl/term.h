/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Controls the terminal by ANSI escape sequences. */
#ifndef HMEMCTL_TERM_H
#define HMEMCTL_TERM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The size of the terminal at standard output; or that of $COLUMNS and $LINES; or 80 columns
 * and 24 lines.
 */
void term_size(unsigned int *cols, unsigned int *lines);

/* May the output contain colors and bold? */
bool term_color(void);

/*
 * Take over the terminal until term_leave(): clear the screen, and read keys as they are
 * pressed.  Ctrl-C then restores the terminal and ends the program; Ctrl-Z restores the
 * terminal until the program continues.
 */
void term_enter(void);

/* Restore the terminal, if it was taken over. */
void term_leave(void);

enum term_event { TERM_TIMEOUT, TERM_QUIT, TERM_REDRAW, TERM_KEY };

/* Keys that are no ASCII characters. */
enum { TERM_KEY_UP = 256, TERM_KEY_DOWN, TERM_KEY_PAGE_UP, TERM_KEY_PAGE_DOWN };

/*
 * Wait at most @ms, or until the user presses q or another key, or until the size of the screen
 * changes.  Then *@ms is the rest of the time, and *@key the key.
 */
enum term_event term_wait(int64_t *ms, int *key);

/*
 * Write the lines of @text, each cut to @cols columns.  The text is ASCII; escape sequences
 * that end in 'm' have no width.  @lines: height of the screen to draw over; 0: just print.
 */
void term_write(const char *text, unsigned int cols, unsigned int lines);

#endif /* HMEMCTL_TERM_H */
