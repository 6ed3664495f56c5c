/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemctl top, with the real hmemd and devices that are ours. */
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
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <json-c/json.h>

#include "run.h"

#define PATIENCE_MS	60000

struct fixture {
	struct daemon d;
	struct peer web;
	struct ctl ctl;
	/* Windows of web so far. */
	uint64_t seq;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	daemon_start(&f->d, NULL);
	peer_handshake(&f->web, f->d.vm_socket, "web");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	peer_close(&f->web);
	daemon_stop(&f->d);
	free(f);
	return 0;
}

static void ctl(struct fixture *f, int status, const char *line)
{
	struct peer *peers[] = { strstr(line, "--wait") ? &f->web : NULL, NULL };

	ctl_run(&f->ctl, &f->d, peers, line);
	if (f->ctl.status != status)
		fail_msg("hmemctl %s: status %d, not %d\n%s%s", line, f->ctl.status,
			 status, f->ctl.out, f->ctl.err);
}

static void observe(struct fixture *f, const char *tunables)
{
	struct peer_msg msg;
	char line[128];

	snprintf(line, sizeof(line), "policy web set name=observe %s", tunables);
	ctl(f, 0, line);
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	f->seq = 0;
}

/* A window of web, in which the @num frames from @gfn on were written. */
static void window(struct fixture *f, uint64_t gfn, uint64_t num)
{
	struct peer_msg msg;

	for (; num; num--, gfn++)
		f->web.map[gfn / 64] |= UINT64_C(1) << (gfn % 64);
	peer_send_tick(&f->web, ++f->seq);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
}

/* A line that hmemctl prints, parsed; NULL when it ends. */
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
	char copy[128], *save;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *k = strtok_r(copy, ".", &save); k && o;
	     k = strtok_r(NULL, ".", &save)) {
		if (json_object_is_type(o, json_type_array))
			o = json_object_array_get_idx(o, atoi(k));
		else if (!json_object_object_get_ex(o, k, &o))
			fail_msg("there is no '%s' in it", path);
	}
	return o;
}

static double num_at(struct json_object *o, const char *path)
{
	return json_object_get_double(at(o, path));
}

static void usage(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *line, *says;
	} cases[] = {
		{ 2, "top -n 0", "--count" },
		{ 2, "top -n x", "--count" },
		{ 2, "top -i 0", "--interval" },
		{ 2, "top -i nan", "--interval" },
		{ 2, "top -i 1x", "--interval" },
		{ 1, "top web nobody", "no VM 'nobody'" },
		{ 1, "top -d nobody", "no VM 'nobody'" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ctl(f, cases[i].status, cases[i].line);
		if (!strstr(f->ctl.err, cases[i].says) || f->ctl.out_len)
			fail_msg("hmemctl %s does not say '%s' but:\n%s%s",
				 cases[i].line, cases[i].says, f->ctl.err, f->ctl.out);
	}
}

