/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "accounts.h"
#include "batches.h"
#include "handshake.h"
#include "log.h"
#include "numbers.h"
#include "pooling.h"
#include "protocol.h"
#include "ranges.h"
#include "room.h"
#include "tracking.h"
#include "windows.h"

/* @was_ready: the VM was connected; otherwise the event of its connection follows. */
static void log_state(struct vm *vm, uint32_t old, bool was_ready)
{
	uint32_t now = vm->state.flags, diff = old ^ now;

	if (diff & HMEM_LINK_DRIVER_OK)
		vm_tell(vm, LOG_INFO, !was_ready ? NULL :
			now & HMEM_LINK_DRIVER_OK ? "driver-up" : "driver-gone", NULL,
			"driver %s", now & HMEM_LINK_DRIVER_OK ? "at work" : "gone");
	if (diff & HMEM_LINK_MIGRATING)
		vm_tell(vm, LOG_INFO, "migration", NULL, "live migration %s",
			now & HMEM_LINK_MIGRATING ? "begins" : "is over");
	if (diff & now & HMEM_LINK_BROKEN) {
		strcpy(vm->last_error, "its driver broke the rules: reset the guest");
		vm_tell(vm, LOG_WARN, "broken", NULL, "%s", vm->last_error);
	}
	if (diff & HMEM_LINK_VM_RUNNING)
		vm_tell(vm, LOG_DEBUG, !was_ready ? NULL :
			now & HMEM_LINK_VM_RUNNING ? "running" : "paused", NULL,
			"%s", now & HMEM_LINK_VM_RUNNING ? "running" : "paused");
	if (diff & HMEM_LINK_SCAN_LATE)
		vm_tell(vm, LOG_DEBUG, now & HMEM_LINK_SCAN_LATE ? "scan-late" : "scan-in-time",
			NULL, now & HMEM_LINK_SCAN_LATE ? "a scan takes longer than a window" :
			"scans are in time again");
}

static int on_state(struct vm *vm, const struct hmem_link_state *state,
		    struct hmem_err *err)
{
	uint32_t old = vm->state.flags;
	bool was_ready = vm_ready(vm);
	int ret = hmem_link_check_state(state, err);

	if (ret < 0)
		return ret;
	/* Another driver, or another state of the VM: its pauses are not those that were told. */
	if (state->boot != vm->state.boot || !(state->features >> VIRTIO_HMEM_F_PAUSE & 1))
		vm->have_pauses = false;
	if (state->boot != vm->state.boot || !(state->features >> VIRTIO_HMEM_F_ACCOUNT & 1))
		accounts_forget(vm);
	vm->state = *state;
	vm->have_state = true;
	log_state(vm, old, was_ready);
	if (old & HMEM_LINK_DRIVER_OK && !(state->flags & HMEM_LINK_DRIVER_OK)) {
		batches_lose(vm, "the guest's driver went away");
		vm->lost_id = vm->next_id;
	}
	/* Otherwise more messages must come before the VM is ready. */
	if (was_ready && (old ^ state->flags) & HMEM_LINK_DRIVER_OK)
		tracking_update(vm);
	batches_feed(vm);
	return 0;
}

/* A tier has reached the requested size, or the guest has told why it does not. */
static void log_size(struct vm *vm, uint32_t tier, const struct hmem_link_size *old)
{
	const struct hmem_link_size *now = &vm->sizes.tiers[tier];
	char size[32], less[32];

	hmem_format_size(now->actual, size, sizeof(size));
	hmem_format_size(vm->hello.tiers[tier].size - now->actual, less, sizeof(less));
	if (now->actual != old->actual && now->actual == now->requested)
		vm_tell(vm, LOG_DEBUG, "resized", NULL, "tier %" PRIu32 " has %s; %s are given up",
			tier, size, less);
	else if (now->actual != now->requested && now->why != old->why && now->why)
		vm_tell(vm, LOG_DEBUG, "resize-waits", NULL, "tier %" PRIu32 " still has %s: %s",
			tier, size, hmem_why_name(now->why));
}

static int on_sizes(struct vm *vm, const struct hmem_link_sizes *sizes,
		    struct hmem_err *err)
{
	const struct hmem_link_sizes old = vm->sizes;
	int ret = hmem_link_check_sizes(sizes, vm->hello.tiers, vm->hello.num_tiers, err);

