/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The learned state of a placer: another placer continues with it; damaged state is refused. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "learned.h"
#include "model.h"

#define FAST	2048u
#define SLOW	8192u
#define UUID	7

/* A saved state, with the same alignment as in a file. */
struct saved {
	struct hmem_learned_head head;
	struct hmem_learned_part part;
	struct hmem_learned_entry entries[(FAST + SLOW) / 64];
};

static const struct hmem_learned_owner owner = { .uuid = { UUID }, .boot = 1 };

/* The rate is low, so that the pages of a hot set move in several plans. */
static void start(struct model *m, const struct model_load *load, bool scans)
{
	model_init(m, load, FAST, 64, SLOW, 0);
	m->policy.rate = 2;
	/* Most rests last for a whole window, so that plans are of one size. */
	m->policy.window = 500;
	m->policy.track = scans ? HMEM_TRACK_GPT : HMEM_TRACK_SIM;
}

/* Runs until some hundred pages have moved, a burst has ended, and no page is under way. */
static void run_to_the_middle(struct model *m)
{
	while (m->moved < 400 || m->queued || m->placer.bursts.left || m->placer.bursts.looked)
		model_run(m, 0.001);
}

static void save(const struct model *m, bool exact, struct saved *s)
{
	size_t len;

	hmem_learned_head(&m->placer, &owner, m->ns, exact, &s->head);
	len = hmem_learned_part(&m->placer.pages, 0, &s->part);
	assert_in_range(len, sizeof(s->part) + 1, sizeof(s->part) + sizeof(s->entries));
}

/* Puts a new placer into the place of the old one, as a restart does. */
static void replace_placer(struct model *m)
{
	static const struct hmem_link_tier tiers[2];
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = m->fast, .tier = 0 },
		{ .gfn = m->fast, .num = m->slow, .tier = 1 },
	};
	struct hmem_tracker *t = m->placer.tracker;

	hmem_placer_free(&m->placer);
	hmem_placer_init(&m->placer, &m->policy, tiers, 2, 0, m->processors);
	assert_int_equal(hmem_placer_ranges(&m->placer, ranges, 2, m->fast + m->slow, NULL), 1);
	hmem_placer_set_tracker(&m->placer, t,
				HMEM_CAN_REST | HMEM_CAN_LOOK_LONG | HMEM_CAN_LOOK_WITHIN);
	hmem_placer_begin(&m->placer);
	m->window = m->placer.next;
	m->queued = m->done = 0;
}

/* Returns 0 or the error. */
static int restore(struct hmem_placer *p, const struct saved *s, uint64_t vtime_ns,
		   struct hmem_err *err)
{
	struct hmem_discard table;
	struct hmem_relearn r;
	int64_t len;
	int ret = hmem_relearn_begin(&r, &s->head, p, &owner, vtime_ns, err);

	if (ret < 0)
		return ret;
	len = hmem_relearn_length(&r, &s->part, err);
	ret = len < 0 ? (int)len : hmem_relearn_part(&r, &s->part, s->entries, err);
	if (!ret) {
		assert_true(hmem_relearn_complete(&r));
		ret = hmem_relearn_finish(&r, p, vtime_ns, err);
	}
	hmem_relearn_end(&r, &table);
	hmem_discard_step(&table, UINT64_MAX / 64 * 64);
	return ret;
}

static void restart(struct model *m, bool exact)
{
	struct saved *s = calloc(1, sizeof(*s));
	struct hmem_err err = { "" };

	save(m, exact, s);
	replace_placer(m);
	if (restore(&m->placer, s, m->ns, &err) < 0)
		fail_msg("%s", err.msg);
	m->window = m->placer.next;
	free(s);
}

static const struct model_load skewed = {
	.name = "skewed", .costs = &model_updates, .pages = 9000, .hot = 1500, .weight = 90,
};

/* Ended in a rest, hmemd goes on with that rest: nothing is observed, and the dirty log is off. */
static void rests_go_on(void **state)
{
	static const unsigned int trackers[] = { HMEM_TRACK_GPT, HMEM_TRACK_DIRTY };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct model m;

		start(&m, &skewed, true);
		m.policy.track = trackers[i];
		model_run(&m, 4);
		while (m.placer.bursts.left || !m.placer.next.rest || m.placer.bursts.looked)
			model_run(&m, 0.001);
		restart(&m, true);
		assert_true(m.placer.next.rest);
		model_free(&m);
	}
}

/* Ends windows until a plan has hints. */
static void run_to_a_plan(struct model *m)
{
	unsigned int windows = 0;

	m->queued = m->done = 0;
	while (!m->queued) {
		assert_in_range(windows++, 0, 100);
		model_run(m, m->window.ns / 1e9);
	}
}

