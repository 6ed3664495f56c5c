/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "quota.h"

static struct quota_count *count_of(struct quota *q, uid_t uid, const char *name)
{
	struct quota_count *c;

	for (unsigned int i = 0; i < q->num_counts; i++) {
		c = &q->counts[i];
		if (c->uid == uid && !strcmp(c->name, name))
			return c;
	}
	if (q->num_counts == QUOTA_COUNTS)
		return &q->counts[QUOTA_COUNTS - 1];
	c = &q->counts[q->num_counts++];
	*c = (struct quota_count) { .uid = uid };
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

bool quota_take(struct quota *q, uint64_t now_ms, uid_t uid, const char *name, unsigned int max,
		unsigned int user_max)
{
	struct quota_count *user, *own;

	if (now_ms / 60000 != q->minute)
		q->num_counts = 0;
	q->minute = now_ms / 60000;
	user = count_of(q, uid, "");
	/* A user who has used up the quota gets no counts of further names. */
	if (user->num >= user_max)
		return false;
	own = count_of(q, uid, name);
	if (own->num >= max)
		return false;
	own->num++;
	user->num += own != user;
	return true;
}
