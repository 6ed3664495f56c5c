/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "accounts.h"
#include "link_check.h"
#include "vm.h"

/* Adds what a count of the guest has grown by.  A guest can report any counts. */
static void add(uint64_t *sum, uint64_t was, uint64_t is)
{
	if (is > was && __builtin_add_overflow(*sum, is - was, sum))
		*sum = UINT64_MAX;
}

/* The free frames of tier 0, without those that the guest is to give up, but with its reserve. */
static uint64_t free_to_use(const struct vm *vm)
{
	const struct hmem_link_size *s = &vm->sizes.tiers[0];
	uint64_t free = frames_in(vm->account.tiers[0].free);
	uint64_t reserve = frames_in(vm->account.tiers[0].reserve);
	uint64_t owed = s->actual > s->requested ? frames_in(s->actual - s->requested) : 0;

	return free > reserve + owed ? free - owed : reserve;
}

int accounts_received(struct vm *vm, const struct hmem_link_account *account,
		      struct hmem_err *err)
{
	const struct hmem_link_account *was = &vm->account;
	uint64_t used = 0;
	int ret;

	if (!(vm->hello.track_flags & HMEM_LINK_TRACK_ACCOUNT))
		return hmem_fail(err, EPROTO, "ACCOUNT, which HELLO did not offer");
	ret = hmem_link_check_account(account, vm->hello.num_tiers, vm->state.features, err);
	if (ret < 0)
		return ret;
	/* The message was on its way when hmemd changed its request. */
	if (!(vm->track.flags & HMEM_LINK_TRACK_ACCOUNT))
		return 0;
	/* The first account of a driver says where its counts begin. */
	if (vm->have_account) {
		add(&vm->stats.scan_entries, was->entries, account->entries);
		add(&vm->stats.scan_skipped, was->skipped, account->skipped);
		add(&vm->stats.scan_left_out, was->left_out, account->left_out);
		add(&vm->stats.collapsed, was->collapsed, account->collapsed);
	}
	vm->account = *account;
	vm->have_account = true;
	vm->had_account = true;
	for (uint32_t i = 0; i < vm->hello.num_tiers; i++) {
		vm->guest_free[i] = account->tiers[i].free;
		used += frames_in(account->tiers[i].total - account->tiers[i].free);
	}
	hmem_placer_room(&vm->placer, free_to_use(vm), frames_in(account->tiers[0].reserve),
			 used);
	return 0;
}

void accounts_sizes(struct vm *vm, const struct hmem_link_sizes *old)
{
	for (uint32_t i = 0; i < vm->hello.num_tiers; i++) {
		/* The device repeats the driver's last number with each change of anything. */
		if (vm->sizes.tiers[i].free != old->tiers[i].free)
			vm->guest_free[i] = vm->sizes.tiers[i].free;
	}
}

void accounts_forget(struct vm *vm)
{
	vm->have_account = false;
	hmem_placer_forget_room(&vm->placer);
	for (uint32_t i = 0; i < vm->hello.num_tiers; i++)
		vm->guest_free[i] = vm->sizes.tiers[i].free;
}

bool accounts_free(const struct vm *vm, unsigned int tier, uint64_t *bytes)
{
	bool told = vm->have_account || vm->state.features >> VIRTIO_HMEM_F_RESIZE & 1;

	*bytes = told ? vm->guest_free[tier] : 0;
	/* In SIZES, 0 means that the driver has not told. */
	return *bytes || vm->have_account;
}

uint64_t accounts_free_or_none(const struct vm *vm, unsigned int tier)
{
	uint64_t bytes;

	accounts_free(vm, tier, &bytes);
	return bytes;
}
