/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemctl top and heatmap, with the real hmemd and devices that the test controls. */
#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "fixture.h"

#define PATIENCE_MS	60000

static void observe(struct fixture *f, const char *tunables)
{
	struct peer_msg msg;
	char line[128];

	snprintf(line, sizeof(line), "policy web set name=observe %s", tunables);
	ctl(f, 0, line);
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	f->seq = 0;
}

/* Ends a window of web in which the @num frames from @gfn on were written. */
static void window(struct fixture *f, uint64_t gfn, uint64_t num)
{
	struct peer_msg msg;

	for (; num; num--, gfn++)
		f->web.map[gfn / 64] |= UINT64_C(1) << (gfn % 64);
	peer_send_tick(&f->web, ++f->seq);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
}

/* An hmemctl whose output is read while it runs. */
struct stream {
	pid_t pid;
	FILE *out;
	int err;
};

static struct stream stream_start(struct fixture *f, const char *line)
{
	int fds[2];
	struct stream s = { .pid = ctl_start(&f->ctl, &f->d, line, fds) };

	s.out = fdopen(fds[0], "r");
	s.err = fds[1];
	return s;
}

/* Waits until hmemctl ends with @status. */
static void stream_end(struct stream *s, int status)
{
	assert_int_equal(process_wait(s->pid), status);
	fclose(s->out);
	close(s->err);
}

static void stream_kill(struct stream *s)
{
	kill(s->pid, SIGKILL);
	stream_end(s, 128 + SIGKILL);
}

/* Reads and parses a line that hmemctl prints.  Returns NULL at the end. */
static struct json_object *next_json(FILE *out)
{
	struct json_object *o;
	char *line = NULL;
	size_t size = 0;

	if (getline(&line, &size, out) < 0) {
		free(line);
		return NULL;
	}
	o = json_tokener_parse(line);
	if (!o)
		fail_msg("no JSON object on one line: %s", line);
	free(line);
	return o;
}

static struct json_object *at(struct json_object *o, const char *path)
{
	if (!json_at(o, path, &o))
		fail_msg("there is no '%s' in it", path);
	return o;
}

static double num_at(struct json_object *o, const char *path)
{
	return json_object_get_double(at(o, path));
}

static void usage(void **state)
{
	struct fixture *f = *state;
	static const struct usage cases[] = {
		{ 2, "top -n 0", "--count" },
		{ 2, "top -n x", "--count" },
		{ 2, "top -i 0", "--interval" },
		{ 2, "top -i nan", "--interval" },
		{ 2, "top -i 1x", "--interval" },
		{ 1, "top web nobody", "no VM 'nobody'" },
		{ 1, "top -d nobody", "no VM 'nobody'" },
		{ 2, "heatmap web more", "more" },
		{ 2, "heatmap --bins 0", "--bins" },
		{ 2, "heatmap --bins 4097", "--bins" },
		{ 2, "heatmap --bins -3", "--bins" },
		{ 2, "heatmap --scale 101", "--scale" },
		{ 2, "heatmap --time 0", "--time" },
		{ 2, "heatmap --time nan", "--time" },
		{ 2, "heatmap --time 5m", "--time" },
		{ 1, "heatmap nobody", "no VM 'nobody'" },
	};

	usage_check(f, cases, sizeof(cases) / sizeof(cases[0]));
}

static void hide_times(char *out)
{
	static const char *const keys[] = {
		"\"time_ms\":", "\"interval_ms\":", "\"daemon_us_per_window\":", NULL
	};

	hide_json(out, keys);
}

