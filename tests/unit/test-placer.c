/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The placer: room in tier 0, samples, steps. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "placer.h"
#include "virtio_hmem.h"

#define FAST		4096u
#define SLOW		12288u
#define FRAMES		(FAST + SLOW)
#define WORDS		(FRAMES / 64)
#define HOT		8192u	/* the first of the NUM_HOT hot frames */
#define NUM_HOT		100u
#define HEADROOM	8u
#define SECOND		UINT64_C(1000000000)

static const struct hmem_link_range ranges[] = {
	{ .gfn = 0, .num = FAST, .tier = 0 },
	{ .gfn = FAST, .num = SLOW, .tier = 1 },
};

struct fixture {
	struct hmem_placer placer;
	struct hmem_policy policy;
	struct hmem_tick tick;
	struct hmem_tracker_maps sim, dirty;
	uint64_t maps[HMEM_LINK_MAPS * WORDS];
	/* The hints that the last window() took. */
	struct hmem_hint hints[512];
	uint32_t num, steps;
};

static int setup(void **state)
{
	static const struct hmem_link_tier tiers[2];
	struct fixture *f = calloc(1, sizeof(*f));

	hmem_policy_init(&f->policy);
	f->policy.kind = HMEM_POLICY_HMMV;
	f->policy.levels = 0;
	f->policy.decay = 0;
	f->policy.headroom = HEADROOM;
	f->tick = (struct hmem_tick) {
		.times.window_ns = SECOND,
		.tells_written = true,
		.may_move = true,
		.max_moves = UINT32_MAX,
	};
	hmem_placer_init(&f->placer, &f->policy, tiers, 2, SECOND / 1000, 1);
	assert_int_equal(hmem_placer_ranges(&f->placer, ranges, 2, FRAMES, NULL), 1);
	hmem_tracker_sim_init(&f->sim, f->maps, WORDS * 8);
	hmem_tracker_dirty_init(&f->dirty, f->maps, WORDS * 8);
	hmem_placer_set_tracker(&f->placer, &f->sim.tracker, HMEM_CAN_REST);
	hmem_placer_begin(&f->placer);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hmem_placer_free(&f->placer);
	free(f);
	return 0;
}

/* Ends a window in which the hot frames were written, in steps of @slots, and takes a batch. */
static void window(struct fixture *f, uint64_t slots)
{
	enum hmem_placer_step to;
	struct hmem_err err;

	for (unsigned int i = HOT; i < HOT + NUM_HOT; i++)
		f->sim.dirty[i / 64] |= UINT64_C(1) << (i % 64);
	hmem_placer_window(&f->placer, &f->tick);
	f->steps = 0;
	do {
		to = hmem_placer_step(&f->placer, slots, &err);
		assert_string_equal(err.msg, "");
		f->steps++;
	} while (to != HMEM_PLACER_DONE);
	f->num = hmem_placer_hints(&f->placer, f->hints, 512);
	for (uint32_t i = 0; i < f->num; i++)
		hmem_placer_sent(&f->placer, f->hints[i].gfn, 0);
}

/* The number of the batch's hints for @tier. */
static uint32_t num_to(const struct fixture *f, unsigned int tier)
{
	uint32_t num = 0;

	for (uint32_t i = 0; i < f->num; i++)
		num += f->hints[i].tier == tier;
	return num;
}

/* Answers all hints of the batch: promotions with the reason @up, demotions with @down. */
static struct hmem_moved answer(struct fixture *f, unsigned int up, unsigned int down)
{
	struct hmem_answer answers[512];
	/* Demotions go to unused frames of the slower tier. */
	uint64_t to = FRAMES - 1;

	for (uint32_t i = 0; i < f->num; i++)
		answers[i] = (struct hmem_answer) {
			.gfn = f->hints[i].gfn,
			.new_gfn = f->hints[i].tier ? to-- : i,
			.hint = &f->hints[i],
			.reason = f->hints[i].tier ? down : up,
		};
	return hmem_placer_results(&f->placer, answers, f->num);
}

