/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fnmatch.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "config.h"
#include "link_check.h"
#include "numbers.h"

#define MAX_NUM_VMS		65536u
/* The INI parser's limit for the length of names of sections and keys. */
#define MAX_WORD	49u

/* Seconds.  The operator's: as much of what was learned can be lost by a crash. */
#define DEFAULT_INTERVAL	600u
#define MAX_INTERVAL		86400u

/* --- the daemon's settings --- */

static int set_text(char **to, const char *value, struct hmem_err *err)
{
	char *copy;

	if (!*value)
		return hmem_fail(err, EINVAL, "a path is expected");
	copy = strdup(value);
	if (!copy)
		return hmem_fail(err, ENOMEM, "no memory for the configuration");
	free(*to);
	*to = copy;
	return 0;
}

static int set_vms(uint32_t *to, const char *value, struct hmem_err *err)
{
	uint64_t num;

	if (hmem_parse_num(value, strlen(value), &num, NULL) < 0 || !num || num > MAX_NUM_VMS)
		return hmem_fail(err, EINVAL, "1 to %u, not '%.64s'", MAX_NUM_VMS, value);
	*to = num;
	return 0;
}

static int set_size(uint64_t *to, const char *value, struct hmem_err *err)
{
	return hmem_parse_size(value, strlen(value), to, err);
}

static int set_socket(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_text(&c->socket, value, err);
}

static int set_vm_socket(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_text(&c->vm_socket, value, err);
}

static int set_monitor_socket(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_text(&c->monitor_socket, value, err);
}

static int set_metrics_socket(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_text(&c->metrics_socket, value, err);
}

static int set_trackers_socket(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_text(&c->trackers_socket, value, err);
}

static int set_metrics_address(struct hmem_config *c, const char *value,
			       struct hmem_err *err)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int ret = hmem_loopback_parse(value, &addr, &len, err);

	return ret < 0 ? ret : set_text(&c->metrics_address, value, err);
}

static int set_state_directory(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_text(&c->state_directory, value, err);
}

static int set_state_interval(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	uint64_t num;

	if (hmem_parse_num(value, strlen(value), &num, NULL) < 0 || num > MAX_INTERVAL)
		return hmem_fail(err, EINVAL, "0 to %u seconds, not '%.64s'", MAX_INTERVAL, value);
	c->state_interval = num;
	return 0;
}

static int set_max_vms(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_vms(&c->max_vms, value, err);
}

static int set_max_user_vms(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_vms(&c->max_user_vms, value, err);
}

static int set_max_guest(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	uint64_t bytes;
	int ret = set_size(&bytes, value, err);

	if (ret < 0)
		return ret;
	bytes >>= VIRTIO_HMEM_GFN_SHIFT;
	if (!bytes || bytes > HMEM_MAX_GFN)
		return hmem_fail(err, EINVAL, "4K to 256T, not '%.64s'", value);
	c->max_frames = bytes;
	return 0;
}

static int set_max_tables(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_size(&c->max_tables, value, err);
}

static int set_pool(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	uint64_t bytes;
	int ret = set_size(&bytes, value, err);

	if (ret < 0)
		return ret;
	if (!bytes)
		return hmem_fail(err, EINVAL, "more than 0, not '%.64s'", value);
	c->pool = bytes;
	return 0;
}

static int set_pool_reserve(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return set_size(&c->pool_reserve, value, err);
}

/* "DRAM:NVM", where DRAM is not cheaper than NVM. */
static int read_prices(double prices[2], const char *value, struct hmem_err *err)
{
	const char *colon = strchr(value, ':');
	uint64_t dram, nvm;

	if (!colon || hmem_parse_num(value, colon - value, &dram, NULL) < 0 ||
	    hmem_parse_num(colon + 1, strlen(colon + 1), &nvm, NULL) < 0 ||
	    !nvm || dram < nvm || dram > HMEM_CONFIG_MAX_PRICE)
		return hmem_fail(err, EINVAL, "DRAM:NVM, the prices of a MiB, such as 4:1, of "
				 "which DRAM's is not lower, and at most %u; not '%.64s'",
				 HMEM_CONFIG_MAX_PRICE, value);
	prices[0] = dram;
	prices[1] = nvm;
	return 0;
}

static int set_prices(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	return read_prices(c->prices, value, err);
}

