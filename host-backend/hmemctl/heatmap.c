/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heat_data.h"
#include "hmemctl.h"
#include "numbers.h"
#include "svg.h"
#include "term.h"

/* The label of a row: an address or a time. */
#define STRIP_PREFIX	16u
#define MAP_PREFIX	11u
#define MAX_BINS	4096u
/* Columns of a picture if there is no map in the terminal that must fit. */
#define SVG_BINS	256u
/* Largest number of rows in a picture. */
#define MAX_ROWS	20000u

struct args {
	const char *vm, *svg;
	unsigned long bins, scale;
	double seconds;		/* 0: one sample */
};

enum { OPT_BINS = 256, OPT_SCALE, OPT_SVG };

static const struct argp_option options[] = {
	{ "time", 't', "SECONDS", 0,
	  "Print a map over guest time, one row per window", 0 },
	{ "bins", OPT_BINS, "N", 0, "Largest number of digits in a row or for a tier",
	  0 },
	{ "scale", OPT_SCALE, "PERCENT", 0, "Percentage of full heat at the end of the scale (100)",
	  0 },
	{ "svg", OPT_SVG, "FILE", 0, "Draw a picture as well", 0 },
	{ 0 }
};

static unsigned long number(struct argp_state *state, const char *option,
			    const char *arg, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end || !n || n > max)
		argp_error(state, "%s is 1 to %lu, not '%s'", option, max, arg);
	return n;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	char *end;

	switch (key) {
	case 't':
		args->seconds = strtod(arg, &end);
		if (end == arg || *end ||
		    !(args->seconds > 0 && args->seconds <= 1e6))
			argp_error(state, "--time is a number of seconds, 1000000 at "
				   "most, not '%s'", arg);
		return 0;
	case OPT_BINS:
		args->bins = number(state, "--bins", arg, MAX_BINS);
		return 0;
	case OPT_SCALE:
		args->scale = number(state, "--scale", arg, 100);
		return 0;
	case OPT_SVG:
		args->svg = arg;
		return 0;
	case ARGP_KEY_ARG:
		take_vm(state, &args->vm, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "[VM]",
	.doc = "Show how hot a VM's memory is: a strip of digits for each tier, or with "
	       "--time a map over guest time and address.",
	.children = global_argp,
};

/* --- a row of digits --- */

/* 256 colors, from black to white-hot, chosen so that text on them is legible. */
static const struct { uint8_t fore, back; } colors[10] = {
	{ 250, 232 }, { 250, 17 }, { 255, 54 }, { 255, 90 }, { 255, 125 },
	{ 255, 160 }, { 16, 202 }, { 16, 214 }, { 16, 226 }, { 16, 230 },
};

static void put_digit(unsigned int d, bool color)
{
	if (color)
		printf("\033[38;5;%u;48;5;%um", colors[d].fore, colors[d].back);
	putchar('0' + d);
}

static void end_color(bool color)
{
	if (color)
		fputs("\033[0m", stdout);
}

/* --- strips --- */

static void print_about(const struct heatmap *m, const char *column)
{
	char buf[128], window[64];

	snprintf(window, sizeof(window), "no window at present");
	if (num_of(m->first, "window_ms"))
		snprintf(window, sizeof(window), "a window is %s ms of guest time",
			 text_of(m->first, "window_ms"));
	printf("VM %s: policy %s, tracker %s; %s\n", text_of(m->first, "vm"),
	       text_of(m->first, "policy"), text_of(m->first, "tracker"), window);
	printf("scale: %s\n", heat_scale(m, buf, sizeof(buf)));
	printf("resolution: %s a %s\n", heat_resolution(m, buf, sizeof(buf)), column);
}

static void print_strip(const struct heatmap *m, uint64_t tier, unsigned int width)
{
	bool color = term_color();
	unsigned int x = 0;
	char address[24];

	for (size_t i = 0; i < m->num_bins; i++) {
		json *bin = heat_bin(m->first, i);

		if (num_of(bin, "tier") != tier)
			continue;
		if (x == width) {
			end_color(color);
			putchar('\n');
			x = 0;
		}
		if (!x++) {
			snprintf(address, sizeof(address), "0x%" PRIx64,
				 heat_address(m, i));
			printf("%*s  ", STRIP_PREFIX - 2, address);
		}
		put_digit(heat_digit(m, bin), color);
	}
	if (x) {
		end_color(color);
		putchar('\n');
	}
}

static void print_strips(const struct heatmap *m, unsigned int width)
{
	json *tiers = field(m->first, "tiers");

	if (!globals.quiet)
		print_about(m, "digit");
	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *t = json_object_array_get_idx(tiers, i);
		char size[32];

		printf("tier %s %s, %s: mean %.1f %%, hottest page %.1f %%\n",
		       text_of(t, "tier"), text_of(t, "kind"),
		       hmem_format_size(num_of(t, "pages") << 12, size, sizeof(size)),
		       heat_percent(m, t, "mean"), heat_percent(m, t, "max"));
		print_strip(m, num_of(t, "tier"), width);
	}
}

/* --- the map in the terminal --- */

