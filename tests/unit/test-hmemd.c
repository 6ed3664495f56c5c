/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the real hmemd and hmemctl, with correct devices and with faulty ones. */
#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "lately.h"

/* Like ctl(); returns the parsed output, which the caller releases. */
static struct json_object *ctl_json(struct fixture *f, int status, const char *line)
{
	char with[4096];
	struct json_object *o;

	snprintf(with, sizeof(with), "-o json %s", line);
	ctl(f, status, with);
	o = json_tokener_parse(f->ctl.out);
	assert_non_null(o);
	return o;
}

/* The number at a path of json_at(); -1: null or no such element. */
static int64_t num_at(struct json_object *o, const char *path)
{
	return json_at(o, path, &o) && o ? json_object_get_int64(o) : -1;
}

static int64_t ask(struct fixture *f, const char *line, const char *path)
{
	struct json_object *o = ctl_json(f, 0, line);
	int64_t n = num_at(o, path);

	json_object_put(o);
	return n;
}

static bool out_has(struct fixture *f, const char *text)
{
	return strstr(f->ctl.out, text) || strstr(f->ctl.err, text);
}

/* Check that hmemd is alive, and has served web all the time. */
static void web_is_well(struct fixture *f)
{
	ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	assert_true(out_has(f, "moved"));
}

static void handshake(void **state)
{
	struct fixture *f = *state;
	struct peer slow = { 0 };
	struct hmem_link_hello hello;
	struct peer_msg msg;
	char *byte;

	ctl(f, 0, "list");
	assert_true(out_has(f, "web"));
	/* One byte at a time, and in the other allowed order. */
	peer_connect(&slow, f->d.vm_socket);
	slow.map_fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	peer_fill_hello(&hello, "slow vm\n");
	peer_send_hello(&slow, &hello, &slow.map_fd, 1);
	struct { struct hmem_link_header h; struct hmem_link_state s; } st = {
		{ HMEM_LINK_STATE, sizeof(st.s) }, { .flags = 0 },
	};
	byte = (char *)&st;
	for (size_t i = 0; i < sizeof(st); i++)
		peer_send_raw(&slow, byte + i, 1);
	peer_send_ranges(&slow);
	peer_read(&slow, &msg);
	assert_int_equal(msg.hdr.type, HMEM_LINK_WELCOME);
	/* hmemd makes the name printable. */
	ctl(f, 0, "list");
	assert_true(out_has(f, "slow_vm_"));
	ctl(f, 1, "migrate -d slow_vm_ --all --to 0");
	assert_true(out_has(f, "load virtio_hmem"));
	peer_close(&slow);
	web_is_well(f);
}

/* Odd frames are always locked, others at the first try; frame 0 is pinned. */
static unsigned int some_reason(struct peer *p, const struct virtio_hmem_hint *hint)
{
	uint64_t gfn = le64toh(hint->gfn);

	if (gfn % 100 == 7)
		return VIRTIO_HMEM_R_KERNEL;
	if (gfn % 100 == 8)
		return VIRTIO_HMEM_R_LOCKED;
	if (gfn % 100 == 9 && p->times_hinted[gfn] < 2)
		return VIRTIO_HMEM_R_WRITEBACK;
	if (gfn % 100 == 10)
		return VIRTIO_HMEM_R_STOPPED;
	return VIRTIO_HMEM_R_MOVED;
}

static void migrate(void **state)
{
	struct fixture *f = *state;
	struct json_object *o;
	unsigned int batches;

	f->web.reason = some_reason;
	o = ctl_json(f, 3, "migrate --gpa 0-4000K --to nvm --wait --retries 2");
	assert_int_equal(num_at(o, "version"), 1);
	assert_int_equal(num_at(o, "migrate.pages"), 1000);
	assert_int_equal(num_at(o, "migrate.done"), 1000);
	assert_int_equal(num_at(o, "migrate.reasons.moved"), 970);
	assert_int_equal(num_at(o, "migrate.reasons.kernel"), 10);
	assert_int_equal(num_at(o, "migrate.reasons.locked"), 10);
	assert_int_equal(num_at(o, "migrate.reasons.writeback"), 0);
	assert_int_equal(num_at(o, "migrate.reasons.stopped"), 10);
	json_object_put(o);
	/* Hints: one if refused for good; with retries if busy; one if stopping. */
	assert_int_equal(f->web.times_hinted[7], 1);
	assert_int_equal(f->web.times_hinted[8], 3);
	assert_int_equal(f->web.times_hinted[9], 3);
	assert_int_equal(f->web.times_hinted[10], 1);
	/* Results of each page; the last one counts. */
	o = ctl_json(f, 3, "migrate --gfn 7,11-13,0x5000 --to 1 --wait --results");
	assert_int_equal(num_at(o, "migrate.pages"), 5);
	assert_int_equal(num_at(o, "migrate.reasons.bad-gfn"), 1);
	assert_int_equal(num_at(o, "results.0.gfn"), 7);
	assert_int_equal(num_at(o, "results.1.gfn"), 11);
	assert_int_equal(num_at(o, "results.1.new_gfn"), 11 + PEER_TIER);
	json_object_put(o);
	assert_int_equal(ask(f, "stats", "reasons.moved"), 973);
	assert_int_equal(ask(f, "stats", "counters.demoted"), 973);
	assert_int_equal(ask(f, "stats --reset", "counters.demoted"), 973);
	assert_int_equal(ask(f, "stats", "counters.demoted"), 0);
	/* No hints for pages that are in the tier already, and none for a dry run. */
	batches = f->web.batches;
	assert_int_equal(ask(f, "migrate --gpa 0-16M --to 0 --wait",
			     "migrate.reasons.already"), 4096);
	ctl(f, 0, "migrate --all --to 0 --dry-run");
	assert_true(out_has(f, "8192 pages would need 8192 hints"));
	ctl(f, 0, "migrate --all --to 0 --dry-run --order 9");
	assert_true(out_has(f, "8192 pages would need 16 hints"));
	assert_int_equal(f->web.batches, batches);
	/* All results of large pages, in batches small enough for the client. */
	f->web.reason = NULL;
	batches = f->web.batches;
	o = ctl_json(f, 0, "migrate --all --to 0 --wait --order 9 --results");
	assert_int_equal(num_at(o, "migrate.reasons.moved"), PEER_TIER);
	assert_int_equal(num_at(o, "results.15.order"), 9);
	assert_int_equal(num_at(o, "results.16.order"), -1);
	assert_int_equal(f->web.batches - batches, PEER_TIER / 1024);
	json_object_put(o);
	/* In the background. */
	f->web.reason = NULL;
	ctl(f, 0, "migrate --gfn 0x100 --to 1");
	while (f->web.times_hinted[0x100] < 2)
		peer_serve(&f->web);
	while (ask(f, "stats", "counters.demoted") < 1)
		;
}

static void usage(void **state)
{
	struct fixture *f = *state;
	static const struct usage cases[] = {
		{ 2, "", "which command" },
		{ 2, "fly", "no command 'fly'" },
		{ 2, "list more", "more" },
		{ 2, "--output yaml list", "yaml" },
		{ 2, "--timeout 0 list", "--timeout" },
		{ 2, "migrate", "--to" },
		{ 2, "migrate --to 1", "--all, --gpa" },
		{ 2, "migrate --to 1 --all --gfn 5", "one only of --all" },
		{ 2, "migrate --to 1 --gpa -4K", "'-4K' is not START-END" },
		{ 2, "migrate --to 1 --gpa 4K-", "'4K-' is not START-END" },
		{ 2, "migrate --to 1 --gpa 0x-4K", "--gpa '0x-4K'" },
		{ 2, "migrate --to 1 --gfn -5", "'-5' are not" },
		{ 2, "migrate --to 1 --gpa 5", "START-END" },
		{ 2, "migrate --to 1 --gpa 8K-4K", "ends before" },
		{ 2, "migrate --to 1 --gpa 1-5", "whole pages" },
		{ 2, "migrate --to 1 --gpa 0+x", "size" },
		{ 2, "migrate --to 1 --gpa 0+999999999T", "too large" },
		{ 2, "migrate --to 1 --gpa 128M+4K", "no guest memory" },
		{ 2, "migrate --to 1 --gfn 5-3", "end before" },
		{ 2, "migrate --to 1 --gfn x", "number" },
		{ 2, "migrate --to 1 --gfn 68719476736", "range 0" },
		{ 2, "migrate --to 2 --all", "tiers 0 to 1" },
		{ 2, "migrate --to fast --all", "no tier 'fast'" },
		{ 2, "migrate --to 1 --all --order 19", "--order" },
		{ 2, "migrate --to 1 --all --retries 101", "--retries" },
		{ 2, "migrate --to 1 --all --results", "--wait" },
		{ 1, "migrate --to 1 --gfn-list /nonexistent", "/nonexistent" },
		{ 1, "migrate nobody --to 1 --all", "hmemctl list" },
		{ 1, "status nobody", "nobody" },
		{ 1, "policy fly", "no VM 'fly'" },
		{ 2, "policy web fly", "neither" },
		{ 2, "policy get more", "nothing more" },
		{ 2, "policy set", "KEY=VALUE" },
		{ 2, "policy set rate", "KEY=VALUE" },
		{ 2, "policy set speed=1", "window, rate" },
		{ 2, "policy set rate=0", "from 1 to 65536" },
		{ 2, "policy set rate=100 name=x", "off, observe" },
		{ 1, "--socket /nonexistent list", "start hmemd" },
	};

	usage_check(f, cases, sizeof(cases) / sizeof(cases[0]));
	/* All settings of a command take effect, or none. */
	assert_int_equal(ask(f, "policy get", "policy.rate"), 200);
	ctl(f, 0, "--help");
	ctl(f, 0, "migrate --help");
	ctl(f, 0, "--version");
}

static void serve_until(struct fixture *f, uint32_t type, struct peer_msg *msg)
{
	for (;;) {
		peer_read(&f->web, msg);
		if (msg->hdr.type == type)
			return;
		if (msg->hdr.type == HMEM_LINK_HINTS)
			peer_answer(&f->web, msg);
	}
}

static bool in_hints(const struct peer_msg *msg, uint64_t gfn, unsigned int tier)
{
	const struct virtio_hmem_hint_batch *b = (const void *)msg->payload;

	for (uint32_t i = 0; i < le32toh(b->num_hints); i++) {
		if (le64toh(b->hints[i].gfn) == gfn && b->hints[i].tier == tier)
			return true;
	}
	return false;
}

static void the_loop(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_track *track;
	struct peer_msg msg;
	bool promoted = false;
	uint64_t seq;

	ctl(f, 0, "policy set name=writes window=500 rate=400 hysteresis=30");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	track = (void *)msg.payload;
	assert_int_equal(track->window_ns, 500000000);
	/* One page of the slow tier is written in every window. */
	for (seq = 1; seq <= 6 && !promoted; seq++) {
		f->web.map[(PEER_TIER + 77) / 64] |= UINT64_C(1) << (77 % 64);
		peer_send_tick(&f->web, seq);
		peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
		assert_int_equal(((struct hmem_link_tick_done *)msg.payload)->seq, seq);
		assert_int_equal(f->web.map[(PEER_TIER + 77) / 64], 0);
		/* Two writes justify a move, one does not. */
		if (seq >= 2) {
			peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
			promoted = in_hints(&msg, PEER_TIER + 77, 0);
			assert_true(promoted);
			peer_answer(&f->web, &msg);
		}
	}
	while (ask(f, "stats", "counters.promoted") < 1)
		;
	assert_int_equal(ask(f, "stats", "counters.demoted"), 1);
	assert_int_equal(ask(f, "stats", "counters.ticks"), 2);
	/*
	 * The page is hot at its new place, and no other page is: its heat moved along.
	 * Copying it in the first of these windows made it no hotter.
	 */
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(ask(f, "status", "vms.0.tiers.0.hot"), 0);
		f->web.map[77 / 64] |= UINT64_C(1) << (77 % 64);
		peer_send_tick(&f->web, seq++);
		peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	}
	assert_int_equal(ask(f, "status", "vms.0.tiers.0.hot"), 1);
	assert_int_equal(ask(f, "status", "vms.0.tiers.0.warm"), 0);
	assert_int_equal(ask(f, "status", "vms.0.tiers.1.cold"), PEER_TIER);
	/* Policy off: tracking stops, and a late tick is no fault. */
	ctl(f, 0, "policy set name=off");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	assert_int_equal(((struct hmem_link_track *)msg.payload)->window_ns, 0);
	peer_send_tick(&f->web, seq);
	web_is_well(f);
}