static int set_log(struct hmem_config *c, const char *value, struct hmem_err *err)
{
	if (strcmp(value, "info") && strcmp(value, "debug"))
		return hmem_fail(err, EINVAL, "info or debug, not '%.64s'", value);
	c->verbose = !strcmp(value, "debug");
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct hmem_config *c, const char *value, struct hmem_err *err);
} keys[] = {
	{ "socket", set_socket },
	{ "vm-socket", set_vm_socket },
	{ "max-vms", set_max_vms },
	{ "max-user-vms", set_max_user_vms },
	{ "max-guest", set_max_guest },
	{ "max-tables", set_max_tables },
	{ "pool", set_pool },
	{ "pool-reserve", set_pool_reserve },
	{ "prices", set_prices },
	{ "monitor-socket", set_monitor_socket },
	{ "metrics-socket", set_metrics_socket },
	{ "metrics-address", set_metrics_address },
	{ "trackers-socket", set_trackers_socket },
	{ "state-directory", set_state_directory },
	{ "state-interval", set_state_interval },
	{ "log", set_log },
};

int hmem_config_set(struct hmem_config *c, const char *key, const char *value,
		    struct hmem_err *err)
{
	struct hmem_err why;
	char known[256];
	size_t len = 0;
	int ret;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i].name)) {
			len += snprintf(known + len, sizeof(known) - len, "%s%s",
					len ? ", " : "", keys[i].name);
			continue;
		}
		ret = keys[i].set(c, value, &why);
		return ret < 0 ? hmem_fail(err, -ret, "%s: %.200s", key, why.msg) : 0;
	}
	return hmem_fail(err, EINVAL, "'%.32s' is unknown: %s are known", key, known);
}

void hmem_config_init(struct hmem_config *c, uint64_t host_memory)
{
	*c = (struct hmem_config) {
		.max_vms = 256,
		.max_user_vms = MAX_NUM_VMS,
		.max_frames = UINT64_C(1) << 32,
		.max_tables = host_memory / 32,
		.state_interval = DEFAULT_INTERVAL,
	};
	hmem_policy_init(&c->policy);
}

int hmem_config_check(const struct hmem_config *c, struct hmem_err *err)
{
	char pool[32], reserve[32];

	if (!c->pool || c->pool_reserve < c->pool)
		return 0;
	return hmem_fail(err, EINVAL, "pool-reserve: %s leaves nothing of the pool of %s for VMs: "
			 "set a smaller one",
			 hmem_format_size(c->pool_reserve, reserve, sizeof(reserve)),
			 hmem_format_size(c->pool, pool, sizeof(pool)));
}

void hmem_config_free(struct hmem_config *c)
{
	for (unsigned int i = 0; i < c->num_vms; i++) {
		struct hmem_vm_section *s = &c->vms[i];

		for (unsigned int j = 0; j < s->num; j++) {
			free(s->settings[j].key);
			free(s->settings[j].value);
		}
		free(s->settings);
		free(s->pattern);
		free(s->file);
	}
	free(c->vms);
	free(c->socket);
	free(c->vm_socket);
	free(c->monitor_socket);
	free(c->metrics_socket);
	free(c->metrics_address);
	free(c->trackers_socket);
	free(c->state_directory);
}

/* --- the settings of VMs --- */

int hmem_config_set_pool(struct hmem_vm_config *vm, const char *key, const char *value,
			 struct hmem_err *err)
{
	uint64_t num;

	if (!strcmp(key, "pool-guarantee"))
		return set_size(&vm->guarantee, value, err);
	if (!strcmp(key, "pool-maximum"))
		return set_size(&vm->maximum, value, err);
	if (strcmp(key, "pool-weight"))
		return -ENOENT;
	if (hmem_parse_num(value, strlen(value), &num, NULL) < 0 || !num ||
	    num > HMEM_CONFIG_MAX_WEIGHT)
		return hmem_fail(err, EINVAL, "%s: 1 to %u, not '%.64s'", key,
				 HMEM_CONFIG_MAX_WEIGHT, value);
	vm->weight = num;
	return 0;
}

/* "NODE[+NODE...]", of @len characters. */
static bool read_tier(struct hmem_host_nodes *nodes, const char *value, size_t len)
{
	*nodes = (struct hmem_host_nodes) { .own = -1 };
	for (;;) {
		size_t part = strcspn(value, ":+");
		uint64_t node;

		if (hmem_parse_num(value, part, &node, NULL) < 0 || node >= HMEM_CONFIG_NODES ||
		    nodes->all >> node & 1)
			return false;
		if (!nodes->all)
			nodes->own = node;
		nodes->all |= UINT64_C(1) << node;
		if (part == len)
			return true;
		value += part + 1;
		len -= part + 1;
	}
}

static void nodes_init(struct hmem_host_nodes nodes[HMEM_LINK_MAX_TIERS])
{
	for (unsigned int i = 0; i < HMEM_LINK_MAX_TIERS; i++)
		nodes[i] = (struct hmem_host_nodes) { .own = -1 };
}

/* The nodes of each tier, between colons. */
static int read_nodes(struct hmem_host_nodes nodes[HMEM_LINK_MAX_TIERS], const char *value,
		      struct hmem_err *err)
{
	struct hmem_host_nodes all[HMEM_LINK_MAX_TIERS];
	unsigned int num = 0;
	const char *p = value;