/* If tier 0 was full, promotions get hints again after demotions that make room. */
static void makes_room(void **state)
{
	struct fixture *f = *state;
	struct hmem_hint old[512];

	window(f, UINT64_MAX);
	assert_int_equal(num_to(f, 0), NUM_HOT);
	assert_int_equal(num_to(f, 1), NUM_HOT);
	answer(f, VIRTIO_HMEM_R_NO_MEMORY, VIRTIO_HMEM_R_PINNED);
	window(f, UINT64_MAX);
	/* The headroom comes first: that many demotions without a promotion. */
	assert_int_equal(f->num, HEADROOM);
	assert_int_equal(num_to(f, 1), HEADROOM);
	answer(f, VIRTIO_HMEM_R_NO_MEMORY, VIRTIO_HMEM_R_MOVED);
	f->num = hmem_placer_hints(&f->placer, old, 512);
	assert_int_equal(f->num, 2 * NUM_HOT);
}

/* A late answer to a hint from before room was made does not ask for more room. */
static void old_answers_make_no_room(void **state)
{
	struct fixture *f = *state;
	struct hmem_answer late;
	struct hmem_hint hint;

	window(f, UINT64_MAX);
	/* The last hint is a promotion, which is answered late. */
	hint = f->hints[--f->num];
	assert_int_equal(hint.tier, 0);
	answer(f, VIRTIO_HMEM_R_NO_MEMORY, VIRTIO_HMEM_R_PINNED);
	window(f, UINT64_MAX);
	assert_int_equal(f->num, HEADROOM);
	late = (struct hmem_answer) {
		.gfn = hint.gfn,
		.hint = &hint,
		.reason = VIRTIO_HMEM_R_NO_MEMORY,
	};
	hmem_placer_results(&f->placer, &late, 1);
	window(f, UINT64_MAX);
	/* The plan has pairs only, so no page has to make room. */
	assert_int_equal(num_to(f, 0), num_to(f, 1));
	assert_true(f->num > 0);
}

