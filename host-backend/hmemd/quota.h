/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many events each peer may cause per minute, so that one peer does not push out the events of
 * all others.  The counts are of users and names, not of connections: a peer that connects again
 * goes on with its count.
 */
#ifndef HMEMD_QUOTA_H
#define HMEMD_QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Largest number of counts in a minute; peers that come later share the last count. */
#define QUOTA_COUNTS	512u

/* At first all zero. */
struct quota {
	struct quota_count {
		char name[80];		/* of a VM; "": all events of the user */
		uid_t uid;
		unsigned int num;
	} counts[QUOTA_COUNTS];
	unsigned int num_counts;
	uint64_t minute;		/* the minute of the counts */
};

/*
 * May the peer @name of user @uid cause an event at @now_ms (of any clock)?  If so, the event
 * counts.  Each name may cause @max events per minute, and a user with many names @user_max.
 */
bool quota_take(struct quota *q, uint64_t now_ms, uid_t uid, const char *name, unsigned int max,
		unsigned int user_max);

#endif /* HMEMD_QUOTA_H */
