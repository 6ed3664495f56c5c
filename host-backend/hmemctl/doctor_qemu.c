/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of a VM's QEMU tells what neither hmemd nor the guest can know: on which nodes
 * of the host the tiers are, and how KVM logs writes.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "doctor.h"
#include "hmem_link.h"

/* Linux allows longer command lines, but no QEMU has one. */
#define MAX_LINE	(1u << 20)
/* hmemd counts the memory of so many nodes of the host. */
#define NODES		64u

/* A backend of a NUMA node's memory. */
struct backend {
	char id[64];
	char nodes[64];		/* of the host; empty: any */
	char policy[16];
	uint64_t guest_node;
};

struct machine {
	struct backend backends[HMEM_LINK_MAX_TIERS];
	unsigned int num;
	bool dirty_ring;
};

/* --- options, as KEY=VALUE,... or as JSON --- */

/*
 * Copy the value of the key in "A,KEY=VALUE,..." to @value, which is empty if there is none.  A key
 * can occur several times: the values of a list are separated by commas.
 */
static void plain_value(const char *option, const char *key, char *value, size_t size)
{
	size_t len = strlen(key), at = 0;

	*value = '\0';
	for (const char *p = option; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (!strncmp(p, key, len) && p[len] == '=') {
			p += len + 1;
			at += snprintf(value + at, size - at, "%s%.*s", at ? "," : "",
				       (int)strcspn(p, ","), p);
			if (at >= size)
				return;
		}
	}
}

/* The same of a JSON object; an array's elements are separated by commas. */
static void json_value(struct json_object *o, const char *key, char *value, size_t size)
{
	struct json_object *v;
	size_t at = 0;

	*value = '\0';
	if (!json_object_object_get_ex(o, key, &v))
		return;
	if (!json_object_is_type(v, json_type_array)) {
		snprintf(value, size, "%s", json_object_get_string(v));
		return;
	}
	for (size_t i = 0; i < json_object_array_length(v) && at < size; i++)
		at += snprintf(value + at, size - at, "%s%s", i ? "," : "",
			       json_object_get_string(json_object_array_get_idx(v, i)));
}

/* Take the object of -object if it is the backend @id. */
static bool take_backend(const char *option, struct backend *b)
{
	struct json_object *o = *option == '{' ? json_tokener_parse(option) : NULL;
	char kind[64], id[64];

	if (o) {
		json_value(o, "qom-type", kind, sizeof(kind));
		json_value(o, "id", id, sizeof(id));
	} else {
		snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(option, ","), option);
		plain_value(option, "id", id, sizeof(id));
	}
	if (strncmp(kind, "memory-backend-", 15) || strcmp(id, b->id)) {
		json_object_put(o);
		return false;
	}
	if (o) {
		json_value(o, "host-nodes", b->nodes, sizeof(b->nodes));
		json_value(o, "policy", b->policy, sizeof(b->policy));
	} else {
		plain_value(option, "host-nodes", b->nodes, sizeof(b->nodes));
		plain_value(option, "policy", b->policy, sizeof(b->policy));
	}
	json_object_put(o);
	return true;
}

/* --- the command line --- */

/* The arguments, each with a 0 behind it, and one more 0; NULL: they cannot be read. */
static char *read_arguments(long pid)
{
	char path[64], *line = calloc(1, MAX_LINE + 2);
	size_t len = 0;
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (line && fd >= 0 && len < MAX_LINE &&
	       (n = read(fd, line + len, MAX_LINE - len)) > 0)
		len += n;
	if (fd >= 0)
		close(fd);
	if (!len) {
		free(line);
		return NULL;
	}
	return line;
}

/* Call @fn for the argument of each option @name. */
static void each(const char *arguments, const char *name, struct machine *m,
		 void (*fn)(struct machine *m, const char *option))
{
	for (const char *a = arguments; *a; a += strlen(a) + 1) {
		const char *next = a + strlen(a) + 1;

		/* QEMU takes two dashes for one. */
		if (a[0] == '-' && !strcmp(a + 1 + (a[1] == '-'), name) && *next)
			fn(m, next);
	}
}

static void note_node(struct machine *m, const char *option)
{
	struct backend *b = &m->backends[m->num];
	char number[32];

	if (m->num == HMEM_LINK_MAX_TIERS)
		return;
	plain_value(option, "nodeid", number, sizeof(number));
	b->guest_node = *number ? strtoul(number, NULL, 10) : m->num;
	plain_value(option, "memdev", b->id, sizeof(b->id));
	m->num += *b->id != '\0';
}

static void note_object(struct machine *m, const char *option)
{
	for (unsigned int i = 0; i < m->num; i++) {
		if (take_backend(option, &m->backends[i]))
			return;
	}
}

