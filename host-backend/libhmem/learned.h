/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The learned state of a placer, in a form that can be kept in a file: the records of pages, and
 * what the policy auto has measured.  A restarted hmemd then need not learn it again.
 *
 * The state is a head and, after it, one part for each HMEM_LEARNED_SLOTS slots of the page table,
 * by rising slots.  A part has a head, too, and an entry for each block of 64 frames of which
 * something is known: 5.25 bytes per page.  Numbers are in the host's byte order, since the state
 * is of use only on the host where the VM runs.
 *
 * The state fits only the same boot of the guest, with the same memory, tracker and policy.
 * While no hmemd runs, nothing else moves pages between tiers.  But a page that is hinted when
 * the state is saved may move, so it is saved without a record.  If the state was saved while
 * pages went on moving, it is not exact, and is of use for rates only, which a burst checks
 * before any page moves.
 *
 * What is read can contain anything: nothing of it is used before it is checked.
 */
#ifndef HMEM_LEARNED_H
#define HMEM_LEARNED_H

#include "placer.h"

/* Changes with each change of the structs below, of what they contain, or of their meaning. */
#define HMEM_LEARNED_VERSION	3u
#define HMEM_LEARNED_MAGIC	"hmemlrn"
#define HMEM_LEARNED_SLOTS	(UINT64_C(1) << 18)

/* Whose state it is. */
struct hmem_learned_owner {
	uint8_t uuid[16];
	uint32_t boot;		/* hmem_link_state.boot, not 0 */
};

struct hmem_learned_head {
	char magic[8];
	uint32_t version, size;		/* the size of this struct */
	uint64_t checksum;		/* of this struct, with 0 here */
	struct hmem_learned_owner owner;
	uint32_t exact;			/* bool */
	/* hmem_placer_by_rates(); otherwise @bursts are not of use. */
	uint32_t by_rates;
	uint64_t vtime_ns;		/* guest time */
	/* The page table, and a checksum of its ranges. */
	uint64_t num_slots, ranges, clock, sweep, sweeps, cursor;
	int64_t spare;
	char tracker[8];
	struct hmem_policy policy;
	struct hmem_bursts_learned bursts;
};

struct hmem_learned_part {
	uint64_t slot;			/* a multiple of HMEM_LEARNED_SLOTS */
	uint64_t num;			/* of entries */
	uint64_t checksum;		/* of this struct, with 0 here, and of the entries */
};

struct hmem_learned_entry {
	uint64_t slot;
	uint8_t quota, padding[7];
	uint16_t heat[64], state[64];
	uint8_t recent[64];
};

#define HMEM_LEARNED_MAX_PART	(sizeof(struct hmem_learned_part) + \
				 HMEM_LEARNED_SLOTS / 64 * sizeof(struct hmem_learned_entry))

/* The largest size of the state of a page table. */
static inline uint64_t hmem_learned_max(uint64_t num_slots)
{
	return sizeof(struct hmem_learned_head) +
	       (num_slots / HMEM_LEARNED_SLOTS + 1) * sizeof(struct hmem_learned_part) +
	       (num_slots / 64 + 1) * sizeof(struct hmem_learned_entry);
}

/* --- saving --- */

/*
 * Makes the head.  @vtime_ns: the guest time when the last window ended.  @exact: no message
 * about pages comes until all parts are made.  The placer must have a tracker, and no pass may be
 * under way.
 */
void hmem_learned_head(const struct hmem_placer *p, const struct hmem_learned_owner *owner,
		       uint64_t vtime_ns, bool exact, struct hmem_learned_head *head);

/*
 * Makes the part from @slot on, a multiple of HMEM_LEARNED_SLOTS, in @buf, which has room for
 * HMEM_LEARNED_MAX_PART bytes.  Returns its length.
 */
size_t hmem_learned_part(const struct hmem_pages *p, uint64_t slot, void *buf);

/* Set the checksums, when all else is made. */
void hmem_learned_seal_head(struct hmem_learned_head *head);
void hmem_learned_seal_part(struct hmem_learned_part *part,
			    const struct hmem_learned_entry *entries);

/* --- restoring --- */

struct hmem_relearn {
	struct hmem_learned_head head;
	/* The future table; its slots before @next are complete. */
	struct hmem_pages fresh;
	uint64_t next;
	/* Pages with a record. */
	uint64_t pages;
};

/*
 * Begins to restore from @head.  @p has its tracker, and has seen no window yet; @vtime_ns is the
 * guest's time now.  Returns 0; -EINVAL: the head is damaged; -ESTALE: it does not fit the VM;
 * -ENOMEM; @err then says why.
 */
int hmem_relearn_begin(struct hmem_relearn *r, const struct hmem_learned_head *head,
		       const struct hmem_placer *p, const struct hmem_learned_owner *owner,
		       uint64_t vtime_ns, struct hmem_err *err);

/* Have all parts been taken? */
static inline bool hmem_relearn_complete(const struct hmem_relearn *r)
{
	return r->next >= r->fresh.num_slots;
}

/* Returns the length of the entries that follow @part, in bytes; -EINVAL: it is damaged. */
int64_t hmem_relearn_length(const struct hmem_relearn *r, const struct hmem_learned_part *part,
			    struct hmem_err *err);

/* Takes a part, whose entries have the length just computed.  Returns 0 or -EINVAL. */
int hmem_relearn_part(struct hmem_relearn *r, const struct hmem_learned_part *part,
		      const struct hmem_learned_entry *entries, struct hmem_err *err);

/*
 * All parts are taken: @p continues with the state.  Returns 0 or -EINVAL; @p is then unchanged.
 */
int hmem_relearn_finish(struct hmem_relearn *r, struct hmem_placer *p, uint64_t vtime_ns,
			struct hmem_err *err);

/* Ends what hmem_relearn_begin() has begun: puts the table that is not used into @table. */
void hmem_relearn_end(struct hmem_relearn *r, struct hmem_discard *table);

#endif /* HMEM_LEARNED_H */
