/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tick barrier of VMs in lockstep, whose time stands still until their ticks are
 * answered: with @min members or more they are answered together, in the order of
 * their names, once all have ticked.
 */
#ifndef HMEMD_LOCKSTEP_H
#define HMEMD_LOCKSTEP_H

#include <stdbool.h>
#include <sys/queue.h>

/* Embedded in a VM; all zero but for @name and @answer at first. */
struct lockstep_member {
	TAILQ_ENTRY(lockstep_member) link;
	const char *name;
	bool joined;
	/* It has ticked. */
	bool waits;
	/* Answer the tick.  May make members leave; frees none. */
	void (*answer)(struct lockstep_member *m);
};

struct lockstep {
	TAILQ_HEAD(, lockstep_member) members;
	unsigned int num;
	/* Members that have to be there before any is answered. */
	unsigned int min;
	/* They have been; since then those that are left are enough. */
	bool complete;
	/* Ticks are just being answered. */
	bool answering;
};

void lockstep_init(struct lockstep *l);

/* Both do nothing if that is so already; lockstep_check() is to be called then. */
void lockstep_join(struct lockstep *l, struct lockstep_member *m);
void lockstep_leave(struct lockstep *l, struct lockstep_member *m);

/*
 * Answer the ticks of all members, if all have ticked.  To be called whenever that may
 * have become so.
 */
void lockstep_check(struct lockstep *l);

#endif /* HMEMD_LOCKSTEP_H */
