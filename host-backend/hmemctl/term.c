/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "term.h"

/* Use the alternate screen, so that the old contents come back, and hide the cursor. */
#define ENTER	"\033[?1049h\033[?25l"
#define LEAVE	"\033[?25h\033[?1049l"

static struct termios saved;
static bool have_keys;
static volatile sig_atomic_t entered, redraw;

static unsigned int from_env(const char *name, unsigned int def)
{
	const char *s = getenv(name);
	long n = s ? strtol(s, NULL, 10) : 0;

	return n > 0 && n < 10000 ? (unsigned int)n : def;
}

void term_size(unsigned int *cols, unsigned int *lines)
{
	struct winsize ws = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	*cols = ws.ws_col ? ws.ws_col : from_env("COLUMNS", 80);
	*lines = ws.ws_row ? ws.ws_row : from_env("LINES", 24);
}

bool term_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term &&
	       strcmp(term, "dumb");
}

/* Also called from signal handlers, so it uses async-signal-safe functions only. */
static void put(const char *s)
{
	ssize_t n = write(STDOUT_FILENO, s, strlen(s));

	(void)n;
}

static void take(void)
{
	struct termios t = saved;

	if (have_keys) {
		t.c_lflag &= ~(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &t);
	}
	entered = 1;
	put(ENTER);
}

void term_leave(void)
{
	if (!entered)
		return;
	entered = 0;
	put(LEAVE);
	if (have_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void on_signal(int sig)
{
	int err = errno;

	switch (sig) {
	case SIGINT:
		term_leave();
		_exit(EXIT_OK);
	case SIGTSTP:
		term_leave();
		raise(SIGSTOP);
		take();
		redraw = 1;
		break;
	case SIGWINCH:
		redraw = 1;
		break;
	default:
		/* With SA_RESETHAND, the signal comes again and ends the program. */
		term_leave();
		raise(sig);
	}
	errno = err;
}

void term_enter(void)
{
	static const struct { int sig, flags; } signals[] = {
		{ SIGINT, 0 }, { SIGTSTP, 0 }, { SIGWINCH, 0 },
		{ SIGTERM, SA_RESETHAND }, { SIGHUP, SA_RESETHAND },
		{ SIGQUIT, SA_RESETHAND },
	};
	sigset_t winch;

	have_keys = !tcgetattr(STDIN_FILENO, &saved);
	take();
	atexit(term_leave);
	output_on_screen(term_leave);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction sa = {
			.sa_handler = on_signal,
			.sa_flags = SA_RESTART | signals[i].flags,
		};

		sigaction(signals[i].sig, &sa, NULL);
	}
	/* The signal can come during the wait only. */
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	sigprocmask(SIG_BLOCK, &winch, NULL);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* Bytes of keys that were read, and not taken yet. */
static char keys[16];
static size_t num_keys;

/* Take the first key that was read; 0: there is none that hmemctl knows. */
static int next_key(void)
{
	static const struct { const char *bytes; int key; } sequences[] = {
		{ "\033[A", TERM_KEY_UP }, { "\033OA", TERM_KEY_UP },
		{ "\033[B", TERM_KEY_DOWN }, { "\033OB", TERM_KEY_DOWN },
		{ "\033[5~", TERM_KEY_PAGE_UP }, { "\033[6~", TERM_KEY_PAGE_DOWN },
	};
	size_t len = 1;
	int key = keys[0];

	if (key == '\033' && num_keys > 1) {
		/* A key that is none of these sequences takes the rest with it. */
		len = num_keys;
		key = 0;
		for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
			size_t n = strlen(sequences[i].bytes);

			if (num_keys < n || memcmp(keys, sequences[i].bytes, n))
				continue;
			len = n;
			key = sequences[i].key;
		}
	}
	num_keys -= len;
	memmove(keys, keys + len, num_keys);
	return key;
}

enum term_event term_wait(int64_t *ms, int *key)
{
	int64_t end = now_ms() + *ms;
	sigset_t none;

	fflush(stdout);
	sigemptyset(&none);
	for (;;) {
		int64_t left = end - now_ms();
		struct timespec ts = {
			.tv_sec = left / 1000,
			.tv_nsec = left % 1000 * 1000000,
		};
		struct pollfd pfd = { .fd = have_keys ? STDIN_FILENO : -1,
				      .events = POLLIN };
		ssize_t n;

		*ms = left > 0 ? left : 0;
		if (redraw) {
			redraw = 0;
			return TERM_REDRAW;
		}
		while (num_keys) {
			*key = next_key();
			if (*key == 'q' || *key == 'Q')
				return TERM_QUIT;
			if (*key)
				return TERM_KEY;
		}
		if (left <= 0)
			return TERM_TIMEOUT;
		if (ppoll(&pfd, 1, &ts, entered ? &none : NULL) <= 0)
			continue;
		n = read(STDIN_FILENO, keys, sizeof(keys));
		if (n <= 0)
			have_keys = false;
		else
			num_keys = n;
	}
}

/* How many bytes of the line fit into @cols columns; escape sequences have no width. */
static size_t fitting(const char *line, size_t len, unsigned int cols)
{
	size_t at = 0;

	while (at < len) {
		if (line[at] == '\033') {
			while (at < len && line[at] != 'm')
				at++;
		} else if (!cols--) {
			break;
		}
		at++;
	}
	return at;
}

void term_write(const char *text, unsigned int cols, unsigned int lines)
{
	bool screen = lines;

	if (screen)
		fputs("\033[H", stdout);
	while (*text) {
		size_t len = strcspn(text, "\n");
		size_t fits = fitting(text, len, cols);

		fwrite(text, 1, fits, stdout);
		/* Switch bold off, because the end of it may be cut off. */
		if (fits < len && memchr(text, '\033', len))
			fputs("\033[0m", stdout);
		text += len + (text[len] == '\n');
		if (!screen) {
			putchar('\n');
			continue;
		}
		/* In the last column, this would erase the character there. */
		if (fits < cols)
			fputs("\033[K", stdout);
		if (!--lines)
			break;
		/* A newline after the last line would scroll. */
		fputs("\r\n", stdout);
	}
	if (screen && lines)
		fputs("\033[J", stdout);
	flush_output();
}