	if (ret < 0)
		return ret;
	vm->sizes = *sizes;
	accounts_sizes(vm, &old);
	hmem_placer_resized(&vm->placer, ((int64_t)sizes->tiers[0].actual -
					  (int64_t)old.tiers[0].actual) >> VIRTIO_HMEM_GFN_SHIFT);
	for (uint32_t i = 0; i < vm->hello.num_tiers; i++) {
		if (sizes->tiers[i].requested == vm->asked[i])
			vm->asked[i] = 0;
		log_size(vm, i, &old.tiers[i]);
		if (sizes->tiers[i].why == VIRTIO_HMEM_WHY_NODE_FULL &&
		    old.tiers[i].why != VIRTIO_HMEM_WHY_NODE_FULL)
			room_needed(vm);
	}
	if (sizes->tiers[0].actual < old.tiers[0].actual)
		pooling_freed(vm);
	return 0;
}

static int on_pauses(struct vm *vm, const struct hmem_link_pauses *pauses, struct hmem_err *err)
{
	int ret = hmem_link_check_pauses(vm->state.features, err);

	if (ret < 0)
		return ret;
	vm->pauses = *pauses;
	vm->have_pauses = true;
	return 0;
}

static int dispatch(struct vm *vm, const struct hmem_link_header *hdr,
		    struct hmem_err *err)
{
	const void *payload = hdr + 1;
	bool was_ready = vm_ready(vm);
	int ret;

	if (!vm->have_hello && hdr->type != HMEM_LINK_HELLO)
		return hmem_fail(err, EPROTO, "%s before HELLO",
				 hmem_link_type_name(hdr->type));
	switch (hdr->type) {
	case HMEM_LINK_HELLO:
		return handshake_hello(vm, payload, err);
	case HMEM_LINK_RANGES:
		ret = ranges_update(vm, payload, hdr->len / sizeof(struct hmem_link_range),
				    err);
		break;
	case HMEM_LINK_STATE:
		ret = on_state(vm, payload, err);
		break;
	default:
		if (!was_ready)
			return hmem_fail(err, EPROTO, "%s before RANGES and STATE",
					 hmem_link_type_name(hdr->type));
		switch (hdr->type) {
		case HMEM_LINK_RESULTS:
			return batches_results(vm, payload, hdr->len, err);
		case HMEM_LINK_REJECT:
			return batches_reject(vm, payload, err);
		case HMEM_LINK_SIZES:
			return on_sizes(vm, payload, err);
		case HMEM_LINK_PAUSES:
			return on_pauses(vm, payload, err);
		case HMEM_LINK_CLEARED:
			return windows_cleared(vm, payload, err);
		case HMEM_LINK_ACCOUNT:
			return accounts_received(vm, payload, err);
		default:
			return windows_tick(vm, payload, err);
		}
	}
	if (!ret && !was_ready && vm_ready(vm))
		handshake_finish(vm);
	return ret;
}

int protocol_received(struct conn *c, struct hmem_err *err)
{
	struct vm *vm = (struct vm *)c;
	/* Valid messages are multiples of 8 long, so all are aligned. */
	const struct hmem_link_header *hdr = (void *)conn_data(c);
	int ret;

	/* Close a descriptor that came with a message other than HELLO. */
	if (vm->have_hello && c->passed_fd >= 0)
		return hmem_fail(err, EPROTO, "a file descriptor after HELLO");
	if (vm->pass)
		return CONN_LATER;
	if (conn_len(c) < sizeof(*hdr))
		return CONN_MORE;
	ret = hmem_link_check_header(hdr, err);
	if (ret < 0)
		return ret;
	if (conn_len(c) < sizeof(*hdr) + hdr->len)
		return CONN_MORE;
	/* Wait: new ranges would disturb the host tracker's pass. */
	if (hdr->type == HMEM_LINK_RANGES && vm->host_tracker && vm->tick.seq)
		return CONN_LATER;
	conn_consume(c, sizeof(*hdr) + hdr->len);
	ret = dispatch(vm, hdr, err);
	return ret < 0 ? ret : CONN_AGAIN;
}
