// SPDX-License-Identifier: GPL-2.0-or-later
/* Which hints are refused as a whole, how runs become results, and the order of a batch. */
#include "batch.c"
#include "parts.h"

static void check_hints(struct hmem *hm)
{
	const u64 end = 1ULL << (MAX_PHYSMEM_BITS - PAGE_SHIFT);
	const struct {
		u64 gfn;
		u8 order;
		u8 tier;
		u8 reason;
	} cases[] = {
		{ 0, 0, 0, HMEM_PENDING },
		{ 0, 0, 1, HMEM_PENDING },
		{ 0, 18, 0, HMEM_PENDING },
		{ end - 1, 0, 0, HMEM_PENDING },
		{ 512, 9, 0, HMEM_PENDING },
		{ 0, 19, 0, VIRTIO_HMEM_R_BAD_ORDER },
		{ 0, 64, 0, VIRTIO_HMEM_R_BAD_ORDER },
		{ 0, 255, 0, VIRTIO_HMEM_R_BAD_ORDER },
		{ 1, 1, 0, VIRTIO_HMEM_R_BAD_ORDER },
		{ 256, 9, 0, VIRTIO_HMEM_R_BAD_ORDER },
		{ end, 0, 0, VIRTIO_HMEM_R_BAD_GFN },
		{ 1ULL << 63, 0, 0, VIRTIO_HMEM_R_BAD_GFN },
		{ U64_MAX, 0, 0, VIRTIO_HMEM_R_BAD_GFN },
		{ 0, 0, 2, VIRTIO_HMEM_R_BAD_TIER },	/* has no node */
		{ 0, 0, 3, VIRTIO_HMEM_R_BAD_TIER },
		{ 0, 0, 255, VIRTIO_HMEM_R_BAD_TIER },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct virtio_hmem_hint hint = {
			.gfn = cpu_to_le64(cases[i].gfn),
			.order = cases[i].order,
			.tier = cases[i].tier,
		};

		CHECK_EQ(hmem_hint_check(hm, &hint), cases[i].reason);
	}
}

/* The results cover the run, in order, in aligned blocks: the fewest that are possible. */
static void check_run(struct hmem *hm, u64 gfn, u64 new_gfn, u64 nr, unsigned int results)
{
	const struct virtio_hmem_result_batch *batch = hm->result_buf->data;
	struct hmem_run run = {
		.gfn = gfn,
		.new_gfn = new_gfn,
		.nr = nr,
		.reason = VIRTIO_HMEM_R_LOCKED,
	};
	unsigned int i;

	hm->stats.reasons[VIRTIO_HMEM_R_LOCKED] = 0;
	hmem_run_flush(hm, &run);
	CHECK_EQ(hm->stats.reasons[VIRTIO_HMEM_R_LOCKED], nr);
	CHECK_EQ(le32_to_cpu(batch->num_results), results);
	for (i = 0; i < le32_to_cpu(batch->num_results); i++) {
		const struct virtio_hmem_result *res = &batch->results[i];
		u64 block = 1ULL << res->order;

		CHECK_EQ(le64_to_cpu(res->gfn), gfn);
		CHECK_EQ(le64_to_cpu(res->new_gfn), new_gfn);
		CHECK_EQ((gfn | new_gfn) & (block - 1), 0);
		CHECK(res->order <= VIRTIO_HMEM_MAX_ORDER);
		CHECK_EQ(res->status, VIRTIO_HMEM_S_BUSY);
		gfn += block;
		new_gfn += block;
		nr -= block;
	}
	CHECK_EQ(nr, 0);
	((struct virtio_hmem_result_batch *)hm->result_buf->data)->num_results = 0;
}

static void check_runs(struct hmem *hm)
{
	check_run(hm, 0, 0, 1, 1);
	check_run(hm, 0, 0, 512, 1);
	check_run(hm, 1, 1, 7, 3);
	check_run(hm, 1, 1, 511, 9);
	check_run(hm, 512, 1024, 512, 1);
	check_run(hm, 512, 1025, 4, 4);		/* no common alignment */
	check_run(hm, 512, 516, 8, 2);
	check_run(hm, 0, 0, 3ULL << VIRTIO_HMEM_MAX_ORDER, 3);
	check_run(hm, U64_MAX, U64_MAX, 1, 1);
}

/*
 * While demotions remain, each promotion comes after as many demotions.  The driver is
 * stopping, so no page moves, and the results are in the order of the hints' turns.
 */
static void check_order(struct hmem *hm, unsigned int demotions, unsigned int promotions)
{
	const struct virtio_hmem_result_batch *batch = hm->result_buf->data;
	struct virtio_hmem_hint *hints = hm->area->hints;
	const u64 fast = node_start_pfn(0) + 1024, slow = node_start_pfn(1) + 1024;
	unsigned int i, down = 0, up = 0, num = demotions + promotions;

	for (i = 0; i < num; i++) {
		bool demotes = i >= promotions;

		hints[i] = (struct virtio_hmem_hint) {
			.gfn = cpu_to_le64((demotes ? fast : slow) + 2 * i),
			.tier = demotes,
		};
	}
	hmem_batch_run(hm, num);
	CHECK_EQ(le32_to_cpu(batch->num_results), num);
	for (i = 0; i < num; i++) {
		if (le64_to_cpu(batch->results[i].gfn) < slow)
			down++;
		else
			up++;
		CHECK_EQ(batch->results[i].reason, VIRTIO_HMEM_R_STOPPED);
		CHECK(down >= up || down == demotions);
	}
	CHECK_EQ(up, promotions);
	((struct virtio_hmem_result_batch *)hm->result_buf->data)->num_results = 0;
}

void batch_parts(void)
{
	static const int nodes[] = { 0, 1, NUMA_NO_NODE };
	static struct hmem hm;

	hm.num_tiers = ARRAY_SIZE(nodes);
	memcpy(hm.tier_nid, nodes, sizeof(nodes));
	hm.area = kvzalloc(sizeof(*hm.area), GFP_KERNEL);
	hm.result_buf = &hm.result_bufs[0];
	hm.result_buf->data = kzalloc(HMEM_RESULT_BUF_SIZE, GFP_KERNEL);
	CHECK(hm.area && hm.result_buf->data);
	if (hm.area && hm.result_buf->data) {
		hm.stop = true;
		mutex_init(&hm.moving);
		mutex_lock(&hm.moving);
		check_hints(&hm);
		check_runs(&hm);
		check_order(&hm, 1, 0);
		check_order(&hm, 0, 3);
		check_order(&hm, 3, 3);
		check_order(&hm, 40, 7);
		check_order(&hm, 7, 40);
		mutex_unlock(&hm.moving);
	}
	kfree(hm.result_buf->data);
	kvfree(hm.area);
}
