/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes JSON.  json-c's own writer does not tell that something is missing for want of memory. */
#ifndef HMEM_JSON_TEXT_H
#define HMEM_JSON_TEXT_H

#include <stdio.h>

#include "jsonio.h"

/*
 * The text of @o on one line, of *@len bytes, for free().  NULL: there was no memory for the text,
 * or for a part of @o (see json_is_complete()).
 */
char *json_text(json *o, size_t *len);

/* The same for people: each value is on a line of its own, indented. */
char *json_lines(json *o, size_t *len);

#endif /* HMEM_JSON_TEXT_H */
