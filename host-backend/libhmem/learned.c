/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "learned.h"
#include "refusals.h"

/* 64-bit FNV-1a over words, which finds damage, but no intent; all lengths are multiples of 8. */
#define SUM_FIRST	UINT64_C(0xcbf29ce484222325)
#define SUM_PRIME	UINT64_C(0x100000001b3)

_Static_assert(sizeof(struct hmem_learned_head) % 8 == 0, "whole words");
_Static_assert(sizeof(struct hmem_learned_part) % 8 == 0, "whole words");
_Static_assert(sizeof(struct hmem_learned_entry) % 8 == 0, "whole words");

static uint64_t sum(uint64_t s, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word;

		memcpy(&word, (const char *)data + i, sizeof(word));
		s = (s ^ word) * SUM_PRIME;
		/* A product carries upwards only. */
		s ^= s >> 32;
	}
	return s;
}

static uint64_t sum_of_ranges(const struct hmem_pages *p)
{
	uint64_t s = SUM_FIRST;

	for (uint32_t i = 0; i < p->num_ranges; i++) {
		const struct hmem_pages_range *r = &p->ranges[i];
		const uint64_t words[] = { r->gfn, r->num, r->tier };

		s = sum(s, words, sizeof(words));
	}
	return s;
}

static uint64_t sum_of_head(const struct hmem_learned_head *head)
{
	struct hmem_learned_head copy;

	memcpy(&copy, head, sizeof(copy));
	copy.checksum = 0;
	return sum(SUM_FIRST, &copy, sizeof(copy));
}

static uint64_t sum_of_part(const struct hmem_learned_part *part,
			    const struct hmem_learned_entry *entries)
{
	const struct hmem_learned_part copy = { .slot = part->slot, .num = part->num };

	return sum(sum(SUM_FIRST, &copy, sizeof(copy)), entries, part->num * sizeof(*entries));
}

void hmem_learned_seal_head(struct hmem_learned_head *head)
{
	head->checksum = sum_of_head(head);
}

void hmem_learned_seal_part(struct hmem_learned_part *part,
			    const struct hmem_learned_entry *entries)
{
	part->checksum = sum_of_part(part, entries);
}

/* --- saving --- */

void hmem_learned_head(const struct hmem_placer *p, const struct hmem_learned_owner *owner,
		       uint64_t vtime_ns, bool exact, struct hmem_learned_head *head)
{
	const struct hmem_pages *pages = &p->pages;

	/* Padding goes to the file, too. */
	memset(head, 0, sizeof(*head));
	memcpy(head->magic, HMEM_LEARNED_MAGIC, sizeof(head->magic));
	head->version = HMEM_LEARNED_VERSION;
	head->size = sizeof(*head);
	head->owner = *owner;
	head->by_rates = hmem_placer_by_rates(p);
	/* Half a burst tells little about the pages that it has not yet observed. */
	head->exact = exact && !(head->by_rates && hmem_bursts_under_way(&p->bursts));
	head->vtime_ns = vtime_ns;
	head->num_slots = pages->num_slots;
	head->ranges = sum_of_ranges(pages);
	head->clock = pages->clock;
	head->sweep = pages->sweep;
	head->sweeps = pages->sweeps;
	head->cursor = pages->cursor;
	head->spare = p->spare;
	snprintf(head->tracker, sizeof(head->tracker), "%s", p->tracker->ops->name);
	head->policy = p->policy;
	hmem_bursts_save(&p->bursts, &head->bursts);
	hmem_learned_seal_head(head);
}

struct make {
	struct hmem_learned_part *part;
	struct hmem_learned_entry *entries;
};

static bool make_fn(const struct hmem_pages *p, const struct hmem_block *b, void *arg)
{
	struct make *m = arg;
	uint64_t in_flight = b->has_state ? hmem_refusals_in_flight(&p->state[b->slot]) : 0;
	struct hmem_learned_entry *e = &m->entries[m->part->num];

	if (!b->live && !p->quota[b->slot / 64])
		return true;
	memset(e, 0, sizeof(*e));
	e->slot = b->slot;
	e->quota = p->quota[b->slot / 64];
	memcpy(e->heat, &p->heat[b->slot], sizeof(e->heat));
	memcpy(e->recent, &p->recent[b->slot], sizeof(e->recent));
	memcpy(e->state, &p->state[b->slot], sizeof(e->state));
	/* The time of a move is not saved. */
	hmem_refusals_forget_came(e->state);
	/* Nobody will tell whether these pages have moved. */
	for (; in_flight; in_flight &= in_flight - 1) {
		unsigned int i = __builtin_ctzll(in_flight);

		e->heat[i] = e->state[i] = e->recent[i] = 0;
	}
	m->part->num++;
	return true;
}

