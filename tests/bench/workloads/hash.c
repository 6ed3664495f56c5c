// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Look-ups in a hash table by keys that follow Zipf's law with exponent 1; one
 * look-up in ten writes the value.  The items are in the order of insertion, the
 * most popular ones last; accesses to the buckets are spread evenly.  All threads use
 * the same table, whose items stay where they are.
 *
 *	items=1048576	number of items, of 256 bytes each
 */
#include <err.h>
#include <math.h>
#include <string.h>

#include "bench.h"

#define BATCH	500
#define FRACTION_BITS	10
#define NONE	UINT32_MAX

struct item {
	uint32_t key;
	uint32_t next;		/* next item in the same bucket */
	uint64_t value[31];
};

static uint32_t items, buckets;
static struct item *item;
static uint32_t *bucket;
static double log_items;
static uint32_t power[1 << FRACTION_BITS];	/* 2^(i/size), 30 fractional bits */

/*
 * Returns a random rank, from 0 on, whose probability is about proportional to
 * 1/(rank + 1): items^u for a uniform u in [0, 1), computed as a power of two.
 */
static uint32_t zipf(uint64_t *random_state)
{
	uint64_t u = bench_random_of(random_state) >> 32;
	uint64_t e = u * (uint64_t)(log_items * 65536) >> 32;	/* 16 fractional bits */
	uint64_t p = power[(e & 0xffff) >> (16 - FRACTION_BITS)];
	uint32_t rank = p << (e >> 16) >> 30;

	return rank > items ? items - 1 : rank - 1;
}

static double item_heat(size_t page)
{
	size_t per = PAGE / sizeof(struct item);
	double last = (double)items - page * per;	/* ranks, from 1 on */
	double first = last - per < 1 ? 1 : last - per;

	return last <= 1 ? 0 : 3 * log(last / first);
}

static double bucket_heat(size_t page)
{
	(void)page;
	return log(items) / ((double)buckets * sizeof(uint32_t) / PAGE);
}

static uint32_t bucket_of(uint32_t key)
{
	return bench_mix(key) & (buckets - 1);
}

static uint64_t batch(uint64_t *random_state)
{
	uint64_t sum = 0;

	for (int i = 0; i < BATCH; i++) {
		uint32_t key = items - 1 - zipf(random_state);
		uint32_t at = bucket[bucket_of(key)];

		while (at != NONE && item[at].key != key)
			at = item[at].next;
		if (at == NONE)
			errx(1, "key %u is lost", key);
		/* The value has four cache lines; this accesses two of them. */
		sum += item[at].value[10] + item[at].value[20];
		if (i % 10 == 0)
			item[at].value[10] = item[at].value[20] = sum;
	}
	return BATCH;
}

int main(int argc, char **argv)
{
	bench_options(argc, argv);
	items = bench_option("items", 1 << 20);
	if (items < 1024 || items > 1 << 26)
		errx(2, "items=%u: wanted are 1024 to %u", items, 1 << 26);
	for (buckets = 1; buckets < items; buckets *= 2)
		;
	log_items = log2(items);
	for (int i = 0; i < 1 << FRACTION_BITS; i++)
		power[i] = exp2((double)i / (1 << FRACTION_BITS)) * (1 << 30);
	item = bench_map((size_t)items * sizeof(*item), item_heat);
	bucket = bench_map((size_t)buckets * sizeof(*bucket), bucket_heat);
	bench_fill();
	bench_touch(item, (size_t)items * sizeof(*item));
	memset(bucket, 0xff, (size_t)buckets * sizeof(*bucket));
	for (uint32_t i = 0; i < items; i++) {
		uint32_t b = bucket_of(i);

		item[i].key = i;
		item[i].next = bucket[b];
		bucket[b] = i;
	}
	bench_start("Mop/s", 1e6);
	bench_help(batch);
	while (bench_count(batch(&bench_random_state)))
		;
	return 0;
}
