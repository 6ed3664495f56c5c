/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checks of devices' messages, compared with a second implementation of the rules. */
#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link_check.h"
#include "peer.h"

static void headers(void **state)
{
	static const struct {
		uint32_t type, len;
		bool ok;
	} cases[] = {
		{ HMEM_LINK_HELLO, sizeof(struct hmem_link_hello), true },
		{ HMEM_LINK_HELLO, sizeof(struct hmem_link_hello) - 8, false },
		{ HMEM_LINK_HELLO, sizeof(struct hmem_link_hello) + 8, false },
		{ HMEM_LINK_RANGES, 0, false },
		{ HMEM_LINK_RANGES, 32, true },
		{ HMEM_LINK_RANGES, 48, false },
		{ HMEM_LINK_RANGES, 32 * HMEM_LINK_MAX_RANGES, true },
		{ HMEM_LINK_RANGES, 32 * (HMEM_LINK_MAX_RANGES + 1), false },
		{ HMEM_LINK_STATE, 88, true },
		{ HMEM_LINK_STATE, 24, false },
		{ HMEM_LINK_RESULTS, 0, false },
		{ HMEM_LINK_RESULTS, 23, false },
		{ HMEM_LINK_RESULTS, 24, true },
		{ HMEM_LINK_RESULTS, 25, false },
		{ HMEM_LINK_RESULTS, 24 * 2730, true },
		{ HMEM_LINK_RESULTS, 24 * 2731, false },
		{ HMEM_LINK_REJECT, 16, true },
		{ HMEM_LINK_REJECT, 24, false },
		{ HMEM_LINK_TICK, 56, true }, { HMEM_LINK_TICK, 48, false },
		{ HMEM_LINK_TICK, 0, false },
		{ HMEM_LINK_SIZES, 296, true }, { HMEM_LINK_SIZES, 256, false },
		{ HMEM_LINK_PAUSES, 264, true }, { HMEM_LINK_PAUSES, 256, false },
		{ HMEM_LINK_PAUSES, 272, false },
		{ HMEM_LINK_CLEARED, 8, true }, { HMEM_LINK_CLEARED, 16, false },
		{ HMEM_LINK_ACCOUNT, 224, true }, { HMEM_LINK_ACCOUNT, 216, false },
		{ HMEM_LINK_ACCOUNT, 232, false },
		{ 0, 0, false }, { 10, 16, false },
		{ HMEM_LINK_WELCOME, 8, false }, { HMEM_LINK_HINTS, 32, false },
		{ UINT32_MAX, UINT32_MAX, false },
		{ HMEM_LINK_RESULTS, UINT32_MAX, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hmem_link_header hdr = { cases[i].type, cases[i].len };
		struct hmem_err err = { "" };

		assert_int_equal(hmem_link_check_header(&hdr, &err),
				 cases[i].ok ? 0 : -EPROTO);
		assert_int_equal(!err.msg[0], cases[i].ok);
	}
}

static void hellos(void **state)
{
	struct hmem_link_hello good, h;

	(void)state;
	peer_fill_hello(&good, "web");
	assert_int_equal(hmem_link_check_hello(&good, NULL), 0);
#define BAD(change) do {						\
		struct hmem_err err = { "" };				\
		h = good;						\
		change;							\
		assert_int_equal(hmem_link_check_hello(&h, &err), -EPROTO); \
		assert_true(err.msg[0]);				\
	} while (0)
	BAD(h.magic++);
	BAD(h.version = 2);
	BAD(h.version = 0);
	BAD(memset(h.vm, 'x', sizeof(h.vm)));
	BAD(memset(h.device, 'x', sizeof(h.device)));
	BAD(h.num_tiers = 1);
	BAD(h.num_tiers = 9);
	BAD(h.num_tiers = UINT32_MAX);
	BAD(h.max_batches = 0);
	BAD(h.min_window_ns = HMEM_LINK_MIN_WINDOW_NS - 1);
	BAD(h.min_window_ns = HMEM_LINK_MAX_WINDOW_NS + 1);
	BAD(h.num_cpus = 0);
	BAD(h.num_cpus = HMEM_LINK_MAX_CPUS + 1);
	BAD(h.padding = 1);
	BAD(h.map_bytes = 0);
	BAD(h.map_bytes = 12);
	BAD(h.map_bytes = HMEM_MAX_GFN / 8 + 8);
	BAD(h.map_bytes = UINT64_MAX - 7);
	BAD(h.tiers[0].min = h.tiers[0].size + 4096);
	BAD(h.tiers[1].unit = 12288);
	BAD(h.tiers[1].unit = 2048);
	BAD(h.tiers[1].unit = UINT64_C(1) << 63);
	BAD((h.tiers[1].unit = 8192, h.tiers[1].min = 4096));
#undef BAD
}