size_t hmem_learned_part(const struct hmem_pages *p, uint64_t slot, void *buf)
{
	struct hmem_learned_part *part = buf;
	struct make m = { .part = part, .entries = (void *)(part + 1) };

	*part = (struct hmem_learned_part) { .slot = slot };
	hmem_pages_walk(p, slot, slot + HMEM_LEARNED_SLOTS, make_fn, &m);
	hmem_learned_seal_part(part, m.entries);
	return sizeof(*part) + part->num * sizeof(*m.entries);
}

/* --- restoring --- */

static int damaged(struct hmem_err *err, const char *what)
{
	return hmem_fail(err, EINVAL, "damaged: %s", what);
}

/* What was measured before the policy's horizon is measured anew, as after such a rest. */
static bool is_old(const struct hmem_learned_head *h, const struct hmem_placer *p,
		   uint64_t vtime_ns)
{
	return vtime_ns - h->vtime_ns > p->policy.horizon * UINT64_C(1000000000);
}

static int check_fit(const struct hmem_learned_head *h, const struct hmem_placer *p,
		     const struct hmem_learned_owner *owner, uint64_t vtime_ns,
		     struct hmem_err *err)
{
	const char *why = NULL;

	if (memcmp(h->owner.uuid, owner->uuid, sizeof(owner->uuid)))
		why = "of another VM";
	else if (h->owner.boot != owner->boot || h->vtime_ns > vtime_ns)
		why = "from before the guest was started anew";
	else if (h->num_slots != p->pages.num_slots || h->ranges != sum_of_ranges(&p->pages))
		why = "for other memory than the VM has";
	else if (!p->tracker || strcmp(h->tracker, p->tracker->ops->name) ||
		 !h->by_rates != !hmem_placer_by_rates(p))
		why = "of another tracker";
	else if (memcmp(&h->policy, &p->policy, sizeof(h->policy)))
		why = "of another policy";
	else if (!h->exact && !h->by_rates)
		why = "not from an orderly stop, and pages have moved since";
	else if (!h->by_rates && is_old(h, p, vtime_ns))
		why = "older than the policy's horizon";
	return why ? hmem_fail(err, ESTALE, "%s", why) : 0;
}

int hmem_relearn_begin(struct hmem_relearn *r, const struct hmem_learned_head *head,
		       const struct hmem_placer *p, const struct hmem_learned_owner *owner,
		       uint64_t vtime_ns, struct hmem_err *err)
{
	const struct hmem_pages *pages = &p->pages;
	struct hmem_link_range *ranges;
	int ret;

	memset(r, 0, sizeof(*r));
	if (memcmp(head->magic, HMEM_LEARNED_MAGIC, sizeof(head->magic)))
		return damaged(err, "no learned state");
	if (head->version != HMEM_LEARNED_VERSION || head->size != sizeof(*head))
		return hmem_fail(err, ESTALE, "of version %" PRIu32 ", while this hmemd has "
				 "version %u", head->version, HMEM_LEARNED_VERSION);
	if (head->checksum != sum_of_head(head) || head->exact > 1 || head->by_rates > 1 ||
	    !memchr(head->tracker, '\0', sizeof(head->tracker)))
		return damaged(err, "the head");
	ret = check_fit(head, p, owner, vtime_ns, err);
	if (ret < 0)
		return ret;
	r->head = *head;
	ranges = calloc(pages->num_ranges, sizeof(*ranges));
	if (!ranges)
		return hmem_fail(err, ENOMEM, "no memory");
	for (uint32_t i = 0; i < pages->num_ranges; i++)
		ranges[i] = (struct hmem_link_range) {
			.gfn = pages->ranges[i].gfn,
			.num = pages->ranges[i].num,
			.tier = pages->ranges[i].tier,
		};
	ret = hmem_pages_init(&r->fresh, ranges, pages->num_ranges, pages->num_tiers, UINT64_MAX,
			      err);
	free(ranges);
	if (ret < 0)
		return ret;
	hmem_pages_all_idle(&r->fresh, head->by_rates);
	return 0;
}

