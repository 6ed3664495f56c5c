/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>

#include "log.h"
#include "vm.h"

/* If the guest has given up nothing for so many seconds, placement goes on. */
#define STUCK	2

void vm_error(struct vm *vm, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(vm->last_error, sizeof(vm->last_error), fmt, ap);
	va_end(ap);
	log_msg(LOG_WARN, "vm '%s': %s", vm->name, vm->last_error);
}

void vm_tell(struct vm *vm, enum log_level level, const char *what, const struct conn *by,
	     const char *fmt, ...)
{
	va_list ap;

	if (!by && what && !events_allow(&vm->d->events, level, vm->conn.uid, vm->name))
		what = NULL;
	va_start(ap, fmt);
	events_add(&vm->d->events, level, what, vm->name, by, fmt, ap);
	va_end(ap);
}

void vm_send(struct vm *vm, uint32_t type, const void *payload, uint32_t len)
{
	struct hmem_link_header hdr = { .type = type, .len = len };

	conn_send(&vm->conn, &hdr, sizeof(hdr));
	conn_send(&vm->conn, payload, len);
}

void vm_ask_size(struct vm *vm, uint32_t tier, uint64_t bytes)
{
	const struct hmem_link_resize msg = { .tier = tier, .bytes = bytes };

	vm->sizes.tiers[tier].requested = vm->asked[tier] = bytes;
	vm_send(vm, HMEM_LINK_RESIZE, &msg, sizeof(msg));
}

const char *vm_blocked(const struct vm *vm)
{
	if (!vm_ready(vm))
		return "the device has not introduced itself yet";
	if (vm->state.flags & HMEM_LINK_BROKEN)
		return "its driver broke the rules: reset the guest";
	if (!(vm->state.flags & HMEM_LINK_DRIVER_OK))
		return "no driver at work: load virtio_hmem in the guest";
	if (vm->state.flags & HMEM_LINK_MIGRATING)
		return "live migration is under way: wait for its end";
	return NULL;
}

uint64_t vm_frames_to_give_up(const struct vm *vm)
{
	const struct rooms *r = &vm->rooms;
	const struct hmem_link_size *s = &vm->sizes.tiers[r->tier];
	uint64_t given = 0;

	if (s->actual <= s->requested)
		return 0;
	if (s->actual < r->actual)
		given = (r->actual - s->actual) >> VIRTIO_HMEM_GFN_SHIFT;
	return r->moved > given ? r->moved - given : 0;
}

bool vm_may_plan(const struct vm *vm)
{
	const struct job *job;

	if (vm_blocked(vm))
		return false;
	if (vm->rooms.stuck >= STUCK)
		return true;
	if (vm->rooms.search || vm_frames_to_give_up(vm))
		return false;
	TAILQ_FOREACH(job, &vm->jobs, link) {
		if (job->makes_room)
			return false;
	}
	return true;
}

/* QEMU orders tiers by latency if it knows all of them, else by bandwidth likewise. */
const char *vm_order_doubt(const struct vm *vm)
{
	uint32_t latencies = 0, bandwidths = 0, num = vm->hello.num_tiers;

	for (uint32_t i = 0; i < num; i++) {
		latencies += vm->hello.tiers[i].read_latency != 0;
		bandwidths += vm->hello.tiers[i].read_bandwidth != 0;
	}
	if (latencies == num)
		return NULL;
	if (latencies)
		return "the latency of some is not known: tiers are in node order; give "
		       "QEMU -numa hmat-lb with an access-latency for each node";
	if (bandwidths == num)
		return "no latencies known: tiers are in the order of their bandwidth; "
		       "give QEMU -numa hmat-lb with access-latency";
	return "no latencies known: tiers are in node order; add hmat=on and hmat-lb to "
	       "QEMU's options";
}

uint64_t vm_frames(const struct vm *vm)
{
	return hmem_pages_frames(&vm->placer.pages);
}

uint64_t vm_now(const struct vm *vm)
{
	return vm_lockstep(vm) ? vm->last_vtime / 1000000 : loop_now();
}

bool vm_has_uuid(const struct vm *vm)
{
	static const uint8_t none[sizeof(vm->hello.uuid)];

	return memcmp(vm->hello.uuid, none, sizeof(none));
}

/* A VM with a UUID is found again by the name that it sent, whatever hmemd called it. */
static struct policy_owner policy_owner(const struct vm *vm)
{
	struct policy_owner owner = { 0 };

	strcpy(owner.name, vm_has_uuid(vm) ? vm->hello.vm : vm->name);
	strcpy(owner.device, vm->hello.device);
	memcpy(owner.uuid, vm->hello.uuid, sizeof(owner.uuid));
	return owner;
}

void vm_keep_policy(struct vm *vm)
{
	struct policy_owner owner = policy_owner(vm);

	strcpy(vm->policy_from, POLICY_BY_HAND);
	if (policy_store_keep(&vm->d->policies, &owner, &vm->placer.policy) < 0)
		log_msg(LOG_ERR, "vm '%s': no memory to keep its policy in: set it "
			"again when the VM reconnects", vm->name);
}

void vm_forget_policy(struct vm *vm)
{
	struct policy_owner owner = policy_owner(vm);

	policy_store_forget(&vm->d->policies, &owner);
	vm->policy_from[0] = '\0';
}

bool vm_kept_policy(const struct vm *vm, struct hmem_policy *policy)
{
	struct policy_owner owner = policy_owner(vm);

	return policy_store_find(&vm->d->policies, &owner, policy);
}

void vm_reset_stats(struct vm *vm)
{
	memset(&vm->stats, 0, sizeof(vm->stats));
	vm->pooled.ran_ns = vm->pooled.window_ns = 0;
	vm->pooled.moved_ns = 0;
	vm->stats.log_samples = vm->placer.sampler.samples;
	vm->stats.log_faults = vm->placer.sampler.faults;
	vm->foreign_base = vm->foreign_moves;
	vm->foreign_lately = (struct hmem_lately) { 0 };
	vm->rated_ms = 0;
	vm->have_rates = false;
	vm->last_error[0] = '\0';
}
