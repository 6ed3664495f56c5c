/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hmemd remembers: the last events, and what has moved in a VM. */
#include "unit.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

/* As in hmemd: how many events and entries are kept. */
#define EVENTS		512
#define HISTORY		128
#define FROM_ONE_VM	20
#define FROM_ONE_USER	128

/* The lines of the last `hmemctl -o json events`. */
static struct json_object *list[EVENTS + 2];
static size_t num;

static void forget(void)
{
	while (num)
		json_object_put(list[--num]);
}

static void events(struct fixture *f, const char *vm)
{
	char line[128], *save;

	forget();
	snprintf(line, sizeof(line), "-o json events %s", vm);
	ctl(f, 0, line);
	for (char *l = strtok_r(f->ctl.out, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_in_range(num, 0, EVENTS + 1);
		list[num] = json_tokener_parse(l);
		assert_non_null(list[num++]);
	}
}

static const char *text_at(struct json_object *o, const char *key)
{
	struct json_object *at;

	return json_at(o, key, &at) && at ? json_object_get_string(at) : "";
}

/* The only event of this kind that is about @vm and has @text in its text. */
static struct json_object *find(const char *what, const char *vm, const char *text)
{
	struct json_object *found = NULL;

	for (size_t i = 0; i < num; i++) {
		if (strcmp(text_at(list[i], "event"), what) ||
		    strcmp(text_at(list[i], "vm"), vm) || !strstr(text_at(list[i], "text"), text))
			continue;
		if (found)
			fail_msg("there are two of %s %s '%s'", what, vm, text);
		found = list[i];
	}
	if (!found)
		fail_msg("there is no %s %s '%s', but %s", what, vm, text,
			 num ? json_object_to_json_string(list[num - 1]) : "nothing");
	return found;
}

/* Wait until there is such an event, because the peer's messages take a moment. */
static void await(struct fixture *f, const char *what)
{
	for (unsigned int i = 0; i < 1000; i++) {
		events(f, "");
		for (size_t j = 0; j < num; j++) {
			if (!strcmp(text_at(list[j], "event"), what))
				return;
		}
		usleep(10000);
	}
	fail_msg("there is no %s", what);
}

static void write_config(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->d.config, "w");

	fputs(text, file);
	fclose(file);
}

/* Everything that an operator asks about is an event, with the client who did it. */
static void tell_what_happened(void **state)
{
	struct fixture *f = *state;
	struct peer rude = { 0 };
	struct peer_msg msg;
	int64_t last = 0;

	ctl(f, 0, "policy web set name=observe window=2000");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	ctl(f, 0, "pool web weight=3");
	ctl(f, 0, "policy web reset");
	write_config(f, "[daemon]\nmax-vms = none\n");
	ctl(f, 2, "reload");
	write_config(f, "[vm web]\nrate = 5\n");
	ctl(f, 0, "reload");
	write_config(f, "");
	kill(f->d.pid, SIGHUP);
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING |
			HMEM_LINK_SCAN_LATE);
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING |
			HMEM_LINK_MIGRATING);
	peer_send_state(&f->web, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
	await(f, "broken");
	peer_handshake(&rude, f->d.vm_socket, "rude");
	peer_send_tick(&rude, 0);
	peer_send_raw(&rude, "no message of the link", 23);
	peer_expect_drop(&rude);
	peer_close(&rude);
	peer_close(&f->web);
	await(f, "disconnected");
	find("started", "", "ready");
	find("connected", "web", "device 'hmem0'");
	assert_int_equal(json_num_at(find("policy", "web", "observe, window 2000"), "by.uid"),
			 getuid());
	assert_true(json_num_at(find("policy", "web", "observe, window 2000"), "by.pid") > 1);
	assert_true(json_num_at(find("job", "web", "10 pages to tier 1"), "by.pid") > 1);
	assert_int_equal(json_num_at(find("job-ended", "web", "10 of 10 pages answered"), "by.pid"),
			 -1);
	assert_true(json_num_at(find("pool", "web", "weight 3"), "by.pid") > 1);
	assert_true(json_num_at(find("policy", "web", "reset: off, from"), "by.pid") > 1);
	assert_true(json_num_at(find("reload-failed", "", "max-vms"), "by.pid") > 1);
	find("scan-late", "web", "");
	find("scan-in-time", "web", "");
	find("migration", "web", "begins");
	find("migration", "web", "over");
	find("driver-gone", "web", "");
	find("broken", "web", "reset the guest");
	find("connected", "rude", "");
	find("dropped", "rude", "");
	find("disconnected", "web", "");
	for (size_t i = 0; i < num; i++) {
		const char *time = text_at(list[i], "time");

		assert_int_equal(json_num_at(list[i], "id"), ++last);
		assert_int_equal(strlen(time), 24);
		assert_int_equal(time[10], 'T');
	}
	/* Those about one VM, even one that has gone. */
	events(f, "rude");
	assert_in_range(num, 2, 3);
	find("dropped", "rude", "");
	forget();
}

