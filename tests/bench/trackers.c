/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions of libhmem in a form that the script "trackers" can call by ctypes.
 * The page table and the trackers are hmemd's own.
 */
#include <stdlib.h>
#include <string.h>

#include "pages.h"
#include "policy.h"

struct table {
	struct hmem_pages pages;
	struct hmem_tracker_maps maps;
	struct hmem_heat heat;
};

void table_free(struct table *t)
{
	hmem_pages_free(&t->pages);
	free(t);
}

/*
 * Makes a page table with the settings of the policy hmmv, but with @levels of
 * the multi-level queue.  @tracker: one HMEM_LINK_TRACKER_*.  Returns NULL if
 * there is no memory.
 */
struct table *table_new(const struct hmem_link_range *ranges, uint32_t num,
			uint64_t *maps, uint64_t map_bytes, uint32_t tracker,
			unsigned int levels)
{
	static const struct hmem_link_tier tiers[2];
	struct table *t = calloc(1, sizeof(*t));
	struct hmem_policy policy;

	if (!t)
		return NULL;
	hmem_policy_init(&policy);
	policy.kind = HMEM_POLICY_HMMV;
	policy.levels = levels;
	t->heat = hmem_policy_heat(&policy, tiers, 2, true);
	if (hmem_pages_init(&t->pages, ranges, num, 2, UINT64_C(1) << 32, NULL) < 0) {
		table_free(t);
		return NULL;
	}
	if (tracker == HMEM_LINK_TRACKER_SIM)
		hmem_tracker_sim_init(&t->maps, maps, map_bytes);
	else if (tracker == HMEM_LINK_TRACKER_GPT)
		hmem_tracker_gpt_init(&t->maps, maps, map_bytes);
	else
		hmem_tracker_dirty_init(&t->maps, maps, map_bytes);
	return t;
}

/* Ends a window.  Returns the number of frames to rearm. */
uint64_t table_window(struct table *t)
{
	hmem_pages_update(&t->pages, &t->maps.tracker, &t->heat);
	return t->pages.rearmed;
}

/* Stores the heat of frames 0 .. @num - 1 in @to. */
void table_heat(const struct table *t, uint16_t *to, uint64_t num)
{
	for (uint64_t gfn = 0; gfn < num; gfn++)
		to[gfn] = hmem_pages_heat(&t->pages, gfn);
}

/*
 * Adds a period of the simulator's heat file to the @counts of @frames frames.
 * The period has @num triples: GFN, lines read, lines written.
 */
void count_lines(uint64_t *counts, uint64_t frames, const uint32_t *period, uint64_t num)
{
	for (; num; num--, period += 3) {
		if (period[0] < frames)
			counts[period[0]] += period[1] + period[2];
	}
}

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Returns the @k-th highest of @num values. */
static uint64_t kth(const uint64_t *values, uint64_t num, uint64_t k)
{
	uint64_t *sorted = malloc(num * sizeof(*sorted)), found;

	if (!sorted)
		abort();
	memcpy(sorted, values, num * sizeof(*sorted));
	qsort(sorted, num, sizeof(*sorted), descending);
	found = sorted[k - 1];
	free(sorted);
	return found;
}

/*
 * Counts frames: the @k frames with the highest @counts are hot, and the @k
 * frames with the highest @heat are found hot; frames equal to the last one
 * count as well.  Sets @sizes to the numbers of frames that are hot, found hot,
 * and both.
 */
void compare(const uint64_t *counts, const uint16_t *heat, uint64_t frames, uint64_t k,
	     uint64_t sizes[3])
{
	uint64_t *wide = calloc(frames, sizeof(*wide)), hot, warm;

	if (!wide)
		abort();
	for (uint64_t i = 0; i < frames; i++)
		wide[i] = heat[i];
	hot = kth(counts, frames, k);
	warm = kth(wide, frames, k);
	/* A frame that was never accessed is not hot. */
	hot = hot ? hot : 1;
	warm = warm ? warm : 1;
	memset(sizes, 0, 3 * sizeof(*sizes));
	for (uint64_t i = 0; i < frames; i++) {
		sizes[0] += counts[i] >= hot;
		sizes[1] += wide[i] >= warm;
		sizes[2] += counts[i] >= hot && wide[i] >= warm;
	}
	free(wide);
}
