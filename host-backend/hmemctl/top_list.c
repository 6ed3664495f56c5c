/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "hmemctl.h"
#include "numbers.h"
#include "term.h"
#include "top_list.h"

#define PAGE		4096.0
/* Columns of a line that are not the VM's name; and the fewest of a name on a screen. */
#define OTHER_COLUMNS	71
#define LEAST_NAME	8

static const char *name_of(const struct vm_sample *s)
{
	return text_of(s->vm, "name");
}

/* The bytes of tiers @first to @last. */
static double bytes_of(const struct vm_sample *s, size_t first, size_t last)
{
	json *tiers = field(s->vm, "tiers");
	double sum = 0;

	for (size_t i = first; i <= last && i < json_object_array_length(tiers); i++)
		sum += num_of(field(json_object_array_get_idx(tiers, i), "size"), "actual_bytes");
	return sum;
}

/* Bytes of hot pages in all tiers but tier 0; -1: not known. */
static double hot_and_slow(const struct vm_sample *s)
{
	json *tiers = field(s->vm, "tiers");
	double sum = 0;

	for (size_t i = 1; i < json_object_array_length(tiers); i++) {
		json *tier = json_object_array_get_idx(tiers, i);

		if (!known(tier, "hot"))
			return -1;
		sum += num_of(tier, "hot") * PAGE;
	}
	return sum;
}

/* --- the order --- */

/* The larger ones come first, and those that are equal by name. */
static int by(double a, double b, const struct vm_sample *x, const struct vm_sample *y)
{
	if (a != b)
		return a < b ? 1 : -1;
	return strcmp(name_of(x), name_of(y));
}

static int by_activity(const void *a, const void *b)
{
	const struct vm_sample *x = a, *y = b;
	double d = y->promoted.per_s + y->demoted.per_s -
		   x->promoted.per_s - x->demoted.per_s;

	return d ? (d > 0 ? 1 : -1) : by(x->refused.per_s, y->refused.per_s, x, y);
}

static int by_name(const void *a, const void *b)
{
	return by(0, 0, a, b);
}

static int by_memory(const void *a, const void *b)
{
	return by(bytes_of(a, 0, 0), bytes_of(b, 0, 0), a, b);
}

static int by_heat(const void *a, const void *b)
{
	return by(hot_and_slow(a), hot_and_slow(b), a, b);
}

static const struct order {
	char key;
	const char *words;
	int (*compare)(const void *a, const void *b);
} orders[] = {
	{ 'a', "the busiest first", by_activity },
	{ 'n', "by name", by_name },
	{ 'm', "by memory of tier 0", by_memory },
	{ 'h', "by hot memory in slow tiers", by_heat },
};

#define NUM_ORDERS	(sizeof(orders) / sizeof(orders[0]))

static const struct order *order_of(const struct top_list *l)
{
	for (size_t i = 0; i < NUM_ORDERS; i++) {
		if (orders[i].key == l->order)
			return &orders[i];
	}
	return &orders[0];
}

void top_list_sort(const struct top_list *l, struct sample *s)
{
	qsort(s->vms, s->num, sizeof(*s->vms), order_of(l)->compare);
}

const char *top_list_order(const struct top_list *l)
{
	return order_of(l)->words;
}

/* --- printing --- */

static const char *cell_bytes(double bytes, char *buf, size_t size)
{
	if (bytes < 0)
		return "-";
	if (globals.raw)
		snprintf(buf, size, "%.0f", bytes);
	else
		hmem_format_size(bytes, buf, size);
	return buf;
}

static const char *cell_rate(struct rate rate, char *buf, size_t size)
{
	return cell_bytes(rate.known ? rate.per_s * PAGE : -1, buf, size);
}

/* A driver that does not work is of more interest than the VM's state. */
static const char *state_or_driver(const struct vm_sample *s)
{
	const char *driver = text_of(s->vm, "driver");

	if (!strcmp(driver, "ok"))
		return state_of(s->vm);
	return strcmp(driver, "none") ? driver : "no driver";
}

static void print_line(FILE *out, const struct vm_sample *s, int width)
{
	char b[5][24];

	fprintf(out, "%-*.*s  %-9s  %-7s  %8s  %8s  %8s  %8s  %8s", width, width, name_of(s),
		state_or_driver(s), text_of(s->vm, "policy"),
		cell_bytes(bytes_of(s, 0, 0), b[0], sizeof(b[0])),
		cell_bytes(bytes_of(s, 1, SIZE_MAX), b[1], sizeof(b[1])),
		cell_bytes(hot_and_slow(s), b[2], sizeof(b[2])),
		cell_rate(s->promoted, b[3], sizeof(b[3])),
		cell_rate(s->demoted, b[4], sizeof(b[4])));
}

static size_t marked(const struct top_list *l, const struct sample *s)
{
	for (size_t i = 0; i < s->num; i++) {
		if (!strcmp(name_of(&s->vms[i]), l->marked))
			return i;
	}
	return 0;
}

void top_list_print(FILE *out, struct top_list *l, const struct sample *s, unsigned int cols,
		    size_t rows, bool color)
{
	size_t at = marked(l, s), num = rows && rows < s->num ? rows : s->num;
	int width = 2, most = cols > OTHER_COLUMNS + LEAST_NAME ? (int)cols - OTHER_COLUMNS :
			      LEAST_NAME;
	bool mark = rows;

	for (size_t i = 0; i < s->num; i++) {
		int len = strlen(name_of(&s->vms[i]));

		width = len > width ? len : width;
	}
	if (mark && width > most)
		width = most;
	if (l->first + num > s->num)
		l->first = s->num - num;
	if (mark && at < l->first)
		l->first = at;
	if (mark && num && at >= l->first + num)
		l->first = at - num + 1;
	if (!globals.quiet)
		fprintf(out, "%s%s%-*s  %-9s  %-7s  %8s  %8s  %8s  %8s  %8s%s\n",
			color ? "\033[1m" : "", mark ? " " : "", width, "VM", "STATE", "POLICY",
			"TIER 0", "OTHERS", "HOT SLOW", "UP/S", "DOWN/S", color ? "\033[0m" : "");
	for (size_t i = l->first; i < l->first + num; i++) {
		bool here = mark && i == at;

		fprintf(out, "%s%s", here && color ? "\033[7m" : "",
			!mark ? "" : here ? ">" : " ");
		print_line(out, &s->vms[i], width);
		fprintf(out, "%s\n", here && color ? "\033[0m" : "");
	}
}

/* --- keys --- */

static void move(struct top_list *l, const struct sample *s, int64_t by_lines)
{
	int64_t to = (int64_t)marked(l, s) + by_lines;

	if (!s->num)
		return;
	to = to < 0 ? 0 : to >= (int64_t)s->num ? (int64_t)s->num - 1 : to;
	snprintf(l->marked, sizeof(l->marked), "%s", name_of(&s->vms[to]));
}

void top_list_key(struct top_list *l, const struct sample *s, int key, size_t rows)
{
	switch (key) {
	case TERM_KEY_UP:
		move(l, s, -1);
		break;
	case TERM_KEY_DOWN:
		move(l, s, 1);
		break;
	case TERM_KEY_PAGE_UP:
		move(l, s, -(int64_t)rows);
		break;
	case TERM_KEY_PAGE_DOWN:
		move(l, s, rows);
		break;
	default:
		for (size_t i = 0; i < NUM_ORDERS; i++) {
			if (orders[i].key == key)
				l->order = key;
		}
		break;
	}
}
