/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HMEM_UTF8_H
#define HMEM_UTF8_H

#include <stddef.h>

/*
 * Copy @from to @to, of @size bytes (at least 1), as valid UTF-8.  Replaces each byte that is
 * not part of a character by a question mark, and cuts off what does not fit.
 */
void hmem_utf8(const char *from, char *to, size_t size);

#endif /* HMEM_UTF8_H */
