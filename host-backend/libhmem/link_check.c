/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "link_check.h"

#define ASSERT_SIZE(type, size) \
	_Static_assert(sizeof(type) == (size), #type " has holes")
VIRTIO_HMEM_ASSERT_LAYOUT(ASSERT_SIZE);
_Static_assert(HMEM_LINK_PAUSE_BUCKETS == VIRTIO_HMEM_PAUSE_BUCKETS,
	       "the link passes on all counts of pauses");

/* Payload lengths of a type: smallest, largest, and the step between lengths. */
static const struct msg_form {
	const char *name;
	uint32_t min, max, step;
} forms[] = {
	[HMEM_LINK_HELLO] = { "HELLO", sizeof(struct hmem_link_hello),
			      sizeof(struct hmem_link_hello), 8 },
	[HMEM_LINK_RANGES] = { "RANGES", sizeof(struct hmem_link_range),
			       HMEM_LINK_MAX_RANGES * sizeof(struct hmem_link_range),
			       sizeof(struct hmem_link_range) },
	[HMEM_LINK_STATE] = { "STATE", sizeof(struct hmem_link_state),
			      sizeof(struct hmem_link_state), 8 },
	[HMEM_LINK_RESULTS] = { "RESULTS", sizeof(struct virtio_hmem_result_batch),
				HMEM_LINK_MAX_PAYLOAD,
				sizeof(struct virtio_hmem_result) },
	[HMEM_LINK_REJECT] = { "REJECT", sizeof(struct hmem_link_reject),
			       sizeof(struct hmem_link_reject), 8 },
	[HMEM_LINK_TICK] = { "TICK", sizeof(struct hmem_link_tick),
			     sizeof(struct hmem_link_tick), 8 },
	[HMEM_LINK_SIZES] = { "SIZES", sizeof(struct hmem_link_sizes),
			      sizeof(struct hmem_link_sizes), 8 },
	[HMEM_LINK_PAUSES] = { "PAUSES", sizeof(struct hmem_link_pauses),
			       sizeof(struct hmem_link_pauses), 8 },
	[HMEM_LINK_CLEARED] = { "CLEARED", sizeof(struct hmem_link_cleared),
				sizeof(struct hmem_link_cleared), 8 },
	[HMEM_LINK_ACCOUNT] = { "ACCOUNT", sizeof(struct hmem_link_account),
				sizeof(struct hmem_link_account), 8 },
};
#define NUM_FORMS	(sizeof(forms) / sizeof(forms[0]))

static const char *const reasons[VIRTIO_HMEM_R_MAX] = {
	VIRTIO_HMEM_REASON_NAMES
};

const char *hmem_reason_name(unsigned int reason)
{
	return reason < VIRTIO_HMEM_R_MAX ? reasons[reason] : NULL;
}

const char *hmem_reject_name(uint32_t code)
{
	switch (code) {
	case HMEM_LINK_REJECT_NO_DRIVER:
		return "no-driver";
	case HMEM_LINK_REJECT_MIGRATING:
		return "migrating";
	case HMEM_LINK_REJECT_BUSY:
		return "busy";
	case HMEM_LINK_REJECT_INVALID:
		return "invalid";
	default:
		return NULL;
	}
}

const char *hmem_why_name(uint32_t why)
{
	static const char *const names[VIRTIO_HMEM_WHY_MAX] = {
		VIRTIO_HMEM_WHY_NAMES
	};

	return why < VIRTIO_HMEM_WHY_MAX ? names[why] : NULL;
}

const char *hmem_kind_name(unsigned int kind)
{
	switch (kind) {
	case VIRTIO_HMEM_KIND_DRAM:
		return "dram";
	case VIRTIO_HMEM_KIND_NVM:
		return "nvm";
	case VIRTIO_HMEM_KIND_CXL:
		return "cxl";
	default:
		return "other";
	}
}

const char *hmem_link_type_name(uint32_t type)
{
	return type < NUM_FORMS && forms[type].name ? forms[type].name : "unknown";
}

int hmem_link_check_header(const struct hmem_link_header *hdr,
			   struct hmem_err *err)
{
	const struct msg_form *f;

	if (hdr->type >= NUM_FORMS || !forms[hdr->type].name)
		return hmem_fail(err, EPROTO, "message type %#" PRIx32
				 " is none that a device sends", hdr->type);
	f = &forms[hdr->type];
	if (hdr->len < f->min || hdr->len > f->max ||
	    (hdr->len - f->min) % f->step)
		return hmem_fail(err, EPROTO, "%s cannot be %" PRIu32 " bytes long",
				 f->name, hdr->len);
	return 0;
}

static int check_string(const char *s, size_t size, const char *what,
			struct hmem_err *err)
{
	if (!memchr(s, '\0', size))
		return hmem_fail(err, EPROTO, "HELLO: %s is not NUL-terminated",
				 what);
	return 0;
}

int hmem_link_check_hello(const struct hmem_link_hello *hello,
			  struct hmem_err *err)
{
	if (hello->magic != HMEM_LINK_MAGIC)
		return hmem_fail(err, EPROTO, "HELLO: magic is %#" PRIx32
				 ", not a hmem link", hello->magic);
	if (hello->version != HMEM_LINK_VERSION)
		return hmem_fail(err, EPROTO, "HELLO: link version is %" PRIu32
				 ", this hmemd speaks %u: use QEMU and hmemd of one release",
				 hello->version, HMEM_LINK_VERSION);
	if (check_string(hello->vm, sizeof(hello->vm), "vm", err) ||
	    check_string(hello->device, sizeof(hello->device), "device", err))
		return -EPROTO;
	if (hello->num_tiers < 2 || hello->num_tiers > HMEM_LINK_MAX_TIERS)
		return hmem_fail(err, EPROTO, "HELLO: %" PRIu32 " tiers, not 2 .. %u",
				 hello->num_tiers, HMEM_LINK_MAX_TIERS);
	if (!hello->max_batches)
		return hmem_fail(err, EPROTO, "HELLO: max_batches is 0");
	if (!hello->map_bytes || hello->map_bytes % 8 ||
	    hello->map_bytes > HMEM_MAX_GFN / 8)
		return hmem_fail(err, EPROTO, "HELLO: maps of %" PRIu64
				 " bytes, not a multiple of 8 up to %" PRIu64,
				 hello->map_bytes, HMEM_MAX_GFN / 8);
	if (hello->min_window_ns < HMEM_LINK_MIN_WINDOW_NS ||
	    hello->min_window_ns > HMEM_LINK_MAX_WINDOW_NS)
		return hmem_fail(err, EPROTO, "HELLO: windows of at least %" PRIu64
				 " ns, not %" PRIu64 " .. %" PRIu64,
				 hello->min_window_ns, HMEM_LINK_MIN_WINDOW_NS,
				 HMEM_LINK_MAX_WINDOW_NS);
	if (!hello->num_cpus || hello->num_cpus > HMEM_LINK_MAX_CPUS)
		return hmem_fail(err, EPROTO, "HELLO: %" PRIu32 " processors, not 1 .. %u",
				 hello->num_cpus, HMEM_LINK_MAX_CPUS);
	if (hello->padding)
		return hmem_fail(err, EPROTO, "HELLO: padding is not zero");
	for (uint32_t i = 0; i < hello->num_tiers; i++) {
		const struct hmem_link_tier *t = &hello->tiers[i];

		if (t->min > t->size || (t->unit & (t->unit - 1)) ||
		    (t->unit && (t->unit < HMEM_LINK_PAGE_SIZE || t->size % t->unit ||
				 t->min % t->unit)))
			return hmem_fail(err, EPROTO, "HELLO: tier %" PRIu32 " has %" PRIu64
					 " bytes, at least %" PRIu64 ", in units of %"
					 PRIu64, i, t->size, t->min, t->unit);
	}
	return 0;
}

int hmem_link_check_ranges(const struct hmem_link_range *ranges, uint32_t num,
			   uint64_t map_bytes, uint32_t num_tiers,
			   struct hmem_err *err)
{
	uint64_t limit = map_bytes * 8, next = 0;

	for (uint32_t i = 0; i < num; i++) {
		const struct hmem_link_range *r = &ranges[i];

		if (r->padding)
			return hmem_fail(err, EPROTO, "RANGES: range %" PRIu32
					 ": padding is not zero", i);
		if (r->tier >= num_tiers)
			return hmem_fail(err, EPROTO, "RANGES: range %" PRIu32
					 ": tier %" PRIu32 " of %" PRIu32,
					 i, r->tier, num_tiers);
		if (!r->num || r->gfn >= limit || r->num > limit - r->gfn)
			return hmem_fail(err, EPROTO, "RANGES: range %" PRIu32
					 ": frames %#" PRIx64 "+%#" PRIx64
					 " are not within the map's %#" PRIx64,
					 i, r->gfn, r->num, limit);
		if (r->gfn < next)
			return hmem_fail(err, EPROTO, "RANGES: range %" PRIu32
					 " is not after the one before it", i);
		if (r->hva % HMEM_LINK_PAGE_SIZE ||
		    r->num > (UINT64_MAX - r->hva) / HMEM_LINK_PAGE_SIZE)
			return hmem_fail(err, EPROTO, "RANGES: range %" PRIu32
					 ": host address %#" PRIx64 " is not aligned, or "
					 "too high", i, r->hva);
		next = r->gfn + r->num;
	}
	return 0;
}

int hmem_link_check_state(const struct hmem_link_state *state,
			  struct hmem_err *err)
{
	if (state->boot && !(state->flags & HMEM_LINK_DRIVER_OK))
		return hmem_fail(err, EPROTO, "STATE: boot is %#" PRIx32 " without a driver",
				 state->boot);
	return 0;
}

int hmem_link_check_results(const struct virtio_hmem_result_batch *batch,
			    uint32_t len, struct hmem_err *err)
{
	uint32_t num = le32toh(batch->num_results);
	uint32_t room = (len - sizeof(*batch)) / sizeof(batch->results[0]);

	if (num != room)
		return hmem_fail(err, EPROTO, "RESULTS: num_results is %" PRIu32
				 " in a message with %" PRIu32, num, room);
	if (!num && !(le32toh(batch->flags) & VIRTIO_HMEM_RESULT_LAST))
		return hmem_fail(err, EPROTO, "RESULTS: neither a result nor the last");
	return 0;
}

int hmem_link_check_result(const struct virtio_hmem_result *res,
			   struct hmem_err *err)
{
	uint64_t gfn = le64toh(res->gfn), new_gfn = le64toh(res->new_gfn);
	uint64_t mask;

	if (res->reason >= VIRTIO_HMEM_R_MAX ||
	    res->status != virtio_hmem_status(res->reason))
		return hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64
				 ": status %u with reason %u", gfn, res->status,
				 res->reason);
	if (res->order > VIRTIO_HMEM_MAX_ORDER)
		return hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64
				 ": order %u", gfn, res->order);
	mask = (UINT64_C(1) << res->order) - 1;
	if (gfn >= HMEM_MAX_GFN || new_gfn >= HMEM_MAX_GFN)
		return hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64 " to %#"
				 PRIx64 " is beyond any guest memory", gfn, new_gfn);
	/* The result of a bad order repeats the hint, so it may be unaligned. */
	if (res->status != VIRTIO_HMEM_S_ERROR && (gfn & mask || new_gfn & mask))
		return hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64 " to %#"
				 PRIx64 " is not aligned to order %u", gfn,
				 new_gfn, res->order);
	if (res->reason != VIRTIO_HMEM_R_MOVED && gfn != new_gfn)
		return hmem_fail(err, EPROTO, "RESULTS: frame %#" PRIx64
				 ": %s, but has a new frame", gfn,
				 hmem_reason_name(res->reason));
	return 0;
}

