/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passes over a VM's page table, made as work (see work.h), one at a time.  Until a pass
 * is through the table is the pass's: the VM's messages wait, and requests to change the
 * VM's policy, and no hints are sent.
 */
#ifndef HMEMD_PASS_H
#define HMEMD_PASS_H

#include "vm.h"

/* A connection that waits for the pass of a VM to be through; all zero at first. */
struct pass_waiter {
	TAILQ_ENTRY(pass_waiter) link;
	struct vm *vm;
	struct conn *conn;
};

/* Call @slice until it calls pass_finish(); or it puts another function in vm->pass. */
void pass_begin(struct vm *vm, void (*slice)(struct vm *vm));

/* It is through: send hints, and let go on who waits. */
void pass_finish(struct vm *vm);

/* The VM goes: end the pass, if there is one, and wake who waits. */
void pass_end(struct vm *vm);

/*
 * Have @w->conn resumed when the pass of @vm is through, or the VM has gone; or not any
 * more.
 */
void pass_wait(struct vm *vm, struct pass_waiter *w);
void pass_wait_no_more(struct pass_waiter *w);

#endif /* HMEMD_PASS_H */