/* A VM that is resized, and one whose driver is late. */
static void tell_sizes_and_delays(void **state)
{
	const char *args[] = { "--late=50", NULL };
	struct fixture *f = fixture_new(args);
	struct hmem_link_state up = {
		.flags = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING,
		.features = UINT64_C(1) << VIRTIO_HMEM_F_RESIZE,
	};
	struct hmem_link_hello hello;
	struct hmem_link_sizes sizes = { .tiers = {
		{ .requested = 16 << 20, .actual = 24 << 20,
		  .why = VIRTIO_HMEM_WHY_NODE_FULL },
		{ .requested = 32 << 20, .actual = 32 << 20 },
	} };
	struct peer_msg msg;
	int fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);

	(void)state;
	peer_connect(&f->web, f->d.vm_socket);
	peer_fill_hello(&hello, "web");
	hello.tiers[0].unit = 4096;
	peer_send_hello(&f->web, &hello, &fd, 1);
	close(fd);
	peer_send_ranges(&f->web);
	peer_send(&f->web, HMEM_LINK_STATE, &up, sizeof(up));
	peer_expect(&f->web, &msg, HMEM_LINK_WELCOME);
	ctl(f, 0, "resize web --tier 0 --size 16M");
	peer_send(&f->web, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
	await(f, "resize-waits");
	find("resize-waits", "web", "tier 0 still has 24 MiB: node-full");
	sizes.tiers[0].actual = 16 << 20;
	sizes.tiers[0].why = 0;
	peer_send(&f->web, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
	await(f, "resized");
	find("resized", "web", "tier 0 has 16 MiB; 16 MiB are given up");
	assert_true(json_num_at(find("resize", "web", "tier 0: 16 MiB requested"), "by.pid") > 1);
	ctl(f, 0, "migrate web --gfn 0 --to 1");
	await(f, "late");
	do
		peer_read(&f->web, &msg);
	while (msg.hdr.type != HMEM_LINK_HINTS);
	peer_answer(&f->web, &msg);
	await(f, "answers");
	forget();
	fixture_end(f);
}

/* --- following --- */

static void follow(void **state)
{
	struct fixture *f = *state;
	struct json_object *o;
	char line[1024];
	int fds[2];
	pid_t pid = ctl_start(&f->other, &f->d, "-o json events web --follow", fds);
	FILE *out = fdopen(fds[0], "r");

	/* The events so far, then new ones, of this VM only. */
	assert_non_null(fgets(line, sizeof(line), out));
	o = json_tokener_parse(line);
	assert_string_equal(text_at(o, "event"), "connected");
	json_object_put(o);
	ctl(f, 0, "reload");
	for (unsigned int i = 0; i < 3; i++) {
		char set[64];

		snprintf(set, sizeof(set), "policy web set rate=%u", 100 + i);
		ctl(f, 0, set);
		assert_non_null(fgets(line, sizeof(line), out));
		o = json_tokener_parse(line);
		snprintf(set, sizeof(set), "policy off, rate %u", 100 + i);
		assert_string_equal(text_at(o, "text"), set);
		json_object_put(o);
	}
	kill(pid, SIGINT);
	assert_int_equal(process_wait(pid), 128 + SIGINT);
	fclose(out);
	close(fds[1]);
}

/* A follower that does not read misses events and is told so; hmemd keeps no more for it. */
static void slow_follower(void **state)
{
	struct fixture *f = *state;
	int slow = peer_socket(f->d.control_socket), busy = peer_socket(f->d.control_socket);
	char set[128];
	int64_t lost = 0, last = 0, id;
	struct json_object *o;

	control_send(slow, "{\"verb\":\"events\",\"follow\":true}");
	/* A second request does not follow twice. */
	json_object_put(control_read(slow));
	for (unsigned int i = 0; i < 20 * EVENTS; i++) {
		snprintf(set, sizeof(set), "{\"verb\":\"policy\",\"set\":{\"rate\":%u}}", 1 + i);
		control_send(busy, set);
		o = control_read(busy);
		assert_int_equal(json_num_at(o, "policy.rate"), 1 + i);
		json_object_put(o);
	}
	do {
		o = control_read(slow);
		id = json_num_at(o, "event.id");
		if (json_num_at(o, "lost") > 0)
			lost += json_num_at(o, "lost");
		else
			assert_int_equal(id, last + (last ? 1 : 2) + lost);
		if (json_num_at(o, "lost") <= 0) {
			last = id;
			lost = 0;
		} else {
			assert_true(lost > 0);
		}
		snprintf(set, sizeof(set), "policy off, rate %u", 20 * EVENTS);
		id = !strcmp(text_at(o, "event.text"), set);
		json_object_put(o);
	} while (!id);
	close(slow);
	close(busy);
}

/* The oldest events are lost; one VM's own changes push out no other's. */
static void bounded(void **state)
{
	struct fixture *f = *state;
	struct peer wild = { 0 };
	int busy = peer_socket(f->d.control_socket);
	unsigned int wilds = 0;

	peer_handshake(&wild, f->d.vm_socket, "wild");
	for (unsigned int i = 0; i < EVENTS; i++) {
		peer_send_state(&wild, HMEM_LINK_VM_RUNNING);
		peer_send_state(&wild, HMEM_LINK_VM_RUNNING | HMEM_LINK_DRIVER_OK);
	}
	events(f, "");
	find("connected", "web", "");
	for (size_t i = 0; i < num; i++)
		wilds += !strcmp(text_at(list[i], "vm"), "wild");
	/* The test can have run in two minutes of the clock. */
	assert_in_range(wilds, 1, 2 * FROM_ONE_VM);
	for (unsigned int i = 0; i < EVENTS; i++) {
		control_send(busy, "{\"verb\":\"policy\",\"vm\":\"web\",\"set\":{\"rate\":7}}");
		json_object_put(control_read(busy));
	}
	events(f, "");
	assert_int_equal(num, EVENTS);
	assert_true(json_num_at(list[0], "id") > 1);
	close(busy);
	peer_close(&wild);
	forget();
}

/* Connects @tries times, as a VM with the name @name, which may contain a %u. */
__attribute__((format(printf, 2, 0)))
static void connect_often(struct fixture *f, const char *name, unsigned int tries)
{
	struct peer wild = { 0 };
	char with_number[32];

	for (unsigned int i = 0; i < tries; i++) {
		snprintf(with_number, sizeof(with_number), name, i);
		peer_handshake(&wild, f->d.vm_socket, with_number);
		peer_close(&wild);
	}
}

static uint64_t minute(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec / 60;
}

static unsigned int events_of(const char *prefix)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < num; i++)
		sum += !strncmp(text_at(list[i], "vm"), prefix, strlen(prefix));
	return sum;
}

