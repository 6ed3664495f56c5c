/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HMEM_UTF8_H
#define HMEM_UTF8_H

#include <stddef.h>

/*
 * Copy @from to @to, of @size bytes (at least 1), as valid UTF-8: each byte that is no
 * part of a character becomes a question mark, and what does not fit is left out.
 */
void hmem_utf8(const char *from, char *to, size_t size);

#endif /* HMEM_UTF8_H */
