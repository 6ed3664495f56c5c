/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The multi-level queue, compared with its rule for a single frame. */
#include "unit.h"

#include <string.h>

#include "mlq.h"

/* A frame, as in the paper. */
struct model {
	unsigned int level, wait;
	/* The accessed bit. */
	bool bit;
};

/* Returns whether the bit is cleared. */
static bool model_step(struct model *m, unsigned int max_level)
{
	bool rearm = false;

	if (m->wait) {
		m->wait--;
		rearm = !m->wait;
	} else if (m->bit) {
		if (m->level < max_level)
			m->level++;
		m->wait = (1u << m->level) - 1;
		rearm = !m->wait;
	} else if (m->level) {
		m->level--;
	}
	if (rearm)
		m->bit = false;
	return rearm;
}

static void same_as_the_rule(void **state)
{
	uint64_t rnd = 4711;

	(void)state;
	for (unsigned int max = 0; max <= HMEM_MLQ_MAX_LEVEL; max++) {
		struct hmem_mlq_block b = { 0 };
		struct model m[64] = { { 0 } };

		for (unsigned int w = 0; w < 3000; w++) {
			uint64_t accessed = 0, rearm, want = 0;

			for (unsigned int i = 0; i < 64; i++) {
				/* Frame 0 is hardly ever used, and frame 63 always. */
				m[i].bit |= unit_random(&rnd) % 63 < i;
				accessed |= (uint64_t)m[i].bit << i;
				want |= (uint64_t)model_step(&m[i], max) << i;
			}
			rearm = hmem_mlq_step(&b, accessed, max, false);
			assert_int_equal(rearm, want);
			for (unsigned int i = 0; i < 64; i++) {
				assert_int_equal(hmem_mlq_level(&b, i), m[i].level);
				assert_int_equal(hmem_mlq_wait(&b, i), m[i].wait);
			}
		}
	}
}

/* A tracker that clears bits only in the next scan needs requests one window earlier. */
static void late_is_the_same(void **state)
{
	uint64_t rnd = 4711;

	(void)state;
	for (unsigned int max = 1; max <= HMEM_MLQ_MAX_LEVEL; max++) {
		struct hmem_mlq_block b = { 0 };
		struct model m[64] = { { 0 } };
		uint64_t bits = 0, rearm = 0;

		for (unsigned int w = 0; w < 3000; w++) {
			uint64_t accessed, cleared = 0;

			for (unsigned int i = 0; i < 64; i++) {
				if (unit_random(&rnd) % 63 >= i)
					continue;
				m[i].bit = true;
				bits |= UINT64_C(1) << i;
			}
			for (unsigned int i = 0; i < 64; i++)
				cleared |= (uint64_t)model_step(&m[i], max) << i;
			accessed = bits;
			assert_int_equal(rearm, cleared);
			bits &= ~rearm;
			rearm = hmem_mlq_step(&b, accessed, max, true);
			for (unsigned int i = 0; i < 64; i++) {
				assert_int_equal(hmem_mlq_level(&b, i), m[i].level);
				assert_int_equal(hmem_mlq_wait(&b, i), m[i].wait);
				assert_int_equal(bits >> i & 1, m[i].bit);
			}
		}
	}
}

/* Without levels, all frames are rearmed, since the next window's needs are unknown. */
static void late_without_levels(void **state)
{
	struct hmem_mlq_block b = { 0 };

	(void)state;
	assert_int_equal(hmem_mlq_step(&b, 1, 0, true), UINT64_MAX);
	assert_int_equal(hmem_mlq_step(&b, 0, 0, true), UINT64_MAX);
}

/* The queue skips 1, 3, 7 .. 127 windows of frames that are always used, then 127 forever. */
static void hot_frames_are_left_alone(void **state)
{
	struct hmem_mlq_block b = { 0 };
	unsigned int since = 0, level = 0;

	(void)state;
	for (unsigned int w = 0; w < 2000; w++) {
		/* A rearmed frame is found used again in the next window. */
		if (hmem_mlq_step(&b, UINT64_MAX, 7, false)) {
			if (level < 7)
				level++;
			assert_int_equal(since, (1u << level) - 1);
			since = 0;
			continue;
		}
		since++;
	}
	assert_int_equal(level, 7);
}

static void cold_frames_come_down(void **state)
{
	struct hmem_mlq_block b = { 0 };

	(void)state;
	for (unsigned int w = 0; w < 1000; w++)
		hmem_mlq_step(&b, 1, 7, false);
	assert_int_equal(hmem_mlq_level(&b, 0), 7);
	while (hmem_mlq_wait(&b, 0))
		hmem_mlq_step(&b, 1, 7, false);
	for (unsigned int level = 7; level; level--) {
		assert_int_equal(hmem_mlq_level(&b, 0), level);
		assert_int_equal(hmem_mlq_step(&b, 0, 7, false), 0);
		assert_int_equal(hmem_mlq_wait(&b, 0), 0);
	}
	assert_false(hmem_mlq_any(&b));
}

/* With one used frame, the queue rearms one frame in 128 windows, instead of in each. */
static void saves_rearms(void **state)
{
	struct hmem_mlq_block with = { 0 }, without = { 0 };
	unsigned int num = 0, all = 0;

	(void)state;
	for (unsigned int w = 0; w < 128 * 100; w++) {
		num += __builtin_popcountll(hmem_mlq_step(&with, 2, 7, false));
		all += __builtin_popcountll(hmem_mlq_step(&without, 2, 0, false));
	}
	assert_int_equal(all, 128 * 100);
	/* A few more bits are cleared while the frame rises to the highest level. */
	assert_in_range(num, 99, 107);
}

static void forgets(void **state)
{
	struct hmem_mlq_block b = { 0 };

	(void)state;
	for (unsigned int w = 0; w < 50; w++)
		hmem_mlq_step(&b, UINT64_MAX, 7, false);
	hmem_mlq_forget(&b, UINT64_MAX << 1);
	assert_true(hmem_mlq_any(&b));
	for (unsigned int i = 1; i < 64; i++) {
		assert_int_equal(hmem_mlq_level(&b, i), 0);
		assert_int_equal(hmem_mlq_wait(&b, i), 0);
	}
	assert_true(hmem_mlq_level(&b, 0) > 0);
	hmem_mlq_forget(&b, 1);
	assert_false(hmem_mlq_any(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_the_rule),
		cmocka_unit_test(late_is_the_same),
		cmocka_unit_test(late_without_levels),
		cmocka_unit_test(hot_frames_are_left_alone),
		cmocka_unit_test(cold_frames_come_down),
		cmocka_unit_test(saves_rearms),
		cmocka_unit_test(forgets),
	};

	return cmocka_run_group_tests_name("mlq", tests, NULL, NULL);
}