static void top_golden(void **state)
{
	struct fixture *f = *state;
	struct peer db = { 0 };
	char line[256];
	struct stream top;

	golden_ctl(f, "top", "top -n 1 -i 0.1", NULL);
	observe(f, "");
	for (unsigned int i = 0; i < 5; i++)
		window(f, PEER_TIER - 100, 200);
	db.trackers = HMEM_LINK_TRACKER_SIM;
	peer_handshake(&db, f->d.vm_socket, "db");
	golden_ctl(f, "top-two", "top -n 2 -i 0.1", NULL);
	golden_ctl(f, "top-named", "top web db -n 1 -i 0.1", NULL);
	golden_ctl(f, "top-json", "-o json top -n 1 -i 0.1", hide_times);
	golden_ctl(f, "top-quiet", "top web -n 1 -i 0.1 -q --raw", NULL);
	/*
	 * One of the named VMs can disconnect.  When none is left, VMs with other names do not
	 * count.
	 */
	top = stream_start(f, "top db -i 0.1");
	while (fgets(line, sizeof(line), top.out) && !strstr(line, "refused"))
		;
	peer_close(&db);
	while (fgets(line, sizeof(line), top.out) && !strstr(line, "none of these VMs"))
		;
	assert_non_null(strstr(line, "none of these VMs"));
	stream_kill(&top);
	peer_close(&f->web);
	while (ctl(f, 0, "list -q"), f->ctl.out_len)
		;
	golden_ctl(f, "top-none", "top -n 1 -i 0.1", NULL);
}

/* Every third page is locked. */
static unsigned int some_locked(struct peer *p, const struct virtio_hmem_hint *hint)
{
	(void)p;
	return le64toh(hint->gfn) % 3 ? VIRTIO_HMEM_R_MOVED : VIRTIO_HMEM_R_LOCKED;
}

/* The rates times the time between samples give all moves, and none twice. */
static void top_rates(void **state)
{
	struct fixture *f = *state;
	double moved = 0, mib = 0, locked = 0, refused = 0;
	struct peer idle = { 0 };
	struct json_object *o;
	struct stream top;

	peer_handshake(&idle, f->d.vm_socket, "idle");
	top = stream_start(f, "top -o json -i 0.1");
	/* The first record takes two samples, so all later moves are in later records. */
	o = next_json(top.out);
	assert_int_equal(num_at(o, "version"), 1);
	assert_string_equal(json_object_get_string(at(o, "vms.0.name")), "idle");
	assert_true(num_at(o, "vms.1.demoted_per_s") == 0);
	json_object_put(o);
	f->web.reason = some_locked;
	ctl_run(&(struct ctl) { 0 }, &f->d, (struct peer *[]) { &f->web, NULL },
		"migrate web --gfn 0-2999 --to 1 --wait --retries 0");
	while (round(moved) < 2000 || round(locked) < 1000) {
		double s;

		o = next_json(top.out);
		assert_non_null(o);
		s = num_at(o, "interval_ms") / 1000;
		assert_true(s > 0);
		/* The busiest VM is first. */
		for (unsigned int i = 0; i < 2; i++) {
			struct json_object *vm = json_object_array_get_idx(
				at(o, "vms"), i), *l;

			moved += num_at(vm, "demoted_per_s") * s;
			mib += num_at(vm, "demoted_mib_per_s") * s;
			refused += num_at(vm, "refused_per_s") * s;
			if (json_object_object_get_ex(at(vm, "refused"), "locked", &l))
				locked += json_object_get_double(l) * s;
			if (num_at(vm, "demoted_per_s") || num_at(vm, "refused_per_s")) {
				assert_int_equal(i, 0);
				assert_string_equal("web", json_object_get_string(
					at(vm, "name")));
			}
			assert_true(num_at(vm, "promoted_per_s") == 0);
		}
		json_object_put(o);
	}
	assert_true(fabs(moved - 2000) < 0.01);
	assert_true(fabs(mib - 2000 / 256.0) < 0.01);
	assert_true(fabs(locked - 1000) < 0.01);
	assert_true(fabs(refused - 1000) < 0.01);
	/* top shows the time that windows took, and survives a reset between two samples. */
	observe(f, "");
	do {
		window(f, 0, 10);
		o = next_json(top.out);
		moved = num_at(o, "vms.1.daemon_us_per_window");
		json_object_put(o);
	} while (!moved);
	assert_true(moved > 0);
	ctl(f, 0, "stats web --reset");
	do
		o = next_json(top.out);
	while (at(o, "vms.1.demoted_per_s") && json_object_put(o));
	assert_null(at(o, "vms.1.refused"));
	json_object_put(o);
	stream_kill(&top);
	peer_close(&idle);
}

