/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "lockstep.h"

void lockstep_init(struct lockstep *l)
{
	TAILQ_INIT(&l->members);
}

void lockstep_join(struct lockstep *l, struct lockstep_member *m)
{
	if (m->joined)
		return;
	m->joined = true;
	TAILQ_INSERT_TAIL(&l->members, m, link);
	l->num++;
}

void lockstep_leave(struct lockstep *l, struct lockstep_member *m)
{
	if (!m->joined)
		return;
	m->joined = false;
	TAILQ_REMOVE(&l->members, m, link);
	l->num--;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct lockstep_member *const *)a)->name,
		      (*(struct lockstep_member *const *)b)->name);
}

/* The members to answer, sorted, so that the order of their ticks does not matter. */
static struct lockstep_member **ready(struct lockstep *l, unsigned int *num)
{
	struct lockstep_member **all = calloc(l->num + 1, sizeof(*all)), *m;

	*num = 0;
	TAILQ_FOREACH(m, &l->members, link) {
		if (all && m->waits)
			all[(*num)++] = m;
	}
	if (!l->num)
		l->complete = false;
	if (l->min > 1) {
		if (l->num >= l->min && *num == l->num)
			l->complete = true;
		if (!l->complete || *num < l->num)
			*num = 0;
	}
	if (*num)
		qsort(all, *num, sizeof(*all), by_name);
	return all;
}

void lockstep_check(struct lockstep *l)
{
	unsigned int num;

	/* Answering a member can make it leave, and others may wait for that. */
	if (l->answering)
		return;
	l->answering = true;
	do {
		struct lockstep_member **all = ready(l, &num);

		for (unsigned int i = 0; i < num; i++) {
			if (!all[i]->joined)
				continue;
			all[i]->waits = false;
			all[i]->ticked(all[i]);
			if (all[i]->joined)
				all[i]->answer(all[i]);
		}
		free(all);
	} while (num);
	l->answering = false;
}