/* To connect again, also under other names, is no way to push out the events of others. */
static void bounded_over_connections(void **state)
{
	struct fixture *f = *state;
	uint64_t began;

	/* In one minute of hmemd's clock. */
	do {
		began = minute();
		connect_often(f, "wild", EVENTS / 2 + 1);
		events(f, "");
	} while (minute() != began);
	find("connected", "web", "");
	/* A name can still be taken while the last connection ends: wild-2. */
	assert_in_range(events_of("wild"), 1, 4 * FROM_ONE_VM);
	do {
		began = minute();
		connect_often(f, "other%u", EVENTS / 2 + 1);
		events(f, "");
	} while (minute() != began);
	assert_in_range(events_of("other"), 1, FROM_ONE_USER);
	find("connected", "web", "");
	forget();
}

/* When all VMs of a user connect again, there is room to tell what goes wrong with one of them. */
static void reconnects_leave_room(void **state)
{
	const struct hmem_link_header bad = { .type = 99 };
	struct fixture *f = *state;
	struct peer wrong = { 0 };
	unsigned int rounds = 0;
	char name[16];
	uint64_t began;

	do {
		began = minute();
		connect_often(f, "many%u", 256);
		snprintf(name, sizeof(name), "wrong%u", rounds++);
		peer_handshake(&wrong, f->d.vm_socket, name);
		peer_send_raw(&wrong, &bad, sizeof(bad));
		peer_expect_drop(&wrong);
		events(f, "");
	} while (minute() != began);
	find("dropped", name, "");
	forget();
}