static const struct hmem_link_track *expect_track(struct peer *p,
						  struct peer_msg *msg)
{
	peer_expect(p, msg, HMEM_LINK_TRACK);
	return (const void *)msg->payload;
}

/* A VM with the simulator, whose time can stand still. */
static void lockstep_handshake(struct peer *p, struct fixture *f, const char *name)
{
	p->trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM;
	p->track_flags = HMEM_LINK_TRACK_LOCKSTEP;
	peer_handshake(p, f->d.vm_socket, name);
}

static void set_bit(uint64_t *map, uint64_t gfn)
{
	map[gfn / 64] |= UINT64_C(1) << (gfn % 64);
}

static void send_driver(struct peer *p, bool access, uint32_t more)
{
	struct hmem_link_state s = {
		.flags = HMEM_LINK_VM_RUNNING | HMEM_LINK_DRIVER_OK | more,
		.features = (uint64_t)access << VIRTIO_HMEM_F_ACCESS,
	};

	peer_send(p, HMEM_LINK_STATE, &s, sizeof(s));
}

/* The guest's driver as a tracker: it comes and goes. */
static void guest_tracker(void **state)
{
	struct fixture *f = *state;
	struct peer p = { 0 };
	struct peer_msg msg;

	p.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_GPT;
	/* A driver at work that cannot scan. */
	peer_handshake(&p, f->d.vm_socket, "gpt");
	ctl(f, 0, "policy gpt set name=observe");
	assert_int_equal(expect_track(&p, &msg)->tracker, HMEM_LINK_TRACKER_DIRTY);
	ctl(f, 77, "policy gpt set track=gpt");
	assert_true(out_has(f, "offers dirty"));
	assert_true(out_has(f, "load a driver"));
	/* Another driver can scan. */
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, true, 0);
	assert_int_equal(expect_track(&p, &msg)->tracker, HMEM_LINK_TRACKER_GPT);
	ctl(f, 0, "status gpt");
	assert_true(out_has(f, "waiting for the first window"));
	send_driver(&p, true, HMEM_LINK_SCAN_LATE);
	peer_send_tick(&p, 1);
	peer_expect(&p, &msg, HMEM_LINK_TICK_DONE);
	ctl(f, 0, "status gpt");
	assert_true(out_has(f, "waiting for the guest's driver"));
	/* Without a driver, the tracker stays the same. */
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, true, 0);
	peer_send_tick(&p, 2);
	peer_read(&p, &msg);
	assert_int_equal(msg.hdr.type, HMEM_LINK_TICK_DONE);
	ctl(f, 0, "policy gpt set track=gpt");
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, false, 0);
	assert_int_equal(expect_track(&p, &msg)->window_ns, 0);
	ctl(f, 0, "status gpt");
	assert_true(out_has(f, "nothing is tracked"));
	peer_close(&p);
}

/* If a window costs a scan, most windows are rests, if the device supports rests. */
static void guest_tracker_rests(void **state)
{
	struct fixture *f = *state;
	const struct hmem_link_track *track;
	struct peer p = { 0 };
	struct peer_msg msg;
	unsigned int looks = 0;

	p.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_GPT;
	p.track_flags = HMEM_LINK_TRACK_REST;
	peer_handshake(&p, f->d.vm_socket, "gpt");
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, true, 0);
	ctl(f, 0, "policy gpt set name=auto track=gpt");
	track = expect_track(&p, &msg);
	assert_int_equal(track->flags, 0);
	assert_int_equal(track->window_ns, 100000000);
	for (uint64_t seq = 1; seq <= 12 && !(track->flags & HMEM_LINK_TRACK_REST); seq++) {
		set_bit(p.map + PEER_WORDS, 5);
		peer_send_tick(&p, seq);
		for (peer_read(&p, &msg); msg.hdr.type != HMEM_LINK_TICK_DONE;
		     peer_read(&p, &msg)) {
			assert_int_equal(msg.hdr.type, HMEM_LINK_TRACK);
			track = (const void *)msg.payload;
			if (track->flags & HMEM_LINK_TRACK_REST)
				break;
		}
		looks++;
	}
	/* The current window, one window in which bits are cleared, and eight looks. */
	assert_int_equal(looks, 10);
	assert_int_equal(track->flags, HMEM_LINK_TRACK_REST);
	assert_int_equal(track->tracker, HMEM_LINK_TRACKER_GPT);
	/* The burst is over: what did it measure? */
	ctl(f, 0, "explain gpt --gpa 0x5000");
	assert_true(out_has(f, "vm gpt: policy auto, tracker gpt"));
	assert_true(out_has(f, "measured in 8 looks, 1 bursts"));
	assert_true(out_has(f, "tier 0: 8192 pages, 8191 of them unused"));
	assert_true(out_has(f, "the last plan promotes 0 pages and demotes 0"));
	assert_true(out_has(f, "of DRAM, of which"));
	/* The pool looks at the VM once a second. */
	while (!out_has(f, "is bought from"))
		ctl(f, 0, "explain gpt --gpa 0x5000");
	assert_true(out_has(f, "the page at 0x5000 is in tier 0; pages with its record are used"));
	ctl(f, 0, "explain gpt --gpa 0x6000");
	assert_true(out_has(f, "the page at 0x6000 is in tier 0; no look has found it used"));
	ctl(f, 2, "explain gpt --gpa 1T");
	assert_true(out_has(f, "has no memory at 0x10000000000: hmemctl heatmap gpt"));
	peer_close(&p);
	/* Without rests, auto works like hmmv. */
	p = (struct peer) { .trackers = p.trackers };
	peer_handshake(&p, f->d.vm_socket, "old");
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, true, 0);
	ctl(f, 0, "policy old set name=auto track=gpt");
	expect_track(&p, &msg);
	for (uint64_t seq = 1; seq <= 20; seq++) {
		peer_send_tick(&p, seq);
		peer_expect(&p, &msg, HMEM_LINK_TICK_DONE);
	}
	ctl(f, 0, "explain old");
	assert_true(out_has(f, "access rates are not measured"));
	peer_close(&p);
}

static void send_window(struct peer *p, uint64_t seq, uint64_t ns, uint64_t dirty)
{
	struct hmem_link_tick tick = {
		.seq = seq,
		.vtime_ns = seq * 1000000000,
		.window_ns = ns,
		.dirty = dirty,
	};

	peer_send(p, HMEM_LINK_TICK, &tick, sizeof(tick));
}

/* hmemd takes from a newer device what it knows, and leaves the rest. */
static void a_newer_device(void **state)
{
	struct fixture *f = *state;
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_SIM | 1u << 31,
		.track_flags = HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_ACCESSED | 1u << 31,
	};
	const struct hmem_link_track *track;
	struct peer_msg msg;

	peer_handshake(&p, f->d.vm_socket, "new");
	ctl(f, 0, "policy new set name=auto");
	track = expect_track(&p, &msg);
	assert_int_equal(track->tracker, HMEM_LINK_TRACKER_SIM);
	assert_int_equal(track->flags & (1u << 31), 0);
	assert_true(track->flags & HMEM_LINK_TRACK_ACCESSED);
	peer_send_tick(&p, 1);
	peer_expect(&p, &msg, HMEM_LINK_TICK_DONE);
	peer_close(&p);
}

/* The dirty log is on in short samples within the budget of faults. */
static void dirty_log_is_sampled(void **state)
{
	struct fixture *f = *state;
	struct peer p = { .track_flags = HMEM_LINK_TRACK_REST };
	struct hmem_link_track track;
	uint64_t on = 0, ns = 0, seq = 0, faults = 0;
	unsigned int batches = 0;
	struct peer_msg msg;

	peer_handshake(&p, f->d.vm_socket, "log");
	ctl(f, 0, "policy log set name=hmmv track=dirty faults=100");
	track = *expect_track(&p, &msg);
	assert_int_equal(track.flags, HMEM_LINK_TRACK_REST);
	assert_int_equal(track.window_ns, 1000000000);
	while (++seq <= 60) {
		bool rest = track.flags & HMEM_LINK_TRACK_REST;
		unsigned int written = 0;

		/* Write one page of the slow tier per millisecond, until all are written. */
		for (uint64_t t = 0; !rest && t < track.window_ns; t += 1000000)
			set_bit(p.map, PEER_TIER + written++);
		on += rest ? 0 : track.window_ns;
		faults += rest ? 0 : written + PEER_FRAMES / 512;
		ns += track.window_ns;
		send_window(&p, seq, track.window_ns, written);
		for (peer_read(&p, &msg); msg.hdr.type != HMEM_LINK_TICK_DONE;
		     peer_read(&p, &msg)) {
			if (msg.hdr.type == HMEM_LINK_TRACK)
				track = *(struct hmem_link_track *)msg.payload;
			batches += msg.hdr.type == HMEM_LINK_HINTS;
		}
		/* Pages that were not observed do not get colder. */
		if (seq == 2)
			assert_int_equal(ask(f, "status log", "vms.0.tiers.1.warm"), 1);
		if (seq == 3)
			assert_int_equal(ask(f, "status log", "vms.0.tiers.1.warm"), 1);
	}
	assert_true(on && on <= ns / 16);
	assert_true(faults <= 101 * ns / 1000000000);
	assert_true(batches > 0);
	assert_int_equal(ask(f, "stats log", "counters.log_faults"), faults);
	assert_true(ask(f, "stats log", "counters.log_samples") > 10);
	assert_in_range(ask(f, "status log", "vms.0.dirty_log.faults_per_s"), 30, 100);
	ctl(f, 0, "status log");
	assert_true(out_has(f, "dirty log   on for "));
	assert_true(out_has(f, "faults/s of 100"));
	ctl(f, 0, "top -n 1 log -i 0.1");
	assert_true(out_has(f, "of 100/s, for the dirty log"));
	peer_close(&p);
}

/* An incomplete window makes no page colder, and is counted. */
static void incomplete_ticks(void **state)
{
	struct fixture *f = *state;
	struct peer p = { .trackers = HMEM_LINK_TRACKER_GPT };
	struct hmem_link_tick tick = { .window_ns = 1000000000 };
	struct peer_msg msg;

	peer_handshake(&p, f->d.vm_socket, "gpt");
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, true, 0);
	ctl(f, 0, "policy gpt set name=observe");
	expect_track(&p, &msg);
	for (uint64_t seq = 1; seq <= 6; seq++) {
		if (seq <= 3)
			set_bit(p.map + PEER_WORDS, 5);
		tick.seq = seq;
		tick.flags = seq <= 3 ? 0 : HMEM_LINK_TICK_INCOMPLETE;
		peer_send(&p, HMEM_LINK_TICK, &tick, sizeof(tick));
		peer_expect(&p, &msg, HMEM_LINK_TICK_DONE);
	}
	assert_int_equal(ask(f, "stats gpt", "counters.incomplete_ticks"), 3);
	assert_int_equal(ask(f, "status gpt", "vms.0.tiers.0.hot"), 1);
	peer_close(&p);
}

/* A window is never shorter than the device's shortest one, and status says so. */
static void least_window(void **state)
{
	struct fixture *f = *state;
	struct peer p = { .min_window_ns = 40000000 };
	struct peer_msg msg;

	peer_handshake(&p, f->d.vm_socket, "large");
	ctl(f, 0, "policy large set name=observe window=10");
	assert_int_equal(expect_track(&p, &msg)->window_ns, 40000000);
	ctl(f, 0, "status large");
	assert_true(out_has(f, "of 40 ms; the policy asks for 10 ms, but 40 ms is the shortest"));
	ctl(f, 0, "policy large set window=50");
	assert_int_equal(expect_track(&p, &msg)->window_ns, 50000000);
	ctl(f, 0, "status large");
	assert_false(out_has(f, "the policy asks for"));
	peer_close(&p);
}

