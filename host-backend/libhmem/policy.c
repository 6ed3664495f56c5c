/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

static const char *const names[HMEM_POLICY_MAX] = {
	[HMEM_POLICY_OFF] = "off",
	[HMEM_POLICY_OBSERVE] = "observe",
	[HMEM_POLICY_WRITES] = "writes",
};

const struct hmem_tunable hmem_tunables[] = {
	{ "window", offsetof(struct hmem_policy, window), 1, 3600000, "ms" },
	{ "rate", offsetof(struct hmem_policy, rate), 1, 65536, "MiB/s" },
	{ "hysteresis", offsetof(struct hmem_policy, hysteresis), 1, 100, "%" },
	{ "headroom", offsetof(struct hmem_policy, headroom), 0, 1u << 20, "pages" },
	{ "decay", offsetof(struct hmem_policy, decay), 1, 8, "" },
};
const size_t hmem_num_tunables = sizeof(hmem_tunables) / sizeof(hmem_tunables[0]);

void hmem_policy_init(struct hmem_policy *p)
{
	*p = (struct hmem_policy) {
		.kind = HMEM_POLICY_OFF,
		.window = 1000,
		.rate = 200,
		/* More than the quarter that one window's use is worth. */
		.hysteresis = 30,
		.headroom = 512,
		.decay = 2,
	};
}

const char *hmem_policy_name(enum hmem_policy_kind kind)
{
	return names[kind];
}

/* Append "a, b, c" of at most @size bytes. */
static void list_names(char *buf, size_t size, const char *first)
{
	size_t len = snprintf(buf, size, "%s", first);

	for (size_t i = 0; i < hmem_num_tunables && len < size; i++)
		len += snprintf(buf + len, size - len, ", %s",
				hmem_tunables[i].name);
}

static int set_name(struct hmem_policy *p, const char *value,
		    struct hmem_err *err)
{
	for (int i = 0; i < HMEM_POLICY_MAX; i++) {
		if (!strcmp(value, names[i])) {
			p->kind = i;
			return 0;
		}
	}
	return hmem_fail(err, EINVAL, "no policy is named '%.32s': off, observe "
			 "and writes are", value);
}

int hmem_policy_set(struct hmem_policy *p, const char *key, const char *value,
		    struct hmem_err *err)
{
	char known[128];

	if (!strcmp(key, "name"))
		return set_name(p, value, err);
	for (size_t i = 0; i < hmem_num_tunables; i++) {
		const struct hmem_tunable *t = &hmem_tunables[i];
		unsigned long long v;
		char *end;

		if (strcmp(key, t->name))
			continue;
		errno = 0;
		v = strtoull(value, &end, 10);
		if (value[0] < '0' || value[0] > '9' || *end || errno ||
		    v < t->min || v > t->max)
			return hmem_fail(err, EINVAL, "policy: %s=%.32s is not "
					 "a number from %" PRIu32 " to %" PRIu32
					 "%s%s", t->name, value, t->min, t->max,
					 *t->unit ? " " : "", t->unit);
		*hmem_tunable_in(p, t) = v;
		return 0;
	}
	list_names(known, sizeof(known), "name");
	return hmem_fail(err, EINVAL, "policy: '%.32s' is unknown: %s are known",
			 key, known);
}