/* Peers that are turned away have a quota, too. */
static void bounded_turned_away(void **state)
{
	const char *args[] = { "--max-user-vms=1", NULL };
	struct fixture *f = fixture_new(args);
	struct peer more = { 0 };
	unsigned int away = 0;
	uint64_t began;

	(void)state;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	do {
		began = minute();
		away = 0;
		for (unsigned int i = 0; i < 3 * FROM_ONE_VM; i++) {
			peer_connect(&more, f->d.vm_socket);
			peer_expect_drop(&more);
			peer_close(&more);
		}
		events(f, "");
		for (size_t i = 0; i < num; i++)
			away += !strcmp(text_at(list[i], "event"), "turned-away");
	} while (minute() != began);
	assert_int_equal(away, FROM_ONE_VM);
	forget();
	fixture_end(f);
}

/* --- history --- */

static unsigned int odd_stay(struct peer *p, const struct virtio_hmem_hint *hint)
{
	(void)p;
	return hint->gfn % 2 ? VIRTIO_HMEM_R_PINNED : VIRTIO_HMEM_R_MOVED;
}

/* Replaces digits of times, which differ from run to run. */
static void mask_times(char *text)
{
	for (char *p = text; *p; p++) {
		if (isdigit(p[0]) && isdigit(p[1]) && (p[2] == ':' || p[-1] == ':' || p[2] == '-' ||
						       (p[-1] == '-' && p[2] == ' ')))
			p[0] = p[1] = '0';
	}
}

static void hide_plans(char *out)
{
	*strstr(out, "policy") = '\0';
	*(strrchr(out, '\n') + 1) = '\0';
	mask_times(out);
}

