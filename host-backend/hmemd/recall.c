/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "recall.h"

struct recall {
	TAILQ_ENTRY(recall) link;
	char name[sizeof(((struct vm *)0)->name)];
	char device[sizeof(((struct hmem_link_hello *)0)->device)];
	uint8_t uuid[16];
	struct hmem_policy policy;
};

/* With a UUID it need not be what hmemd shows: who comes first is "web". */
static const char *name_of(const struct vm *vm)
{
	static const uint8_t none[sizeof(vm->hello.uuid)];

	return memcmp(vm->hello.uuid, none, sizeof(none)) ? vm->hello.vm : vm->name;
}

static struct recall *find(const struct vm *vm)
{
	struct recall *r;

	TAILQ_FOREACH(r, &vm->d->recalls, link) {
		if (!strcmp(r->name, name_of(vm)) &&
		    !strcmp(r->device, vm->hello.device) &&
		    !memcmp(r->uuid, vm->hello.uuid, sizeof(r->uuid)))
			return r;
	}
	return NULL;
}

static void forget(struct hmemd *d, struct recall *r)
{
	TAILQ_REMOVE(&d->recalls, r, link);
	d->num_recalls--;
	free(r);
}

void recall_keep(const struct vm *vm)
{
	struct hmemd *d = vm->d;
	struct recall *r = find(vm);

	if (r)
		forget(d, r);
	r = calloc(1, sizeof(*r));
	if (!r) {
		log_msg(LOG_ERR, "vm '%s': no memory to keep its policy in: set it "
			"again when the VM reconnects", vm->name);
		return;
	}
	if (d->num_recalls >= d->max_vms)
		forget(d, TAILQ_FIRST(&d->recalls));
	strcpy(r->name, name_of(vm));
	strcpy(r->device, vm->hello.device);
	memcpy(r->uuid, vm->hello.uuid, sizeof(r->uuid));
	r->policy = vm->policy;
	TAILQ_INSERT_TAIL(&d->recalls, r, link);
	d->num_recalls++;
}

bool recall_policy(struct vm *vm)
{
	struct recall *r = find(vm);

	if (!r)
		return false;
	vm->policy = r->policy;
	TAILQ_REMOVE(&vm->d->recalls, r, link);
	TAILQ_INSERT_TAIL(&vm->d->recalls, r, link);
	return true;
}

void recall_free(struct hmemd *d)
{
	while (!TAILQ_EMPTY(&d->recalls))
		forget(d, TAILQ_FIRST(&d->recalls));
}