int hmem_link_check_sizes(const struct hmem_link_sizes *sizes,
			  const struct hmem_link_tier *tiers, uint32_t num_tiers,
			  struct hmem_err *err)
{
	for (uint32_t i = 0; i < num_tiers; i++) {
		const struct hmem_link_size *s = &sizes->tiers[i];

		if (s->padding || s->why >= VIRTIO_HMEM_WHY_MAX)
			return hmem_fail(err, EPROTO, "SIZES: tier %" PRIu32 ": reason %"
					 PRIu32 ", padding %#" PRIx32, i, s->why, s->padding);
		if (s->requested > tiers[i].size || s->actual > tiers[i].size ||
		    s->free > s->actual)
			return hmem_fail(err, EPROTO, "SIZES: tier %" PRIu32 " of %" PRIu64
					 " bytes: %" PRIu64 " requested, %" PRIu64
					 " there, %" PRIu64 " free", i, tiers[i].size,
					 s->requested, s->actual, s->free);
	}
	return 0;
}

int hmem_link_check_pauses(uint64_t features, struct hmem_err *err)
{
	if (!(features >> VIRTIO_HMEM_F_PAUSE & 1))
		return hmem_fail(err, EPROTO, "PAUSES without VIRTIO_HMEM_F_PAUSE");
	return 0;
}