/* The tracker that is used, and the error for one that is not offered. */
static void trackers(void **state)
{
	struct fixture *f = *state;
	const struct hmem_link_track *track;
	struct peer sim = { 0 };
	struct peer_msg msg;

	ctl(f, 0, "policy web set name=observe");
	track = expect_track(&f->web, &msg);
	assert_int_equal(track->tracker, HMEM_LINK_TRACKER_DIRTY);
	assert_int_equal(track->flags, 0);
	ctl(f, 77, "policy web set track=sim");
	assert_true(out_has(f, "track=sim"));
	assert_true(out_has(f, "offers dirty"));
	ctl(f, 77, "policy web set lockstep=on");
	assert_true(out_has(f, "-icount"));
	ctl(f, 2, "policy web set track=pml");
	assert_true(out_has(f, "auto, dirty, sim, gpt, idle, damon"));
	/* None of this has been set. */
	ctl(f, 0, "policy web set track=dirty");
	ctl(f, 0, "policy web get");
	assert_true(out_has(f, "off"));

	lockstep_handshake(&sim, f, "sim");
	ctl(f, 0, "policy sim set name=hmmv");
	track = expect_track(&sim, &msg);
	assert_int_equal(track->tracker, HMEM_LINK_TRACKER_SIM);
	assert_int_equal(track->flags, 0);
	assert_int_equal(track->window_ns, 1000000000);
	ctl(f, 0, "policy sim set track=dirty lockstep=on");
	track = expect_track(&sim, &msg);
	assert_int_equal(track->tracker, HMEM_LINK_TRACKER_DIRTY);
	assert_int_equal(track->flags, HMEM_LINK_TRACK_LOCKSTEP);
	ctl(f, 0, "policy sim set name=off");
	track = expect_track(&sim, &msg);
	assert_int_equal(track->window_ns, 0);
	assert_int_equal(track->tracker, 0);
	assert_int_equal(track->flags, 0);
	peer_close(&sim);
}

/* hmemd's own trackers: never automatic, and not for a VM without addresses. */
static void host_trackers(void **state)
{
	struct fixture *f = *state;
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_HOST,
		.track_flags = HMEM_LINK_TRACK_LOCKSTEP,
	};
	struct hmem_link_range range = {
		.num = PEER_TIER, .hva = 0x7f0000000000,
	};
	struct peer_msg msg;

	peer_handshake(&p, f->d.vm_socket, "host");
	ctl(f, 0, "policy host set name=observe");
	assert_int_equal(expect_track(&p, &msg)->tracker, HMEM_LINK_TRACKER_DIRTY);
	ctl(f, 77, "policy web set name=observe track=idle");
	assert_true(out_has(f, "offers dirty"));
	ctl(f, 77, "policy host set track=idle");
	assert_true(out_has(f, "does not tell where in its process frame 0 is"));
	ctl(f, 77, "policy host set track=damon");
	assert_true(out_has(f, "does not tell where"));
	ctl(f, 77, "policy host set track=damon lockstep=on");
	assert_true(out_has(f, "in its own time"));
	ctl(f, 0, "status host");
	assert_true(out_has(f, "tracker     dirty"));
	/* An invalid address. */
	peer_send(&p, HMEM_LINK_RANGES, &range, sizeof(range));
	while (ask(f, "status host", "vms.0.tiers.1.pages") != 0)
		;
	range.hva++;
	peer_send(&p, HMEM_LINK_RANGES, &range, sizeof(range));
	peer_expect_drop(&p);
	web_is_well(f);
}

/* With TICK_DONE, the rearm map has the pages to observe again. */
static void rearm(void **state)
{
	struct fixture *f = *state;
	uint64_t *dirty, *accessed, *rearm;
	struct peer sim = { 0 };
	struct peer_msg msg;

	lockstep_handshake(&sim, f, "sim");
	dirty = sim.map;
	accessed = dirty + PEER_WORDS;
	rearm = accessed + PEER_WORDS;
	ctl(f, 0, "policy sim set name=observe");
	expect_track(&sim, &msg);
	/* Found in the first window, left alone in the second, then rearmed. */
	for (uint64_t seq = 1; seq <= 2; seq++) {
		set_bit(accessed, 77);
		set_bit(accessed, PEER_TIER + 3);
		set_bit(dirty, PEER_TIER + 3);
		peer_send_tick(&sim, seq);
		peer_expect(&sim, &msg, HMEM_LINK_TICK_DONE);
		assert_int_equal(accessed[1], 0);
		assert_int_equal(dirty[PEER_TIER / 64], 0);
		assert_int_equal(rearm[1], seq == 2 ? UINT64_C(1) << 13 : 0);
		assert_int_equal(rearm[PEER_TIER / 64], seq == 2 ? 8 : 0);
	}
	assert_int_equal(ask(f, "stats sim", "counters.rearmed_pages"), 2);
	assert_int_equal(ask(f, "stats sim", "counters.rearmed_last_window"), 2);
	assert_int_equal(ask(f, "stats sim", "counters.accessed_pages"), 4);
	/* Read twice: 7/16 of half of the full heat; written: 7/16 of all. */
	assert_int_equal(ask(f, "status sim", "vms.0.tiers.0.warm"), 1);
	assert_int_equal(ask(f, "status sim", "vms.0.tiers.1.warm"), 1);
	/* Without the queue, a page is rearmed each time. */
	memset(rearm, 0, PEER_MAP_BYTES);
	ctl(f, 0, "policy sim set levels=0");
	for (uint64_t seq = 3; seq <= 8; seq++) {
		rearm[1] = 0;
		set_bit(accessed, 77);
		peer_send_tick(&sim, seq);
		peer_expect(&sim, &msg, HMEM_LINK_TICK_DONE);
	}
	assert_int_equal(rearm[1], UINT64_C(1) << 13);
	peer_close(&sim);
}

/* Ticks in lockstep: hints first, then the answer, and nothing in between. */
static void lockstep(void **state)
{
	struct fixture *f = *state;
	struct peer sim = { 0 };
	struct peer_msg msg;

	lockstep_handshake(&sim, f, "sim");
	ctl(f, 0, "policy sim set name=hmmv lockstep=on levels=0 rate=400");
	assert_int_equal(expect_track(&sim, &msg)->flags, HMEM_LINK_TRACK_LOCKSTEP);
	assert_int_equal(ask(f, "status sim", "vms.0.lockstep"), 1);
	for (uint64_t seq = 1; seq <= 8; seq++) {
		unsigned int batches = 0;

		/* More hot pages than fit into the batches under way. */
		for (unsigned int i = 0; i < 3000; i++) {
			set_bit(sim.map + PEER_WORDS, PEER_TIER + i);
			set_bit(sim.map, PEER_TIER + i);
			/*
			 * The pages are in use, because idle ones would be hinted a few at a
			 * time.
			 */
			if (seq == 1)
				set_bit(sim.map + PEER_WORDS, i);
		}
		peer_send_tick(&sim, seq);
		for (peer_read(&sim, &msg); msg.hdr.type == HMEM_LINK_HINTS;
		     peer_read(&sim, &msg))
			batches++;
		assert_int_equal(msg.hdr.type, HMEM_LINK_TICK_DONE);
		/* All batches come at once, and no more before they are answered. */
		assert_int_equal(batches, seq == 2 ? PEER_BATCHES : 0);
	}
	/* A job waits for a tick, too. */
	ctl(f, 0, "migrate sim --gfn 5 --to 1");
	peer_send_state(&sim, HMEM_LINK_VM_RUNNING);
	peer_send_state(&sim, HMEM_LINK_VM_RUNNING | HMEM_LINK_DRIVER_OK);
	while (ask(f, "stats sim", "counters.batches_lost") < PEER_BATCHES)
		;
	ctl(f, 0, "policy sim set name=observe");
	ctl(f, 0, "migrate sim --gfn 5 --to 1");
	peer_send_tick(&sim, 9);
	peer_read(&sim, &msg);
	assert_int_equal(msg.hdr.type, HMEM_LINK_HINTS);
	peer_answer(&sim, &msg);
	peer_read(&sim, &msg);
	assert_int_equal(msg.hdr.type, HMEM_LINK_TICK_DONE);
	peer_close(&sim);
}

static bool readable(const struct peer *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* No tick is answered before all VMs have ticked; later, those that remain suffice. */
static void barrier(void **state)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--lockstep=3", "-p", "observe", NULL
	});
	struct peer vms[3] = { { 0 } };
	struct peer_msg msg;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		lockstep_handshake(&vms[i], f, "vm");
		assert_int_equal(expect_track(&vms[i], &msg)->flags,
				 HMEM_LINK_TRACK_LOCKSTEP);
		/* The first VM has ticked before the others connect. */
		peer_send_tick(&vms[i], 1);
		if (i < 2) {
			while (ask(f, "list", "vms.1.pid") < 0 && i)
				;
			assert_false(readable(&vms[0]));
		}
	}
	for (unsigned int i = 0; i < 3; i++)
		peer_expect(&vms[i], &msg, HMEM_LINK_TICK_DONE);
	for (uint64_t seq = 2; seq < 20; seq++) {
		/* In any order. */
		for (unsigned int i = 0; i < 3; i++) {
			assert_false(readable(&vms[(seq + i) % 3]));
			peer_send_tick(&vms[(seq + i) % 3], seq);
		}
		for (unsigned int i = 0; i < 3; i++) {
			peer_expect(&vms[i], &msg, HMEM_LINK_TICK_DONE);
			assert_int_equal(((struct hmem_link_tick_done *)
					  msg.payload)->seq, seq);
		}
	}
	/* One VM goes while others wait for it; and one is not tracked. */
	peer_send_tick(&vms[0], 20);
	peer_send_tick(&vms[1], 20);
	peer_close(&vms[2]);
	peer_expect(&vms[0], &msg, HMEM_LINK_TICK_DONE);
	peer_expect(&vms[1], &msg, HMEM_LINK_TICK_DONE);
	peer_send_tick(&vms[1], 21);
	ctl(f, 0, "policy vm set name=off");
	peer_expect(&vms[1], &msg, HMEM_LINK_TICK_DONE);
	peer_close(&vms[0]);
	peer_close(&vms[1]);
	/* A VM whose time cannot stand still is not tracked, and status says so. */
	peer_handshake(&f->web, f->d.vm_socket, "web");
	ctl(f, 0, "status web");
	assert_true(out_has(f, "-icount"));
	fixture_end(f);
}

/* Refused pages get no hint in the next window. */
static unsigned int all_kernel(struct peer *p, const struct virtio_hmem_hint *hint)
{
	(void)p, (void)hint;
	return VIRTIO_HMEM_R_KERNEL;
}

/* Write frame 77 of tier 1 in each of @windows, until it was hinted 10 times. */
static unsigned int write_frame(struct fixture *f, uint64_t windows)
{
	const uint64_t gfn = PEER_TIER + 77;
	struct peer_msg msg;

	ctl(f, 0, "policy set name=writes");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	for (uint64_t seq = 1; seq <= windows; seq++) {
		if (f->web.times_hinted[gfn] < 10)
			set_bit(f->web.map, gfn);
		peer_send_tick(&f->web, seq);
		serve_until(f, HMEM_LINK_TICK_DONE, &msg);
	}
	return f->web.times_hinted[gfn];
}

static void refused_are_left(void **state)
{
	struct fixture *f = *state;

	f->web.reason = all_kernel;
	assert_int_equal(write_frame(f, 20), 1);
	assert_int_equal(ask(f, "stats", "counters.ticks"), 20);
}

/* Pages refused for lack of room get hints again, because room is made meanwhile. */
static unsigned int no_room(struct peer *p, const struct virtio_hmem_hint *hint)
{
	return le64toh(hint->gfn) < PEER_TIER || p->times_hinted[PEER_TIER + 77] > 9 ?
	       VIRTIO_HMEM_R_MOVED : VIRTIO_HMEM_R_NO_MEMORY;
}

static void no_room_for_long(void **state)
{
	struct fixture *f = *state;

	f->web.reason = no_room;
	assert_true(write_frame(f, 40) >= 10);
	assert_true(ask(f, "stats", "counters.promoted") > 0);
}

