/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>

#include "batches.h"
#include "pass.h"

void pass_wait(struct vm *vm, struct pass_waiter *w)
{
	pass_wait_no_more(w);
	w->vm = vm;
	TAILQ_INSERT_TAIL(&vm->waiters, w, link);
}

void pass_wait_no_more(struct pass_waiter *w)
{
	if (w->vm)
		TAILQ_REMOVE(&w->vm->waiters, w, link);
	w->vm = NULL;
}

static void wake(struct vm *vm)
{
	while (!TAILQ_EMPTY(&vm->waiters)) {
		struct pass_waiter *w = TAILQ_FIRST(&vm->waiters);

		pass_wait_no_more(w);
		conn_resume(w->conn);
	}
}

static void slice(struct work *work)
{
	struct vm *vm = (struct vm *)((char *)work - offsetof(struct vm, pass_work));

	vm->pass(vm);
}

void pass_begin(struct vm *vm, void (*slice_of)(struct vm *vm))
{
	vm->pass = slice_of;
	vm->pass_work.slice = slice;
	vm->pass_work.cpu_ns = &vm->stats.daemon_ns;
	work_add(&vm->d->passes, &vm->pass_work);
}

void pass_end(struct vm *vm)
{
	vm->pass = NULL;
	work_remove(&vm->pass_work);
	wake(vm);
}

void pass_finish(struct vm *vm)
{
	vm->pass = NULL;
	work_remove(&vm->pass_work);
	batches_feed(vm);
	/* Resume waiters before the VM, whose next message can begin another pass. */
	wake(vm);
	conn_resume(&vm->conn);
}