static void range_lists(void **state)
{
	static const struct {
		struct hmem_link_range r[3];
		bool ok;
	} cases[] = {
		{ { { 0, 64, 0, 0, 0 }, { 64, 64, 1, 0, 0 }, { 200, 56, 1, 0, 0 } }, true },
		{ { { 1, 1, 0, 0, 0 }, { 2, 1, 1, 0, 0 }, { 255, 1, 1, 0, 0 } }, true },
		{ { { 0, 64, 0, 0, 0 }, { 63, 64, 1, 0, 0 }, { 200, 56, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 0, 0 }, { 128, 64, 1, 0, 0 }, { 64, 64, 1, 0, 0 } }, false },
		{ { { 0, 0, 0, 0, 0 }, { 64, 64, 1, 0, 0 }, { 200, 56, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 0, 0 }, { 64, 64, 2, 0, 0 }, { 200, 56, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 1, 0 }, { 64, 64, 1, 0, 0 }, { 200, 56, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 0, 0 }, { 64, 64, 1, 0, 0 }, { 200, 57, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 0, 0 }, { 64, 64, 1, 0, 0 }, { 256, 1, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 0, 0 }, { 64, UINT64_MAX - 63, 1, 0, 0 },
		    { 200, 56, 1, 0, 0 } }, false },
		{ { { 0, 64, 0, 0, 0 }, { UINT64_MAX, 2, 1, 0, 0 }, { 200, 1, 1, 0, 0 } },
		  false },
		{ { { 0, 64, 0, 0, 0x1000 }, { 64, 64, 1, 0, 0x7f1234567000 },
		    { 200, 56, 1, 0, -57 * 4096ull } }, true },
		{ { { 0, 64, 0, 0, 0x1000 }, { 64, 64, 1, 0, 0x7f1234567000 },
		    { 200, 56, 1, 0, -56 * 4096ull } }, false },
		{ { { 0, 64, 0, 0, 0x1001 }, { 64, 64, 1, 0, 0 },
		    { 200, 56, 1, 0, 0 } }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(hmem_link_check_ranges(cases[i].r, 3, 256 / 8, 2, NULL),
				 cases[i].ok ? 0 : -EPROTO);
}

static void sizes(void **state)
{
	struct hmem_link_hello hello;
	struct hmem_link_sizes good = { 0 }, s;

	(void)state;
	peer_fill_hello(&hello, "web");
	good.tiers[0] = (struct hmem_link_size) {
		.requested = 0, .actual = hello.tiers[0].size, .free = hello.tiers[0].size,
		.why = VIRTIO_HMEM_WHY_NODE_FULL,
	};
	assert_int_equal(hmem_link_check_sizes(&good, hello.tiers, 2, NULL), 0);
	/* A guest can claim anything about its swap: the device is not to blame for that. */
	memset(&good.paging, 0xff, sizeof(good.paging));
	assert_int_equal(hmem_link_check_sizes(&good, hello.tiers, 2, NULL), 0);
#define BAD(change) do {						\
		struct hmem_err err = { "" };				\
		s = good;						\
		change;							\
		assert_int_equal(hmem_link_check_sizes(&s, hello.tiers, 2, &err), \
				 -EPROTO);				\
		assert_true(err.msg[0]);				\
	} while (0)
	BAD(s.tiers[1].requested = hello.tiers[1].size + 1);
	BAD(s.tiers[1].actual = UINT64_MAX);
	BAD(s.tiers[0].free++);
	BAD(s.tiers[1].free = 1);
	BAD(s.tiers[0].why = VIRTIO_HMEM_WHY_MAX);
	BAD(s.tiers[0].why = UINT32_MAX);
	BAD(s.tiers[1].padding = 1);
#undef BAD
}

static bool result_ok(const struct virtio_hmem_result *r)
{
	uint64_t gfn = le64toh(r->gfn), to = le64toh(r->new_gfn);
	uint64_t size;

	if (r->reason >= VIRTIO_HMEM_R_MAX || r->order > VIRTIO_HMEM_MAX_ORDER)
		return false;
	if (r->status != virtio_hmem_status(r->reason))
		return false;
	if (gfn >= HMEM_MAX_GFN || to >= HMEM_MAX_GFN)
		return false;
	size = UINT64_C(1) << r->order;
	if (r->status != VIRTIO_HMEM_S_ERROR && (gfn % size || to % size))
		return false;
	return gfn == to || r->reason == VIRTIO_HMEM_R_MOVED;
}

/* Random results with any reason, status, order and address; edge values come more often. */
static void results(void **state)
{
	uint64_t rnd = 11;
	unsigned int good = 0, bad = 0;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t x = unit_random(&rnd);
		uint64_t gfn = unit_random(&rnd) >> (x % 2 ? 28 : 40);
		struct virtio_hmem_result r = {
			.order = x >> 8 & 7 ? 0 : x >> 16 & 31,
			.reason = x >> 24 & 31,
			.status = x >> 32 & 3,
			.gfn = htole64(gfn),
			.new_gfn = htole64(x >> 40 & 1 ? gfn : gfn ^ (x >> 44)),
		};
		bool ok;

		if (x >> 41 & 3)
			r.status = virtio_hmem_status(r.reason);
		ok = result_ok(&r);
		assert_int_equal(hmem_link_check_result(&r, NULL), ok ? 0 : -EPROTO);
		good += ok;
		bad += !ok;
	}
	assert_true(good > 1000 && bad > 1000);
}

