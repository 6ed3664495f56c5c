/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes that behave on the link as QEMU does: each connects again and again, answers hints, and
 * ends windows.  So they can be killed, stopped and continued at any point.
 */
#ifndef HMEM_UNIT_QEMUS_H
#define HMEM_UNIT_QEMUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct qemu {
	pid_t pid;
	char name[16];
	uint8_t uuid;
	uint32_t boot;
	/* See struct peer. */
	uint64_t dies_after;
	size_t chunk;
};

/* Starts the process, which connects to @vm_socket as soon as hmemd listens there. */
void qemu_start(struct qemu *q, const char *vm_socket);
/* Kills it, as kill -9 does. */
void qemu_kill(struct qemu *q);
/* Waits until it has killed itself, see dies_after. */
void qemu_expect_death(struct qemu *q);
/* A stopped process reads and writes nothing. */
void qemu_stop(const struct qemu *q);
void qemu_continue(const struct qemu *q);
/* Fails the test if the process has ended: it has found a fault of hmemd's. */
void qemu_check(const struct qemu *q);

#endif /* HMEM_UNIT_QEMUS_H */