	nodes_init(all);
	do {
		size_t len = strcspn(p, ":");

		if (num == HMEM_LINK_MAX_TIERS || !read_tier(&all[num++], p, len))
			return hmem_fail(err, EINVAL, "nodes: the node of the host of each tier, "
					 "such as 0:2, or its nodes, such as 0+1:2+3, each once "
					 "and below %u; not '%.64s'", HMEM_CONFIG_NODES, value);
		p += len;
	} while (*p++ == ':');
	memcpy(nodes, all, sizeof(all));
	return 0;
}

static int set_vm(struct hmem_vm_config *vm, const char *key, const char *value,
		  struct hmem_err *err)
{
	int ret = hmem_config_set_pool(vm, key, value, err);

	if (ret != -ENOENT)
		return ret;
	if (!strcmp(key, "prices")) {
		struct hmem_err why;

		ret = read_prices(vm->prices, value, &why);
		return ret < 0 ? hmem_fail(err, -ret, "%s: %.200s", key, why.msg) : 0;
	}
	if (!strcmp(key, "nodes"))
		return read_nodes(vm->nodes, value, err);
	if (!strcmp(key, "trade")) {
		if (strcmp(value, "yes") && strcmp(value, "no"))
			return hmem_fail(err, EINVAL, "trade: yes or no, not '%.64s'", value);
		vm->trade = !strcmp(value, "yes");
		return 0;
	}
	return hmem_policy_set(&vm->policy, strcmp(key, "policy") ? key : "name", value, err);
}

static void init_vm(const struct hmem_config *c, struct hmem_vm_config *vm)
{
	*vm = (struct hmem_vm_config) {
		.policy = c->policy,
		.guarantee = UINT64_MAX,
		.maximum = UINT64_MAX,
		.prices = { c->prices[0], c->prices[1] },
	};
	nodes_init(vm->nodes);
}

void hmem_config_vm(const struct hmem_config *c, const char *name, const uint8_t uuid[16],
		    struct hmem_vm_config *vm)
{
	char text[37];

	hmem_format_uuid(uuid, text);
	init_vm(c, vm);
	for (unsigned int i = 0; i < c->num_vms; i++) {
		const struct hmem_vm_section *s = &c->vms[i];

		if (strcasecmp(s->pattern, text) && fnmatch(s->pattern, name, 0))
			continue;
		/* These settings were checked when they were read. */
		for (unsigned int j = 0; j < s->num; j++)
			set_vm(vm, s->settings[j].key, s->settings[j].value, NULL);
		vm->from = s->file;
	}
}

/* --- files --- */

/* The state of parse functions. */
struct parse {
	struct hmem_config *c;
	const char *file, *text;
	size_t left;
	unsigned int line;
	/* The error code and the line of the first wrong setting; 0: none so far. */
	int ret;
	unsigned int wrong;
	struct hmem_err *err;
	/* The section of the last setting, and its keys so far, each between two blanks. */
	char section[80], seen[512];
};

/* Adds a section about VMs to the configuration.  Returns NULL if there is no memory. */
static struct hmem_vm_section *add_section(struct parse *p, const char *pattern)
{
	struct hmem_config *c = p->c;
	struct hmem_vm_section *all = realloc(c->vms, (c->num_vms + 1) * sizeof(*all));
	struct hmem_vm_section s = { .pattern = strdup(pattern), .file = strdup(p->file) };

	if (all)
		c->vms = all;
	if (!all || !s.pattern || !s.file) {
		free(s.pattern);
		free(s.file);
		return NULL;
	}
	c->vms[c->num_vms] = s;
	return &c->vms[c->num_vms++];
}

static int keep_setting(struct hmem_vm_section *s, const char *key, const char *value)
{
	struct hmem_setting *all, new = { strdup(key), strdup(value) };

	if (!new.key || !new.value)
		goto fail;
	all = realloc(s->settings, (s->num + 1) * sizeof(*all));
	if (!all)
		goto fail;
	all[s->num++] = new;
	s->settings = all;
	return 0;
fail:
	free(new.key);
	free(new.value);
	return -ENOMEM;
}

/* @is_new: no other setting of this section was read before. */
static int vm_setting(struct parse *p, const char *pattern, bool is_new, const char *key,
		      const char *value, struct hmem_err *err)
{
	struct hmem_vm_section *s;
	struct hmem_vm_config vm;
	int ret;

	init_vm(p->c, &vm);
	ret = set_vm(&vm, key, value, err);
	if (ret < 0)
		return ret;
	s = is_new ? add_section(p, pattern) : &p->c->vms[p->c->num_vms - 1];
	if (!s || keep_setting(s, key, value) < 0)
		return hmem_fail(err, ENOMEM, "no memory for the configuration");
	return 0;
}