/* Promotions use room that demotions have left, except the headroom. */
static void uses_room_that_there_is(void **state)
{
	struct fixture *f = *state;
	struct hmem_moved moved;

	window(f, UINT64_MAX);
	moved = answer(f, VIRTIO_HMEM_R_PINNED, VIRTIO_HMEM_R_MOVED);
	assert_int_equal(moved.demoted, NUM_HOT);
	assert_int_equal(moved.promoted, 0);
	/* Wait until the pause of the refused pages is over. */
	for (unsigned int i = 0; i < 4 && !(f->num && !num_to(f, 1)); i++)
		window(f, UINT64_MAX);
	assert_int_equal(f->num, NUM_HOT - HEADROOM);
	assert_int_equal(num_to(f, 0), NUM_HOT - HEADROOM);
	moved = answer(f, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
	assert_int_equal(moved.promoted, NUM_HOT - HEADROOM);
}

/* Memory of tier 0 that the guest has taken back is room for promotions. */
static void uses_room_that_comes_back(void **state)
{
	struct fixture *f = *state;

	/* That the guest had less before does not matter. */
	hmem_placer_resized(&f->placer, -1000);
	hmem_placer_resized(&f->placer, 30 + HEADROOM);
	window(f, UINT64_MAX);
	assert_int_equal(f->num, 30);
	assert_int_equal(num_to(f, 0), 30);
	f->num = hmem_placer_hints(&f->placer, f->hints, 512);
	assert_int_equal(num_to(f, 0), NUM_HOT - 30);
	assert_int_equal(num_to(f, 1), NUM_HOT - 30);
	/* What is given up again is no room any more. */
	hmem_placer_resized(&f->placer, -1000);
	assert_int_equal(f->placer.spare, 0);
}

/* What the guest says about tier 0 counts, not what hmemd has made of results. */
static void uses_room_that_the_guest_tells(void **state)
{
	struct fixture *f = *state;

	f->tick.knows_room = true;
	hmem_placer_resized(&f->placer, 1000);
	hmem_placer_room(&f->placer, 50, 20, 9000);
	window(f, UINT64_MAX);
	/* The guest has used no more of late, so nothing is left for new pages. */
	assert_int_equal(f->num, 30);
	assert_int_equal(num_to(f, 0), 30);
	/* Moves count at once. */
	answer(f, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
	assert_int_equal(f->placer.spare, 0);
	/* An account that is older than other moves would be wrong; a new one is right. */
	hmem_placer_room(&f->placer, 20 + 7, 20, 9000);
	f->num = hmem_placer_hints(&f->placer, f->hints, 512);
	answer(f, VIRTIO_HMEM_R_PINNED, VIRTIO_HMEM_R_PINNED);
	for (unsigned int i = 0; i < 4 && !(f->num && !num_to(f, 1)); i++)
		window(f, UINT64_MAX);
	assert_int_equal(num_to(f, 0), 7);
}

/* The guest uses @used frames, and tier 0 has room for @room more. */
static void told_window(struct fixture *f, uint64_t room, uint64_t used)
{
	hmem_placer_room(&f->placer, 20 + room, 20, used);
	window(f, UINT64_MAX);
}

/*
 * Room is made before the guest misses it: for as many pages as it has begun to use since the last
 * plan, wherever they are, but at most the headroom.
 */
static void makes_room_ahead(void **state)
{
	struct fixture *f = *state;

	f->tick.knows_room = true;
	told_window(f, 0, 9000);
	assert_int_equal(num_to(f, 0), NUM_HOT);
	assert_int_equal(num_to(f, 1), NUM_HOT);
	answer(f, VIRTIO_HMEM_R_PINNED, VIRTIO_HMEM_R_PINNED);
	/* The most that it has used counts. */
	hmem_placer_room(&f->placer, 20, 20, 9005);
	told_window(f, 0, 9001);
	assert_int_equal(f->num, 5);
	assert_int_equal(num_to(f, 1), 5);
	answer(f, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
	told_window(f, 5, 9001);
	assert_int_equal(num_to(f, 0), num_to(f, 1) + 5);
	answer(f, VIRTIO_HMEM_R_PINNED, VIRTIO_HMEM_R_PINNED);
	/* There are two of these already. */
	told_window(f, 2, 9001 + HEADROOM - 1);
	assert_int_equal(f->num, HEADROOM - 1 - 2);
	answer(f, VIRTIO_HMEM_R_PINNED, VIRTIO_HMEM_R_PINNED);
	told_window(f, 0, UINT64_MAX);
	assert_int_equal(f->num, HEADROOM);
	answer(f, VIRTIO_HMEM_R_PINNED, VIRTIO_HMEM_R_PINNED);
	/* A driver that tells nothing: room is made only when it is missed. */
	f->tick.knows_room = false;
	told_window(f, 0, 0);
	told_window(f, 0, UINT64_MAX);
	assert_int_equal(num_to(f, 0), num_to(f, 1));
}

/* A person's moves do not count as room that the policy can use. */
static void moves_by_hand(void **state)
{
	struct fixture *f = *state;
	struct hmem_answer a = {
		.gfn = 5,
		.new_gfn = FRAMES - 5,
		.reason = VIRTIO_HMEM_R_MOVED,
	};

	hmem_placer_sent(&f->placer, 5, 0);
	assert_int_equal(hmem_placer_results(&f->placer, &a, 1).demoted, 1);
	f->placer.policy.headroom = 0;
	window(f, UINT64_MAX);
	assert_int_equal(num_to(f, 0), num_to(f, 1));
}

/* The plan has as many hints as the connection can take, and none if no hint may be sent. */
static void keeps_to_what_may_move(void **state)
{
	struct fixture *f = *state;

	f->tick.max_moves = 20;
	window(f, UINT64_MAX);
	assert_int_equal(f->num, 20);
	answer(f, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
	f->tick.may_move = false;
	window(f, UINT64_MAX);
	assert_int_equal(f->num, 0);
	assert_false(f->placer.planned);
}

/* A move writes pages, so with a dirty log pages move only while the log is off. */
static void moves_nothing_in_a_sample(void **state)
{
	struct fixture *f = *state;
	unsigned int samples = 0, moves = 0;

	f->policy.kind = HMEM_POLICY_WRITES;
	hmem_placer_set_policy(&f->placer, &f->policy);
	hmem_placer_set_tracker(&f->placer, &f->dirty.tracker, HMEM_CAN_REST);
	hmem_placer_begin(&f->placer);
	assert_true(f->placer.next.rest);
	/* Leave pages that are still to move. */
	f->tick.max_moves = 2;
	for (unsigned int i = 0; i < 20; i++) {
		bool rests = f->placer.next.rest;

		f->tick.times.window_ns = f->placer.next.ns;
		f->tick.written = rests ? 0 : NUM_HOT;
		window(f, UINT64_MAX);
		samples += !rests;
		moves += f->num > 0;
		/* A rest finds no page, and no hints are sent during a sample. */
		assert_true(!f->num || f->placer.next.rest);
		assert_int_equal(f->placer.looked, !rests);
		answer(f, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
	}
	assert_true(samples > 0);
	assert_true(moves > 0);
}

/*
 * Counting takes long for large memory, and the log is already off meanwhile.  It also stays off
 * until the next window ends: that has begun.
 */
static void rests_before_a_sample_is_counted(void **state)
{
	struct fixture *f = *state;
	struct hmem_err err;

	for (unsigned int i = 0; i < 2; i++) {
		unsigned int samples = 0;

		f->policy.kind = i ? HMEM_POLICY_AUTO : HMEM_POLICY_HMMV;
		hmem_placer_set_policy(&f->placer, &f->policy);
		hmem_placer_set_tracker(&f->placer, &f->dirty.tracker, HMEM_CAN_REST);
		hmem_placer_begin(&f->placer);
		assert_true(f->placer.next.rest);
		while (samples < 10) {
			bool rests = f->placer.next.rest;

			f->tick.times.window_ns = f->placer.next.ns;
			f->tick.written = rests ? 0 : NUM_HOT;
			hmem_placer_window(&f->placer, &f->tick);
			assert_true(rests || f->placer.next.rest);
			while (hmem_placer_step(&f->placer, 64, &err) != HMEM_PLACER_DONE)
				assert_true(rests || f->placer.next.rest);
			assert_true(rests || f->placer.next.rest);
			samples += !rests;
			assert_int_equal(f->placer.sampler.samples, i * 10 + samples);
		}
		/* Only the log's own looks count, not the rests between them. */
		assert_int_equal(f->placer.bursts.rates.looks, i ? 10 : 0);
	}
}

/* The owed time of the policy auto after a first burst in which the hot pages were used. */
static int64_t owes(const struct hmem_tick *tick)
{
	struct fixture *f;
	void *state;
	int64_t ns;

	setup(&state);
	f = state;
	f->policy.kind = HMEM_POLICY_AUTO;
	f->tick = *tick;
	hmem_placer_set_policy(&f->placer, &f->policy);
	hmem_placer_begin(&f->placer);
	for (unsigned int i = 0; i < 9; i++) {
		f->tick.times.window_ns = f->placer.next.ns;
		window(f, UINT64_MAX);
	}
	ns = f->placer.bursts.whole_debt_ns;
	teardown(&state);
	return ns;
}

/* If the device tells how many page walks a scan costs, used pages do not count as walks. */
static void walks_are_counted(void **state)
{
	struct fixture *f = *state;
	struct hmem_tick tick = f->tick;
	int64_t unknown = owes(&tick), none, many;

	tick.tells_walks = true;
	none = owes(&tick);
	tick.walks = 10 * NUM_HOT;
	many = owes(&tick);
	assert_in_range(none, 0, unknown - 1);
	assert_in_range(many, unknown + 1, INT64_MAX);
}

/* Hints do not depend on the size of steps; the next window is known before the plan. */
static void steps_do_not_matter(void **state)
{
	struct fixture *f = *state, *other;
	void *o;

	setup(&o);
	other = o;
	for (unsigned int i = 0; i < 10; i++) {
		window(f, UINT64_MAX);
		window(other, 64);
		assert_true(other->steps > 3 * f->steps);
		assert_int_equal(f->num, other->num);
		for (uint32_t k = 0; k < f->num; k++) {
			assert_int_equal(f->hints[k].gfn, other->hints[k].gfn);
			assert_int_equal(f->hints[k].tier, other->hints[k].tier);
		}
		answer(f, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
		answer(other, VIRTIO_HMEM_R_MOVED, VIRTIO_HMEM_R_MOVED);
	}
	teardown(&o);
}

/* Ends a window in which @gfn was used, and which leads to no move. */
static void pass_window(struct fixture *f, uint64_t gfn)
{
	f->tick.may_move = false;
	f->sim.dirty[gfn / 64] |= UINT64_C(1) << (gfn % 64);
	window(f, UINT64_MAX);
}

/* Pages of 2^@order frames move by hand, all in one message.  Returns how many moved back. */
static uint64_t move(struct fixture *f, const uint64_t (*moves)[2], unsigned int num,
		     unsigned int order)
{
	struct hmem_answer answers[4];

	for (unsigned int i = 0; i < num; i++) {
		hmem_placer_sent(&f->placer, moves[i][0], order);
		answers[i] = (struct hmem_answer) {
			.gfn = moves[i][0],
			.new_gfn = moves[i][1],
			.order = order,
			.reason = VIRTIO_HMEM_R_MOVED,
		};
	}
	return hmem_placer_results(&f->placer, answers, num).ping_pong;
}

/* The number of pages that count as moved back if the page at @gfn moves after @windows. */
static uint64_t moves_back(struct fixture *f, uint64_t gfn, uint64_t to, unsigned int windows)
{
	assert_int_equal(move(f, &(const uint64_t [2]) { gfn, to }, 1, 0), 0);
	while (windows--)
		pass_window(f, to);
	return move(f, &(const uint64_t [2]) { to, gfn }, 1, 0);
}

/* A page that moves back within the horizon, here 20 windows of a second, is noticed. */
static void ping_pong(void **state)
{
	struct fixture *f = *state;

	/* The time of a move before the first window is not known. */
	assert_int_equal(moves_back(f, FRAMES - 1, 9, 0), 0);
	pass_window(f, 0);
	/* In each direction. */
	assert_int_equal(moves_back(f, FRAMES - 2, 10, 20), 1);
	assert_int_equal(moves_back(f, 11, FRAMES - 3, 20), 1);
	assert_int_equal(moves_back(f, FRAMES - 4, 12, 21), 0);
	assert_int_equal(moves_back(f, FRAMES - 5, 13, 2000), 0);
	/* Shorter windows are as many more, up to 128. */
	f->tick.times.window_ns = SECOND / 10;
	assert_int_equal(moves_back(f, FRAMES - 6, 14, 127), 1);
	assert_int_equal(moves_back(f, FRAMES - 7, 15, 128), 0);
}

/* Pages that change places again in one message, and frames of a larger page, count each. */
static void ping_pong_together(void **state)
{
	const uint64_t there[][2] = { { 100, FRAMES - 100 }, { FRAMES - 100, 100 } };
	const uint64_t large[][2] = { { 100, FRAMES - 100 } };
	struct fixture *f = *state;

	pass_window(f, 0);
	assert_int_equal(move(f, there, 2, 0), 0);
	pass_window(f, 0);
	assert_int_equal(move(f, there, 2, 0), 2);
	pass_window(f, 0);
	/* Of these four frames, only the first one has come by a hint. */
	assert_int_equal(move(f, large, 1, 2), 1);
	pass_window(f, 0);
	/* The guest has put another page to where a page has left: that page was never moved. */
	assert_int_equal(move(f, large, 1, 2), 0);
}

/* A middle tier has pages from both directions: moves on from there are no ping-pong. */
static void no_ping_pong_in_the_middle(void **state)
{
	static const struct hmem_link_range three[] = {
		{ .gfn = 0, .num = FAST, .tier = 0 },
		{ .gfn = FAST, .num = FAST, .tier = 1 },
		{ .gfn = 2 * FAST, .num = FRAMES - 2 * FAST, .tier = 2 },
	};
	const uint64_t first = FRAMES - 1, second = FAST + 5, third = 5;
	static const struct hmem_link_tier tiers[3];
	struct fixture *f = *state;

	hmem_placer_free(&f->placer);
	hmem_placer_init(&f->placer, &f->policy, tiers, 3, SECOND / 1000, 1);
	assert_int_equal(hmem_placer_ranges(&f->placer, three, 3, FRAMES, NULL), 1);
	hmem_placer_set_tracker(&f->placer, &f->sim.tracker, HMEM_CAN_REST);
	pass_window(f, 0);
	assert_int_equal(move(f, &(const uint64_t [2]) { first, second }, 1, 0), 0);
	pass_window(f, 0);
	assert_int_equal(move(f, &(const uint64_t [2]) { second, third }, 1, 0), 0);
	pass_window(f, 0);
	assert_int_equal(move(f, &(const uint64_t [2]) { third, second }, 1, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(makes_room, setup, teardown),
		cmocka_unit_test_setup_teardown(old_answers_make_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(uses_room_that_there_is, setup, teardown),
		cmocka_unit_test_setup_teardown(uses_room_that_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(uses_room_that_the_guest_tells, setup, teardown),
		cmocka_unit_test_setup_teardown(makes_room_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(moves_by_hand, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_to_what_may_move, setup, teardown),
		cmocka_unit_test_setup_teardown(moves_nothing_in_a_sample, setup, teardown),
		cmocka_unit_test_setup_teardown(rests_before_a_sample_is_counted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(walks_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(steps_do_not_matter, setup, teardown),
		cmocka_unit_test_setup_teardown(ping_pong, setup, teardown),
		cmocka_unit_test_setup_teardown(ping_pong_together, setup, teardown),
		cmocka_unit_test_setup_teardown(no_ping_pong_in_the_middle, setup, teardown),
	};

	return cmocka_run_group_tests_name("placer", tests, NULL, NULL);
}