/* --- heatmap --- */

/*
 * A written page goes a quarter of the way to the maximum; others lose a quarter, but at least
 * 1 (hmemd(8)).
 */
static unsigned int next_heat(unsigned int heat, bool written)
{
	unsigned int down = heat;

	if (written)
		return heat + ((65535 - heat) >> 2);
	return heat - (down >> 2) - !!(down & 3);
}

/*
 * The first 1000 pages are written in every window, 1000 pages from 5000 on in every other one,
 * and pages on both sides of the border of tier 0 in the first one only.
 */
static bool pattern(uint64_t gfn, uint64_t seq)
{
	if (gfn >= PEER_TIER - 300 && gfn < PEER_TIER + 200)
		return seq == 1;
	return gfn < 1000 || (gfn >= 5000 && gfn < 6000 && seq % 2);
}

static void heat_is_the_pattern(void **state)
{
	struct fixture *f = *state;
	static unsigned int heat[PEER_FRAMES];
	struct json_object *o, *bins;
	uint64_t from = 0, sums[2] = { 0 };
	unsigned int hottest[2] = { 0 };

	memset(heat, 0, sizeof(heat));
	ctl(f, 1, "heatmap");
	assert_non_null(strstr(f->ctl.err, "name=observe"));
	ctl(f, 1, "heatmap web --time 1");
	assert_non_null(strstr(f->ctl.err, "name=observe"));
	observe(f, "decay=2");
	ctl(f, 1, "heatmap");
	assert_non_null(strstr(f->ctl.err, "wait for the first window"));
	for (uint64_t seq = 1; seq <= 7; seq++) {
		for (uint64_t g = 0; g < PEER_FRAMES; g++) {
			heat[g] = next_heat(heat[g], pattern(g, seq));
			if (pattern(g, seq))
				f->web.map[g / 64] |= UINT64_C(1) << (g % 64);
		}
		window(f, 0, 0);
	}
	/* With at most 100 bins per tier there are 64 bins of 128 pages. */
	ctl(f, 0, "-o json heatmap web --bins 100");
	o = json_tokener_parse(f->ctl.out);
	assert_int_equal(num_at(o, "version"), 1);
	assert_int_equal(num_at(o, "heat_max"), 65535);
	assert_int_equal(num_at(o, "windows"), 7);
	assert_int_equal(num_at(o, "vtime_ns"), 7e9);
	assert_int_equal(num_at(o, "window_ms"), 1000);
	assert_int_equal(num_at(o, "pages_per_bin"), 128);
	bins = at(o, "bins");
	assert_int_equal(json_object_array_length(bins), 128);
	for (size_t i = 0; i < json_object_array_length(bins); i++) {
		struct json_object *bin = json_object_array_get_idx(bins, i);
		uint64_t gfn = num_at(bin, "gfn"), last = num_at(bin, "last"), sum = 0;
		unsigned int max = 0, tier = gfn >= PEER_TIER;

		assert_int_equal(gfn, from);
		assert_int_equal(num_at(bin, "pages"), last + 1 - gfn);
		assert_int_equal(num_at(bin, "tier"), tier);
		for (uint64_t g = gfn; g <= last; g++) {
			sum += heat[g];
			max = heat[g] > max ? heat[g] : max;
		}
		assert_int_equal(num_at(bin, "mean"), sum / (last + 1 - gfn));
		assert_int_equal(num_at(bin, "max"), max);
		sums[tier] += sum;
		hottest[tier] = max > hottest[tier] ? max : hottest[tier];
		from = last + 1;
	}
	assert_int_equal(from, PEER_FRAMES);
	for (unsigned int tier = 0; tier < 2; tier++) {
		struct json_object *t = json_object_array_get_idx(at(o, "tiers"), tier);

		assert_int_equal(num_at(t, "pages"), PEER_TIER);
		assert_int_equal(num_at(t, "mean"), sums[tier] / PEER_TIER);
		assert_int_equal(num_at(t, "max"), hottest[tier]);
	}
	json_object_put(o);
	golden_ctl(f, "heatmap", "heatmap", NULL);
	golden_ctl(f, "heatmap-fine", "heatmap -q --bins 70 --scale 20", NULL);
	/* After tracking has ended, the last heat is shown. */
	ctl(f, 0, "policy set name=off");
	golden_ctl(f, "heatmap-off", "heatmap --bins 16", NULL);
}

