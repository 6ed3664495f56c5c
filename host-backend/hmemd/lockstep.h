/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tick barrier of VMs in lockstep, whose time stands still until hmemd answers their
 * ticks.  Once there are at least @min members and all have ticked, hmemd answers them
 * together, in the order of their names.
 */
#ifndef HMEMD_LOCKSTEP_H
#define HMEMD_LOCKSTEP_H

#include <stdbool.h>
#include <sys/queue.h>

/* Embedded in a VM; at first all zero except @name, @ticked and @answer. */
struct lockstep_member {
	TAILQ_ENTRY(lockstep_member) link;
	const char *name;
	bool joined;
	/* The member has ticked and waits for the answer. */
	bool waits;
	/* The tick is about to be answered. */
	void (*ticked)(struct lockstep_member *m);
	/* Answer the tick.  May make members leave, but frees none. */
	void (*answer)(struct lockstep_member *m);
};

struct lockstep {
	TAILQ_HEAD(, lockstep_member) members;
	unsigned int num;
	/* No tick is answered before there are this many members. */
	unsigned int min;
	/* There were @min members; from then on, those that remain are enough. */
	bool complete;
	/* lockstep_check() is answering ticks. */
	bool answering;
};

void lockstep_init(struct lockstep *l);

/* Both do nothing if it is so already.  The caller must call lockstep_check() then. */
void lockstep_join(struct lockstep *l, struct lockstep_member *m);
void lockstep_leave(struct lockstep *l, struct lockstep_member *m);

/*
 * If all members have ticked, answer their ticks.  To be called whenever that may have
 * become true.
 */
void lockstep_check(struct lockstep *l);

#endif /* HMEMD_LOCKSTEP_H */