/* Number of digits and borders that fit into the terminal. */
static size_t fitting(const struct heatmap *m, unsigned int width)
{
	size_t n;

	for (n = 0; n < m->num_bins; n++) {
		unsigned int takes = heat_border(m, n) ? 2 : 1;

		if (takes > width)
			break;
		width -= takes;
	}
	return n;
}

/* A line with a word at the first bin of each tier, cut to the length of the tier's bins. */
static void print_ruler(const struct heatmap *m, size_t shown, bool addresses)
{
	printf("%*s", MAP_PREFIX, addresses ? "time s " : "");
	for (size_t i = 0, to; i < shown; i = to) {
		char word[40];

		for (to = i + 1; to < shown && !heat_border(m, to); to++)
			;
		if (addresses)
			snprintf(word, sizeof(word), "0x%" PRIx64,
				 heat_address(m, i));
		else
			snprintf(word, sizeof(word), "tier %s %s",
				 text_of(heat_tier(m, i), "tier"),
				 text_of(heat_tier(m, i), "kind"));
		/* A truncated address would be a wrong address. */
		if (addresses && strlen(word) > to - i)
			word[0] = '\0';
		printf("%s%-*.*s", i ? "|" : "", to < shown ? (int)(to - i) : 0,
		       (int)(to - i), word);
	}
	putchar('\n');
}

static void print_map_head(const struct heatmap *m, size_t shown)
{
	if (globals.quiet)
		return;
	print_about(m, "column, a window a row");
	if (shown < m->num_bins)
		printf("the last %zu of %zu columns are not shown: use a wider "
		       "terminal, or --svg\n", m->num_bins - shown, m->num_bins);
	print_ruler(m, shown, false);
	print_ruler(m, shown, true);
	flush_output();
}

static void print_row(const struct heatmap *m, const struct heat_row *row,
		      size_t shown)
{
	bool color = term_color();

	printf("%*.3f ", MAP_PREFIX - 1, row->seconds);
	for (size_t i = 0; i < shown; i++) {
		if (heat_border(m, i)) {
			end_color(color);
			putchar('|');
		}
		put_digit(row->digits[i], color);
	}
	end_color(color);
	putchar('\n');
	flush_output();
}

/* --- the picture --- */

/*
 * Open the picture's file before anything else, so that an error comes early.  The file's
 * old contents stay until the picture is drawn.
 */
static struct {
	const char *path;
	FILE *out;
	/* hmemctl created the file, so it removes the file if no picture is drawn. */
	bool created;
} picture;

static void remove_picture(void)
{
	if (picture.created)
		unlink(picture.path);
	picture.created = false;
}

static void open_picture(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	picture.path = path;
	picture.created = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_CLOEXEC);
	picture.out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!picture.out)
		die(EXIT_ERROR, "cannot write %s: %s", path, strerror(errno));
	atexit(remove_picture);
}

static void write_picture(const struct heatmap *m)
{
	struct stat st;
	int err = 0;

	/* A device or a pipe has no length to set. */
	if (!fstat(fileno(picture.out), &st) && S_ISREG(st.st_mode) &&
	    ftruncate(fileno(picture.out), 0) < 0)
		err = errno;
	errno = 0;
	heat_svg(m, picture.out);
	if (!err && (fflush(picture.out) || ferror(picture.out)))
		err = errno ? errno : EIO;
	if (fclose(picture.out) && !err)
		err = errno;
	if (err)
		die(EXIT_ERROR, "cannot write %s: %s%s", picture.path, strerror(err),
		    picture.created ? "" : "; the file is incomplete");
	picture.created = false;
	if (!globals.quiet)
		fprintf(stderr, "hmemctl: the picture is in %s\n", picture.path);
}

/* --- the command --- */

static json *ask_heat(const struct args *args, uint64_t bins, bool per_tier,
		      const uint64_t *after)
{
	json *req = new_request("heat", args->vm), *o;

	json_add(req, "bins", json_new_u64(bins));
	json_add(req, "per_tier", json_new_bool(per_tier));
	if (after)
		json_add(req, "after", json_new_u64(*after));
	o = ask(req);
	json_object_object_del(o, "final");
	return o;
}

static bool same_bins(json *a, json *b)
{
	size_t n = json_object_array_length(field(a, "bins"));

	if (n != json_object_array_length(field(b, "bins")))
		return false;
	for (size_t i = 0; i < n; i++) {
		json *x = heat_bin(a, i), *y = heat_bin(b, i);

		if (num_of(x, "gfn") != num_of(y, "gfn") ||
		    num_of(x, "last") != num_of(y, "last") ||
		    num_of(x, "tier") != num_of(y, "tier"))
			return false;
	}
	return true;
}

static struct heat_row make_row(const struct heatmap *m, json *o)
{
	struct heat_row row = {
		.window = num_of(o, "windows"),
		.seconds = (num_of(o, "vtime_ns") - m->begun) / 1e9,
		.digits = malloc(m->num_bins + 1),
	};

	if (!row.digits)
		die(EXIT_ERROR, "no memory for a row");
	for (size_t i = 0; i < m->num_bins; i++)
		row.digits[i] = heat_digit(m, heat_bin(o, i));
	return row;
}

