/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "vm_json.h"
#include "vms_document.h"

/* Numbers of pages of the heat map, for a tier; each is of so many buckets of heat. */
#define HEATS	32u
#define FOLD	(HMEM_BUCKETS / HEATS)

struct state {
	FILE *f;
	char *text;
	size_t len;
	bool failed;
	unsigned int num;
};

static void end(void *opaque)
{
	struct state *s = opaque;

	if (s->f)
		fclose(s->f);
	free(s->text);
	free(s);
}

static void *begin(const struct hmemd *d)
{
	struct state *s = calloc(1, sizeof(*s));

	(void)d;
	if (!s)
		return NULL;
	s->f = open_memstream(&s->text, &s->len);
	if (!s->f) {
		free(s);
		return NULL;
	}
	fprintf(s->f, "{\"version\":1,\"time_ms\":%" PRIu64 ",\"vms\":[", events_now());
	return s;
}

/* The tier's pages by heat, the coldest first; null before the first window. */
static json *heat_json(const struct vm *vm, unsigned int tier)
{
	json *all;

	if (!vm->placer.pages.windows)
		return NULL;
	all = json_new_array();
	for (unsigned int i = 0; i < HEATS; i++) {
		uint64_t sum = 0;

		for (unsigned int b = i * FOLD; b < (i + 1) * FOLD; b++)
			sum += vm->placer.pages.hist[tier][b];
		json_append(all, json_new_u64(sum));
	}
	return all;
}

static void add_vm(void *opaque, const struct vm *vm)
{
	json *o = vm_status_json(vm), *tiers = json_object_object_get(o, "tiers");
	struct state *s = opaque;
	size_t len;
	char *text;

	for (unsigned int i = 0; i < vm->hello.num_tiers; i++)
		json_add(tiers ? json_object_array_get_idx(tiers, i) : NULL, "heat",
			 heat_json(vm, i));
	text = json_text(o, &len);
	s->failed |= !text;
	if (text)
		fprintf(s->f, "%s%s", s->num++ ? "," : "", text);
	free(text);
	json_object_put(o);
}

static char *text(void *opaque, size_t *len)
{
	struct state *s = opaque;
	char *all;

	fputs("]}\n", s->f);
	if (fflush(s->f) || ferror(s->f) || s->failed)
		return NULL;
	*len = s->len;
	all = malloc(*len);
	return all ? memcpy(all, s->text, *len) : NULL;
}

const struct document_kind vms_document = {
	.path = "/vms.json",
	.type = "application/json",
	.begin = begin,
	.add_vm = add_vm,
	.text = text,
	.end = end,
};
