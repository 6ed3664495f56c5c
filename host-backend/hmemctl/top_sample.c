/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "hmemctl.h"
#include "link_check.h"
#include "top_sample.h"

static json *vm_in(json *answer, json *vm)
{
	json *vms = field(answer, "vms");

	for (size_t i = 0; vms && i < json_object_array_length(vms); i++) {
		json *o = json_object_array_get_idx(vms, i);

		/* A VM that has reconnected since has other counters. */
		if (!strcmp(text_of(o, "name"), text_of(vm, "name")) &&
		    num_of(o, "pid") == num_of(vm, "pid") &&
		    num_of(o, "connected_s") <= num_of(vm, "connected_s"))
			return o;
	}
	return NULL;
}

/* The growth of a counter.  Returns false if the counter was reset meanwhile. */
static bool grew(json *now, json *before, const char *key, uint64_t *by)
{
	*by = num_of(now, key) - num_of(before, key);
	return num_of(now, key) >= num_of(before, key);
}

static struct rate rate_of(uint64_t num, double seconds, bool known)
{
	return (struct rate) { .per_s = known ? num / seconds : 0, .known = known };
}

static struct rate moved(json *now, json *before, const char *key, double seconds)
{
	uint64_t pages;
	bool known = grew(now, before, key, &pages) && seconds > 0;

	return rate_of(pages, seconds, known);
}

/* Sum of refused pages, and rates by reason. */
static void take_refused(struct vm_sample *s, json *now, json *before, double seconds)
{
	bool known = seconds > 0;
	uint64_t sum = 0, pages;

	for (unsigned int i = 0; i < VIRTIO_HMEM_R_MAX; i++) {
		if (virtio_hmem_status(i) == VIRTIO_HMEM_S_OK)
			continue;
		known &= grew(now, before, hmem_reason_name(i), &pages);
		sum += pages;
		if (known)
			s->refused_for[i] = pages / seconds;
	}
	s->refused = rate_of(sum, seconds, known);
}

static struct vm_sample take_vm_sample(json *vm, json *before, double seconds)
{
	json *now = field(vm, "stats"), *then = field(before, "stats");
	json *count = field(now, "counters"), *counted = field(then, "counters");
	struct vm_sample s = { .vm = vm };
	uint64_t ns, windows;

	if (!before)
		seconds = 0;
	s.daemon_known = before && grew(vm, before, "daemon_ns", &ns) &&
			 grew(count, counted, "ticks", &windows) && windows;
	if (s.daemon_known)
		s.daemon_us = ns / 1000.0 / windows;
	s.promoted = moved(count, counted, "promoted", seconds);
	s.demoted = moved(count, counted, "demoted", seconds);
	take_refused(&s, field(now, "reasons"), field(then, "reasons"), seconds);
	return s;
}

bool is_called(json *vm, const char *name)
{
	return !strcmp(text_of(vm, "name"), name) || !strcasecmp(text_of(vm, "uuid"), name);
}

static bool wanted(const char *const *names, unsigned int num, json *vm)
{
	for (unsigned int i = 0; i < num; i++) {
		if (is_called(vm, names[i]))
			return true;
	}
	return !num;
}

struct sample take_sample(const char *const *names, unsigned int num_names, json *now,
			  json *before)
{
	json *vms = field(now, "vms");
	size_t num = json_object_array_length(vms);
	struct sample s = { .answer = json_object_get(now) };

	s.interval_ms = before ? num_of(now, "time_ms") - num_of(before, "time_ms") : 0;
	s.vms = calloc(num + 1, sizeof(*s.vms));
	if (!s.vms)
		die(EXIT_ERROR, "no memory for a sample");
	for (size_t i = 0; i < num; i++) {
		json *vm = json_object_array_get_idx(vms, i);

		if (wanted(names, num_names, vm))
			s.vms[s.num++] = take_vm_sample(vm, vm_in(before, vm),
							s.interval_ms / 1000.0);
	}
	return s;
}

void free_sample(struct sample *s)
{
	json_object_put(s->answer);
	free(s->vms);
}