int hmem_link_check_account(const struct hmem_link_account *account, uint32_t num_tiers,
			    uint64_t features, struct hmem_err *err)
{
	if (!(features >> VIRTIO_HMEM_F_ACCOUNT & 1))
		return hmem_fail(err, EPROTO, "ACCOUNT without VIRTIO_HMEM_F_ACCOUNT");
	for (uint32_t i = 0; i < HMEM_LINK_MAX_TIERS; i++) {
		const struct hmem_link_account_tier *t = &account->tiers[i];

		if (i >= num_tiers && (t->total || t->free || t->reserve))
			return hmem_fail(err, EPROTO, "ACCOUNT: tier %" PRIu32 " of %" PRIu32,
					 i, num_tiers);
		if (t->free > t->total || t->reserve > t->free)
			return hmem_fail(err, EPROTO, "ACCOUNT: tier %" PRIu32 " of %" PRIu64
					 " bytes: %" PRIu64 " free, %" PRIu64 " of these kept",
					 i, t->total, t->free, t->reserve);
	}
	return 0;
}

int hmem_link_check_reject(const struct hmem_link_reject *reject,
			   struct hmem_err *err)
{
	if (!hmem_reject_name(reject->code))
		return hmem_fail(err, EPROTO, "REJECT: unknown code %" PRIu32,
				 reject->code);
	return 0;
}

int hmem_link_check_tick(const struct hmem_link_tick *tick,
			 struct hmem_err *err)
{
	if (!tick->seq)
		return hmem_fail(err, EPROTO, "TICK: seq is 0");
	if (tick->flags & ~HMEM_LINK_TICK_INCOMPLETE)
		return hmem_fail(err, EPROTO, "TICK: flags are %#" PRIx32, tick->flags);
	if (tick->scan_ns > tick->window_ns)
		return hmem_fail(err, EPROTO, "TICK: a scan of %" PRIu64
				 " ns in a window of %" PRIu64, tick->scan_ns,
				 tick->window_ns);
	return 0;
}
