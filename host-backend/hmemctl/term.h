/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal, by ANSI escape sequences alone. */
#ifndef HMEMCTL_TERM_H
#define HMEMCTL_TERM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Columns and lines of the terminal that standard output is, or what $COLUMNS
 * and $LINES say, or 80 and 24.
 */
void term_size(unsigned int *cols, unsigned int *lines);

/* May colors and the like be used? */
bool term_color(void);

/*
 * Take the terminal over until term_leave(): an empty screen, keys as they are
 * pressed.  Ctrl-C then ends the program with the terminal as it was before,
 * and Ctrl-Z lends it back meanwhile.
 */
void term_enter(void);

/* Give it back; does nothing if it was not taken. */
void term_leave(void);

enum term_event { TERM_TIMEOUT, TERM_QUIT, TERM_REDRAW };

/*
 * Wait at most @ms, for q, or until what is on the screen no longer fits it.
 * @ms is then what is left of it.
 */
enum term_event term_wait(int64_t *ms);

/*
 * Write the lines of @text, each cut to @cols columns; text is ASCII, escape
 * sequences that end in 'm' take no room.  @lines: draw over the screen, which
 * has so many; 0: print.
 */
void term_write(const char *text, unsigned int cols, unsigned int lines);

#endif /* HMEMCTL_TERM_H */