static void result_batches(void **state)
{
	struct virtio_hmem_result_batch b = { 0 };

	(void)state;
	assert_int_equal(hmem_link_check_results(&b, 24, NULL), -EPROTO);
	b.flags = htole32(VIRTIO_HMEM_RESULT_LAST);
	assert_int_equal(hmem_link_check_results(&b, 24, NULL), 0);
	b.num_results = htole32(1);
	assert_int_equal(hmem_link_check_results(&b, 24, NULL), -EPROTO);
	assert_int_equal(hmem_link_check_results(&b, 48, NULL), 0);
	b.num_results = htole32(UINT32_MAX);
	assert_int_equal(hmem_link_check_results(&b, 48, NULL), -EPROTO);
}

static int check_account(uint64_t total, uint64_t free, uint64_t reserve, uint64_t beyond)
{
	struct hmem_link_account a = { .entries = UINT64_MAX, .collapsed = UINT64_MAX };

	a.tiers[1] = (struct hmem_link_account_tier) { total, free, reserve };
	a.tiers[2].total = beyond;
	return hmem_link_check_account(&a, 2, UINT64_C(1) << VIRTIO_HMEM_F_ACCOUNT, NULL);
}

/* In an account, the parts of a tier fit into it, and other tiers have nothing. */
static void check_accounts(void)
{
	const struct hmem_link_account none = { 0 };

	assert_int_equal(hmem_link_check_account(&none, 2, UINT64_C(1) << VIRTIO_HMEM_F_ACCOUNT,
						 NULL), 0);
	assert_int_equal(hmem_link_check_account(&none, 2,
						 ~(UINT64_C(1) << VIRTIO_HMEM_F_ACCOUNT), NULL),
			 -EPROTO);
	assert_int_equal(check_account(9, 5, 3, 0), 0);
	assert_int_equal(check_account(UINT64_MAX, UINT64_MAX, UINT64_MAX, 0), 0);
	assert_int_equal(check_account(9, 10, 3, 0), -EPROTO);
	assert_int_equal(check_account(9, 5, 6, 0), -EPROTO);
	assert_int_equal(check_account(9, 5, 3, 1), -EPROTO);
}

static void small_ones(void **state)
{
	struct hmem_link_state s = { .boot = 1 };
	struct hmem_link_tick t = { .seq = 0 };

	(void)state;
	assert_int_equal(hmem_link_check_state(&s, NULL), -EPROTO);
	s.flags = HMEM_LINK_DRIVER_OK;
	assert_int_equal(hmem_link_check_state(&s, NULL), 0);
	assert_int_equal(hmem_link_check_tick(&t, NULL), -EPROTO);
	t.seq = UINT64_MAX;
	assert_int_equal(hmem_link_check_tick(&t, NULL), 0);
	t.scan_ns = 7;
	assert_int_equal(hmem_link_check_tick(&t, NULL), -EPROTO);
	t.window_ns = 7;
	assert_int_equal(hmem_link_check_tick(&t, NULL), 0);
	t.flags = HMEM_LINK_TICK_INCOMPLETE;
	assert_int_equal(hmem_link_check_tick(&t, NULL), 0);
	t.flags <<= 1;
	assert_int_equal(hmem_link_check_tick(&t, NULL), -EPROTO);
	assert_int_equal(hmem_link_check_pauses(UINT64_C(1) << VIRTIO_HMEM_F_PAUSE, NULL), 0);
	assert_int_equal(hmem_link_check_pauses(~(UINT64_C(1) << VIRTIO_HMEM_F_PAUSE), NULL),
			 -EPROTO);
	check_accounts();
	for (uint32_t code = 0; code < 10; code++) {
		struct hmem_link_reject r = { .code = code };

		assert_int_equal(hmem_link_check_reject(&r, NULL),
				 code >= 1 && code <= 4 ? 0 : -EPROTO);
	}
}

/* Each reason has a name of its own, and its status is the header's. */
static void names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++) {
		const char *name = hmem_reason_name(i);

		assert_non_null(name);
		for (const char *c = name; *c; c++)
			assert_true((*c >= 'a' && *c <= 'z') || *c == '-');
		for (unsigned int k = 0; k < i; k++)
			assert_string_not_equal(name, hmem_reason_name(k));
	}
	assert_null(hmem_reason_name(VIRTIO_HMEM_R_MAX));
	assert_string_equal(hmem_reason_name(VIRTIO_HMEM_R_OFF_LRU), "off-lru");
	assert_string_equal(hmem_reason_name(VIRTIO_HMEM_R_BAD_ORDER), "bad-order");
	for (uint32_t i = 0; i < VIRTIO_HMEM_WHY_MAX; i++)
		assert_non_null(hmem_why_name(i));
	assert_null(hmem_why_name(VIRTIO_HMEM_WHY_MAX));
	assert_string_equal(hmem_why_name(VIRTIO_HMEM_WHY_UNIT), "unit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(hellos),
		cmocka_unit_test(range_lists),
		cmocka_unit_test(sizes),
		cmocka_unit_test(results),
		cmocka_unit_test(result_batches),
		cmocka_unit_test(small_ones),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