static void driver_goes(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg;
	struct peer *nobody[] = { NULL };
	int fds[2];
	pid_t pid = ctl_start(&f->ctl, &f->d, "migrate --all --to 1 --wait", fds);
	unsigned int n;

	/* Four batches come, and no more before one is answered. */
	for (n = 0; n < PEER_BATCHES; n++)
		peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	peer_send_state(&f->web, HMEM_LINK_VM_RUNNING);
	ctl_finish(&f->ctl, pid, fds, nobody);
	assert_int_equal(f->ctl.status, 1);
	assert_true(out_has(f, "driver went away"));
	assert_int_equal(ask(f, "stats", "counters.batches_lost"), PEER_BATCHES);
	ctl(f, 1, "migrate --all --to 1 --wait");
	assert_true(out_has(f, "load virtio_hmem"));
	peer_send_state(&f->web, HMEM_LINK_VM_RUNNING | HMEM_LINK_BROKEN);
	ctl(f, 1, "doctor");
	assert_true(out_has(f, "reset the guest"));
	peer_send_state(&f->web, HMEM_LINK_VM_RUNNING | HMEM_LINK_DRIVER_OK);
	while (ask(f, "list", "vms.0.features") < 0)
		;
	ctl(f, 0, "migrate --all --to 1 --wait --retries 0");
	web_is_well(f);
	/* The same when the whole VM goes. */
	pid = ctl_start(&f->ctl, &f->d, "migrate --all --to 1 --wait", fds);
	peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	peer_close(&f->web);
	ctl_finish(&f->ctl, pid, fds, nobody);
	assert_int_equal(f->ctl.status, 1);
	assert_true(out_has(f, "disconnected"));
	/* doctor and status also work without a VM. */
	ctl(f, 0, "status");
	doctor(f);
	assert_true(out_has(f, "start QEMU"));
}

static void rejects(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_reject reject = { .code = HMEM_LINK_REJECT_BUSY };
	struct peer *web[] = { &f->web, NULL };
	struct peer_msg msg;
	int fds[2];
	pid_t pid = ctl_start(&f->ctl, &f->d, "migrate --gfn 0-99 --to 1 --wait", fds);

	/* A rejected batch is sent again, and no page is lost. */
	peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	memcpy(&reject.id, msg.payload, sizeof(reject.id));
	peer_send(&f->web, HMEM_LINK_REJECT, &reject, sizeof(reject));
	ctl_finish(&f->ctl, pid, fds, web);
	assert_int_equal(f->ctl.status, 0);
	assert_int_equal(ask(f, "stats", "rejects.busy"), 1);
	assert_int_equal(ask(f, "stats", "reasons.moved"), 100);
	/* An invalid batch ends the job. */
	pid = ctl_start(&f->ctl, &f->d, "migrate --gfn 0-99 --to 1 --wait", fds);
	peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	memcpy(&reject.id, msg.payload, sizeof(reject.id));
	reject.code = HMEM_LINK_REJECT_INVALID;
	peer_send(&f->web, HMEM_LINK_REJECT, &reject, sizeof(reject));
	ctl_finish(&f->ctl, pid, fds, web);
	assert_int_equal(f->ctl.status, 1);
	web_is_well(f);
}

/* If a client stops waiting, its job ends. */
static void client_goes(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg;
	int fds[2];
	pid_t pid = ctl_start(&f->ctl, &f->d, "migrate --all --to 1 --wait", fds);

	peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	kill(pid, SIGKILL);
	close(fds[0]);
	close(fds[1]);
	waitpid(pid, NULL, 0);
	peer_answer(&f->web, &msg);
	f->serve = true;
	while (ask(f, "list", "vms.0.jobs"))
		;
	assert_in_range(f->web.batches, 1, 2 * PEER_BATCHES);
}

static void two_vms(void **state)
{
	struct fixture *f = *state;
	struct peer other = { 0 };
	struct peer *both[] = { &f->web, &other, NULL };

	peer_handshake(&other, f->d.vm_socket, "web");
	ctl(f, 2, "stats");
	assert_true(out_has(f, "name one"));
	assert_int_equal(ask(f, "list", "vms.1.max_batches"), PEER_BATCHES);
	ctl_run(&f->ctl, &f->d, both, "migrate web-2 --all --to 1 --wait");
	assert_int_equal(f->ctl.status, 0);
	assert_int_equal(other.hints, PEER_TIER);
	assert_int_equal(f->web.hints, 0);
	/* The name is free again once its VM has gone. */
	peer_close(&f->web);
	while (ask(f, "list", "vms.1.pid") >= 0)
		;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	web_is_well(f);
	peer_close(&other);
}

/* A device that breaks a rule is dropped, and web stays connected. */
static void dropped(struct fixture *f, struct peer *p)
{
	peer_expect_drop(p);
	web_is_well(f);
}

static void bad_hellos(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_hello good, h;
	struct peer p = { 0 };
	int fds[2];

	peer_fill_hello(&good, "bad");
	fds[0] = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	fds[1] = fds[0];

	/* None, two, five file descriptors. */
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &good, NULL, 0);
	dropped(f, &p);
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &good, fds, 2);
	dropped(f, &p);
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &good, (int[]) { fds[0], 0, 1, 2, fds[0] }, 5);
	dropped(f, &p);
	/* Each field that matters. */
	for (unsigned int i = 0; i < 6; i++) {
		h = good;
		switch (i) {
		case 0: h.magic = 0; break;
		case 1: h.version = 7; break;
		case 2: memset(h.vm, 'x', sizeof(h.vm)); break;
		case 3: h.num_tiers = 77; break;
		case 4: h.max_batches = 0; break;
		case 5: h.map_bytes += 4096; break;
		}
		peer_connect(&p, f->d.vm_socket);
		peer_send_hello(&p, &h, fds, 1);
		dropped(f, &p);
	}
	close(fds[0]);
	/* Not sealed; no memfd at all; a file, a pipe. */
	fds[0] = peer_memfd(PEER_MAPS_BYTES, 0);
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &good, fds, 1);
	dropped(f, &p);
	close(fds[0]);
	fds[0] = open("/dev/null", O_RDWR);
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &good, fds, 1);
	dropped(f, &p);
	close(fds[0]);
	/* The log and doctor say why. */
	doctor(f);
	assert_true(out_has(f, "connections were dropped"));
}

static void bad_order(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_hello hello;
	struct peer p = { 0 };
	int fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);

	peer_fill_hello(&hello, "bad");
	peer_connect(&p, f->d.vm_socket);
	peer_send_ranges(&p);
	dropped(f, &p);
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &hello, &fd, 1);
	peer_send_tick(&p, 1);
	dropped(f, &p);
	peer_connect(&p, f->d.vm_socket);
	peer_send_hello(&p, &hello, &fd, 1);
	peer_send_hello(&p, &hello, &fd, 1);
	dropped(f, &p);
	/* An unexpected file descriptor. */
	peer_handshake(&p, f->d.vm_socket, "bad");
	peer_send_hello(&p, &hello, &fd, 1);
	dropped(f, &p);
	/* Ticks with wrong numbers. */
	peer_handshake(&p, f->d.vm_socket, "bad");
	ctl(f, 0, "policy bad set name=observe");
	peer_send_tick(&p, 5);
	peer_send_tick(&p, 7);
	dropped(f, &p);
	close(fd);
}

/* Impossible results of a guest. */
static void lying_results(void **state)
{
	struct fixture *f = *state;

	for (unsigned int lie = 0; lie < 8; lie++) {
		_Alignas(8) char out[sizeof(struct virtio_hmem_result_batch) +
				     2 * sizeof(struct virtio_hmem_result)] = "";
		struct virtio_hmem_result_batch *head = (void *)out;
		struct virtio_hmem_result *r = head->results;
		const struct virtio_hmem_hint_batch *b;
		struct hmem_link_header hdr = { HMEM_LINK_RESULTS, sizeof(out) };
		struct peer *nobody[] = { NULL };
		struct peer_msg msg;
		struct peer p = { 0 };
		int fds[2];
		pid_t pid;

		peer_handshake(&p, f->d.vm_socket, "liar");
		pid = ctl_start(&f->ctl, &f->d,
				"migrate liar --gfn 16-31 --order 4 --to 1 --wait", fds);
		peer_expect(&p, &msg, HMEM_LINK_HINTS);
		b = (void *)msg.payload;
		assert_int_equal(le32toh(b->num_hints), 1);
		head->num_results = htole32(2);
		head->id = b->id;
		for (unsigned int i = 0; i < 2; i++)
			r[i] = (struct virtio_hmem_result) {
				.gfn = htole64(16 + 8 * i),
				.new_gfn = htole64(PEER_TIER + 16 + 8 * i),
				.order = 3,
			};
		switch (lie) {
		case 0: head->id = htole64(4711); break;
		case 1: r[1].gfn = htole64(32); break;	/* without a hint */
		case 2: r[1].gfn = r[0].gfn;		/* twice, */
			r[1].order = 4; break;		/* and more */
		case 3: r[1].new_gfn = htole64(PEER_FRAMES); break;
		case 4: r[1].new_gfn = htole64(PEER_TIER - 8 + 4); break;
		case 5: r[1].status = VIRTIO_HMEM_S_BUSY; break;
		case 6: r[1].reason = 200; break;
		case 7: head->num_results = htole32(3); break;
		}
		peer_send_raw(&p, &hdr, sizeof(hdr));
		peer_send_raw(&p, out, sizeof(out));
		peer_expect_drop(&p);
		ctl_finish(&f->ctl, pid, fds, nobody);
		assert_int_equal(f->ctl.status, 1);
		/* No result of the message had an effect. */
		web_is_well(f);
	}
}

/* A batch that ends without results for some frames is logged, and the job ends. */
static void missing_results(void **state)
{
	struct fixture *f = *state;
	struct virtio_hmem_result_batch out = {
		.flags = htole32(VIRTIO_HMEM_RESULT_LAST),
	};
	struct peer *nobody[] = { NULL };
	struct peer_msg msg;
	int fds[2];
	pid_t pid = ctl_start(&f->ctl, &f->d, "migrate --gfn 0-4 --to 1 --wait", fds);

	peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
	memcpy(&out.id, msg.payload, sizeof(out.id));
	peer_send(&f->web, HMEM_LINK_RESULTS, &out, sizeof(out));
	ctl_finish(&f->ctl, pid, fds, nobody);
	assert_int_equal(f->ctl.status, 3);
	assert_int_equal(ask(f, "stats", "counters.unanswered"), 5);
	web_is_well(f);
}

/* Mutations of valid messages: hmemd and web survive all of them. */
static void mutations(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_hello hello;
	uint64_t rnd = 2024;
	int fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);

	peer_fill_hello(&hello, "mutant");
	for (unsigned int round = 0; round < 400; round++) {
		char buf[4096];
		size_t len = 0;
		struct peer p = { 0 };

#define ADD(type, obj) do {						\
		struct hmem_link_header h = { type, sizeof(obj) };	\
		memcpy(buf + len, &h, sizeof(h));			\
		memcpy(buf + len + sizeof(h), &(obj), sizeof(obj));	\
		len += sizeof(h) + sizeof(obj);				\
	} while (0)
		struct hmem_link_range ranges[2] = {
			{ .gfn = 0, .num = PEER_TIER, .tier = 0 },
			{ .gfn = PEER_TIER, .num = PEER_TIER, .tier = 1 },
		};
		struct hmem_link_state st = { .flags = 3 };
		struct hmem_link_tick tick = { 1, 1, 1, 1, 1, 1, 0, 0 };
		struct hmem_link_reject reject = { 1, 1, 0 };
		struct virtio_hmem_result_batch res = { .flags = htole32(1) };

		ADD(HMEM_LINK_RANGES, ranges);
		ADD(HMEM_LINK_STATE, st);
		ADD(HMEM_LINK_TICK, tick);
		ADD(HMEM_LINK_RANGES, ranges);
		ADD(HMEM_LINK_REJECT, reject);
		ADD(HMEM_LINK_RESULTS, res);
		for (unsigned int i = unit_random(&rnd) % 6; i; i--) {
			uint64_t x = unit_random(&rnd);
			size_t at = x % len & ~(size_t)(x >> 60 & 1 ? 3 : 0);

			if (x >> 61 & 1)
				buf[at] ^= 1 << (x >> 32 & 7);
			else
				buf[at] = x >> 40 & 1 ? 0xff : x >> 32;
		}
		peer_connect(&p, f->d.vm_socket);
		peer_send_hello(&p, &hello, &fd, 1);
		peer_send_raw(&p, buf, len - unit_random(&rnd) % 40);
		/* hmemd may have dropped the connection, or wait for more. */
		shutdown(p.fd, SHUT_WR);
		peer_expect_drop(&p);
		if (round % 50 == 0)
			web_is_well(f);
	}
	/* Random bytes. */
	for (unsigned int round = 0; round < 50; round++) {
		uint64_t noise[64];
		struct peer p = { 0 };

		for (unsigned int i = 0; i < 64; i++)
			noise[i] = unit_random(&rnd);
		peer_connect(&p, f->d.vm_socket);
		peer_send_raw(&p, noise, sizeof(noise));
		shutdown(p.fd, SHUT_WR);
		peer_expect_drop(&p);
	}
	web_is_well(f);
	close(fd);
}