/* Runs @a to its next plan, and @b to its first plan after a restart at the same time. */
static void plan_both(struct model *a, struct model *b, bool scans)
{
	start(a, &skewed, scans);
	start(b, &skewed, scans);
	run_to_the_middle(a);
	run_to_the_middle(b);
	restart(b, true);
	run_to_a_plan(a);
	run_to_a_plan(b);
}

/*
 * The first plan after a restart moves the same pages as the next plan without a restart, and comes
 * as early.
 */
static void first_plan_is_the_same(void **state)
{
	struct model *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	unsigned int num;

	(void)state;
	plan_both(a, b, true);
	assert_int_equal(a->placer.bursts.bursts, b->placer.bursts.bursts);
	num = a->queued < b->queued ? a->queued : b->queued;
	assert_in_range(num, 100, UINT32_MAX);
	for (unsigned int i = 0; i < num; i++) {
		assert_int_equal(a->queue[i][0].gfn, b->queue[i][0].gfn);
		assert_int_equal(a->queue[i][1].gfn, b->queue[i][1].gfn);
	}
	print_message("# the first %u exchanges are the same\n", num);
	model_free(a);
	model_free(b);
	free(a);
	free(b);
}

/*
 * With sim, the bits that are set at a restart count as page walks, so the first rest is longer.
 * The plan then comes in one of the next bursts.
 */
static void first_plan_comes_soon(void **state)
{
	struct model *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	(void)state;
	plan_both(a, b, false);
	assert_true(b->placer.bursts.bursts <= a->placer.bursts.bursts + 2);
	model_free(a);
	model_free(b);
	free(a);
	free(b);
}

/*
 * The guest time until the next plan is the same with a restart as without, a burst longer if the
 * state is not exact, and far longer without state.
 */
static void restart_costs_little(void **state)
{
	double ms[4];

	(void)state;
	for (unsigned int how = 0; how < 4; how++) {
		struct model *m = calloc(1, sizeof(*m));
		double begun;

		start(m, &skewed, true);
		run_to_the_middle(m);
		begun = m->ns;
		if (how == 1 || how == 2)
			restart(m, how == 1);
		else if (how == 3)
			replace_placer(m);
		run_to_a_plan(m);
		ms[how] = (m->ns - begun) / 1e6;
		model_free(m);
		free(m);
	}
	print_message("# ms of guest time until a plan: %.1f without a restart; after one: %.1f, "
		      "not exact %.1f, without state %.1f\n", ms[0], ms[1], ms[2], ms[3]);
	assert_true(ms[1] == ms[0]);
	assert_true(ms[2] < 3 * ms[0]);
	assert_true(ms[3] > 30 * ms[0]);
}

/* If pages may have moved since the state was saved, the next plan waits for a burst. */
static void looks_before_it_moves(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	uint64_t bursts;

	(void)state;
	start(m, &skewed, false);
	run_to_the_middle(m);
	bursts = m->placer.bursts.bursts;
	restart(m, false);
	assert_int_equal(m->placer.bursts.bursts, bursts);
	while (m->placer.bursts.bursts == bursts) {
		assert_false(hmem_bursts_may_plan(&m->placer.bursts));
		model_run(m, m->window.ns / 1e9);
		assert_int_equal(m->queued, 0);
	}
	/* The burst is about all of memory. */
	assert_int_equal(m->placer.bursts.parts, 1);
	assert_in_range(m->placer.bursts.left, 1, 100);
	run_to_a_plan(m);
	model_free(m);
	free(m);
}

/* hmemd stops in the middle of the first burst, which has to be as long as without the stop. */
static void first_burst_begins_anew(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	const struct hmem_bursts *c = &m->placer.bursts;
	uint32_t wanted;

	(void)state;
	start(m, &skewed, false);
	while (c->rates.looks < 3)
		model_run(m, 0.001);
	assert_int_equal(c->bursts, 1);
	assert_in_range(c->left, 1, 100);
	wanted = c->wanted;
	restart(m, true);
	assert_false(hmem_bursts_may_plan(c));
	while (!c->bursts) {
		model_run(m, m->window.ns / 1e9);
		assert_int_equal(m->queued, 0);
	}
	assert_int_equal(c->wanted, wanted);
	run_to_a_plan(m);
	model_free(m);
	free(m);
}

struct fixture {
	struct model m;
	struct saved s;
	struct hmem_err err;
};

static struct fixture *saved_model(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	start(&f->m, &skewed, false);
	run_to_the_middle(&f->m);
	save(&f->m, true, &f->s);
	replace_placer(&f->m);
	return f;
}