static void history(void **state)
{
	struct fixture *f = *state;
	struct json_object *o, *all;
	struct peer_msg msg;
	int busy = peer_socket(f->d.control_socket);

	ctl(f, 0, "history web -q");
	assert_int_equal(f->ctl.out_len, 0);
	ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	f->web.reason = odd_stay;
	ctl(f, 3, "migrate web --gfn 8192-8211 --to 0 --wait --retries 0");
	f->web.reason = NULL;
	/* The policy promotes pages that are written. */
	ctl(f, 0, "policy web set name=writes");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	f->web.hints = 0;
	for (f->seq = 1; !f->web.hints; f->seq++) {
		memset((char *)f->web.map + PEER_TIER / 8 + 64, 0xff, 64);
		peer_send_tick(&f->web, f->seq);
		do {
			peer_read(&f->web, &msg);
			if (msg.hdr.type == HMEM_LINK_HINTS)
				peer_answer(&f->web, &msg);
		} while (msg.hdr.type != HMEM_LINK_TICK_DONE);
		f->serve = true;
		ctl(f, 0, "history web");
		f->serve = false;
	}
	ctl(f, 0, "policy web set name=off");
	ctl(f, 0, "-o json history web");
	o = json_tokener_parse(f->ctl.out);
	assert_int_equal(json_num_at(o, "history.0.number"), 1);
	assert_int_equal(json_num_at(o, "history.0.demoted"), 10);
	assert_int_equal(json_num_at(o, "history.1.promoted"), 10);
	assert_int_equal(json_num_at(o, "history.1.stayed"), 10);
	assert_int_equal(json_num_at(o, "history.1.reasons.pinned"), 10);
	assert_string_equal(text_at(o, "history.2.why"), "plan");
	assert_string_equal(text_at(o, "history.2.policy"), "writes");
	assert_true(json_num_at(o, "history.2.promoted") > 0);
	assert_int_equal(json_num_at(o, "history.2.promoted"),
			 json_num_at(o, "history.2.planned_promotions"));
	json_object_put(o);
	close(busy);
	golden_ctl(f, "history", "history web", hide_plans);
	/* The oldest entries are lost. */
	for (unsigned int i = 0; i < HISTORY; i++)
		ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	ctl(f, 0, "-o json history web");
	o = json_tokener_parse(f->ctl.out);
	assert_true(json_at(o, "history", &all));
	assert_int_equal(json_object_array_length(all), HISTORY);
	assert_int_equal(json_num_at(o, "history.127.number"), 2 + HISTORY);
	assert_int_equal(json_num_at(o, "history.0.number"), 3);
	json_object_put(o);
}

/* Leaves the event of the policy only, with numbers of processes and users, and times, hidden. */
static void hide_others(char *out)
{
	static const char *const keys[] = {
		"\"time\":", "\"time_ms\":", "\"pid\":", "\"uid\":", NULL
	};
	char *end;

	end = strstr(out, "connected, device");
	assert_non_null(end);
	end = strstr(end, "policy off, rate 5");
	assert_non_null(end);
	while (end > out && end[-1] != '\n')
		end--;
	memmove(out, end, strlen(end) + 1);
	if (*out == '{') {
		hide_json(out, keys);
		return;
	}
	mask_times(out);
	for (char *p = strstr(out, "(pid "); *p; p++)
		*p = isdigit(*p) ? 'N' : *p;
	for (char *p = out; *p; p++) {
		if (p[0] == 'N' && p[1] == 'N')
			memmove(p, p + 1, strlen(p)), p--;
	}
}

static void for_people(void **state)
{
	struct fixture *f = *state;

	ctl(f, 0, "policy web set name=off rate=5");
	golden_ctl(f, "events", "events", hide_others);
	golden_ctl(f, "events-json", "-o json events", hide_others);
}

static void wrong_usage(void **state)
{
	static const struct usage cases[] = {
		{ 2, "events web db", "only one VM can be named" },
		{ 2, "history web db", "only one VM can be named" },
		{ 1, "history nobody", "no VM 'nobody'" },
		{ 2, "events --folow", "unrecognized option" },
	};
	struct fixture *f = *state;
	int fd = peer_socket(f->d.control_socket);
	struct json_object *o;

	usage_check(f, cases, sizeof(cases) / sizeof(cases[0]));
	control_send(fd, "{\"verb\":\"events\",\"after\":\"x\"}");
	o = control_read(fd);
	assert_string_equal(text_at(o, "error.code"), "usage");
	json_object_put(o);
	/* An id of the future, as after a restart of hmemd, gives all events. */
	control_send(fd, "{\"verb\":\"events\",\"after\":99999}");
	o = control_read(fd);
	assert_int_equal(json_num_at(o, "event.id"), 1);
	json_object_put(o);
	close(fd);
}

int main(void)
{
#define TEST(name)	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(tell_what_happened),
		cmocka_unit_test(tell_sizes_and_delays),
		TEST(follow),
		TEST(slow_follower),
		TEST(bounded),
		TEST(bounded_over_connections),
		TEST(reconnects_leave_room),
		cmocka_unit_test(bounded_turned_away),
		TEST(history),
		TEST(for_people),
		TEST(wrong_usage),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