static void keep_row(struct heatmap *m, struct heat_row row)
{
	m->rows = realloc(m->rows, (m->num_rows + 1) * sizeof(*m->rows));
	if (!m->rows)
		die(EXIT_ERROR, "no memory for a row");
	m->rows[m->num_rows++] = row;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* Print one row after the other.  Returns EXIT_PARTIAL if the map ended early. */
static int follow(struct heatmap *m, const struct args *args, uint64_t bins,
		  size_t shown)
{
	uint64_t after = num_of(m->first, "windows");
	int status = EXIT_OK;
	size_t num_rows = 0;

	/* The first Ctrl-C ends the map and draws the picture so far; the second exits. */
	if (args->svg)
		sigaction(SIGINT, &(struct sigaction) {
			.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND,
		}, NULL);
	for (;;) {
		json *o = ask_heat(args, bins, false, &after);
		struct heat_row row;
		bool last;

		if (!same_bins(m->first, o)) {
			fprintf(stderr, "hmemctl: vm '%s': its memory is another now: "
				"the map ends here\n", text_of(o, "vm"));
			json_object_put(o);
			return EXIT_PARTIAL;
		}
		if (!num_rows++)
			m->begun = num_of(o, "vtime_ns") -
				   num_of(o, "window_ms") * 1000000;
		after = num_of(o, "windows");
		row = make_row(m, o);
		last = row.seconds >= args->seconds;
		if (globals.json)
			print_json_line(o);
		else
			print_row(m, &row, shown);
		if (args->svg && m->num_rows < MAX_ROWS) {
			keep_row(m, row);
		} else {
			if (args->svg && status == EXIT_OK) {
				fprintf(stderr, "hmemctl: the picture ends here, after "
					"%u windows\n", MAX_ROWS);
				status = EXIT_PARTIAL;
			}
			free(row.digits);
		}
		json_object_put(o);
		if (last || interrupted)
			return status;
	}
}

/* Explain why there is no heat, and what to do about it. */
static void check_known(json *o)
{
	if (!num_of(o, "windows"))
		die(EXIT_ERROR, "vm '%s': how hot its memory is is not known: %s",
		    text_of(o, "vm"), num_of(o, "window_ms") ?
		    "wait for the first window to end, or use --time" :
		    "set a policy other than off, such as hmemctl policy set "
		    "name=observe");
}

static int strips(struct heatmap *m, const struct args *args)
{
	unsigned int cols, lines, width;

	term_size(&cols, &lines);
	width = cols > STRIP_PREFIX ? cols - STRIP_PREFIX : 1;
	m->first = ask_heat(args, args->bins ? args->bins :
			    width < MAX_BINS ? width : MAX_BINS, true, NULL);
	m->num_bins = json_object_array_length(field(m->first, "bins"));
	check_known(m->first);
	if (globals.json)
		print_json(json_object_get(m->first));
	else
		print_strips(m, width);
	m->begun = num_of(m->first, "vtime_ns");
	if (args->svg)
		keep_row(m, make_row(m, m->first));
	return EXIT_OK;
}

static int map(struct heatmap *m, const struct args *args)
{
	unsigned int cols, lines, width;
	uint64_t bins;
	size_t shown;

	term_size(&cols, &lines);
	width = cols > MAP_PREFIX ? cols - MAP_PREFIX : 1;
	bins = args->bins ? args->bins : args->svg && globals.json ? SVG_BINS :
	       width < MAX_BINS ? width : MAX_BINS;
	for (;;) {
		m->first = ask_heat(args, bins, false, NULL);
		m->num_bins = json_object_array_length(field(m->first, "bins"));
		/* More bins than the terminal has columns, if the user asks for them. */
		shown = args->bins && !isatty(STDOUT_FILENO) ? m->num_bins :
			fitting(m, width);
		/* Fewer bins, so that there is room for the borders. */
		if (globals.json || args->bins || shown == m->num_bins ||
		    bins <= m->num_bins - shown)
			break;
		bins -= m->num_bins - shown;
		json_object_put(m->first);
	}
	if (!globals.json)
		print_map_head(m, shown);
	if (!flag_of(m->first, "running") && !globals.quiet)
		fprintf(stderr, "hmemctl: the guest is paused: no window ends until it "
			"goes on\n");
	/* A window can take any time, so wait forever unless the user says otherwise. */
	if (!globals.timeout_set)
		globals.timeout_ms = -1;
	return follow(m, args, bins, shown);
}

int cmd_heatmap(int argc, char **argv)
{
	struct args args = { .scale = 100 };
	struct heatmap m = { 0 };
	int status;

	parse_args(&argp, argc, argv, 0, &args);
	m.scale = args.scale;
	if (args.svg)
		open_picture(args.svg);
	status = args.seconds ? map(&m, &args) : strips(&m, &args);
	if (args.svg && m.num_rows)
		write_picture(&m);
	for (size_t i = 0; i < m.num_rows; i++)
		free(m.rows[i].digits);
	free(m.rows);
	json_object_put(m.first);
	return status;
}
