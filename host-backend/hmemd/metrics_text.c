/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format wants all lines of a metric together, but the VMs come one by one: so each metric
 * has a text of its own until the end.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "metrics.h"
#include "metrics_text.h"
#include "utf8.h"
#include "vm.h"

struct lines {
	FILE *f;
	char *text;
	size_t len;
};

/* A label's value: UTF-8, with backslash, quote and newline escaped. */
static void put_value(FILE *f, const char *value)
{
	char text[1024];

	hmem_utf8(value, text, sizeof(text));
	fputc('"', f);
	for (const char *c = text; *c; c++) {
		if (*c == '\n') {
			fputs("\\n", f);
			continue;
		}
		if (*c == '\\' || *c == '"')
			fputc('\\', f);
		fputc(*c, f);
	}
	fputc('"', f);
}

static void put_label(FILE *f, const char *label, const char *value)
{
	fprintf(f, ",%s=", label);
	put_value(f, value);
}

static void put_number(FILE *f, double v)
{
	/* Numbers up to 2^53 are exact. */
	fprintf(f, " %.16g\n", v);
}

/* A line of the VM, if the value is known.  @by may be NULL. */
static void put_vm(FILE *f, const struct metric *m, const struct vm *vm, double v,
		   const struct metric_by *by, unsigned int i)
{
	struct metric_label labels[METRIC_MAX_LABELS] = { 0 };

	if (isnan(v))
		return;
	fprintf(f, "%s{vm=", m->name);
	put_value(f, vm->name);
	if (by)
		put_label(f, by->label, by->value(i));
	if (m->vm_info)
		m->vm_info(vm, labels);
	for (unsigned int n = 0; n < METRIC_MAX_LABELS && labels[n].name; n++)
		put_label(f, labels[n].name, labels[n].value);
	fputc('}', f);
	put_number(f, v);
}

static void put_line_of_histogram(FILE *f, const struct metric *m, const struct vm *vm,
				  const char *part, const char *bound, double v)
{
	fprintf(f, "%s_%s{vm=", m->name, part);
	put_value(f, vm->name);
	if (bound)
		put_label(f, "le", bound);
	fputc('}', f);
	put_number(f, v);
}

static void put_histogram(FILE *f, const struct metric *m, const struct vm *vm)
{
	struct metric_histogram h;

	if (!m->histogram(vm, &h))
		return;
	for (unsigned int i = 0; i < h.num; i++) {
		char bound[32];

		/* More digits would show that powers of ten have no exact double. */
		snprintf(bound, sizeof(bound), "%.10g", h.buckets[i].bound);
		put_line_of_histogram(f, m, vm, "bucket", bound, h.buckets[i].count);
	}
	put_line_of_histogram(f, m, vm, "bucket", "+Inf", h.count);
	put_line_of_histogram(f, m, vm, "sum", NULL, h.sum);
	put_line_of_histogram(f, m, vm, "count", NULL, h.count);
}

static void put_lines(FILE *f, const struct metric *m, const struct vm *vm,
		      const struct hmem_explanation *e)
{
	unsigned int num = m->by && m->by->num ? m->by->num : vm->hello.num_tiers;

	if (m->vm || m->vm_info)
		put_vm(f, m, vm, m->vm ? m->vm(vm) : 1, NULL, 0);
	for (unsigned int i = 0; m->vm_by && i < num; i++)
		put_vm(f, m, vm, m->vm_by(vm, i), m->by, i);
	for (unsigned int i = 0; m->rates && i < vm->hello.num_tiers; i++)
		put_vm(f, m, vm, m->rates(e, i), &metric_by_tier, i);
	if (m->histogram)
		put_histogram(f, m, vm);
}

static void put_all_by(FILE *f, const struct metric *m, const struct hmemd *d)
{
	for (unsigned int i = 0; i < m->by->num; i++) {
		double v = m->all_by(d, i);

		if (isnan(v))
			continue;
		fprintf(f, "%s{%s=", m->name, m->by->label);
		put_value(f, m->by->value(i));
		fputc('}', f);
		put_number(f, v);
	}
}

/* The beginning of the metric's lines, with the value of hmemd, if the metric is hmemd's. */
static void put_head(FILE *f, const struct metric *m, const struct hmemd *d)
{
	struct metric_label label[METRIC_MAX_LABELS] = { 0 };

	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
		m->histogram ? "histogram" : m->counts ? "counter" : "gauge");
	if (m->info) {
		m->info(label);
		fprintf(f, "%s{%s=", m->name, label[0].name);
		put_value(f, label[0].value);
		fputs("} 1\n", f);
	} else if (m->all_by) {
		put_all_by(f, m, d);
	} else if (m->all) {
		fputs(m->name, f);
		put_number(f, m->all(d));
	}
}

static void end(void *state)
{
	struct lines *l = state;

	for (size_t i = 0; i < num_metrics; i++) {
		if (l[i].f)
			fclose(l[i].f);
		free(l[i].text);
	}
	free(l);
}

static void *begin(const struct hmemd *d)
{
	struct lines *l = calloc(num_metrics, sizeof(*l));

	if (!l)
		return NULL;
	for (size_t i = 0; i < num_metrics; i++) {
		l[i].f = open_memstream(&l[i].text, &l[i].len);
		if (!l[i].f) {
			end(l);
			return NULL;
		}
		put_head(l[i].f, &metrics[i], d);
	}
	return l;
}

static void add_vm(void *state, const struct vm *vm)
{
	struct hmem_explanation e;
	struct lines *l = state;

	hmem_explain(&vm->placer, &e);
	for (size_t i = 0; i < num_metrics; i++)
		put_lines(l[i].f, &metrics[i], vm, &e);
}

static char *text(void *state, size_t *len)
{
	struct lines *l = state;
	char *all, *at;

	*len = 0;
	for (size_t i = 0; i < num_metrics; i++) {
		if (fflush(l[i].f) || ferror(l[i].f))
			return NULL;
		*len += l[i].len;
	}
	at = all = malloc(*len);
	for (size_t i = 0; all && i < num_metrics; i++)
		at = mempcpy(at, l[i].text, l[i].len);
	return all;
}

const struct document_kind metrics_text = {
	.path = "/metrics",
	.type = "text/plain; version=0.0.4; charset=utf-8",
	.begin = begin,
	.add_vm = add_vm,
	.text = text,
	.end = end,
};
