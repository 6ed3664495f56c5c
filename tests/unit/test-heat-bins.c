/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bins, compared with a count page by page. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "heat_bins.h"

#define MAX_RANGES	12u
#define MAX_FRAME	20000u

struct model {
	struct hmem_link_range ranges[MAX_RANGES];
	uint32_t num;
	struct hmem_pages pages;
	uint64_t rnd;
	/* By frame; tier -1: the frame is no memory. */
	int tier[MAX_FRAME];
	uint16_t heat[MAX_FRAME];
};

/* Makes random ranges, which begin and end anywhere, and sets heats by moving pages. */
static void make(struct model *m, uint64_t seed)
{
	struct hmem_err err;
	uint64_t gfn = 0;

	memset(m, 0, sizeof(*m));
	m->rnd = seed;
	memset(m->tier, -1, sizeof(m->tier));
	while (m->num < MAX_RANGES) {
		struct hmem_link_range *r = &m->ranges[m->num];

		r->gfn = gfn + (unit_random(&m->rnd) % 2 ? 0 :
				unit_random(&m->rnd) % 300);
		r->num = 1 + unit_random(&m->rnd) % (unit_random(&m->rnd) % 3 ? 900 : 70);
		r->tier = unit_random(&m->rnd) % 3;
		gfn = r->gfn + r->num;
		if (gfn > MAX_FRAME || (m->num && !(unit_random(&m->rnd) % 12)))
			break;
		for (uint64_t g = r->gfn; g < gfn; g++)
			m->tier[g] = r->tier;
		m->num++;
	}
	assert_int_equal(hmem_pages_init(&m->pages, m->ranges, m->num, 3, UINT64_MAX,
					 &err), 0);
	/* A move sets a page's heat, and makes its block live. */
	for (uint64_t g = 0; g < MAX_FRAME; g++) {
		if (m->tier[g] < 0 || unit_random(&m->rnd) % 8)
			continue;
		m->heat[g] = unit_random(&m->rnd);
		hmem_pages_moved(&m->pages, g, g, 0,
				 (struct hmem_record) { .heat = m->heat[g] });
		assert_int_equal(hmem_pages_heat(&m->pages, g), m->heat[g]);
	}
}

static uint64_t sum_of(const struct model *m, const struct hmem_heat_bin *b,
		       uint64_t *pages, uint16_t *max)
{
	uint64_t sum = 0;

	*pages = *max = 0;
	for (uint64_t g = b->gfn; g <= b->last; g++) {
		if (m->tier[g] < 0)
			continue;
		/* No bin has pages of two tiers. */
		assert_int_equal(m->tier[g], b->tier);
		++*pages;
		sum += m->heat[g];
		*max = m->heat[g] > *max ? m->heat[g] : *max;
	}
	return sum;
}

/* Checks that each frame is in one bin, and that all figures of the bins are right. */
static void check(const struct model *m, uint32_t max, bool per_tier, uint64_t slots)
{
	uint32_t in_tier[3] = { 0 }, most = 0, stretches = 0;
	uint64_t seen = 0, all = 0, from = 0;
	struct hmem_heat_bins b;
	struct hmem_err err;

	assert_int_equal(hmem_heat_bins_init(&b, &m->pages, max, per_tier, &err), 0);
	while (!hmem_heat_bins_step(&b, &m->pages, slots))
		;
	for (uint32_t i = 0; i < b.num; i++) {
		const struct hmem_heat_bin *bin = &b.bins[i];
		uint64_t pages, sum;
		uint16_t hottest;

		assert_true(bin->gfn >= from && bin->last >= bin->gfn);
		from = bin->last + 1;
		sum = sum_of(m, bin, &pages, &hottest);
		assert_int_equal(bin->sum, sum);
		assert_int_equal(bin->pages, pages);
		assert_int_equal(bin->max, hottest);
		assert_in_range(pages, 1, b.per);
		seen += pages;
		if (++in_tier[bin->tier] > most)
			most = in_tier[bin->tier];
	}
	for (uint32_t i = 0; i < m->num; i++) {
		all += m->ranges[i].num;
		stretches += !i || m->ranges[i].tier != m->ranges[i - 1].tier;
	}
	assert_int_equal(seen, all);
	assert_int_equal(b.per % 64, 0);
	if (b.num > stretches)
		assert_in_range(per_tier ? most : b.num, 1, max);
	hmem_heat_bins_free(&b);
}

static void against_model(void **state)
{
	struct model *m = test_malloc(sizeof(*m));

	(void)state;
	for (unsigned int seed = 1; seed <= 200; seed++) {
		make(m, seed);
		if (!m->num)
			continue;
		for (unsigned int i = 0; i < 8; i++)
			check(m, 1 + unit_random(&m->rnd) % (i < 4 ? 20 : 300), i % 2,
			      64 << unit_random(&m->rnd) % 12);
		hmem_pages_free(&m->pages);
	}
	test_free(m);
}

/* There are as many bins as requested if that divides evenly, and at least one. */
static void numbers(void **state)
{
	static const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = 4096, .tier = 0 },
		{ .gfn = 8192, .num = 12288, .tier = 1 },
		{ .gfn = 32768, .num = 4096, .tier = 1 },
	};
	static const struct { uint32_t max; bool per_tier; uint32_t num, per; } cases[] = {
		{ 20, false, 20, 1024 },
		{ 19, false, 19, 1152 },
		{ 1, false, 2, 16384 },
		{ 1, true, 2, 16384 },
		{ 16, true, 20, 1024 },
		{ 4096, false, 320, 64 },
	};
	struct hmem_pages p;
	struct hmem_err err;

	(void)state;
	assert_int_equal(hmem_pages_init(&p, ranges, 3, 2, UINT64_MAX, &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hmem_heat_bins b;

		assert_int_equal(hmem_heat_bins_init(&b, &p, cases[i].max,
						     cases[i].per_tier, &err), 0);
		assert_int_equal(b.num, cases[i].num);
		assert_int_equal(b.per, cases[i].per);
		hmem_heat_bins_free(&b);
	}
	hmem_pages_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_model),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests_name("heat-bins", tests, NULL, NULL);
}
