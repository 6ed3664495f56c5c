/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "heat.h"

static void release(struct heat *h)
{
	hmem_bins_free(&h->bins);
	free(h);
}

/* Off the list first: the client may have to be dropped over the answer. */
static void done(struct heat *h)
{
	TAILQ_REMOVE(&h->vm->d->heats, h, link);
	client_heat_done(h);
	release(h);
}

static void fail(struct heat *h, const char *why)
{
	TAILQ_REMOVE(&h->vm->d->heats, h, link);
	client_heat_failed(h, why);
	release(h);
}

/* From the start: lay out the bins for the ranges as they are. */
static int begin(struct heat *h, struct hmem_err *err)
{
	h->waits = false;
	h->windows = h->vm->pages.windows;
	h->vtime_ns = vm_vtime(h->vm);
	hmem_bins_free(&h->bins);
	if (hmem_bins_init(&h->bins, &h->vm->pages, h->max, h->per_tier, err) < 0)
		return -ENOMEM;
	hmemd_work(h->vm->d);
	return 0;
}

int heat_start(struct client *client, struct vm *vm, uint32_t max, bool per_tier,
	       bool waits, uint64_t after, struct hmem_err *err)
{
	struct heat *h;

	TAILQ_FOREACH(h, &vm->d->heats, link) {
		if (h->client == client)
			return hmem_fail(err, EBUSY, "heat: the answer to the last "
					 "request has not come yet: wait for it");
	}
	if (waits && !vm->track.window_ns)
		return hmem_fail(err, EAGAIN, "vm '%s': no window ends, as nothing is "
				 "tracked: hmemctl policy %s set name=observe",
				 vm->name, vm->name);
	h = calloc(1, sizeof(*h));
	if (!h)
		return hmem_fail(err, ENOMEM, "heat: no memory for the request");
	*h = (struct heat) {
		.client = client,
		.vm = vm,
		.max = max,
		.per_tier = per_tier,
		.waits = waits && vm->pages.windows <= after,
		.after = after,
	};
	if (!h->waits && begin(h, err) < 0) {
		free(h);
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&vm->d->heats, h, link);
	return 0;
}

void heat_step(struct hmemd *d)
{
	struct heat *h;

	TAILQ_FOREACH(h, &d->heats, link) {
		/* It begins again when the table is for the new ranges. */
		if (!h->waits && h->vm->pass != PASS_RANGES)
			break;
	}
	if (!h)
		return;
	if (hmem_bins_step(&h->bins, &h->vm->pages, HMEMD_SLICE)) {
		done(h);
	} else {
		/* The others have their turn. */
		TAILQ_REMOVE(&d->heats, h, link);
		TAILQ_INSERT_TAIL(&d->heats, h, link);
	}
	hmemd_work(d);
}

void heat_window(struct vm *vm)
{
	struct heat *h, *next;
	struct hmem_err err;

	for (h = TAILQ_FIRST(&vm->d->heats); h; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->vm == vm && h->waits && vm->pages.windows > h->after &&
		    begin(h, &err) < 0)
			fail(h, err.msg);
	}
}

void heat_ranges(struct vm *vm)
{
	struct heat *h, *next;
	struct hmem_err err;

	for (h = TAILQ_FIRST(&vm->d->heats); h; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->vm == vm && !h->waits && begin(h, &err) < 0)
			fail(h, err.msg);
	}
}

void heat_untracked(struct vm *vm)
{
	struct heat *h, *next;

	for (h = TAILQ_FIRST(&vm->d->heats); h; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->vm == vm && h->waits)
			fail(h, "tracking was switched off, no window will end");
	}
}

void heat_vm_gone(struct vm *vm)
{
	struct heat *h, *next;

	for (h = TAILQ_FIRST(&vm->d->heats); h; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->vm == vm)
			fail(h, "the VM disconnected");
	}
}

void heat_client_gone(struct hmemd *d, const struct client *client)
{
	struct heat *h, *next;

	for (h = TAILQ_FIRST(&d->heats); h; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->client != client)
			continue;
		TAILQ_REMOVE(&d->heats, h, link);
		release(h);
	}
}