int64_t hmem_relearn_length(const struct hmem_relearn *r, const struct hmem_learned_part *part,
			    struct hmem_err *err)
{
	if (part->slot != r->next || part->num > HMEM_LEARNED_SLOTS / 64)
		return damaged(err, "a part's head");
	return part->num * sizeof(struct hmem_learned_entry);
}

struct restore {
	struct hmem_pages *p;
	const struct hmem_learned_entry *e, *end;
	uint64_t pages;
};

static bool restore_fn(const struct hmem_pages *cp, const struct hmem_block *b, void *arg)
{
	struct restore *r = arg;
	const struct hmem_learned_entry *e = r->e;
	struct hmem_pages *p = r->p;
	bool any = false, state;

	(void)cp;
	if (e == r->end)
		return false;
	if (e->slot != b->slot)
		return true;
	if ((e->quota ^ HMEM_QUOTA_FIRST) > 64)
		return false;
	p->quota[b->slot / 64] = e->quota;
	/* Slots that stand for no page stay zero. */
	for (uint64_t w = b->all; w; w &= w - 1) {
		unsigned int i = __builtin_ctzll(w);
		uint64_t slot = b->slot + i;

		if (!e->heat[i] && !e->recent[i] && !e->state[i])
			continue;
		p->hist[b->tier][hmem_pages_bucket(p, slot)]--;
		p->heat[slot] = e->heat[i];
		p->recent[slot] = e->recent[i];
		p->state[slot] = e->state[i];
		p->hist[b->tier][hmem_pages_bucket(p, slot)]++;
		r->pages += e->heat[i] || e->recent[i];
		any = true;
	}
	if (hmem_refusals_in_flight(&p->state[b->slot]))
		return false;
	state = hmem_refusals_any(&p->state[b->slot]);
	hmem_block_set(p->has_state, b->slot, state);
	hmem_block_set(p->live, b->slot, any);
	r->e++;
	return true;
}

int hmem_relearn_part(struct hmem_relearn *r, const struct hmem_learned_part *part,
		      const struct hmem_learned_entry *entries, struct hmem_err *err)
{
	struct restore to = { .p = &r->fresh, .e = entries, .end = entries + part->num };

	if (part->checksum != sum_of_part(part, entries))
		return damaged(err, "a part");
	hmem_pages_walk(&r->fresh, part->slot, part->slot + HMEM_LEARNED_SLOTS, restore_fn, &to);
	if (to.e != to.end)
		return damaged(err, "an entry");
	r->pages += to.pages;
	r->next += HMEM_LEARNED_SLOTS;
	return 0;
}

int hmem_relearn_finish(struct hmem_relearn *r, struct hmem_placer *p, uint64_t vtime_ns,
			struct hmem_err *err)
{
	const struct hmem_learned_head *h = &r->head;
	struct hmem_bursts bursts = p->bursts;

	if (h->sweep > h->num_slots / 64 || h->cursor >= h->num_slots ||
	    h->spare > (int64_t)h->num_slots || h->spare < -(int64_t)h->num_slots)
		return damaged(err, "a position");
	if (h->by_rates && !hmem_bursts_restore(&bursts, &h->bursts, vtime_ns - h->vtime_ns,
						!h->exact || is_old(h, p, vtime_ns)))
		return damaged(err, "the rates");
	r->fresh.windows = p->pages.windows;
	r->fresh.clock = h->clock;
	r->fresh.sweep = h->sweep;
	r->fresh.sweeps = h->sweeps;
	r->fresh.cursor = h->cursor;
	hmem_placer_adopt(p, &r->fresh, h->by_rates ? &bursts : NULL, h->spare);
	return 0;
}

void hmem_relearn_end(struct hmem_relearn *r, struct hmem_discard *table)
{
	hmem_discard_begin(table, &r->fresh);
}