static void top_golden(void **state)
{
	struct fixture *f = *state;
	struct peer db = { 0 };
	char line[256];
	FILE *out;
	int fds[2];
	pid_t pid;

	ctl(f, 0, "top -n 1 -i 0.1");
	golden_check("top", f->ctl.out);
	observe(f, "");
	for (unsigned int i = 0; i < 5; i++)
		window(f, PEER_TIER - 100, 200);
	db.trackers = HMEM_LINK_TRACKER_SIM;
	peer_handshake(&db, f->d.vm_socket, "db");
	ctl(f, 0, "top -n 2 -i 0.1");
	golden_check("top-two", f->ctl.out);
	ctl(f, 0, "top web -n 1 -i 0.1 -q --raw");
	golden_check("top-quiet", f->ctl.out);
	/* One of those that are shown may go; the others are none of ours. */
	pid = ctl_start(&f->ctl, &f->d, "top db -i 0.1", fds);
	out = fdopen(fds[0], "r");
	while (fgets(line, sizeof(line), out) && !strstr(line, "refused"))
		;
	peer_close(&db);
	while (fgets(line, sizeof(line), out) && !strstr(line, "none of these VMs"))
		;
	assert_non_null(strstr(line, "none of these VMs"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fclose(out);
	close(fds[1]);
	peer_close(&f->web);
	while (ctl(f, 0, "list -q"), f->ctl.out_len)
		;
	ctl(f, 0, "top -n 1 -i 0.1");
	golden_check("top-none", f->ctl.out);
}

/* Every third page is locked. */
static unsigned int some_locked(struct peer *p, const struct virtio_hmem_hint *hint)
{
	(void)p;
	return le64toh(hint->gfn) % 3 ? VIRTIO_HMEM_R_MOVED : VIRTIO_HMEM_R_LOCKED;
}

/* Rates times the time between samples: all that moved, nothing twice. */
static void top_rates(void **state)
{
	struct fixture *f = *state;
	double moved = 0, mib = 0, locked = 0, refused = 0;
	struct peer idle = { 0 };
	struct json_object *o;
	FILE *out;
	int fds[2];
	pid_t pid;

	peer_handshake(&idle, f->d.vm_socket, "idle");
	pid = ctl_start(&f->ctl, &f->d, "top -o json -i 0.1", fds);
	out = fdopen(fds[0], "r");
	/* The first is made of two: whatever moves from now on is in others. */
	o = next_json(out);
	assert_int_equal(num_at(o, "version"), 1);
	assert_string_equal(json_object_get_string(at(o, "vms.0.name")), "idle");
	assert_true(num_at(o, "vms.1.demoted_per_s") == 0);
	json_object_put(o);
	f->web.reason = some_locked;
	ctl_run(&(struct ctl) { 0 }, &f->d, (struct peer *[]) { &f->web, NULL },
		"migrate web --gfn 0-2999 --to 1 --wait --retries 0");
	while (round(moved) < 2000 || round(locked) < 1000) {
		double s;

		o = next_json(out);
		assert_non_null(o);
		s = num_at(o, "interval_ms") / 1000;
		assert_true(s > 0);
		/* The busiest is the first. */
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
	/* The time that windows took, and a reset between two samples. */
	observe(f, "");
	do {
		window(f, 0, 10);
		o = next_json(out);
		moved = num_at(o, "vms.1.daemon_us_per_window");
		json_object_put(o);
	} while (!moved);
	assert_true(moved > 0);
	ctl(f, 0, "stats web --reset");
	do
		o = next_json(out);
	while (at(o, "vms.1.demoted_per_s") && json_object_put(o));
	assert_null(at(o, "vms.1.refused"));
	json_object_put(o);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fclose(out);
	close(fds[1]);
	peer_close(&idle);
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

/* Read on until @text appears in what has come since the last call. */
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

/* No line takes more than @cols, no screen more than @lines. */
static void tty_fits(struct tty *t, unsigned int cols, unsigned int lines)
{
	unsigned int x = 0, y = 1;

	for (const char *p = t->seen; *p; p++) {
		if (*p == '\033') {
			/* Cursor to the start. */
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

/* It ends with @status, and leaves the terminal as it was. */
static void tty_end(struct tty *t, int status)
{
	struct termios after;
	int st;

	tty_expect(t, "\033[?25h\033[?1049l");
	assert_int_equal(waitpid(t->pid, &st, 0), t->pid);
	assert_int_equal(WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st), status);
	assert_return_code(tcgetattr(t->fd, &after), errno);
	assert_int_equal(after.c_lflag, t->before.c_lflag);
	close(t->fd);
}

static void top_live(void **state)
{
	struct fixture *f = *state;
	struct tty *t = test_malloc(sizeof(*t));
	struct termios now;

	tty_start(t, f, "", (const char *[]) { "top", "-i", "0.2", NULL });
	/* Nothing is known of rates at first, then it is. */
	tty_expect(t, "refused          - pages/s\033[K");
	assert_non_null(strstr(t->seen, "\033[?1049h"));
	assert_non_null(strstr(t->seen, "\033[1m"));
	tty_expect(t, "refused          0 pages/s\033[K");
	/* Forty columns: cut, not wrapped; all VMs have what follows. */
	tty_fits(t, 40, 12);
	tcgetattr(t->fd, &now);
	assert_false(now.c_lflag & (ICANON | ECHO));
	/* Another size is followed at once. */
	tty_size(t, 80, 4);
	tty_expect(t, "the busiest first; q quits");
	tty_expect(t, "\033[H");
	tty_expect(t, "tier 0");
	tty_fits(t, 80, 4);
	assert_return_code(write(t->fd, "x", 1), errno);
	assert_return_code(write(t->fd, "q", 1), errno);
	tty_end(t, 0);
	/* Ctrl-C; no color. */
	tty_start(t, f, "1", (const char *[]) { "top", NULL });
	tty_expect(t, "refused");
	assert_null(strstr(t->seen, "\033[1m"));
	assert_null(strstr(t->seen, "\033[7m"));
	assert_return_code(write(t->fd, "\003", 1), errno);
	tty_end(t, 0);
	/* Killed. */
	tty_start(t, f, "1", (const char *[]) { "top", NULL });
	tty_expect(t, "refused");
	kill(t->pid, SIGTERM);
	tty_end(t, 128 + SIGTERM);
	/* So many times; in batches, the terminal is left alone. */
	tty_start(t, f, "", (const char *[]) { "top", "-n", "1", "-i", "0.1", NULL });
	tty_end(t, 0);
	tty_start(t, f, "1", (const char *[]) { "top", "-b", "-n", "1", "-i", "0.1",
						NULL });
	tty_expect(t, "refused");
	tty_fits(t, 40, 100);
	assert_null(strchr(t->seen, '\033'));
	waitpid(t->pid, NULL, 0);
	close(t->fd);
	/* hmemd goes: said when the screen is the old one again. */
	tty_start(t, f, "1", (const char *[]) { "top", "-i", "0.1", NULL });
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(usage),
		TEST(top_golden),
		TEST(top_rates),
		TEST(top_live),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