static void new_ranges(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_range less[] = {
		{ .gfn = 0, .num = 100, .tier = 0 },
		{ .gfn = PEER_TIER, .num = 50, .tier = 1 },
	};

	peer_send(&f->web, HMEM_LINK_RANGES, less, sizeof(less));
	while (ask(f, "status", "vms.0.tiers.0.pages") != 100)
		;
	assert_int_equal(ask(f, "migrate --all --to 0 --wait", "migrate.pages"), 50);
	less[1].gfn = 99;
	peer_send(&f->web, HMEM_LINK_RANGES, less, sizeof(less));
	peer_expect_drop(&f->web);
}

/* Memory goes and comes while its pages move, which breaks no rule. */
static void ranges_come_and_go(void **state)
{
	const struct hmem_link_range less[] = {
		{ .gfn = 0, .num = 4000, .tier = 0 },
		{ .gfn = PEER_TIER, .num = 100, .tier = 1 },
	};
	struct fixture *f = *state;
	struct peer *web[] = { &f->web, NULL };
	struct hmem_link_reject reject = { .code = HMEM_LINK_REJECT_INVALID };
	struct json_object *o;
	struct peer_msg msg[PEER_BATCHES];
	int fds[2];
	pid_t pid;

	for (unsigned int strict = 0; strict < 2; strict++) {
		pid = ctl_start(&f->ctl, &f->d, strict ?
				"-o json migrate --gfn 0-8191 --to 1 --wait" :
				"-o json migrate --all --to 1 --wait", fds);
		for (unsigned int i = 0; i < PEER_BATCHES; i++)
			peer_expect(&f->web, &msg[i], HMEM_LINK_HINTS);
		peer_send(&f->web, HMEM_LINK_RANGES, less, sizeof(less));
		/* One batch crossed the ranges on its way; pages of the others have moved. */
		memcpy(&reject.id, msg[0].payload, sizeof(reject.id));
		peer_send(&f->web, HMEM_LINK_REJECT, &reject, sizeof(reject));
		for (unsigned int i = 1; i < PEER_BATCHES; i++)
			peer_answer(&f->web, &msg[i]);
		f->web.reason = all_kernel;
		ctl_finish(&f->ctl, pid, fds, web);
		f->web.reason = NULL;
		o = json_tokener_parse(f->ctl.out);
		assert_non_null(o);
		assert_int_equal(num_at(o, "migrate.pages"), strict ? 8192 : 4000);
		assert_int_equal(num_at(o, "migrate.done"), num_at(o, "migrate.pages"));
		assert_int_equal(num_at(o, "migrate.outside"), strict ? 0 : 4192);
		assert_int_equal(num_at(o, "migrate.reasons.bad-gfn"), strict ? 4192 : 0);
		json_object_put(o);
		assert_int_equal(f->ctl.status, 3);
		/* Sizes follow. */
		assert_int_equal(ask(f, "status", "vms.0.tiers.0.bytes"), 4000 * 4096);
		assert_int_equal(ask(f, "status", "vms.0.tiers.1.bytes"), 100 * 4096);
		assert_int_equal(ask(f, "list", "vms.0.bytes"), 4100 * 4096);
		assert_int_equal(ask(f, "top -n 1 -i 0.1", "vms.0.tiers.1.pages"), 100);
		ctl(f, 0, "status");
		assert_true(out_has(f, "last error  -"));
		peer_send_ranges(&f->web);
		while (ask(f, "status", "vms.0.tiers.1.pages") != PEER_TIER)
			;
	}
	/* A job also moves memory that comes while it runs. */
	peer_send(&f->web, HMEM_LINK_RANGES, less, sizeof(less));
	while (ask(f, "status", "vms.0.tiers.1.pages") != 100)
		;
	pid = ctl_start(&f->ctl, &f->d, "-o json migrate --gpa 0-32M --to 1 --wait", fds);
	peer_expect(&f->web, &msg[0], HMEM_LINK_HINTS);
	peer_send_ranges(&f->web);
	peer_answer(&f->web, &msg[0]);
	ctl_finish(&f->ctl, pid, fds, web);
	o = json_tokener_parse(f->ctl.out);
	assert_int_equal(num_at(o, "migrate.pages"), PEER_TIER);
	assert_int_equal(num_at(o, "migrate.done"), PEER_TIER);
	assert_int_equal(num_at(o, "migrate.reasons.moved"), PEER_TIER);
	json_object_put(o);
	web_is_well(f);
}

/* A VM with @num tiers and little else. */
static void few_figures(struct peer *p, struct fixture *f, const char *name,
			const struct hmem_link_tier *tiers, uint32_t num)
{
	struct hmem_link_hello hello;
	struct peer_msg msg;

	peer_connect(p, f->d.vm_socket);
	peer_fill_hello(&hello, name);
	hello.num_tiers = num;
	memcpy(hello.tiers, tiers, num * sizeof(*tiers));
	p->map_fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	peer_send_hello(p, &hello, &p->map_fd, 1);
	peer_send_ranges(p);
	peer_send_state(p, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_expect(p, &msg, HMEM_LINK_WELCOME);
}

/* Doubts about the order of tiers, and naming a tier by its kind. */
static void tier_order(void **state)
{
	static const struct {
		uint32_t latency[3], bandwidth[3];
		const char *says;
	} cases[] = {
		{ { 80, 300, 400 }, { 0 }, NULL },
		{ { 0 }, { 0 }, "no latencies known: tiers are in node order; add hmat=on" },
		{ { 80, 0, 400 }, { 9, 8, 7 }, "the latency of some is not known" },
		{ { 0 }, { 9, 8, 7 }, "in the order of their bandwidth" },
		{ { 0 }, { 9, 0, 7 }, "tiers are in node order" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hmem_link_tier tiers[3] = { 0 };
		struct peer p = { 0 };

		for (unsigned int k = 0; k < 3; k++) {
			tiers[k].kind = k ? VIRTIO_HMEM_KIND_NVM : VIRTIO_HMEM_KIND_DRAM;
			tiers[k].pxm = k;
			tiers[k].read_latency = cases[i].latency[k];
			tiers[k].read_bandwidth = cases[i].bandwidth[k];
		}
		few_figures(&p, f, "three", tiers, 3);
		ctl(f, 0, "status three");
		assert_int_equal(out_has(f, "tier order"), !!cases[i].says);
		if (cases[i].says)
			assert_true(out_has(f, cases[i].says));
		doctor(f);
		if (cases[i].says)
			assert_true(out_has(f, cases[i].says));
		ctl(f, 2, "migrate three --all --to nvm --dry-run");
		assert_true(out_has(f, "tiers 1 and 2 are both 'nvm'"));
		ctl(f, 0, "migrate three --all --to dram --dry-run");
		peer_close(&p);
		while (ask(f, "list", "vms.1.pid") >= 0)
			;
	}
}

/* The reason why a job does not end in time. */
static void job_in_time(void **state)
{
	struct fixture *f = *state;

	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK);
	while (ask(f, "list", "vms.0.running"))
		;
	ctl_run(&f->ctl, &f->d, NULL, "migrate --all --to 1 --wait --timeout 1");
	assert_int_equal(f->ctl.status, 1);
	assert_true(out_has(f, "after 1 s: the guest is paused"));
}

/* doctor warns of the guest's own moves for two minutes. */
static void lately(void **state)
{
	struct hmem_lately l = { 0 };
	struct fixture *f = *state;

	hmem_lately_add(&l, 1000000, 5);
	hmem_lately_add(&l, 1000001, 2);
	assert_int_equal(hmem_lately(l, 1000001), 7);
	assert_int_equal(hmem_lately(l, 1000001 + HMEM_LATELY_MS), 7);
	assert_int_equal(hmem_lately(l, 1000001 + 2 * HMEM_LATELY_MS), 0);
	hmem_lately_add(&l, 1000000 + HMEM_LATELY_MS, 3);
	assert_int_equal(hmem_lately(l, 1000000 + HMEM_LATELY_MS), 10);
	assert_int_equal(hmem_lately(l, 1000000 + 2 * HMEM_LATELY_MS), 3);
	doctor(f);
	assert_false(out_has(f, "numa_balancing"));
	assert_true(out_has(f, "driver at work, policy is off"));
	f->web.foreign_moves = 12;
	web_is_well(f);
	assert_int_equal(ask(f, "status", "vms.0.foreign_moves_lately"), 12);
	doctor(f);
	assert_true(out_has(f, "moved 12 pages by itself in the last two minutes"));
	assert_true(out_has(f, "gone two minutes after"));
	/* A driver that was loaded again. */
	f->web.foreign_moves = 1;
	web_is_well(f);
	assert_int_equal(ask(f, "status", "vms.0.foreign_moves_lately"), 13);
}

/* status and doctor tell how much is offline in the guest. */
static void offline_memory(void **state)
{
	const uint64_t frames = 1 << 17, mib = 1 << 20;
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = frames, .tier = 0 },
		{ .gfn = frames, .num = frames, .tier = 1 },
	};
	struct hmem_link_state st = {
		.flags = HMEM_LINK_VM_RUNNING | HMEM_LINK_DRIVER_OK,
		.features = UINT64_C(1) << VIRTIO_HMEM_F_ONLINE,
		/* Less than all by what is never online, and by half. */
		.online = { 512 * mib - 5000 * 1024, 256 * mib },
	};
	struct fixture *f = *state;
	struct hmem_link_hello hello;
	struct peer p = { 0 };
	struct peer_msg msg;

	peer_connect(&p, f->d.vm_socket);
	peer_fill_hello(&hello, "half");
	hello.map_bytes = frames / 4;
	p.map_fd = peer_memfd(HMEM_LINK_MAPS * hello.map_bytes, F_SEAL_SHRINK);
	peer_send_hello(&p, &hello, &p.map_fd, 1);
	peer_send(&p, HMEM_LINK_RANGES, ranges, sizeof(ranges));
	peer_send(&p, HMEM_LINK_STATE, &st, sizeof(st));
	peer_expect(&p, &msg, HMEM_LINK_WELCOME);
	assert_int_equal(ask(f, "status half", "vms.0.tiers.1.online_bytes"), 256 * mib);
	ctl(f, 0, "status half");
	assert_true(out_has(f, "online      256 MiB of 512 MiB of tier 1"));
	assert_false(out_has(f, "of tier 0"));
	doctor(f);
	assert_true(out_has(f, "256 MiB of 512 MiB of tier 1 are offline in the guest"));
	/* The guest reports more than there is; or nothing. */
	st.online[1] = UINT64_MAX;
	peer_send(&p, HMEM_LINK_STATE, &st, sizeof(st));
	while (ask(f, "status half", "vms.0.tiers.1.online_bytes") != 512 * (int64_t)mib)
		;
	ctl(f, 0, "status half");
	assert_false(out_has(f, "online "));
	st.features = 0;
	peer_send(&p, HMEM_LINK_STATE, &st, sizeof(st));
	while (ask(f, "status half", "vms.0.tiers.1.online_bytes") != -1)
		;
	peer_close(&p);
}

static void restart(void **state)
{
	struct fixture *f = *state;
	struct peer_msg msg;

	assert_int_equal(daemon_second(&f->d), 1);
	web_is_well(f);
	/* A killed hmemd leaves its sockets, and the next one takes them over. */
	daemon_kill(&f->d);
	peer_expect_drop(&f->web);
	ctl(f, 1, "list");
	assert_true(out_has(f, "start hmemd"));
	daemon_restart(&f->d, (const char *[]) { "--policy", "observe,window=50", NULL });
	peer_handshake(&f->web, f->d.vm_socket, "web");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	assert_int_equal(((struct hmem_link_track *)msg.payload)->window_ns, 50000000);
	web_is_well(f);
}

/* Wait until hmemd has noticed that all peers have gone. */
static void all_gone(struct fixture *f, struct peer *p, unsigned int num)
{
	while (num--)
		peer_close(&p[num]);
	while (ask(f, "list", "vms.0.pid") >= 0)
		;
}

static void policy_is(struct fixture *f, const char *vm, const char *policy)
{
	struct json_object *o, *v;
	char line[64];

	snprintf(line, sizeof(line), "policy %s get", vm);
	o = ctl_json(f, 0, line);
	assert_true(json_object_object_get_ex(o, "policy", &v) &&
		    json_object_object_get_ex(v, "name", &v));
	assert_string_equal(json_object_get_string(v), policy);
	json_object_put(o);
}

