/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers and sizes as people write and read them. */
#ifndef HMEM_NUMBERS_H
#define HMEM_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * Parse all of @len bytes of @s: decimal or 0x hexadecimal, then optionally
 * K, M, G or T (powers of 1024, upper or lower case).  -EINVAL, -ERANGE.
 */
int hmem_parse_size(const char *s, size_t len, uint64_t *bytes,
		    struct hmem_err *err);

/* Likewise without a suffix. */
int hmem_parse_num(const char *s, size_t len, uint64_t *num,
		   struct hmem_err *err);

/* "1.5 GiB" into @buf; three digits at least, exact if it is short. */
const char *hmem_format_size(uint64_t bytes, char *buf, size_t size);

#endif /* HMEM_NUMBERS_H */
