/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of hmemctl top: a line for each VM, which the user sorts and scrolls. */
#ifndef HMEMCTL_TOP_LIST_H
#define HMEMCTL_TOP_LIST_H

#include <stdio.h>

#include "top_sample.h"

struct top_list {
	/* The key of the order, see top_list_key(). */
	char order;
	/* The VM that is marked; "": none.  It stays marked when the order changes. */
	char marked[80];
	/* The first line that is shown. */
	size_t first;
};

/* Sort the VMs. */
void top_list_sort(const struct top_list *l, struct sample *s);

/* The order, in words. */
const char *top_list_order(const struct top_list *l);

/*
 * Print titles, unless hmemctl is quiet, and VMs: all, or as many as fit on a screen of @cols and
 * @rows (0: there is no screen), where one is marked, and is always shown.
 */
void top_list_print(FILE *out, struct top_list *l, const struct sample *s, unsigned int cols,
		    size_t rows, bool color);

/*
 * Do what a key asks for: mark another VM, a line or @rows lines up or down, or change the order:
 * a by activity, n by name, m by memory of tier 0, h by hot memory in slow tiers.
 */
void top_list_key(struct top_list *l, const struct sample *s, int key, size_t rows);

#endif /* HMEMCTL_TOP_LIST_H */
