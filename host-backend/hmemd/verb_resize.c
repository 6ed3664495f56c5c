/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "capacity.h"
#include "log.h"
#include "numbers.h"
#include "verb_resize.h"
#include "vm_json.h"

/* Answers with an error if the tier cannot have that size. */
static bool can_have(struct client *client, const struct vm *vm, uint32_t tier,
		     uint64_t bytes)
{
	const struct hmem_link_tier *t = &vm->hello.tiers[tier];
	char min[32], max[32], unit[32], nodes[CAPACITY_NODES_TEXT];
	uint64_t most;

	if (!t->unit) {
		client_fail(client, "unsupported", "vm '%s': tier %" PRIu32 " cannot be "
			    "resized: QEMU's device has resize=off, or is for a "
			    "confidential guest", vm->name, tier);
		return false;
	}
	if (vm->state.flags & HMEM_LINK_DRIVER_OK &&
	    !(vm->state.features >> VIRTIO_HMEM_F_RESIZE & 1)) {
		client_fail(client, "unsupported", "vm '%s': its driver does not resize: "
			    "install a newer virtio_hmem in the guest", vm->name);
		return false;
	}
	if (bytes < t->min || bytes > t->size || bytes % t->unit) {
		client_fail(client, "usage", "vm '%s': tier %" PRIu32 " can have %s to %s, in "
			    "units of %s", vm->name, tier,
			    hmem_format_size(t->min, min, sizeof(min)),
			    hmem_format_size(t->size, max, sizeof(max)),
			    hmem_format_size(t->unit, unit, sizeof(unit)));
		return false;
	}
	most = capacity_limit(vm, tier, bytes);
	if (bytes > most) {
		client_fail(client, "usage", "vm '%s': tier %" PRIu32 " can have %s now: node %s "
			    "of the host has no more that is not promised, see hmemctl pool",
			    vm->name, tier, hmem_format_size(most, max, sizeof(max)),
			    capacity_format_nodes(&vm->nodes[tier], nodes));
		return false;
	}
	return true;
}

void verb_resize(struct client *client, json *req)
{
	struct vm *vm = client_find_vm(client, req);
	int64_t tier, bytes;
	char size[32];
	json *o, *r;

	if (!vm)
		return;
	if (!json_get_num(req, "tier", -1, vm->hello.num_tiers - 1, &tier)) {
		client_fail(client, "usage", "resize: vm '%s' has tiers 0 to %" PRIu32
			    ": name one of them", vm->name, vm->hello.num_tiers - 1);
		return;
	}
	if (!json_get_num(req, "bytes", -1, INT64_MAX, &bytes)) {
		client_fail(client, "usage", "resize: bytes is the size that the tier is to "
			    "have");
		return;
	}
	if (!can_have(client, vm, tier, bytes))
		return;
	if (!json_get_flag(req, "dry_run")) {
		vm_tell(vm, LOG_INFO, "resize", &client->conn, "tier %" PRId64 ": %s requested",
			tier, hmem_format_size(bytes, size, sizeof(size)));
		trading_forget(vm);
		vm_ask_size(vm, tier, bytes);
	}
	o = json_new_object();
	r = vm_size_json(vm, tier);
	json_put_str(r, "vm", vm->name);
	json_put_u64(r, "tier", tier);
	json_put_u64(r, "bytes", bytes);
	json_put_bool(r, "dry_run", json_get_flag(req, "dry_run"));
	json_add(o, "resize", r);
	client_reply(client, o, true);
}