static void end(struct fixture *f)
{
	model_free(&f->m);
	free(f);
}

/* The state is refused for this reason, and the placer is as before. */
static void refused(struct fixture *f, int error, const char *why)
{
	assert_int_equal(restore(&f->m.placer, &f->s, f->m.ns, &f->err), -error);
	if (!strstr(f->err.msg, why))
		fail_msg("'%s' does not say '%s'", f->err.msg, why);
	assert_int_equal(f->m.placer.bursts.bursts, 0);
	assert_int_equal(f->m.placer.pages.clock, 0);
}

/* State that does not fit the VM is refused, and says why. */
static void what_does_not_fit(void **state)
{
	struct fixture *f = saved_model();
	struct hmem_learned_head *h = &f->s.head;
	const struct hmem_learned_head good = *h;
	struct { void *at; size_t size; int error; const char *why; } cases[] = {
		{ &h->magic, 1, EINVAL, "damaged" },
		{ &h->version, 1, ESTALE, "version" },
		{ &h->size, 1, ESTALE, "version" },
		{ &h->owner.uuid, 1, ESTALE, "another VM" },
		{ &h->owner.boot, 1, ESTALE, "before the guest was started anew" },
		{ (char *)&h->vtime_ns + 7, 1, ESTALE, "before the guest was started anew" },
		{ &h->num_slots, 1, ESTALE, "other memory" },
		{ &h->ranges, 1, ESTALE, "other memory" },
		{ &h->tracker, 1, ESTALE, "another tracker" },
		{ &h->policy.horizon, 1, ESTALE, "another policy" },
		{ (char *)&h->cursor + 7, 1, EINVAL, "damaged" },
		{ (char *)&h->spare + 6, 1, EINVAL, "damaged" },
		{ (char *)&h->sweep + 6, 1, EINVAL, "damaged" },
		{ &h->bursts.due_parts, 4, EINVAL, "damaged" },
		{ (char *)&h->bursts.look_ns + 7, 1, EINVAL, "damaged" },
		{ &h->bursts.idle, 4, EINVAL, "damaged" },
		{ &h->bursts.long_looks, 4, EINVAL, "damaged" },
		{ &h->bursts.long_looks_failed, 4, EINVAL, "damaged" },
		{ &h->bursts.rates.now_s, 8, EINVAL, "damaged" },
		{ &h->bursts.rates.next_s, 8, EINVAL, "damaged" },
		{ &h->bursts.rates.measured[9].seconds, 8, EINVAL, "damaged" },
		{ &h->bursts.rates.levels[9].sum.uses, 8, EINVAL, "damaged" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*h = good;
		for (size_t j = 0; j < cases[i].size; j++)
			((unsigned char *)cases[i].at)[j] ^= 0xff;
		hmem_learned_seal_head(h);
		refused(f, cases[i].error, cases[i].why);
	}
	*h = good;
	hmem_learned_seal_head(h);
	assert_int_equal(restore(&f->m.placer, &f->s, f->m.ns, &f->err), 0);
	end(f);
}

/*
 * State that is not exact is of no use to a policy that goes by heat, because such a policy moves
 * pages without measuring anything before.
 */
static void heat_must_be_exact(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct saved *s = calloc(1, sizeof(*s));
	struct hmem_err err;

	(void)state;
	start(m, &skewed, false);
	m->policy.kind = HMEM_POLICY_HMMV;
	m->policy.rate = 200;
	model_run(m, 5);
	for (unsigned int exact = 0; exact < 2; exact++) {
		uint16_t heat = hmem_pages_heat(&m->placer.pages, 100);

		assert_int_not_equal(heat, 0);
		save(m, exact, s);
		replace_placer(m);
		assert_int_equal(restore(&m->placer, s, m->ns, &err), exact ? 0 : -ESTALE);
		assert_int_equal(hmem_pages_heat(&m->placer.pages, 100), exact ? heat : 0);
		model_run(m, 5);
	}
	model_free(m);
	free(m);
	free(s);
}

/* Without a new checksum, each changed bit is found. */
static void each_bit_counts(void **state)
{
	struct fixture *f = saved_model();
	size_t len = offsetof(struct saved, entries) + f->s.part.num * sizeof(f->s.entries[0]);
	uint64_t rnd = 1;

	(void)state;
	for (unsigned int i = 0; i < 600; i++) {
		size_t at = unit_random(&rnd) % len;
		unsigned int bit = unit_random(&rnd) % 8;

		((unsigned char *)&f->s)[at] ^= 1u << bit;
		assert_int_not_equal(restore(&f->m.placer, &f->s, f->m.ns, &f->err), 0);
		((unsigned char *)&f->s)[at] ^= 1u << bit;
	}
	assert_int_equal(restore(&f->m.placer, &f->s, f->m.ns, &f->err), 0);
	end(f);
}

/* Whatever the state contains, the placer works on: this test is for the sanitizers. */
static void any_content_is_safe(void **state)
{
	struct fixture *f = saved_model();
	const size_t len = sizeof(f->s.head);
	struct saved *good = malloc(sizeof(*good));
	unsigned int restored = 0;
	uint64_t rnd = 1;

	(void)state;
	memcpy(good, &f->s, sizeof(*good));
	for (unsigned int i = 0; i < 40; i++) {
		memcpy(&f->s, good, sizeof(*good));
		for (unsigned int j = 0; j < 4; j++) {
			size_t at = offsetof(struct hmem_learned_head, bursts) +
				    unit_random(&rnd) % sizeof(f->s.head.bursts);

			((unsigned char *)&f->s)[at % len] = unit_random(&rnd);
		}
		for (unsigned int j = 0; j < 100; j++) {
			struct hmem_learned_entry *e =
				&f->s.entries[unit_random(&rnd) % f->s.part.num];

			e->heat[j % 64] = unit_random(&rnd);
			e->recent[j % 64] = unit_random(&rnd);
			e->state[j % 64] = unit_random(&rnd) & 0x7fff;
		}
		hmem_learned_seal_head(&f->s.head);
		hmem_learned_seal_part(&f->s.part, f->s.entries);
		replace_placer(&f->m);
		restored += !restore(&f->m.placer, &f->s, f->m.ns, &f->err);
		model_run(&f->m, 0.05);
	}
	assert_in_range(restored, 1, 40);
	free(good);
	end(f);
}

/* Entries in the wrong order, twice, outside of memory, or with a page in flight are damage. */
static void wrong_entries(void **state)
{
	struct fixture *f = saved_model();
	struct saved *good = malloc(sizeof(*good));

	(void)state;
	memcpy(good, &f->s, sizeof(*good));
	for (unsigned int how = 0; how < 6; how++) {
		memcpy(&f->s, good, sizeof(*good));
		switch (how) {
		case 0:
			f->s.entries[1].slot = f->s.entries[0].slot;
			break;
		case 1:
			f->s.entries[0].slot = f->s.entries[1].slot;
			f->s.entries[1].slot = good->entries[0].slot;
			break;
		case 2:
			f->s.entries[f->s.part.num - 1].slot = FAST + SLOW;
			break;
		case 3:
			f->s.entries[0].slot++;
			break;
		case 4:
			f->s.entries[0].quota = 0xff;
			break;
		case 5:
			f->s.entries[0].state[3] = 0x8000;
			break;
		}
		hmem_learned_seal_part(&f->s.part, f->s.entries);
		refused(f, EINVAL, "damaged");
	}
	memcpy(&f->s, good, sizeof(*good));
	f->s.part.num = UINT64_MAX / 2;
	refused(f, EINVAL, "damaged");
	f->s.part.num = good->part.num;
	f->s.part.slot = HMEM_LEARNED_SLOTS;
	refused(f, EINVAL, "damaged");
	free(good);
	end(f);
}

/* A page that is hinted when the state is saved may move: it is saved without a record. */
static void pages_in_flight(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct saved *s = calloc(1, sizeof(*s));
	struct hmem_err err;
	uint64_t gfn = 0;

	(void)state;
	start(m, &skewed, false);
	run_to_the_middle(m);
	while (!hmem_pages_heat(&m->placer.pages, gfn))
		gfn++;
	hmem_placer_sent(&m->placer, gfn, 0);
	save(m, true, s);
	replace_placer(m);
	assert_int_equal(restore(&m->placer, s, m->ns, &err), 0);
	assert_int_equal(hmem_pages_heat(&m->placer.pages, gfn), 0);
	model_free(m);
	free(m);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rests_go_on),
		cmocka_unit_test(first_plan_is_the_same),
		cmocka_unit_test(first_plan_comes_soon),
		cmocka_unit_test(restart_costs_little),
		cmocka_unit_test(looks_before_it_moves),
		cmocka_unit_test(first_burst_begins_anew),
		cmocka_unit_test(what_does_not_fit),
		cmocka_unit_test(heat_must_be_exact),
		cmocka_unit_test(each_bit_counts),
		cmocka_unit_test(any_content_is_safe),
		cmocka_unit_test(wrong_entries),
		cmocka_unit_test(pages_in_flight),
	};

	return cmocka_run_group_tests_name("learned", tests, NULL, NULL);
}
