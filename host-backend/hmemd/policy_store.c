/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy_store.h"

struct kept_policy {
	TAILQ_ENTRY(kept_policy) link;
	struct policy_owner owner;
	struct hmem_policy policy;
};

void policy_store_init(struct policy_store *s, unsigned int max)
{
	TAILQ_INIT(&s->kept);
	s->num = 0;
	s->max = max;
}

static struct kept_policy *find(const struct policy_store *s,
				const struct policy_owner *owner)
{
	struct kept_policy *k;

	TAILQ_FOREACH(k, &s->kept, link) {
		if (!memcmp(&k->owner, owner, sizeof(*owner)))
			return k;
	}
	return NULL;
}

static void forget(struct policy_store *s, struct kept_policy *k)
{
	TAILQ_REMOVE(&s->kept, k, link);
	s->num--;
	free(k);
}

int policy_store_keep(struct policy_store *s, const struct policy_owner *owner,
		      const struct hmem_policy *policy)
{
	struct kept_policy *k = find(s, owner);

	if (k)
		forget(s, k);
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	if (s->num >= s->max)
		forget(s, TAILQ_FIRST(&s->kept));
	k->owner = *owner;
	k->policy = *policy;
	TAILQ_INSERT_TAIL(&s->kept, k, link);
	s->num++;
	return 0;
}

bool policy_store_find(struct policy_store *s, const struct policy_owner *owner,
		       struct hmem_policy *policy)
{
	struct kept_policy *k = find(s, owner);

	if (!k)
		return false;
	*policy = k->policy;
	TAILQ_REMOVE(&s->kept, k, link);
	TAILQ_INSERT_TAIL(&s->kept, k, link);
	return true;
}

void policy_store_forget(struct policy_store *s, const struct policy_owner *owner)
{
	struct kept_policy *k = find(s, owner);

	if (k)
		forget(s, k);
}

void policy_store_free(struct policy_store *s)
{
	while (!TAILQ_EMPTY(&s->kept))
		forget(s, TAILQ_FIRST(&s->kept));
}