/* auto does not need written pages, and hmemd tells the device so; other policies do. */
static void written_pages_if_needed(void **state)
{
	struct fixture *f = fixture_new((const char *[]) { "-p", "auto", NULL });
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_SIM | HMEM_LINK_TRACKER_DIRTY,
		.track_flags = HMEM_LINK_TRACK_ACCESSED,
	};
	struct peer_msg msg;

	(void)state;
	peer_handshake(&p, f->d.vm_socket, "web");
	assert_int_equal(expect_track(&p, &msg)->flags, HMEM_LINK_TRACK_ACCESSED);
	ctl(f, 0, "policy web set name=hmmv");
	assert_int_equal(expect_track(&p, &msg)->flags, 0);
	/* The dirty log finds nothing else. */
	ctl(f, 0, "policy web set name=auto track=dirty");
	assert_int_equal(expect_track(&p, &msg)->flags & HMEM_LINK_TRACK_ACCESSED, 0);
	peer_close(&p);
	fixture_end(f);
}

/* The time that is owed, as explain tells, after a burst whose scans cleared @bits each. */
static int64_t owed_after(struct fixture *f, const char *name, uint64_t bits)
{
	const struct hmem_link_cleared cleared = { .bits = bits };
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_GPT,
		.track_flags = HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_CLEARED,
	};
	struct peer_msg msg;
	uint32_t flags;
	char line[64];
	int64_t owed;

	peer_handshake(&p, f->d.vm_socket, name);
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	send_driver(&p, true, 0);
	snprintf(line, sizeof(line), "policy %s set name=auto track=gpt", name);
	ctl(f, 0, line);
	flags = expect_track(&p, &msg)->flags;
	assert_int_equal(flags, HMEM_LINK_TRACK_CLEARED);
	for (uint64_t seq = 1; !(flags & HMEM_LINK_TRACK_REST); seq++) {
		peer_send(&p, HMEM_LINK_CLEARED, &cleared, sizeof(cleared));
		peer_send_tick(&p, seq);
		for (peer_read(&p, &msg); msg.hdr.type != HMEM_LINK_TICK_DONE;
		     peer_read(&p, &msg)) {
			assert_int_equal(msg.hdr.type, HMEM_LINK_TRACK);
			flags = ((const struct hmem_link_track *)msg.payload)->flags;
		}
	}
	snprintf(line, sizeof(line), "explain %s", name);
	owed = ask(f, line, "explain.measured.owed_ns");
	peer_close(&p);
	return owed;
}

/* The bits that scans clear cost guest time, however large the number is that a device tells. */
static void cleared_bits(void **state)
{
	const struct hmem_link_cleared cleared = { .bits = 1 };
	struct fixture *f = *state;
	struct peer p = { 0 };

	assert_int_equal(owed_after(f, "none", 0), 0);
	assert_in_range(owed_after(f, "all", UINT64_MAX), 1, INT64_MAX);
	assert_int_equal(owed_after(f, "max", UINT64_MAX), owed_after(f, "many", 1ull << 60));
	/* HELLO did not offer this message. */
	peer_handshake(&p, f->d.vm_socket, "odd");
	peer_send_state(&p, HMEM_LINK_VM_RUNNING);
	peer_send(&p, HMEM_LINK_CLEARED, &cleared, sizeof(cleared));
	dropped(f, &p);
}

/* A VM that comes back has its policy again, for a limited number of VMs. */
static void policies_are_kept(void **state)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--max-vms=3", "-p", "observe", NULL
	});
	struct peer p[3] = { { 0 } };
	struct hmem_link_hello hello;
	struct peer_msg msg;

	(void)state;
	peer_handshake(&p[0], f->d.vm_socket, "web");
	policy_is(f, "web", "observe");
	ctl(f, 0, "policy web set name=hmmv window=70 rate=33");
	/* A refused policy changes nothing. */
	ctl(f, 77, "policy web set track=sim");
	all_gone(f, p, 1);
	/* The VM is tracked at once, with all settings. */
	peer_handshake(&p[0], f->d.vm_socket, "web");
	assert_int_equal(expect_track(&p[0], &msg)->window_ns, 70000000);
	policy_is(f, "web", "hmmv");
	assert_int_equal(ask(f, "policy web get", "policy.rate"), 33);
	/* A second VM of that name is another VM, and so is one with a UUID. */
	peer_handshake(&p[1], f->d.vm_socket, "web");
	policy_is(f, "web-2", "observe");
	all_gone(f, p, 2);
	p[0].uuid = 7;
	peer_handshake(&p[0], f->d.vm_socket, "web");
	policy_is(f, "web", "observe");
	ctl(f, 0, "policy web set name=writes");
	all_gone(f, p, 1);
	/* The UUID and the sent name identify a VM, whatever name hmemd shows. */
	peer_handshake(&p[1], f->d.vm_socket, "web");
	peer_handshake(&p[0], f->d.vm_socket, "web");
	p[2].uuid = 8;
	peer_handshake(&p[2], f->d.vm_socket, "web");
	policy_is(f, "web", "hmmv");
	policy_is(f, "web-2", "writes");
	policy_is(f, "web-3", "observe");
	all_gone(f, p, 3);
	p[0].uuid = 7;
	peer_handshake(&p[0], f->d.vm_socket, "db");
	policy_is(f, "db", "observe");
	all_gone(f, p, 1);
	/* Another device of the same VM has its own policy. */
	p[0].uuid = 0;
	peer_connect(&p[0], f->d.vm_socket);
	peer_fill_hello(&hello, "web");
	strcpy(hello.device, "hmem1");
	p[0].map_fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	peer_send_hello(&p[0], &hello, &p[0].map_fd, 1);
	peer_send_ranges(&p[0]);
	peer_send_state(&p[0], 0);
	peer_expect(&p[0], &msg, HMEM_LINK_WELCOME);
	policy_is(f, "web", "observe");
	all_gone(f, p, 1);
	/* hmemd keeps three policies; setting one or coming back makes it the newest. */
	p[0].uuid = 0;
	for (char name[] = "a"; name[0] <= 'b'; name[0]++) {
		char line[32];

		snprintf(line, sizeof(line), "policy %s set name=off", name);
		peer_handshake(&p[0], f->d.vm_socket, name);
		ctl(f, 0, line);
		if (name[0] == 'a') {
			/* Of web with UUID 7, web, and a: web becomes the newest. */
			peer_handshake(&p[1], f->d.vm_socket, "web");
			policy_is(f, "web", "hmmv");
			peer_close(&p[1]);
		}
		all_gone(f, p, 1);
	}
	p[0].uuid = 7;
	peer_handshake(&p[0], f->d.vm_socket, "web");
	policy_is(f, "web", "observe");
	all_gone(f, p, 1);
	p[0].uuid = 0;
	peer_handshake(&p[0], f->d.vm_socket, "web");
	peer_handshake(&p[1], f->d.vm_socket, "a");
	p[2].uuid = 0;
	peer_handshake(&p[2], f->d.vm_socket, "b");
	policy_is(f, "web", "hmmv");
	policy_is(f, "a", "off");
	policy_is(f, "b", "off");
	all_gone(f, p, 3);
	/* A new hmemd has no kept policies. */
	daemon_kill(&f->d);
	daemon_restart(&f->d, NULL);
	peer_handshake(&p[0], f->d.vm_socket, "web");
	policy_is(f, "web", "off");
	peer_close(&p[0]);
	fixture_end(f);
}

static void limits(void **state)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--max-vms=1", "--max-guest=64M", NULL
	});
	struct peer a = { 0 }, b = { 0 };
	struct hmem_link_hello hello;
	struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = PEER_TIER, .tier = 0 },
		{ .gfn = PEER_TIER, .num = PEER_TIER + 1, .tier = 1 },
	};

	(void)state;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	peer_connect(&b, f->d.vm_socket);
	peer_expect_drop(&b);
	doctor(f);
	assert_true(out_has(f, "--max-vms"));
	all_gone(f, &f->web, 1);
	/* Both tiers together have one page too many. */
	peer_connect(&a, f->d.vm_socket);
	peer_fill_hello(&hello, "big");
	hello.map_bytes *= 2;
	a.map_fd = peer_memfd(2 * PEER_MAPS_BYTES, F_SEAL_SHRINK);
	peer_send_hello(&a, &hello, &a.map_fd, 1);
	peer_send(&a, HMEM_LINK_RANGES, ranges, sizeof(ranges));
	peer_expect_drop(&a);
	doctor(f);
	assert_true(out_has(f, "--max-guest"));
	fixture_end(f);
}

/* --- the control socket, byte by byte --- */

/* The answer's line, or "" if hmemd disconnects. */
static void control_ask(int fd, const char *request, size_t len, char *line,
			size_t size)
{
	size_t n = 0;

	while (len) {
		ssize_t sent = send(fd, request, len, MSG_NOSIGNAL);

		if (sent < 0)
			break;
		request += sent;
		len -= sent;
	}
	while (n < size - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
}

static void control_garbage(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"x\n", "{\n", "[]\n", "{}\n", "null\n", "{\"verb\":1}\n",
		"{\"verb\":\"fly\"}\n", "{\"verb\":\"list\"} x\n",
		"{\"verb\":\"list\",\"version\":2}\n",
		"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n",
		"{\"verb\":\"migrate\"}\n", "{\"verb\":\"migrate\",\"to\":-1}\n",
		"{\"verb\":\"migrate\",\"to\":1}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":7}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[[]]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[[1]]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[[1,0]]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[[-1,1]]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[[1,9223372036854775807]]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"ranges\":[null]}\n",
		"{\"verb\":\"migrate\",\"to\":1,\"all\":true,\"order\":99}\n",
		"{\"verb\":\"policy\",\"set\":{\"rate\":{}}}\n",
		"{\"verb\":\"heat\",\"vm\":\"nobody\"}\n",
		"{\"verb\":\"heat\",\"bins\":0}\n",
		"{\"verb\":\"heat\",\"bins\":-1}\n",
		"{\"verb\":\"heat\",\"bins\":4097}\n",
		"{\"verb\":\"heat\",\"bins\":9223372036854775808}\n",
		"{\"verb\":\"heat\",\"bins\":\"64\"}\n",
		"{\"verb\":\"heat\",\"bins\":[64]}\n",
		"{\"verb\":\"heat\",\"bins\":1.5}\n",
		"{\"verb\":\"heat\",\"after\":-1}\n",
		"{\"verb\":\"heat\",\"after\":null}\n",
		/* No window will ever end. */
		"{\"verb\":\"heat\",\"after\":0}\n",
		"{\"verb\":\"policy\",\"set\":{\"rate\":null}}\n",
		"\0\n",
	};
	size_t huge = 9 << 20;
	char line[65536], *big;
	uint64_t rnd = 5;
	int fd = peer_socket(f->d.control_socket);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t len = bad[i][0] ? strlen(bad[i]) : 2;
		struct json_object *o;

		/* Each request gets an answer, on the same connection. */
		control_ask(fd, bad[i], len, line, sizeof(line));
		o = json_tokener_parse(line);
		if (!o || !json_object_object_get_ex(o, "error", NULL))
			fail_msg("%s is answered with %s", bad[i], line);
		json_object_put(o);
	}
	close(fd);
	/* hmemd does not wait for the end of a request that is too long. */
	big = test_malloc(huge);
	memset(big, ' ', huge);
	fd = peer_socket(f->d.control_socket);
	control_ask(fd, big, huge, line, sizeof(line));
	assert_non_null(strstr(line, "a request has at most 4096 KiB"));
	close(fd);
	test_free(big);
	for (unsigned int i = 0; i < 300; i++) {
		char text[] = "{\"verb\":\"migrate\",\"to\":1,\"ranges\":[[1,2]],"
			      "\"dry_run\":true,\"vm\":\"web\"}\n";
		size_t at = unit_random(&rnd) % (sizeof(text) - 2);

		text[at] = unit_random(&rnd);
		fd = peer_socket(f->d.control_socket);
		send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
		close(fd);
	}
	web_is_well(f);
}

/* --- faults around hmemctl --- */

