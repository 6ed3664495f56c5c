/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemctl resize, and the messages that hmemd then sends. */
#include "unit.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"

#define SIZE		(PEER_TIER * UINT64_C(4096))
#define RESIZE		(UINT64_C(1) << VIRTIO_HMEM_F_RESIZE)

/* Connects a device whose tiers can be resized; tier 1 has a minimum size. */
static void connect(struct fixture *f, uint64_t unit, uint64_t features)
{
	struct hmem_link_state state = {
		.flags = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING,
		.features = features,
	};
	struct hmem_link_hello hello;
	struct peer_msg msg;

	peer_connect(&f->web, f->d.vm_socket);
	peer_fill_hello(&hello, "web");
	hello.trackers |= f->web.trackers;
	hello.track_flags |= f->web.track_flags;
	hello.tiers[0].unit = hello.tiers[1].unit = unit;
	hello.tiers[1].min = unit ? 64 * 4096 : 0;
	f->web.map_fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	f->web.map = mmap(NULL, PEER_MAPS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  f->web.map_fd, 0);
	assert_true(f->web.map != MAP_FAILED);
	peer_send_hello(&f->web, &hello, &f->web.map_fd, 1);
	peer_send_ranges(&f->web);
	peer_send(&f->web, HMEM_LINK_STATE, &state, sizeof(state));
	peer_expect(&f->web, &msg, HMEM_LINK_WELCOME);
}

static int setup(void **state)
{
	struct fixture *f = fixture_new(NULL);

	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_end(*state);
	return 0;
}