/* Reads the next line, without its newline. */
static char *next_line(FILE *out, char *line, size_t size)
{
	if (!fgets(line, size, out))
		fail_msg("hmemctl ended");
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Checks the picture with svg-check, whose output is then in f->ctl.out. */
static void svg_check(struct fixture *f, const char *path, size_t columns,
		      const char *const *rows)
{
	char command[8192];
	size_t n;
	FILE *out;
	int len = snprintf(command, sizeof(command), "%.*s/svg-check %s %zu",
			   (int)(strrchr(getenv("GOLDEN"), '/') - getenv("GOLDEN")),
			   getenv("GOLDEN"), path, columns);

	for (; *rows; rows++)
		len += snprintf(command + len, sizeof(command) - len, " '%s'", *rows);
	assert_in_range(len, 0, sizeof(command) - 1);
	out = popen(command, "r");
	assert_non_null(out);
	n = fread(f->ctl.out, 1, sizeof(f->ctl.out) - 1, out);
	f->ctl.out[n] = '\0';
	assert_int_equal(pclose(out), 0);
}

/* The columns of a row of the map, without the time and the borders. */
static void digits_of(const char *line, char *digits)
{
	for (line += 11; *line; line++) {
		if (*line != '|')
			*digits++ = *line;
	}
	*digits = '\0';
}

static void map_and_picture(void **state)
{
	struct fixture *f = *state;
	char text[8192] = "", line[256], rows[8][80], command[128], svg[64];
	const char *picture[8] = { NULL };
	struct json_object *o;
	struct peer odd = { 0 };
	struct stream map;

	snprintf(svg, sizeof(svg), "%s/map.svg", f->d.dir);
	snprintf(command, sizeof(command), "heatmap --time 4 --svg %s", svg);
	observe(f, "");
	for (unsigned int i = 0; i < 9; i++)
		window(f, 4096, 1024);
	map = stream_start(f, command);
	/* hmemctl now waits for windows. */
	do {
		next_line(map.out, line, sizeof(line));
		strcat(strcat(text, line), "\n");
	} while (!strstr(line, "time s"));
	for (unsigned int i = 0; i < 4; i++) {
		/* The hot set moves up, and over the border of the tiers. */
		window(f, PEER_TIER - 2048 + i * 1024, 1024);
		next_line(map.out, line, sizeof(line));
		strcat(strcat(text, line), "\n");
		digits_of(line, rows[i]);
		picture[i] = rows[i];
	}
	assert_null(fgets(line, sizeof(line), map.out));
	stream_end(&map, 0);
	golden_check("heatmap-time", text);
	svg_check(f, svg, strlen(rows[0]), picture);
	assert_non_null(strstr(f->ctl.out, "1 borders\nVM web: policy observe"));
	assert_non_null(strstr(f->ctl.out, "tier 0 dram\ntier 1 nvm\n"));
	assert_non_null(strstr(f->ctl.out, "\n32 MiB\n"));
	assert_non_null(strstr(f->ctl.out, "4.000\n"));
	/* JSON output has a line per window; it ends when ranges of memory go. */
	map = stream_start(f, "-o json heatmap --time 1000 --bins 8");
	do {
		/* hmemctl may not have begun to look. */
		struct pollfd pfd = { .fd = fileno(map.out), .events = POLLIN };

		window(f, 0, 1);
		if (poll(&pfd, 1, 20) == 1)
			break;
	} while (1);
	o = next_json(map.out);
	assert_int_equal(json_object_array_length(at(o, "bins")), 8);
	json_object_put(o);
	peer_send(&f->web, HMEM_LINK_RANGES, &(struct hmem_link_range[]) {
		{ .gfn = 0, .num = 100, .tier = 0 },
		{ .gfn = PEER_TIER, .num = 50, .tier = 1 },
	}, 2 * sizeof(struct hmem_link_range));
	window(f, 0, 1);
	while (fgets(line, sizeof(line), map.out))
		;
	stream_end(&map, 3);
	/*
	 * A VM's name with characters that XML must escape; a map of one row; an unwritable
	 * file.
	 */
	peer_handshake(&odd, f->d.vm_socket, "<&\"'>");
	ctl(f, 0, "policy <&\"'> set name=observe");
	peer_send_tick(&odd, 1);
	peer_expect(&odd, &(struct peer_msg) { 0 }, HMEM_LINK_TICK_DONE);
	snprintf(command, sizeof(command), "heatmap <&\"'> --bins 4 --svg %s", svg);
	ctl(f, 0, command);
	svg_check(f, svg, 8, (const char *[]) { "00000000", NULL });
	assert_non_null(strstr(f->ctl.out, "VM <&\"'>: policy observe"));
	ctl(f, 1, "heatmap web --svg /nonexistent/x.svg");
	assert_non_null(strstr(f->ctl.err, "/nonexistent/x.svg"));
	unlink(svg);
	peer_close(&odd);
}

/* After an interrupt the picture has the windows so far; if tracking stops, hmemctl fails. */
static void map_ends_early(void **state)
{
	struct fixture *f = *state;
	char line[256], command[128], svg[64], row[80];
	struct stream map;

	snprintf(svg, sizeof(svg), "%s/map.svg", f->d.dir);
	snprintf(command, sizeof(command), "heatmap --time 1000 --svg %s", svg);
	observe(f, "");
	map = stream_start(f, command);
	while (!strstr(next_line(map.out, line, sizeof(line)), "time s"))
		;
	window(f, 0, PEER_TIER);
	digits_of(next_line(map.out, line, sizeof(line)), row);
	kill(map.pid, SIGINT);
	/* This window may or may not become a row. */
	window(f, 0, PEER_TIER);
	line[0] = command[0] = '\0';
	if (fgets(line, sizeof(line), map.out)) {
		line[strcspn(line, "\n")] = '\0';
		digits_of(line, command);
		assert_null(fgets(line, sizeof(line), map.out));
	}
	stream_end(&map, 0);
	svg_check(f, svg, strlen(row), (const char *[]) {
		row, command[0] ? command : NULL, NULL,
	});
	unlink(svg);

	map = stream_start(f, "heatmap --time 1000");
	while (!strstr(next_line(map.out, line, sizeof(line)), "time s"))
		;
	/* hmemctl may or may not wait for a window now. */
	ctl_run(&(struct ctl) { 0 }, &f->d, NULL, "policy set name=off");
	assert_null(fgets(line, sizeof(line), map.out));
	stream_end(&map, 1);
}

/* --- heat over the control socket --- */

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

#define BIG_FRAMES	(UINT64_C(1) << 26)	/* 256 GiB: 64 slices */

/* Connects a VM with a large table in which no page is used. */
static void big_handshake(struct peer *p, struct fixture *f)
{
	struct hmem_link_hello hello;
	struct peer_msg msg;
	int fd;

	peer_connect(p, f->d.vm_socket);
	peer_fill_hello(&hello, "big");
	hello.map_bytes = BIG_FRAMES / 8;
	fd = peer_memfd(HMEM_LINK_MAPS * hello.map_bytes, F_SEAL_SHRINK);
	peer_send_hello(p, &hello, &fd, 1);
	close(fd);
	peer_send(p, HMEM_LINK_RANGES, &(struct hmem_link_range[]) {
		{ .gfn = 0, .num = BIG_FRAMES / 4, .tier = 0 },
		{ .gfn = BIG_FRAMES / 4, .num = BIG_FRAMES * 3 / 4, .tier = 1 },
	}, 2 * sizeof(struct hmem_link_range));
	peer_send_state(p, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_expect(p, &msg, HMEM_LINK_WELCOME);
}

/*
 * hmemd serves other clients during a pass over a large VM, and frees what belongs to clients
 * and VMs that disconnect during the pass.
 */
static void heat_holds_nobody_up(void **state)
{
	struct fixture *f = *state;
	static const char look[] = "{\"verb\":\"heat\",\"vm\":\"big\","
				   "\"bins\":16}\n";
	int fd = peer_socket(f->d.control_socket), other = peer_socket(f->d.control_socket);
	struct json_object *o;
	struct peer big = { 0 };
	FILE *in = fdopen(dup(fd), "r"), *in_other = fdopen(dup(other), "r");
	char line[256];

	big_handshake(&big, f);
	/* A second request on the same connection is refused, and the first one goes on. */
	say(fd, look);
	say(fd, look);
	o = next_json(in);
	assert_string_equal(json_object_get_string(at(o, "error.code")), "busy");
	json_object_put(o);
	/* The pass is still under way when hmemd answers the other client. */
	say(other, "{\"verb\":\"info\"}\n");
	json_object_put(next_json(in_other));
	o = next_json(in);
	assert_int_equal(json_object_array_length(at(o, "bins")), 16);
	assert_int_equal(num_at(o, "pages_per_bin"), BIG_FRAMES / 16);
	assert_int_equal(num_at(o, "tiers.0.pages"), BIG_FRAMES / 4);
	assert_int_equal(num_at(o, "tiers.1.pages"), BIG_FRAMES * 3 / 4);
	json_object_put(o);
	/* Requests can follow each other.  Then the client disconnects during a pass. */
	for (unsigned int i = 0; i < 4; i++) {
		say(fd, look);
		json_object_put(next_json(in));
	}
	say(fd, look);
	fclose(in);
	close(fd);
	/* During a pass the VM's ranges change; later the VM disconnects. */
	say(other, look);
	peer_send(&big, HMEM_LINK_RANGES, &(struct hmem_link_range[]) {
		{ .gfn = 64, .num = 64, .tier = 1 },
	}, sizeof(struct hmem_link_range));
	o = next_json(in_other);
	assert_true(num_at(o, "tiers.1.pages") == 64 ||
		    num_at(o, "tiers.1.pages") == BIG_FRAMES * 3 / 4);
	json_object_put(o);
	ctl(f, 0, "policy big set name=observe");
	say(other, "{\"verb\":\"heat\",\"vm\":\"big\",\"after\":77}\n");
	ctl(f, 0, "list");
	peer_close(&big);
	next_line(in_other, line, sizeof(line));
	assert_non_null(strstr(line, "disconnected"));
	fclose(in_other);
	close(other);
}

/* --- on a terminal --- */

struct tty {
	int fd;
	pid_t pid;
	struct termios before;
	size_t len;
	char seen[1 << 18];
};

static void tty_size(struct tty *t, unsigned int cols, unsigned int lines)
{
	struct winsize ws = { .ws_col = cols, .ws_row = lines };

	assert_return_code(ioctl(t->fd, TIOCSWINSZ, &ws), errno);
}

static void tty_start(struct tty *t, struct fixture *f, const char *no_color,
		      const char *const *args)
{
	const char *argv[16] = { getenv("HMEMCTL"), "-s", f->d.control_socket };

	for (unsigned int n = 3; *args; args++)
		argv[n++] = *args;
	t->len = 0;
	t->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_return_code(t->fd, errno);
	assert_return_code(grantpt(t->fd), errno);
	assert_return_code(unlockpt(t->fd), errno);
	tty_size(t, 40, 12);
	assert_return_code(tcgetattr(t->fd, &t->before), errno);
	t->pid = fork();
	assert_return_code(t->pid, errno);
	if (!t->pid) {
		int fd;

		setsid();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = open(ptsname(t->fd), O_RDWR);
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		setenv("TERM", "xterm", 1);
		setenv("NO_COLOR", no_color, 1);
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
}

/* Reads the terminal until @text appears after the text of the last call. */
static void tty_expect(struct tty *t, const char *text)
{
	t->len = 0;
	t->seen[0] = '\0';
	while (!strstr(t->seen, text)) {
		struct pollfd pfd = { .fd = t->fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, PATIENCE_MS) != 1)
			fail_msg("'%s' does not appear:\n%s", text, t->seen);
		assert_in_range(t->len, 0, sizeof(t->seen) - 2);
		n = read(t->fd, t->seen + t->len, sizeof(t->seen) - 1 - t->len);
		if (n <= 0)
			fail_msg("ended before '%s' appeared:\n%s", text, t->seen);
		t->len += n;
		t->seen[t->len] = '\0';
	}
}

/* Checks that no line is longer than @cols, and no screen higher than @lines. */
static void tty_fits(struct tty *t, unsigned int cols, unsigned int lines)
{
	unsigned int x = 0, y = 1;

	for (const char *p = t->seen; *p; p++) {
		if (*p == '\033') {
			/* This sequence puts the cursor at the start. */
			if (!strncmp(p, "\033[H", 3))
				x = 0, y = 1;
			p += strcspn(p + 2, "hlmHJK") + 2;
		} else if (*p == '\n') {
			x = 0;
			y++;
		} else if (*p >= ' ') {
			x++;
		}
		assert_in_range(x, 0, cols);
		assert_in_range(y, 1, lines);
	}
}

/* Checks that hmemctl ends with @status, and has restored the terminal. */
static void tty_end(struct tty *t, int status)
{
	struct termios after;

	tty_expect(t, "\033[?25h\033[?1049l");
	assert_int_equal(process_wait(t->pid), status);
	assert_return_code(tcgetattr(t->fd, &after), errno);
	assert_int_equal(after.c_lflag, t->before.c_lflag);
	close(t->fd);
}

static void top_live(void **state)
{
	struct fixture *f = *state;
	struct tty *t = test_malloc(sizeof(*t));
	struct termios now;

	tty_start(t, f, "", (const char *[]) { "top", "web", "-i", "0.2", NULL });
	/* The first screen has no rates, and the next one has. */
	tty_expect(t, "refused          - pages/s\033[K");
	assert_non_null(strstr(t->seen, "\033[?1049h"));
	assert_non_null(strstr(t->seen, "\033[1m"));
	tty_expect(t, "refused          0 pages/s\033[K");
	/* Lines longer than 40 columns are cut, not wrapped. */
	tty_fits(t, 40, 12);
	tcgetattr(t->fd, &now);
	assert_false(now.c_lflag & (ICANON | ECHO));
	/* top adapts to a new size of the terminal at once. */
	tty_size(t, 80, 4);
	tty_expect(t, "the busiest first; q quits");
	tty_expect(t, "\033[H");
	tty_expect(t, "tier 0");
	tty_fits(t, 80, 4);
	assert_return_code(write(t->fd, "x", 1), errno);
	assert_return_code(write(t->fd, "q", 1), errno);
	tty_end(t, 0);
	/* Ctrl-C ends top.  NO_COLOR switches colors off. */
	tty_start(t, f, "1", (const char *[]) { "top", "web", NULL });
	tty_expect(t, "refused");
	assert_null(strstr(t->seen, "\033[1m"));
	assert_null(strstr(t->seen, "\033[7m"));
	assert_return_code(write(t->fd, "\003", 1), errno);
	tty_end(t, 0);
	/* A signal ends top. */
	tty_start(t, f, "1", (const char *[]) { "top", "web", NULL });
	tty_expect(t, "refused");
	kill(t->pid, SIGTERM);
	tty_end(t, 128 + SIGTERM);
	/* top ends after -n screens.  With -b, it leaves the terminal alone. */
	tty_start(t, f, "", (const char *[]) { "top", "-n", "1", "-i", "0.1", NULL });
	tty_end(t, 0);
	tty_start(t, f, "1", (const char *[]) { "top", "web", "-b", "-n", "1", "-i", "0.1",
						NULL });
	tty_expect(t, "refused");
	tty_fits(t, 40, 100);
	assert_null(strchr(t->seen, '\033'));
	waitpid(t->pid, NULL, 0);
	close(t->fd);
	/* If hmemd dies, top restores the screen before it says so. */
	tty_start(t, f, "1", (const char *[]) { "top", "web", "-i", "0.1", NULL });
	tty_expect(t, "refused");
	daemon_kill(&f->d);
	tty_expect(t, "see its log");
	assert_non_null(strstr(t->seen, "\033[?1049l"));
	assert_true(strstr(t->seen, "\033[?1049l") < strstr(t->seen, "see its log"));
	waitpid(t->pid, NULL, 0);
	close(t->fd);
	daemon_restart(&f->d, NULL);
	test_free(t);
}

/*
 * With more VMs than lines, a line for each VM: the user marks one, which stays on the screen,
 * shows this one in detail, and changes the order.
 */
static void top_list(void **state)
{
	enum { NUM = 30 };
	struct fixture *f = *state;
	struct tty *t = test_malloc(sizeof(*t));
	struct peer vms[NUM] = { 0 };
	const char *screen;
	char name[32];

	for (unsigned int i = 0; i < NUM; i++) {
		snprintf(name, sizeof(name), "vm%02u", i);
		peer_handshake(&vms[i], f->d.vm_socket, name);
	}
	tty_start(t, f, "1", (const char *[]) { "top", "-i", "3600", NULL });
	tty_size(t, 80, 12);
	/* Ten lines of VMs below the title. */
	tty_expect(t, " vm09 ");
	assert_non_null(strstr(t->seen, ">vm00 "));
	tty_fits(t, 80, 12);
	assert_return_code(write(t->fd, "\033[B", 3), errno);
	tty_expect(t, ">vm01 ");
	assert_return_code(write(t->fd, "\033[6~\033[B", 7), errno);
	tty_expect(t, ">vm12 ");
	tty_fits(t, 80, 12);
	assert_return_code(write(t->fd, "\033[5~", 4), errno);
	tty_expect(t, ">vm02 ");
	assert_return_code(write(t->fd, "\n", 1), errno);
	tty_expect(t, "refused");
	screen = strstr(t->seen, "Enter goes back");
	assert_non_null(screen);
	assert_non_null(strstr(screen, "vm02 "));
	assert_null(strstr(screen, "vm03 "));
	assert_return_code(write(t->fd, "\033", 1), errno);
	tty_expect(t, ">vm02 ");
	/* The marked VM stays marked. */
	assert_return_code(write(t->fd, "n", 1), errno);
	tty_expect(t, ">vm02 ");
	assert_non_null(strstr(t->seen, "by name"));
	assert_return_code(write(t->fd, "m", 1), errno);
	tty_expect(t, "by memory of tier 0");
	assert_return_code(write(t->fd, "h", 1), errno);
	tty_expect(t, "by hot memory in slow tiers");
	/* Beyond the last one, the last one. */
	for (unsigned int i = 0; i < 5; i++)
		assert_return_code(write(t->fd, "\033[6~", 4), errno);
	tty_expect(t, ">web ");
	tty_fits(t, 80, 12);
	assert_return_code(write(t->fd, "q", 1), errno);
	tty_end(t, 0);
	for (unsigned int i = 0; i < NUM; i++)
		peer_close(&vms[i]);
	test_free(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, \
							   fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(usage),
		TEST(top_golden),
		TEST(top_rates),
		TEST(heat_is_the_pattern),
		TEST(map_and_picture),
		TEST(map_ends_early),
		TEST(heat_holds_nobody_up),
		TEST(top_live),
		TEST(top_list),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