/* If hmemctl cannot write all of its output, it fails. */
static void output_is_written(void **state)
{
	static const char *const lines[] = {
		"list", "status", "status --raw", "stats", "stats -v", "policy get",
		"policy set rate=100", "migrate --all --to 1 --dry-run",
		"migrate --gfn 5 --to 1", "heatmap", "heatmap --bins 4096", "doctor",
		"top -n 1 -i 0.1", "-o json list", "-o json status", "-o json heatmap",
		"-o json top -n 100000 -i 0.1", "-o json doctor", "--help", "--version",
		"heatmap --help", "migrate --help",
	};
	struct fixture *f = *state;
	struct peer_msg msg;

	ctl(f, 0, "policy set name=observe");
	expect_track(&f->web, &msg);
	peer_send_tick(&f->web, 1);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	f->ctl.to = "/dev/full";
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ctl(f, 1, lines[i]);
		if (!strstr(f->ctl.err, "cannot write to standard output"))
			fail_msg("hmemctl %s >/dev/full says: %s", lines[i], f->ctl.err);
	}
	assert_true(out_has(f, "No space left"));
	f->ctl.to = NULL;
}

/* A picture's file is opened first, and contains a whole picture or is removed. */
static void picture_is_written(void **state)
{
	struct fixture *f = *state;
	char path[96], line[256];
	struct peer_msg msg;
	int fd;

	/* No window would ever end. */
	ctl(f, 1, "heatmap --time 1000 --svg /no/such/dir/x.svg");
	assert_true(out_has(f, "cannot write /no/such/dir/x.svg: No such file"));
	snprintf(path, sizeof(path), "%s/x.svg", f->d.dir);
	snprintf(line, sizeof(line), "heatmap nobody --svg %s", path);
	ctl(f, 1, line);
	assert_int_equal(access(path, F_OK), -1);
	ctl(f, 0, "policy set name=observe");
	expect_track(&f->web, &msg);
	peer_send_tick(&f->web, 1);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	ctl(f, 1, "heatmap --svg /dev/full");
	assert_true(out_has(f, "cannot write /dev/full: No space left"));
	snprintf(line, sizeof(line), "heatmap --svg %s", path);
	f->ctl.file_limit = 1000;
	ctl(f, 1, line);
	assert_true(out_has(f, "cannot write"));
	assert_int_equal(access(path, F_OK), -1);
	/* An existing file keeps its contents until there is a new picture. */
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "old", 3), 3);
	snprintf(line, sizeof(line), "heatmap nobody --svg %s", path);
	ctl(f, 1, line);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3);
	snprintf(line, sizeof(line), "heatmap --svg %s", path);
	ctl(f, 1, line);
	assert_true(out_has(f, "the file is incomplete"));
	f->ctl.file_limit = 0;
	ctl(f, 0, line);
	assert_true(lseek(fd, 0, SEEK_END) > 1000);
	close(fd);
	unlink(path);
}

