/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "document.h"
#include "vm.h"

/* VMs are in the order of their serials. */
static const struct vm *next_vm(const struct document *doc)
{
	const struct vm *vm;

	TAILQ_FOREACH(vm, &doc->d->vms, link) {
		if (vm->serial > doc->last_vm && vm->serial <= doc->end && vm_ready(vm))
			return vm;
	}
	return NULL;
}

static void finish(struct document *doc)
{
	size_t len = 0;
	char *text = NULL;

	if (doc->state) {
		text = doc->kind->text(doc->state, &len);
		doc->kind->end(doc->state);
	}
	doc->state = NULL;
	doc->done(doc, text, len);
}

static void slice(struct turn *turn)
{
	struct document *doc = (void *)((char *)turn - offsetof(struct document, turn));
	const struct vm *vm;

	doc->slices++;
	if (!doc->state) {
		doc->last_vm = 0;
		doc->end = doc->d->last_serial;
		doc->state = doc->kind->begin(doc->d);
		if (doc->state)
			loop_again(&doc->d->loop, turn);
		else
			finish(doc);
		return;
	}
	vm = next_vm(doc);
	if (!vm) {
		finish(doc);
		return;
	}
	doc->kind->add_vm(doc->state, vm);
	doc->last_vm = vm->serial;
	loop_again(&doc->d->loop, turn);
}

void document_init(struct document *doc, const struct document_kind *kind, struct hmemd *d,
		   void (*done)(struct document *doc, char *text, size_t len))
{
	*doc = (struct document) { .kind = kind, .d = d, .done = done, .turn.take = slice };
}

void document_make(struct document *doc)
{
	if (!doc->state)
		loop_again(&doc->d->loop, &doc->turn);
}

void document_stop(struct document *doc)
{
	loop_forget(&doc->turn);
	if (doc->state)
		doc->kind->end(doc->state);
	doc->state = NULL;
}
