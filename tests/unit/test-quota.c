/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quotas of events: no peer pushes out the events of others. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "quota.h"

#define MINUTE	UINT64_C(60000)
#define MAX	20u
#define USER	100u

static struct quota q;

static int setup(void **state)
{
	(void)state;
	memset(&q, 0, sizeof(q));
	return 0;
}

/* The number of events that pass if the peer tries @tries times. */
static unsigned int passed(uint64_t now, uid_t uid, const char *name, unsigned int tries)
{
	unsigned int num = 0;

	while (tries--)
		num += quota_take(&q, now, uid, name, MAX, USER);
	return num;
}

static void names_have_a_quota_each(void **state)
{
	(void)state;
	assert_int_equal(passed(0, 7, "wild", 1000), MAX);
	assert_int_equal(passed(MINUTE - 1, 7, "wild", 1000), 0);
	/* Others have not lost theirs, nor has another user's VM of the same name. */
	assert_int_equal(passed(1, 7, "web", 5), 5);
	assert_int_equal(passed(1, 8, "wild", 5), 5);
	assert_int_equal(passed(MINUTE, 7, "wild", 1000), MAX);
}

/* New names bring a user no more than the user's quota, and cost other users nothing. */
static void names_are_no_way_out(void **state)
{
	unsigned int num = 0;
	char name[32];

	(void)state;
	for (unsigned int i = 0; i < 10 * QUOTA_COUNTS; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		num += passed(5, 7, name, 1);
	}
	assert_int_equal(num, USER);
	assert_int_equal(passed(5, 8, "web", 5), 5);
	assert_int_equal(passed(5, 8, "", 5), 5);
}

/* With more users than counts, those that come last share one. */
static void many_users(void **state)
{
	unsigned int num = 0;

	(void)state;
	assert_int_equal(passed(5, 1, "web", 1), 1);
	for (unsigned int uid = 1000; uid < 1000 + 10 * QUOTA_COUNTS; uid++)
		num += passed(5, uid, "vm", 1);
	assert_in_range(num, QUOTA_COUNTS / 2 - 2, QUOTA_COUNTS / 2 + USER);
	assert_int_equal(passed(5, 1, "web", 1), 1);
	assert_in_range(q.num_counts, 1, QUOTA_COUNTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(names_have_a_quota_each, setup),
		cmocka_unit_test_setup(names_are_no_way_out, setup),
		cmocka_unit_test_setup(many_users, setup),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