/* doctor, when hmemd does not run, has gone, hangs, or disconnects. */
static void doctor_without_hmemd(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ctl *c = &f->ctl;
	char line[256];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[2];
	pid_t pid;

	ctl(f, 1, "--socket /nonexistent doctor");
	assert_non_null(strstr(c->out, "io_uring"));
	assert_non_null(strstr(c->out, "cannot reach hmemd at /nonexistent: No such file"));
	assert_non_null(strstr(c->out, "start hmemd"));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/dead", f->d.dir);
	assert_return_code(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
	snprintf(line, sizeof(line), "--socket %s doctor --timeout 1", addr.sun_path);
	ctl(f, 1, line);
	assert_non_null(strstr(c->out, "it has ended, and left its socket"));
	/* One fake hmemd accepts the request and hangs; the next one does not even accept. */
	assert_return_code(listen(fd, 0), errno);
	ctl(f, 1, line);
	assert_non_null(strstr(c->out, "has not answered in 1 s"));
	ctl(f, 1, line);
	assert_non_null(strstr(c->out, "has not answered in 1 s"));
	close(accept(fd, NULL, NULL));
	pid = ctl_start(c, &f->d, line, fds);
	close(accept(fd, NULL, NULL));
	ctl_finish(c, pid, fds, NULL);
	assert_int_equal(c->status, 1);
	assert_non_null(strstr(c->out, "hmemd "));
	close(fd);
	unlink(addr.sun_path);
}

/* doctor tells who may connect a VM, and looks at the host. */
static void doctor_looks_at_the_host(void **state)
{
	struct fixture *f = *state;

	doctor(f);
	assert_non_null(strstr(f->ctl.out, "kernel"));
	assert_non_null(strstr(f->ctl.out, "host"));
	assert_return_code(chmod(f->d.vm_socket, 0600), errno);
	doctor(f);
	assert_non_null(strstr(f->ctl.out, "only its owner may connect"));
	assert_return_code(chmod(f->d.vm_socket, 0660), errno);
	doctor(f);
	assert_non_null(strstr(f->ctl.out, "members of the group"));
	assert_null(strstr(f->ctl.out, "only its owner may connect"));
}

/*
 * Runs doctor, with the options @more, with an hmemd that says @text about its socket for VMs, and
 * @vms about these.
 */
static void doctor_hears(struct fixture *f, int listener, const char *at, const char *text,
			 const char *vms, const char *more)
{
	char line[256], info[256], status[2048];
	int fds[2], fd;
	pid_t pid;

	snprintf(line, sizeof(line), "--socket %s%s doctor", at, more);
	snprintf(info, sizeof(info), "{\"version\":1,\"final\":true,\"hmemd\":{\"pid\":1%s}}",
		 text);
	pid = ctl_start(&f->ctl, &f->d, line, fds);
	fd = accept(listener, NULL, NULL);
	assert_return_code(fd, errno);
	json_object_put(control_read(fd));
	control_send(fd, info);
	json_object_put(control_read(fd));
	snprintf(status, sizeof(status), "{\"version\":1,\"final\":true,\"vms\":[%s]}", vms);
	control_send(fd, status);
	json_object_put(control_read(fd));
	control_send(fd, "{\"version\":1,\"final\":true,\"pool\":{}}");
	ctl_finish(&f->ctl, pid, fds, NULL);
	close(fd);
}

/* What doctor says about a socket for VMs that it cannot see. */
static void doctor_looks_for_the_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char dir[64], text[128];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/fake", f->d.dir);
	assert_return_code(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_return_code(listen(fd, 1), errno);
	snprintf(dir, sizeof(dir), "%s/closed", f->d.dir);
	assert_return_code(mkdir(dir, 0700), errno);
	snprintf(text, sizeof(text), ",\"vm_socket\":\"%s/vm.sock\"", dir);
	doctor_hears(f, fd, addr.sun_path, text, "", "");
	assert_non_null(strstr(f->ctl.out, "vm.sock: No such file"));
	assert_non_null(strstr(f->ctl.out, "restart hmemd-vm.socket"));

	assert_return_code(chmod(dir, 0), errno);
	f->ctl.obeys_modes = true;
	doctor_hears(f, fd, addr.sun_path, text, "", "");
	f->ctl.obeys_modes = false;
	assert_non_null(strstr(f->ctl.out, "vm.sock: Permission denied: run doctor as root"));

	/* An older hmemd does not tell. */
	doctor_hears(f, fd, addr.sun_path, "", "", "");
	assert_non_null(strstr(f->ctl.out, "hmemd "));
	assert_null(strstr(f->ctl.out, "No such file"));
	close(fd);
	unlink(addr.sun_path);
	assert_return_code(rmdir(dir), errno);
}

/* A process with these arguments behind those of a shell, which waits. */
static pid_t process_with(const char *const *arguments, int *end)
{
	const char *argv[32] = { "sh", "-c", "read line" };
	int fds[2];
	pid_t pid;

	for (unsigned int n = 3; *arguments; arguments++)
		argv[n++] = *arguments;
	assert_return_code(pipe(fds), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (!pid) {
		dup2(fds[0], STDIN_FILENO);
		close(fds[1]);
		execv("/bin/sh", (char **)argv);
		_exit(127);
	}
	close(fds[0]);
	*end = fds[1];
	return pid;
}

/* Has exec put the arguments in the place of this process's? */
static bool has_begun(pid_t pid)
{
	char path[64], first[4] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "r");
	assert_non_null(file);
	if (!fread(first, 1, sizeof(first) - 1, file))
		first[0] = '\0';
	fclose(file);
	return !strcmp(first, "sh");
}

/* What doctor says about a VM whose QEMU has these arguments; compared with the golden file. */
static void doctor_of_qemu(struct fixture *f, int listener, const char *at, const char *golden,
			   const char *node, const char *more, const char *const *arguments)
{
	char vm[1024];
	int end;
	pid_t pid = process_with(arguments, &end);
	char *rows, text[4096], name[64];

	while (!has_begun(pid))
		usleep(1000);
	snprintf(vm, sizeof(vm), "{\"name\":\"web\",\"pid\":%d,\"driver\":\"ok\","
		 "\"tiers\":[{\"pxm\":1,\"host_node\":null},{\"pxm\":0,\"host_node\":%s}],"
		 "\"activity\":\"no window yet\",\"late\":false,"
		 "\"order_doubt\":null,\"foreign_moves_lately\":0,\"last_error\":null,%s}",
		 (int)pid, node, more);
	f->ctl.columns = "80";
	f->ctl.locale = "C.UTF-8";
	doctor_hears(f, listener, at, "", vm, "");
	rows = strstr(f->ctl.out, "vm web");
	assert_non_null(rows);
	snprintf(text, sizeof(text), "%s", rows);
	golden_check(golden, text);
	f->ctl.locale = "C";
	doctor_hears(f, listener, at, "", vm, "");
	assert_string_equal(strstr(f->ctl.out, "vm web"), text);
	for (unsigned int i = 0; i < 2; i++) {
		f->ctl.locale = i ? "C" : "C.UTF-8";
		doctor_hears(f, listener, at, "", vm, " -o json");
		rows = strstr(f->ctl.out, "    {\n      \"check\": \"vm web\"");
		assert_non_null(rows);
		if (i) {
			assert_string_equal(rows, text);
			break;
		}
		snprintf(text, sizeof(text), "%s", rows);
		snprintf(name, sizeof(name), "%s-json", golden);
		golden_check(name, text + strspn(text, " "));
	}
	f->ctl.columns = f->ctl.locale = NULL;
	close(end);
	process_wait(pid);
}

/* The features of a driver of the present version. */
#define PRESENT	"\"features\":4095"

/* doctor looks at the features of the VM's driver, and at how its QEMU was started. */
static void doctor_looks_at_machines(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
#define HEARS_ON(node, name, more, ...)					\
	doctor_of_qemu(f, fd, addr.sun_path, "doctor-" name, node, more,	\
		       (const char *const[]) { __VA_ARGS__, NULL })
#define HEARS(...)	HEARS_ON("null", __VA_ARGS__)

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/fake", f->d.dir);
	assert_return_code(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_return_code(listen(fd, 1), errno);
	HEARS("good", PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":\"gpt\"", "-accel",
	      "kvm,dirty-ring-size=4096", "-object",
	      "memory-backend-ram,id=dram,size=1G,host-nodes=0,policy=bind", "-object",
	      "memory-backend-file,id=nvm,mem-path=/x,size=1G,policy=bind,host-nodes=2-3",
	      "-numa", "node,nodeid=0,memdev=dram", "--numa", "node,memdev=nvm,nodeid=1");
	/* hmemd.conf says that tier 1 is on another node than it is. */
	HEARS_ON("2", "elsewhere",
		 PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
		 "memory-backend-ram,id=dram,size=1G,host-nodes=2,policy=bind",
		 "-object", "memory-backend-ram,id=nvm,size=1G,host-nodes=0,policy=bind", "-numa",
		 "node,nodeid=1,memdev=dram", "-numa", "node,memdev=nvm,nodeid=0");
	/* A tier can be on several nodes, and hmemd counts one. */
	HEARS_ON("3", "several",
		 PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
		 "memory-backend-ram,id=nvm,size=1G,host-nodes=0,host-nodes=2-3,policy=bind",
		 "-numa", "node,memdev=nvm,nodeid=0");
	HEARS_ON("1", "not-among-several",
		 PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
		 "memory-backend-ram,id=nvm,size=1G,host-nodes=0,host-nodes=2-3,policy=bind",
		 "-numa", "node,memdev=nvm,nodeid=0");
	/* hmemd counts all nodes, or two of three. */
	HEARS_ON("2,\"host_nodes\":[2,3]", "all-of-several",
		 PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
		 "memory-backend-ram,id=nvm,size=1G,host-nodes=2-3,policy=bind",
		 "-numa", "node,memdev=nvm,nodeid=0");
	HEARS_ON("2,\"host_nodes\":[2,3]", "two-of-several",
		 PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
		 "memory-backend-ram,id=nvm,size=1G,host-nodes=0,host-nodes=2-3,policy=bind",
		 "-numa", "node,memdev=nvm,nodeid=0");
	HEARS_ON("2,\"host_nodes\":[1,2]", "one-of-several",
		 PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
		 "memory-backend-ram,id=nvm,size=1G,host-nodes=0,host-nodes=2-3,policy=bind",
		 "-numa", "node,memdev=nvm,nodeid=0");
	/* As libvirt writes it. */
	HEARS_ON("0", "libvirt",
	      PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":null", "-object",
	      "{\"qom-type\":\"memory-backend-ram\",\"id\":\"ram-node0\",\"size\":1024,"
	      "\"host-nodes\":[0],\"policy\":\"bind\"}", "-numa",
	      "node,nodeid=0,cpus=0-1,memdev=ram-node0", "-object",
	      "{\"qom-type\":\"memory-backend-ram\",\"id\":\"ram-node1\",\"size\":1024,"
	      "\"host-nodes\":[0],\"policy\":\"bind\"}", "-numa",
	      "node,nodeid=1,memdev=ram-node1");
	/* An escape sequence must not reach the terminal. */
	HEARS("unbound", PRESENT ",\"policy\":\"off\",\"ranges\":3,\"tracker\":\"dirty\"", "-accel",
	      "kvm,dirty-ring-size=4096", "-object", "memory-backend-ram,id=dram,size=1G",
	      "-object", "memory-backend-ram,id=nvm,size=1G,host-nodes=2,policy=pre\33[1mferred",
	      "-numa", "node,nodeid=0,memdev=dram", "-numa", "node,nodeid=1,memdev=nvm");
	HEARS("old-driver", "\"features\":127,\"policy\":\"off\",\"ranges\":1022,"
	      "\"tracker\":null", "-S");
	HEARS("slow", PRESENT ",\"ranges\":3,\"tracker\":\"gpt\",\"scan_late\":true,"
	      "\"asked_window_ms\":1000,\"min_window_ms\":3400,\"policy\":\"hmmv\"", "-S");
	HEARS("new-driver", "\"features\":1099511635967,\"policy\":\"off\",\"ranges\":3,"
	      "\"tracker\":null", "-S");
#undef HEARS
#undef HEARS_ON
	close(fd);
	unlink(addr.sun_path);
}

/* --- output for people --- */

/* Replace numbers, and texts, that differ from run to run, in JSON. */
static void hide_values(char *out)
{
	static const char *const keys[] = {
		"\"pid\": ", "\"uid\": ", "\"connected_s\": ", "\"time_ms\": ", "\"time\": ",
		"\"vtime_ns\": ", "\"daemon_ns\": ", "\"uptime_s\": ", "\"cpu_ns\": ",
		"\"table_bytes\": ", "_per_s\": ", "\"at\": ", "\"elapsed_s\": ", NULL
	};

	hide_json(out, keys);
}

static void golden_read(struct fixture *f, const char *name, const char *line)
{
	golden_ctl(f, name, line, hide_values);
}

/* A rate is known or not, and high or low, by the time that the test takes. */
static void hide_rates(char *out)
{
	for (char *p = out; (p = strstr(p, "moted ")); p++) {
		char *end = strchr(p, '\n'), *value = p + 6;

		value += strspn(value, " ");
		if (end - value > 3 && !strncmp(end - 3, "B/s", 3)) {
			*value = '-';
			memmove(value + 1, end, strlen(end) + 1);
		}
	}
}

/* The output of a command that changes something, compared with the golden file. */
static void golden_change(struct fixture *f, const char *name, const char *line)
{
	ctl_run(&f->ctl, &f->d, (struct peer *[]) {
		strstr(line, "--wait") ? &f->web : NULL, NULL
	}, line);
	golden_check(name, f->ctl.out);
}

/* The output of a command that changes nothing. */
static void golden(struct fixture *f, const char *name, const char *line)
{
	golden_ctl(f, name, line, hide_rates);
}

/* VMs of one name have different UUIDs, by which they can be named. */
static void same_names(void **state)
{
	struct fixture *f = *state;
	struct peer first = { .uuid = 0x11 }, second = { .uuid = 0x22 }, third = { .uuid = 0x22 };
	struct peer fourth = { 0 };

	peer_handshake(&first, f->d.vm_socket, "db");
	peer_handshake(&second, f->d.vm_socket, "db");
	golden(f, "list-uuid", "list");
	ctl(f, 0, "policy 22000000-0000-0000-0000-000000000000 set rate=9");
	ctl(f, 0, "policy db get");
	assert_false(out_has(f, "rate            9\n"));
	ctl(f, 0, "policy db-2 get");
	assert_true(out_has(f, "rate            9\n"));
	ctl(f, 0, "events 22000000-0000-0000-0000-000000000000");
	assert_true(out_has(f, "vm db-2: policy"));
	ctl(f, 0, "top 22000000-0000-0000-0000-000000000000 -n 1 -i 0.1");
	assert_true(out_has(f, "db-2"));
	ctl(f, 1, "status 33000000-0000-0000-0000-000000000000");
	peer_handshake(&third, f->d.vm_socket, "other");
	ctl(f, 2, "status 22000000-0000-0000-0000-000000000000");
	assert_non_null(strstr(f->ctl.err, "2 VMs have the name or the UUID"));
	/* A VM that takes another one's UUID as its name is not taken for that VM. */
	peer_handshake(&fourth, f->d.vm_socket, "11000000-0000-0000-0000-000000000000");
	ctl(f, 2, "status 11000000-0000-0000-0000-000000000000");
	ctl(f, 2, "events 11000000-0000-0000-0000-000000000000");
	ctl(f, 2, "trades 11000000-0000-0000-0000-000000000000");
	peer_close(&fourth);
	peer_close(&first);
	peer_close(&second);
	peer_close(&third);
}

/* All that hmemctl prints is ASCII, so that a table looks the same in each locale. */
static void names_of_other_letters(void **state)
{
	struct fixture *f = *state;
	struct peer p = { 0 };

	peer_handshake(&p, f->d.vm_socket, "b\303\266se");
	golden_read(f, "list-other-letters", "list");
	peer_close(&p);
}

static unsigned int golden_reason(struct peer *p, const struct virtio_hmem_hint *hint)
{
	uint64_t gfn = le64toh(hint->gfn);

	(void)p;
	return gfn % 4 ? VIRTIO_HMEM_R_MOVED : gfn / 4 % VIRTIO_HMEM_R_MAX;
}

/*
 * A VM that is started again has its name, though messages of the old QEMU are still unread; so
 * does the second one of a name.
 */
static void same_name_again(void **state)
{
	struct fixture *f = *state;
	struct peer second = { .fd = -1 }, again = { .fd = -1 };
	struct {
		struct hmem_link_header hdr;
		struct hmem_link_state state;
	} many[1000];

	for (unsigned int i = 0; i < 1000; i++) {
		many[i].hdr = (struct hmem_link_header) { HMEM_LINK_STATE, sizeof(many[i].state) };
		many[i].state = (struct hmem_link_state) { .flags = HMEM_LINK_VM_RUNNING };
	}
	peer_handshake(&second, f->d.vm_socket, "web");
	for (unsigned int i = 0; i < 2; i++) {
		struct peer *old = i ? &f->web : &second;

		kill(f->d.pid, SIGSTOP);
		peer_send_raw(old, many, sizeof(many));
		peer_close(old);
		peer_connect(&again, f->d.vm_socket);
		peer_introduce(&again, "web");
		kill(f->d.pid, SIGCONT);
		peer_expect(&again, &(struct peer_msg) { 0 }, HMEM_LINK_WELCOME);
		ctl(f, 0, "list -q");
		assert_false(out_has(f, i ? "web-2" : "web-3"));
		peer_close(&again);
	}
}

static void golden_output(void **state)
{
	const struct hmem_link_pauses pauses = {
		.sum_ns = 2500000, .pauses = { [14] = 12000, [21] = 345 },
	};
	struct fixture *f = *state;
	struct peer_msg msg;

	golden(f, "list", "list");
	golden(f, "status", "status");
	golden(f, "policy", "policy get");
	golden(f, "dry-run", "migrate --gpa 0+16M --to 1 --dry-run");
	f->web.reason = golden_reason;
	f->web.foreign_moves = 3;
	golden_change(f, "migrate", "migrate --gpa 0+16M --to 1 --wait --retries 0");
	assert_int_equal(f->ctl.status, 3);
	golden(f, "stats", "stats");
	golden(f, "stats-verbose", "stats -v");
	golden_change(f, "policy-set", "policy set name=observe window=250");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	/* Tiers without moves, and pauses. */
	f->web.features = UINT64_C(1) << VIRTIO_HMEM_F_PAUSE;
	peer_send_state(&f->web, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_send(&f->web, HMEM_LINK_PAUSES, &pauses, sizeof(pauses));
	f->web.map[4096 / 64] = 0xff;
	peer_send_tick(&f->web, 1);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	golden(f, "status-observe", "status web");
	golden(f, "status-raw", "status web --raw");
	golden(f, "list-quiet", "list -q");
	golden(f, "policy-json", "-o json policy get");
	golden_read(f, "list-json", "-o json list");
	golden_read(f, "status-json", "-o json status");
	golden_read(f, "stats-json", "-o json stats");
	golden_read(f, "history-json", "-o json history");
	golden_read(f, "jobs", "jobs");
	golden_read(f, "jobs-json", "-o json jobs");
	/* hmemd looks at the pool once per second. */
	do
		ctl(f, 0, "pool");
	while (out_has(f, "outside") && !usleep(10000));
	golden_read(f, "pool", "pool");
	golden_read(f, "pool-json", "-o json pool");
	golden_read(f, "trades-json", "-o json trades");
	golden_read(f, "explain-json", "-o json explain --gpa 16M");
	golden_read(f, "heatmap-json", "-o json heatmap --bins 4");
	golden_read(f, "config-show", "config show");
	doctor(f);
	assert_true(out_has(f, "numa_balancing=0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, \
							   fixture_teardown)

/* hmemd's log says where events come from; epoll comes in if io_uring is forbidden. */
static void without_io_uring(void **state)
{
	struct fixture *f = *state;
	FILE *log = fopen(f->d.log, "r");
	bool ring = false, epoll = false;
	char line[512];

	assert_non_null(log);
	while (fgets(line, sizeof(line), log)) {
		ring |= strstr(line, "events come from io_uring") != NULL;
		epoll |= strstr(line, "events come from epoll, because io_uring") != NULL;
	}
	fclose(log);
	assert_true(ring != epoll);
	if (getenv("NO_IO_URING"))
		assert_true(epoll);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handshake),
		TEST(migrate),
		TEST(usage),
		TEST(the_loop),
		TEST(without_io_uring),
		TEST(trackers),
		TEST(host_trackers),
		TEST(guest_tracker),
		TEST(guest_tracker_rests),
		TEST(a_newer_device),
		TEST(dirty_log_is_sampled),
		TEST(incomplete_ticks),
		TEST(least_window),
		TEST(rearm),
		TEST(lockstep),
		cmocka_unit_test(barrier),
		TEST(refused_are_left),
		TEST(no_room_for_long),
		TEST(driver_goes),
		TEST(rejects),
		TEST(client_goes),
		TEST(two_vms),
		TEST(bad_hellos),
		TEST(bad_order),
		TEST(lying_results),
		TEST(missing_results),
		TEST(mutations),
		TEST(new_ranges),
		TEST(ranges_come_and_go),
		TEST(offline_memory),
		TEST(tier_order),
		TEST(job_in_time),
		TEST(lately),
		TEST(restart),
		cmocka_unit_test(written_pages_if_needed),
		TEST(cleared_bits),
		cmocka_unit_test(policies_are_kept),
		cmocka_unit_test(limits),
		TEST(control_garbage),
		TEST(output_is_written),
		TEST(picture_is_written),
		TEST(doctor_without_hmemd),
		TEST(doctor_looks_at_the_host),
		TEST(doctor_looks_for_the_socket),
		TEST(doctor_looks_at_machines),
		TEST(golden_output),
		TEST(same_names),
		TEST(names_of_other_letters),
		TEST(same_name_again),
	};

	return cmocka_run_group_tests_name("hmemd", tests, NULL, NULL);
}
