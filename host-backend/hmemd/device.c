/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "batches.h"
#include "device.h"
#include "log.h"
#include "old_table.h"
#include "pass.h"
#include "protocol.h"
#include "restoring.h"
#include "room.h"
#include "saving.h"
#include "settings.h"
#include "tracking.h"
#include "windows.h"

/* Time that a peer has for HELLO. */
#define HELLO_MS	10000

static void vm_sent(struct conn *c)
{
	batches_feed((struct vm *)c);
}

static void vm_closed(struct conn *c, const char *why, bool fault)
{
	struct vm *vm = (struct vm *)c;
	struct hmemd *d = vm->d;

	/* Whoever has not introduced itself leaves no event, or many could push out others. */
	vm_tell(vm, fault ? LOG_WARN : LOG_INFO,
		!vm_ready(vm) ? NULL : fault ? "dropped" : "disconnected", NULL,
		"%s, process %d: %s", fault ? "dropped" : "disconnected", (int)c->pid, why);
	if (fault) {
		d->dropped++;
		snprintf(d->last_fault, sizeof(d->last_fault), "vm '%s': %.160s",
			 vm->name, why);
	}
	pass_end(vm);
	restoring_forget(vm);
	saving_forget(vm);
	batches_lose(vm, "the VM disconnected");
	heat_queries_fail(&vm->heat_queries, "the VM disconnected");
	if (vm->host_tracker)
		host_tracker_stop(vm->host_tracker);
	vm->host_tracker = NULL;
	pooling_remove(vm);
	trading_remove(vm);
	TAILQ_REMOVE(&d->vms, vm, link);
	d->num_vms--;
	lockstep_leave(&d->lockstep, &vm->lockstep);
	lockstep_check(&d->lockstep);
}

/* Free the table as work, because a large table takes a while. */
static void discard_table(struct vm *vm)
{
	struct hmem_discard table;

	hmem_placer_discard(&vm->placer, &table);
	old_table_free(&vm->d->discards, &table);
}

static void vm_release(struct conn *c)
{
	struct vm *vm = (struct vm *)c;

	if (vm->map)
		munmap(vm->map, HMEM_LINK_MAPS * vm->hello.map_bytes);
	discard_table(vm);
	batches_free(vm);
	room_free(vm);
	free(vm->ranges);
	free(vm->new_ranges);
	free(vm);
}

static const struct conn_ops vm_ops = {
	.received = protocol_received,
	.sent = vm_sent,
	.closed = vm_closed,
	.release = vm_release,
};

/*
 * With --lockstep, what happens once per second happens at ticks, in guest time.  The search for
 * room is a pass, which ends before the next tick is read.
 */
static void ticked_in_lockstep(struct lockstep_member *m)
{
	struct vm *vm = (struct vm *)((char *)m - offsetof(struct vm, lockstep));

	if (!vm->d->lockstep.min)
		return;
	/* A peer that does not read is dropped when it is to get too much. */
	pooling_tick(vm);
	if (!vm->conn.closing)
		trading_tick(vm);
	if (vm->conn.closing)
		return;
	if (vm_now(vm) < vm->second_ms + SECOND_MS) {
		room_now(vm);
		return;
	}
	vm->second_ms = vm_now(vm);
	room_second(vm);
}

void device_accept(struct hmemd *d, int fd)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		log_msg(LOG_ERR, "a VM is turned away: no memory");
		close(fd);
		return;
	}
	vm->d = d;
	strcpy(vm->name, "?");
	vm->connected = loop_now();
	vm->saved_ms = vm->connected;
	vm->serial = ++d->last_serial;
	TAILQ_INIT(&vm->jobs);
	TAILQ_INIT(&vm->waiters);
	windows_init(vm);
	vm->lockstep.ticked = ticked_in_lockstep;
	heat_queries_init(&vm->heat_queries, &vm->placer.pages, &d->heat_queries);
	vm->conn.ops = &vm_ops;
	vm->conn.closer = &d->closer;
	vm->conn.in_max = sizeof(struct hmem_link_header) + HMEM_LINK_MAX_PAYLOAD;
	vm->conn.out_max = 4 * BATCHES_MAX_QUEUED;
	if (conn_init(&vm->conn, &d->loop, fd) < 0) {
		log_msg(LOG_ERR, "a VM is turned away: no memory");
		free(vm);
		return;
	}
	TAILQ_INSERT_TAIL(&d->vms, vm, link);
	d->num_vms++;
}

void device_second(struct vm *vm)
{
	uint64_t now = loop_now();

	if (!vm_ready(vm)) {
		if (now - vm->connected > HELLO_MS)
			conn_drop(&vm->conn, true, "it did not introduce itself "
				  "(HELLO, RANGES, STATE) in time");
		return;
	}
	tracking_again(vm);
	settings_again(vm);
	batches_second(vm);
	/* With --lockstep, seconds are those of guest time: see ticked_in_lockstep(). */
	if (!vm->d->lockstep.min)
		room_second(vm);
	if (vm->rated_ms && now > vm->rated_ms) {
		double s = (now - vm->rated_ms) / 1000.0;

		vm->promote_rate = (vm->stats.promoted - vm->rated_promoted) / s;
		vm->demote_rate = (vm->stats.demoted - vm->rated_demoted) / s;
		vm->have_rates = true;
	}
	vm->rated_ms = now;
	vm->rated_promoted = vm->stats.promoted;
	vm->rated_demoted = vm->stats.demoted;
}
