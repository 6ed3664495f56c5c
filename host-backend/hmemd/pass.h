/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passes over a VM's page table.  They run as work (see work.h), one at a time.  During a
 * pass, only the pass may use the table: messages of the VM and requests to change its
 * policy wait, and hmemd sends no hints.
 */
#ifndef HMEMD_PASS_H
#define HMEMD_PASS_H

#include "vm.h"

/* A connection that waits for the end of a VM's pass; at first all zero. */
struct pass_waiter {
	TAILQ_ENTRY(pass_waiter) link;
	struct vm *vm;
	struct conn *conn;
};

/* Call @slice until it calls pass_finish().  It may set vm->pass to another function. */
void pass_begin(struct vm *vm, void (*slice)(struct vm *vm));

/* The pass has ended: send hints, and resume everyone who waits. */
void pass_finish(struct vm *vm);

/* The VM goes: end a running pass, and resume everyone who waits. */
void pass_end(struct vm *vm);

/*
 * Have @w->conn resumed when the pass of @vm ends or the VM goes.  pass_wait_no_more()
 * cancels that.
 */
void pass_wait(struct vm *vm, struct pass_waiter *w);
void pass_wait_no_more(struct pass_waiter *w);

#endif /* HMEMD_PASS_H */