static void note_accel(struct machine *m, const char *option)
{
	char size[32];

	plain_value(option, "dirty-ring-size", size, sizeof(size));
	if (strtoul(size, NULL, 10))
		m->dirty_ring = true;
}

/* --- findings --- */

static bool check_backend(const char *what, const struct backend *b)
{
	if (!*b->nodes)
		check(WARN, what, "the memory backend '%s' is bound to no node of the host, which "
		      "places it anywhere: give it host-nodes=N,policy=bind", b->id);
	else if (strcmp(b->policy, "bind"))
		check(WARN, what, "the memory backend '%s' has the policy %s, so the host can "
		      "place it on other nodes than %s: give it policy=bind", b->id,
		      *b->policy ? b->policy : "default", b->nodes);
	else
		return true;
	return false;
}

static void check_nodes(const char *what, const struct machine *m)
{
	char all[512] = "";
	bool good = true;
	size_t at = 0;

	for (unsigned int i = 0; i < m->num; i++) {
		const struct backend *b = &m->backends[i];

		good &= check_backend(what, b);
		for (unsigned int k = 0; k < i; k++) {
			if (!*b->nodes || strcmp(b->nodes, m->backends[k].nodes))
				continue;
			check(WARN, what, "the memory backends '%s' and '%s' are both on node %s "
			      "of the host, so no tier is faster: give one of them other "
			      "host-nodes",
			      m->backends[k].id, b->id, b->nodes);
			good = false;
		}
		if (at < sizeof(all))
			at += snprintf(all + at, sizeof(all) - at, "%s'%s' on node %s",
				       i ? ", " : "", b->id, b->nodes);
	}
	if (good && m->num)
		check(OK, what, "the memory backends are bound: %s of the host", all);
}

/* Is the node in a list such as "0,2-3"? */
static bool has_node(const char *list, unsigned long node)
{
	while (*list) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (first <= node && node <= last)
			return true;
		list = end + strcspn(end, ",");
		list += *list == ',';
	}
	return false;
}

/*
 * The nodes of the host on which hmemd counts the tier, such as "0+1".  *@bound: the backend is
 * bound to all of them.  *@more: and to others.
 */
static const char *counted_on(json *tier, const struct backend *b, char *text, size_t size,
			      bool *bound, bool *more)
{
	json *nodes = field(tier, "host_nodes");
	unsigned int left = 0;
	size_t at = 0;

	for (unsigned long i = 0; i < NODES; i++)
		left += has_node(b->nodes, i);
	*bound = true;
	text[0] = '\0';
	/* An older hmemd knows one node only. */
	for (size_t i = 0; i < (nodes ? json_object_array_length(nodes) : 1); i++) {
		unsigned long node = nodes ? json_object_get_uint64(json_object_array_get_idx(
						nodes, i)) : num_of(tier, "host_node");
		bool has = has_node(b->nodes, node);

		if (at < size)
			at += snprintf(text + at, size - at, "%s%lu", i ? "+" : "", node);
		*bound &= has;
		left -= has;
	}
	*more = left;
	return text;
}

/* hmemd counts the memory of the host's nodes by what its configuration says about tiers. */
static void check_configured(const char *what, const struct backend *b, json *tiers)
{
	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *tier = json_object_array_get_idx(tiers, i);
		char nodes[3 * NODES];
		bool bound, more;

		if (num_of(tier, "pxm") != b->guest_node || !known(tier, "host_node"))
			continue;
		counted_on(tier, b, nodes, sizeof(nodes), &bound, &more);
		if (!bound)
			check(WARN, what, "tier %zu is on node %s of the host, but nodes in "
			      "hmemd.conf says %s: correct it, or host-nodes of '%s'", i,
			      *b->nodes ? b->nodes : "any", nodes, b->id);
		else if (more)
			check(OK, what, "tier %zu can be on the nodes %s of the host: hmemd counts "
			      "all of it on node %s", i, b->nodes, nodes);
	}
}

void check_qemu(const char *what, long pid, const char *tracker, json *tiers)
{
	char *arguments = pid > 0 ? read_arguments(pid) : NULL;
	struct machine m = { .num = 0 };

	if (!arguments)
		return;
	each(arguments, "numa", &m, note_node);
	each(arguments, "object", &m, note_object);
	each(arguments, "accel", &m, note_accel);
	check_nodes(what, &m);
	for (unsigned int i = 0; i < m.num; i++)
		check_configured(what, &m.backends[i], tiers);
	if (m.dirty_ring && !strcmp(tracker, "dirty"))
		check(WARN, what, "KVM's dirty ring is on, which makes the tracker dirty cost more "
		      "than twice the faults that hmemctl counts: remove dirty-ring-size from "
		      "-accel, or choose another tracker");
	free(arguments);
}