static void send_size(struct fixture *f, uint64_t requested, uint64_t actual,
		      uint32_t why)
{
	struct hmem_link_sizes sizes = { .tiers = {
		{ .requested = requested, .actual = actual, .free = 4096, .why = why },
		{ .requested = SIZE, .actual = SIZE },
	} };

	peer_send(&f->web, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
}

static int64_t tier0(struct fixture *f, const char *key)
{
	struct json_object *o;
	char path[64];
	int64_t n;

	ctl(f, 0, "-o json status web");
	o = json_tokener_parse(f->ctl.out);
	snprintf(path, sizeof(path), "vms.0.tiers.0.size.%s", key);
	n = json_num_at(o, path);
	json_object_put(o);
	return n;
}

static void asked_and_shown(void **state)
{
	const struct hmem_link_resize *resize;
	struct fixture *f = *state;
	struct peer_msg msg;

	connect(f, 4096, RESIZE);
	ctl(f, 0, "status web");
	assert_null(strstr(f->ctl.out, "resize "));
	/* A dry run requests nothing: the next message is that of the real request. */
	ctl(f, 0, "resize web --tier 0 --size 100K --dry-run");
	assert_non_null(strstr(f->ctl.out, "100 KiB"));
	ctl(f, 0, "resize --tier dram --size 200K");
	peer_expect(&f->web, &msg, HMEM_LINK_RESIZE);
	assert_int_equal(msg.hdr.len, sizeof(*resize));
	resize = (const void *)msg.payload;
	assert_int_equal(resize->tier, 0);
	assert_int_equal(resize->bytes, 200 << 10);
	assert_int_equal(tier0(f, "requested_bytes"), 200 << 10);
	assert_int_equal(tier0(f, "actual_bytes"), SIZE);

	send_size(f, 200 << 10, 400 << 10, VIRTIO_HMEM_WHY_NODE_FULL);
	while (tier0(f, "actual_bytes") != 400 << 10)
		;
	assert_int_equal(tier0(f, "pending_bytes"), 200 << 10);
	assert_int_equal(tier0(f, "free_bytes"), 4096);
	ctl(f, 0, "status web");
	assert_non_null(strstr(f->ctl.out, "tier 0: 200 KiB to give up: node-full"));

	/* The guest does not reach the size within the timeout; later it has the size. */
	ctl(f, 3, "resize web --tier 0 --size 200K --wait --timeout 1");
	send_size(f, 200 << 10, 200 << 10, 0);
	ctl(f, 0, "resize web --tier 0 --size 200K --wait");
	assert_non_null(strstr(f->ctl.out, "actual size 200 KiB"));
}

static void refused(void **state)
{
	static const struct usage cases[] = {
		{ 2, "resize web --size 1M", "name a tier by --tier" },
		{ 2, "resize web --tier 0", "new size by --size" },
		{ 2, "resize web --tier 0 --size much", "'much' is not a size" },
		{ 2, "resize web --tier 0 --size 64MiB", "with K, M, G or T, such as 8G" },
		{ 2, "resize web --tier 0 --size 15T999", "'15T999' is not a size" },
		{ 2, "resize web --tier 0 --size 8388608T", "'8388608T' is too large" },
		{ 2, "resize web --tier 2 --size 1M", "tiers 0 to 1" },
		{ 2, "resize web --tier cxl --size 1M", "no tier 'cxl'" },
		{ 2, "resize web --tier 0 --size 1T", "can have 0 B to" },
		{ 2, "resize web --tier 1 --size 4K", "can have 256 KiB to" },
		{ 2, "resize web --tier 0 --size 5000", "in units of 4 KiB" },
		{ 1, "resize other --tier 0 --size 1M", "no VM 'other'" },
	};
	struct fixture *f = *state;

	connect(f, 4096, RESIZE);
	usage_check(f, cases, sizeof(cases) / sizeof(cases[0]));
}

static void unsupported(void **state)
{
	static const struct usage device = {
		77, "resize web --tier 0 --size 100K", "resize=off"
	}, driver = {
		77, "resize web --tier 0 --size 100K", "install a newer virtio_hmem"
	};
	struct fixture *f = *state;

	connect(f, 0, RESIZE);
	usage_check(f, &device, 1);
	peer_close(&f->web);
	connect(f, 4096, 0);
	usage_check(f, &driver, 1);
}

/* If the tier has no free pages, hmemd has as many pages moved as are missing. */
static void room_is_made(void **state)
{
	struct fixture *f = *state;
	uint64_t frames = 0;
	struct peer_msg msg;

	connect(f, 4096, RESIZE);
	send_size(f, SIZE - (100 << 12), SIZE, VIRTIO_HMEM_WHY_NODE_FULL);
	while (frames < 100) {
		const struct virtio_hmem_hint_batch *batch = (const void *)msg.payload;

		peer_expect(&f->web, &msg, HMEM_LINK_HINTS);
		for (uint32_t i = 0; i < le32toh(batch->num_hints); i++) {
			const struct virtio_hmem_hint *h = &batch->hints[i];

			assert_int_equal(h->tier, 1);
			assert_true(le64toh(h->gfn) < PEER_TIER);
			frames += UINT64_C(1) << h->order;
		}
	}
	assert_int_equal(frames, 100);
}

/* The frames of all hints that come until the answer to a tick; the first ends a second. */
static uint64_t hinted_in_window(struct peer *p, uint64_t seq)
{
	const struct hmem_link_tick tick = {
		.seq = seq, .vtime_ns = (9 + seq) * 100000000, .window_ns = 100000000,
	};
	uint64_t frames = 0;
	struct peer_msg msg;

	peer_send(p, HMEM_LINK_TICK, &tick, sizeof(tick));
	for (peer_read(p, &msg); msg.hdr.type == HMEM_LINK_HINTS; peer_read(p, &msg)) {
		const struct virtio_hmem_hint_batch *batch = (const void *)msg.payload;

		for (uint32_t i = 0; i < le32toh(batch->num_hints); i++)
			frames += UINT64_C(1) << batch->hints[i].order;
		peer_answer(p, &msg);
	}
	assert_int_equal(msg.hdr.type, HMEM_LINK_TICK_DONE);
	return frames;
}

static unsigned int is_free(struct peer *p, const struct virtio_hmem_hint *hint)
{
	(void)p;
	(void)hint;
	return VIRTIO_HMEM_R_FREE;
}

/* A VM in lockstep that has all of its memory, is to have @requested bytes, and has none free. */
static struct fixture *full_in_lockstep(const char *policy, uint64_t requested)
{
	struct fixture *f = fixture_new((const char *[]) { "--lockstep", "-p", policy, NULL });
	struct peer *p = &f->web;
	struct peer_msg msg;

	p->trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM;
	p->track_flags = HMEM_LINK_TRACK_LOCKSTEP;
	connect(f, 4096, RESIZE);
	peer_expect(p, &msg, HMEM_LINK_TRACK);
	p->reason = is_free;
	send_size(f, requested, SIZE, VIRTIO_HMEM_WHY_NODE_FULL);
	return f;
}

/*
 * Many frames that look cold are free, or the kernel's.  hmemd looks for others as soon as the
 * guest has said so, and not only in the next second, but tries no more than the policy's rate in a
 * second.  Time is the guest's.
 */
static void room_is_made_without_delay(void **state)
{
	const uint64_t per_second = 1 << (20 - 12), missing = 100;
	struct fixture *f = full_in_lockstep("observe,rate=1,window=100", SIZE - (missing << 12));
	uint64_t frames = 0, first = 0;
	unsigned int windows = 0;

	(void)state;
	for (uint64_t seq = 1; seq <= 10; seq++) {
		uint64_t now = hinted_in_window(&f->web, seq);

		first = first ? first : now;
		frames += now;
		windows += now > 0;
	}
	assert_int_equal(first, missing);
	assert_int_equal(frames, per_second);
	assert_int_equal(windows, (per_second + missing - 1) / missing);
	fixture_end(f);
}

static unsigned int num_promoted;

static unsigned int count_promotions(struct peer *p, const struct virtio_hmem_hint *hint)
{
	(void)p;
	num_promoted += !hint->tier;
	return hint->tier ? VIRTIO_HMEM_R_MOVED : VIRTIO_HMEM_R_WRITEBACK;
}

/* A window in which pages of tier 1 are used.  Returns how many hints there were for tier 0. */
static unsigned int promoted_in_window(struct peer *p, uint64_t seq)
{
	for (unsigned int i = PEER_TIER / 64; i < PEER_TIER / 64 + 16; i++)
		p->map[i] = p->map[PEER_WORDS + i] = UINT64_MAX;
	num_promoted = 0;
	hinted_in_window(p, seq);
	return num_promoted;
}

/* No page moves into memory that was made free because the guest is to give it up. */
static void room_stays_free(void **state)
{
	const uint64_t requested = SIZE - (100 << 12);
	struct fixture *f = full_in_lockstep("hmmv,rate=1,window=100", requested);
	unsigned int seq = 1, promoted = 0;

	(void)state;
	f->web.reason = count_promotions;
	/* The first window begins to make room. */
	promoted_in_window(&f->web, seq);
	while (++seq < 8)
		assert_int_equal(promoted_in_window(&f->web, seq), 0);
	send_size(f, requested, requested, VIRTIO_HMEM_WHY_NOTHING);
	while (!promoted)
		promoted = promoted_in_window(&f->web, seq++);
	fixture_end(f);
}

/* A guest that does not give up the memory that was made free does not lose its placement. */
static void pages_move_in_vain_requests(void **state)
{
	const uint64_t requested = SIZE - (100 << 12);
	struct fixture *f = full_in_lockstep("hmmv,rate=1,window=100", requested);
	unsigned int seq = 1;

	(void)state;
	f->web.reason = count_promotions;
	while (!promoted_in_window(&f->web, seq++))
		assert_true(seq < 100);
	/* The policy stands still again as soon as the guest follows. */
	for (unsigned int given = 1; given <= 4; given++) {
		send_size(f, requested, SIZE - (given << 12), VIRTIO_HMEM_WHY_NODE_FULL);
		while (seq % 10 != 1)
			assert_true(promoted_in_window(&f->web, seq++) == 0 || given == 1);
		/* This one ends a second. */
		promoted_in_window(&f->web, seq++);
	}
	/* And goes on when the guest does not follow any more. */
	while (!promoted_in_window(&f->web, seq++))
		assert_true(seq < 200);
	fixture_end(f);
}

/* For few pages of a large table, hmemd searches once in a second. */
static void few_pages_wait(void **state)
{
	struct fixture *f = full_in_lockstep("observe,rate=1,window=100", SIZE - 4096);
	uint64_t frames = 0;

	(void)state;
	for (uint64_t seq = 1; seq <= 30; seq++)
		frames += hinted_in_window(&f->web, seq);
	assert_int_equal(frames, 3);
	fixture_end(f);
}

static void send_paging(struct fixture *f, uint64_t swapped_in, uint64_t free)
{
	struct hmem_link_sizes sizes = {
		.tiers = {
			{ .requested = SIZE, .actual = SIZE, .free = 4096 },
			{ .requested = SIZE, .actual = SIZE, .free = free * 4096 },
		},
		.paging = { .swapped_in = swapped_in, .read = swapped_in },
	};

	peer_send(&f->web, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
}

/*
 * Tier 1 has free memory for the pages that the guest reads from swap: hmemd has as many cold pages
 * of tier 0 moved there, because Linux brings the pages from swap to tier 0 and evicts others.
 */
static void room_for_pages_from_swap(void **state)
{
	static const struct {
		const char *policy;
		/* Pages read in the second, and free pages of tier 1. */
		uint64_t read, free;
		bool moves;
	} cases[] = {
		{ "hmmv,rate=1,window=100", 200, 201, true },
		{ "hmmv,rate=1,window=100", 200, 200, false },
		{ "hmmv,rate=1,window=100", 0, 200, false },
		{ "observe,rate=1,window=100", 200, 201, false },
	};

	(void)state;
	for (unsigned int c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		struct fixture *f = fixture_new((const char *[]) {
			"--lockstep", "-p", cases[c].policy, NULL
		});
		struct peer *p = &f->web;
		uint64_t frames = 0, seq = 0;
		struct peer_msg msg;

		p->trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM;
		p->track_flags = HMEM_LINK_TRACK_LOCKSTEP;
		connect(f, 4096, RESIZE | UINT64_C(1) << VIRTIO_HMEM_F_PAGING);
		peer_expect(p, &msg, HMEM_LINK_TRACK);
		/* Pages that the guest read before hmemd knew it do not count. */
		send_paging(f, 1000, 2000);
		assert_int_equal(hinted_in_window(p, ++seq), 0);
		send_paging(f, 1000 + cases[c].read, cases[c].free);
		while (seq < 19)
			frames += hinted_in_window(p, ++seq);
		assert_int_equal(frames, cases[c].moves ? cases[c].read : 0);
		/* Nor do those that it read before its driver was loaded again. */
		send_paging(f, 0, 2000);
		while (seq < 29)
			assert_int_equal(hinted_in_window(p, ++seq), 0);
		send_paging(f, 1500, 2000);
		while (seq < 39)
			assert_int_equal(hinted_in_window(p, ++seq), 0);
		fixture_end(f);
	}
}

/* hmemd drops a device that sends impossible sizes. */
static void bad_sizes(void **state)
{
	struct fixture *f = *state;

	connect(f, 4096, RESIZE);
	send_size(f, SIZE + 4096, SIZE, 0);
	peer_expect_drop(&f->web);
	peer_close(&f->web);
	connect(f, 4096, RESIZE);
	send_size(f, SIZE, SIZE, VIRTIO_HMEM_WHY_MAX);
	peer_expect_drop(&f->web);
	peer_close(&f->web);
	connect(f, 4096, RESIZE);
}

static void hide_rates(char *out)
{
	static const char *const keys[] = { "promoted    ", "demoted     ", NULL };

	hide_json(out, keys);
}

/* What people and programs see of a tier whose size changes. */
static void golden_output(void **state)
{
	struct fixture *f = *state;

	connect(f, 4096, RESIZE);
	golden_ctl(f, "resize-dry-run", "resize web --tier 0 --size 8M --dry-run", NULL);
	golden_ctl(f, "resize-dry-run-json", "-o json resize web --tier 0 --size 8M --dry-run",
		   NULL);
	ctl(f, 0, "resize web --tier 0 --size 8M");
	golden_check("resize", f->ctl.out);
	send_size(f, 8 << 20, 20 << 20, VIRTIO_HMEM_WHY_NODE_FULL);
	while (tier0(f, "actual_bytes") != 20 << 20)
		;
	golden_ctl(f, "status-resizing", "status web", hide_rates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asked_and_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(unsupported, setup, teardown),
		cmocka_unit_test_setup_teardown(room_is_made, setup, teardown),
		cmocka_unit_test(room_is_made_without_delay),
		cmocka_unit_test(room_stays_free),
		cmocka_unit_test(pages_move_in_vain_requests),
		cmocka_unit_test(few_pages_wait),
		cmocka_unit_test(room_for_pages_from_swap),
		cmocka_unit_test_setup_teardown(bad_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(golden_output, setup, teardown),
	};

	return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