static int node_setting(struct hmem_config *c, const char *node, const char *key,
			const char *value, struct hmem_err *err)
{
	struct hmem_err why;
	uint64_t num, bytes;

	if (hmem_parse_num(node, strlen(node), &num, NULL) < 0 || num >= HMEM_CONFIG_NODES)
		return hmem_fail(err, EINVAL, "[node %.32s]: a node's number is 0 to %u", node,
				 HMEM_CONFIG_NODES - 1);
	if (strcmp(key, "capacity"))
		return hmem_fail(err, EINVAL, "'%.32s' is unknown: a node has a capacity", key);
	if (set_size(&bytes, value, &why) < 0)
		return hmem_fail(err, EINVAL, "capacity: %.200s", why.msg);
	if (!bytes)
		return hmem_fail(err, EINVAL, "capacity: more than 0, not '%.64s'", value);
	c->capacity[num] = bytes;
	return 0;
}

/* Returns an error if @key was already set in this section. */
static int note_key(struct parse *p, const char *key, struct hmem_err *err)
{
	char word[64], *seen = p->seen;
	size_t len = strlen(seen);

	snprintf(word, sizeof(word), " %.60s ", key);
	if (strstr(seen, word))
		return hmem_fail(err, EINVAL, "'%.32s' is set twice in [%s] (an indented line "
				 "continues the line before it)", key, p->section);
	/*
	 * If there are too many keys to note, some of them are unknown, which is an error
	 * anyway.
	 */
	snprintf(seen + len, sizeof(p->seen) - len, "%s", word);
	return 0;
}

static int apply_setting(struct parse *p, const char *section, const char *key,
			 const char *value, struct hmem_err *err)
{
	bool is_new = strcmp(p->section, section);
	int ret;

	if (is_new) {
		snprintf(p->section, sizeof(p->section), "%s", section);
		p->seen[0] = '\0';
	}
	ret = note_key(p, key, err);
	if (ret < 0)
		return ret;
	if (!strcmp(section, "daemon"))
		return hmem_config_set(p->c, key, value, err);
	if (!strncmp(section, "vm ", 3) && section[3])
		return vm_setting(p, section + 3, is_new, key, value, err);
	if (!strncmp(section, "node ", 5))
		return node_setting(p->c, section + 5, key, value, err);
	if (!*section)
		return hmem_fail(err, EINVAL, "'%.32s' stands before the first section: begin "
				 "with [daemon], [node N] or [vm NAME]", key);
	return hmem_fail(err, EINVAL, "there is no section [%.64s]: [daemon], [node N] and "
			 "[vm NAME] are known", section);
}

static int fault(struct parse *p, int ret, const char *why)
{
	p->ret = hmem_fail(p->err, -ret, "%.100s:%u: %.140s", p->file, p->line, why);
	p->wrong = p->line;
	return 0;
}

static int on_setting(void *user, const char *section, const char *key, const char *value)
{
	struct parse *p = user;
	struct hmem_err why;
	int ret;

	if (p->ret)
		return 0;
	/* The parser would cut longer names off. */
	if (strlen(section) >= MAX_WORD || strlen(key) >= MAX_WORD)
		return fault(p, -EINVAL, "a section's or key's name is too long");
	ret = apply_setting(p, section, key, value, &why);
	return ret < 0 ? fault(p, ret, why.msg) : 1;
}

/* Give the parser the next line, as fgets() does. */
static char *next_line(char *buf, int size, void *stream)
{
	struct parse *p = stream;
	const char *end = memchr(p->text, '\n', p->left);
	size_t len = end ? (size_t)(end - p->text) + 1 : p->left;

	if (!len || p->ret)
		return NULL;
	p->line++;
	if (len >= (size_t)size || memchr(p->text, '\0', len)) {
		fault(p, -EINVAL, "the line is too long, or has a zero byte");
		return NULL;
	}
	memcpy(buf, p->text, len);
	buf[len] = '\0';
	p->text += len;
	p->left -= len;
	return buf;
}

int hmem_config_parse(struct hmem_config *c, const char *file, const char *text, size_t len,
		      struct hmem_err *err)
{
	struct parse p = {
		.c = c, .file = file, .text = text, .left = len, .err = err,
	};
	int line = ini_parse_stream(next_line, &p, on_setting, &p);

	/* This includes lines that the parser does not understand. */
	if (!line || (p.ret && (unsigned int)line >= p.wrong))
		return p.ret;
	if (line < 0)
		return hmem_fail(err, ENOMEM, "%.100s: no memory to read the file", file);
	return hmem_fail(err, EINVAL, "%.100s:%d: neither a [section], nor KEY = VALUE, nor a "
			 "# comment", file, line);
}
